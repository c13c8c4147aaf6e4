package keras

import (
	"encoding/json"
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// pooling is MaxPooling2D and AveragePooling2D.
type pooling struct {
	plain
	max    bool
	kh, kw int
	sh, sw int
	same   bool
	before [4]int // see conv
}

func newPooling(config json.RawMessage, max bool) (layer, error) {
	var c struct {
		Size    ints            `json:"pool_size"`
		Strides json.RawMessage `json:"strides"`
		Padding string          `json:"padding"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	l := &pooling{max: max}
	var err error
	if l.kh, l.kw, err = c.Size.pair("pool_size", 1, 2); err != nil {
		return nil, err
	}
	l.sh, l.sw = l.kh, l.kw
	if len(c.Strides) > 0 && string(c.Strides) != "null" {
		var s ints
		if err := json.Unmarshal(c.Strides, &s); err != nil {
			return nil, fmt.Errorf("strides: %w", err)
		}
		if l.sh, l.sw, err = s.pair("strides", 1, 0); err != nil {
			return nil, err
		}
	}
	l.same, err = padding(c.Padding)
	return l, err
}

// Kind names the layer in summaries.
func (l *pooling) Kind() string {
	if l.max {
		return "MaxPooling2D"
	}
	return "AveragePooling2D"
}

func (l *pooling) build(in [][]int) ([]int, error) {
	h, w, c, err := image(in)
	if err != nil {
		return nil, err
	}
	oh, err := outExtent(h, l.kh, l.sh, 1, l.same)
	if err != nil {
		return nil, err
	}
	ow, err := outExtent(w, l.kw, l.sw, 1, l.same)
	return []int{oh, ow, c}, err
}

// Forward implements [nn.Module]. Padding by "same" counts neither for the
// maximum nor for the mean.
func (l *pooling) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if len(x.Shape) != 4 {
		c.Failf("want an image [N C H W], got %v", x.Shape)
	}
	w := graph.Window{KernelH: l.kh, KernelW: l.kw, StrideH: l.sh, StrideW: l.sw,
		PadTop: l.before[0], PadBottom: l.before[1], PadLeft: l.before[2], PadRight: l.before[3]}
	if l.same {
		w.PadTop, w.PadBottom = samePad(x.Shape[2], l.kh, l.sh, 1)
		w.PadLeft, w.PadRight = samePad(x.Shape[3], l.kw, l.sw, 1)
	}
	if l.max {
		return c.MaxPool2d(x, w)
	}
	return c.AvgPool2d(x, w, false)
}

// global is GlobalAveragePooling2D and GlobalMaxPooling2D.
type global struct {
	plain
	fn   graph.ReduceFn
	keep bool
}

func newGlobal(config json.RawMessage, fn graph.ReduceFn) (layer, error) {
	var c struct {
		Keep bool `json:"keepdims"`
	}
	err := json.Unmarshal(config, &c)
	return &global{fn: fn, keep: c.Keep}, err
}

// Kind names the layer in summaries.
func (l *global) Kind() string {
	if l.fn == graph.MaxOf {
		return "GlobalMaxPooling2D"
	}
	return "GlobalAveragePooling2D"
}

func (l *global) build(in [][]int) ([]int, error) {
	_, _, c, err := image(in)
	if l.keep {
		return []int{1, 1, c}, err
	}
	return []int{c}, err
}

// Forward implements [nn.Module].
func (l *global) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if len(x.Shape) != 4 {
		c.Failf("want an image [N C H W], got %v", x.Shape)
	}
	return c.Op1(graph.Reduce{Fn: l.fn, Axes: []int{2, 3}, Keep: l.keep}, x)
}

// zeroPadding is ZeroPadding2D.
type zeroPadding struct {
	plain
	sides  [4]int // top, bottom, left, right
	folded bool   // what follows does it
}

// sides reads a number, two numbers, or two pairs of numbers.
func sides(raw json.RawMessage, fallback int) ([4]int, error) {
	var out [4]int
	if len(raw) == 0 {
		return [4]int{fallback, fallback, fallback, fallback}, nil
	}
	var pairs []ints
	var flat ints
	if err := json.Unmarshal(raw, &flat); err == nil {
		h, w, err := flat.pair("padding", 0, 0)
		return [4]int{h, h, w, w}, err
	}
	if err := json.Unmarshal(raw, &pairs); err != nil {
		return out, err
	}
	if len(pairs) != 2 {
		return out, fmt.Errorf("%s is no padding of two axes", raw)
	}
	for i, p := range pairs {
		var err error
		if out[2*i], out[2*i+1], err = p.pair("padding", 0, 0); err != nil {
			return out, err
		}
	}
	return out, nil
}

func newZeroPadding(config json.RawMessage) (layer, error) {
	var c struct {
		Padding json.RawMessage `json:"padding"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	s, err := sides(c.Padding, 1)
	return &zeroPadding{sides: s}, err
}

// Kind names the layer in summaries.
func (l *zeroPadding) Kind() string { return "ZeroPadding2D" }

func (l *zeroPadding) build(in [][]int) ([]int, error) {
	h, w, c, err := image(in)
	h, w = h+l.sides[0]+l.sides[1], w+l.sides[2]+l.sides[3]
	if err == nil && (h > maxExtent || w > maxExtent) {
		err = fmt.Errorf("padding %v is too large", l.sides)
	}
	return []int{h, w, c}, err
}

// Forward implements [nn.Module].
func (l *zeroPadding) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if len(x.Shape) != 4 {
		c.Failf("want an image [N C H W], got %v", x.Shape)
	}
	for i := 0; i < 2 && !l.folded; i++ {
		if before, after := l.sides[2*i], l.sides[2*i+1]; before+after > 0 {
			x = c.Pad(x, 2+i, before, after)
		}
	}
	return x
}

// cropping is Cropping2D.
type cropping struct {
	plain
	sides [4]int
}

func newCropping(config json.RawMessage) (layer, error) {
	var c struct {
		Cropping json.RawMessage `json:"cropping"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	s, err := sides(c.Cropping, 0)
	return &cropping{sides: s}, err
}

// Kind names the layer in summaries.
func (l *cropping) Kind() string { return "Cropping2D" }

func (l *cropping) build(in [][]int) ([]int, error) {
	h, w, c, err := image(in)
	h, w = h-l.sides[0]-l.sides[1], w-l.sides[2]-l.sides[3]
	if err == nil && (h < 1 || w < 1) {
		err = fmt.Errorf("cropping %v leaves nothing of %v", l.sides, in[0])
	}
	return []int{h, w, c}, err
}

// Forward implements [nn.Module].
func (l *cropping) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	for i := range 2 {
		before, after := l.sides[2*i], l.sides[2*i+1]
		n := x.Shape[2+i] - before - after
		if n < 1 {
			c.Failf("cropping %v leaves nothing of %v", l.sides, x.Shape)
		}
		x = c.Slice(x, 2+i, before, n, 1)
	}
	return x
}

// upsampling is UpSampling2D.
type upsampling struct {
	plain
	h, w     int
	bilinear bool
}

func newUpsampling(config json.RawMessage) (layer, error) {
	var c struct {
		Size          ints   `json:"size"`
		Interpolation string `json:"interpolation"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	h, w, err := c.Size.pair("size", 1, 2)
	if err != nil {
		return nil, err
	}
	switch c.Interpolation {
	case "", "nearest", "bilinear":
	default:
		return nil, fmt.Errorf("interpolation %q is not supported", c.Interpolation)
	}
	return &upsampling{h: h, w: w, bilinear: c.Interpolation == "bilinear"}, nil
}

// Kind names the layer in summaries.
func (l *upsampling) Kind() string { return "UpSampling2D" }

func (l *upsampling) build(in [][]int) ([]int, error) {
	h, w, c, err := image(in)
	if err != nil {
		return nil, err
	}
	if l.h > maxExtent/max(h, 1) || l.w > maxExtent/max(w, 1) {
		return nil, fmt.Errorf("size %dx%d is too large", l.h, l.w)
	}
	return []int{h * l.h, w * l.w, c}, nil
}

// Forward implements [nn.Module].
func (l *upsampling) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Resize(x, x.Shape[2]*l.h, x.Shape[3]*l.w, l.bilinear)
}
