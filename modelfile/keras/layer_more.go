package keras

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// passive is a layer that does nothing at inference: augmentation, noise,
// regularization. In training it is left out, too.
type passive struct {
	plain
	name string
}

// passives are the classes of layers that do nothing at inference, beside those that
// begin with Random.
var passives = []string{"GaussianNoise", "GaussianDropout", "AlphaDropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
	"ActivityRegularization", "Identity", "MixUp", "CutMix", "RandAugment", "AugMix", "Solarization", "Masking"}

// Kind names the layer in summaries.
func (l *passive) Kind() string                    { return l.name }
func (l *passive) build(in [][]int) ([]int, error) { return single(in) }

// Forward implements [nn.Module].
func (l *passive) Forward(c *nn.Context, x *graph.Value) *graph.Value { return x }

// separable is SeparableConv2D: a depthwise convolution and one of 1x1.
type separable struct {
	Depthwise *nn.Param
	Pointwise *nn.Param
	Bias      *nn.Param
	conv      *conv `key:"-"` // its geometry
	filters   int
}

func newSeparable(config json.RawMessage) (layer, error) {
	l, err := convOf(config, true)
	if err != nil {
		return nil, err
	}
	c := l.(*conv)
	return &separable{conv: c, filters: c.cfg.Filters}, nil
}

// Kind names the layer in summaries.
func (l *separable) Kind() string { return "SeparableConv2D" }

func (l *separable) build(in [][]int) ([]int, error) {
	out, err := l.conv.build(in)
	if err != nil {
		return nil, err
	}
	if l.filters < 1 || l.filters > maxExtent || out[2] > maxExtent/l.filters {
		return nil, fmt.Errorf("%d filters of %d channels", l.filters, out[2])
	}
	l.Depthwise = l.conv.Weight
	l.Pointwise = nn.NewConv2d(out[2], l.filters, 1, nn.NoBias()).Weight
	if l.conv.Bias != nil {
		l.Bias = nn.NewParam(nil, l.filters)
		l.Bias.NoDecay = true
	}
	return []int{out[0], out[1], l.filters}, nil
}

func (l *separable) variables() []variable {
	vs := []variable{{"depthwise_kernel", l.Depthwise, formDepthwise, l.conv.channels}, {"pointwise_kernel", l.Pointwise, formConv, 0}}
	if l.Bias != nil {
		vs = append(vs, variable{"bias", l.Bias, formSame, 0})
	}
	return vs
}

// Forward implements [nn.Module].
func (l *separable) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	y := c.Conv2d(x, c.Param(l.Depthwise), nil, l.conv.window(c, x))
	var b *graph.Value
	if l.Bias != nil {
		b = c.Param(l.Bias)
	}
	one := graph.Conv2d{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1}
	return l.conv.act.apply(c, c.Conv2d(y, c.Param(l.Pointwise), b, one))
}

// transposed is Conv2DTranspose.
type transposed struct {
	Weight *nn.Param // [In Out H W]
	Bias   *nn.Param
	cfg    convConfig
	same   bool
	act    act
	conv   graph.Conv2d
	out    [2]int
}

func newTransposed(config json.RawMessage) (layer, error) {
	var more struct {
		OutputPadding json.RawMessage `json:"output_padding"`
	}
	if err := json.Unmarshal(config, &more); err != nil {
		return nil, err
	}
	if len(more.OutputPadding) > 0 && string(more.OutputPadding) != "null" {
		return nil, fmt.Errorf("output_padding %s is not supported", more.OutputPadding)
	}
	made, err := convOf(config, false)
	if err != nil {
		return nil, err
	}
	c := made.(*conv)
	return &transposed{cfg: c.cfg, same: c.same, act: c.act}, nil
}

// Kind names the layer in summaries.
func (l *transposed) Kind() string { return "Conv2DTranspose" }

func (l *transposed) build(in [][]int) ([]int, error) {
	h, w, c, err := image(in)
	if err != nil {
		return nil, err
	}
	kh, kw, err := l.cfg.Kernel.pair("kernel_size", 1, 0)
	if err != nil {
		return nil, err
	}
	sh, sw, err := l.cfg.Strides.pair("strides", 1, 1)
	if err != nil {
		return nil, err
	}
	dh, dw, err := l.cfg.Dilation.pair("dilation_rate", 1, 1)
	if err != nil {
		return nil, err
	}
	f := l.cfg.Filters
	if f < 1 || f > maxExtent || int64(kh)*int64(dh) > maxExtent || int64(kw)*int64(dw) > maxExtent || l.cfg.Groups != nil && *l.cfg.Groups != 1 {
		return nil, fmt.Errorf("%d filters of %dx%d with dilation %dx%d", f, kh, kw, dh, dw)
	}
	l.conv = graph.Conv2d{StrideH: sh, StrideW: sw, DilationH: dh, DilationW: dw, Groups: 1}
	extent := func(n, k, s, d int) int {
		if l.same {
			return n * s
		}
		return n*s + max((k-1)*d+1-s, 0)
	}
	l.out = [2]int{extent(h, kh, sh, dh), extent(w, kw, sw, dw)}
	if l.out[0] > maxExtent || l.out[1] > maxExtent {
		return nil, fmt.Errorf("an output of %dx%d", l.out[0], l.out[1])
	}
	if l.same {
		l.conv.PadTop, l.conv.PadBottom = samePad(l.out[0], kh, sh, dh)
		l.conv.PadLeft, l.conv.PadRight = samePad(l.out[1], kw, sw, dw)
	}
	l.Weight = nn.NewParam(nn.TorchWeight(), c, f, kh, kw)
	if l.cfg.UseBias == nil || *l.cfg.UseBias {
		l.Bias = nn.NewParam(nil, f)
		l.Bias.NoDecay = true
	}
	return []int{l.out[0], l.out[1], f}, nil
}

func (l *transposed) variables() []variable {
	vs := []variable{{"kernel", l.Weight, formConv, 0}}
	if l.Bias != nil {
		vs = append(vs, variable{"bias", l.Bias, formSame, 0})
	}
	return vs
}

// Forward implements [nn.Module].
func (l *transposed) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	f := l.Weight.Shape[1]
	y := c.Op1(graph.Conv2dInputGrad{Conv: l.conv, X: tensor.Shape{x.Shape[0], f, l.out[0], l.out[1]}}, x, c.Param(l.Weight))
	if l.Bias != nil {
		y = c.Add(y, c.Reshape(c.Param(l.Bias), 1, f, 1, 1))
	}
	return l.act.apply(c, y)
}

// prelu is PReLU: a slope for each element, channel or the whole.
type prelu struct {
	Alpha  *nn.Param // in Keras's order
	shared []int
}

func newPReLU(config json.RawMessage) (layer, error) {
	var c struct {
		Shared ints `json:"shared_axes"`
	}
	var null struct {
		Shared json.RawMessage `json:"shared_axes"`
	}
	if err := json.Unmarshal(config, &null); err != nil {
		return nil, err
	}
	if len(null.Shared) == 0 || string(null.Shared) == "null" {
		return &prelu{}, nil
	}
	err := json.Unmarshal(config, &c)
	return &prelu{shared: c.Shared}, err
}

// Kind names the layer in summaries.
func (l *prelu) Kind() string { return "PReLU" }

func (l *prelu) build(in [][]int) ([]int, error) {
	x, err := single(in)
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(x)
	for _, a := range l.shared {
		if a < 1 || a > len(x) {
			return nil, fmt.Errorf("shared_axes %v of an input of rank %d", l.shared, len(x)+1)
		}
		shape[a-1] = 1
	}
	if n, err := numel(shape); err != nil || n > maxExtent {
		return nil, fmt.Errorf("slopes of the shape %v", shape)
	}
	l.Alpha = nn.NewParam(nil, shape...)
	l.Alpha.NoDecay = true
	return x, nil
}

func (l *prelu) variables() []variable { return []variable{{"alpha", l.Alpha, formSame, 0}} }

// Forward implements [nn.Module].
func (l *prelu) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	a := c.Reshape(c.Param(l.Alpha), append([]int{1}, l.Alpha.Shape...)...)
	if len(x.Shape) == 4 {
		a = toNCHW(c, a)
	}
	low := c.Mul(c.Min(x, c.Scalar(0)), a)
	return c.Add(c.Unary(x, graph.Unary{Fn: graph.Relu}), low)
}

// norm is LayerNormalization, GroupNormalization and UnitNormalization.
type norm struct {
	Gamma, Beta *nn.Param
	name        string
	eps         float32
	axes        ints
	groups      int // of GroupNormalization; -1 is one for each channel
	rms         bool
	scale       bool
	center      bool
}

func newNorm(name string) func(json.RawMessage) (layer, error) {
	return func(config json.RawMessage) (layer, error) {
		c := struct {
			Axis    ints    `json:"axis"`
			Epsilon float64 `json:"epsilon"`
			Groups  int     `json:"groups"`
			Scale   bool    `json:"scale"`
			Center  bool    `json:"center"`
			RMS     bool    `json:"rms_scaling"`
			Order   float64 `json:"order"`
		}{ints{-1}, 1e-3, 32, true, true, false, 2}
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, err
		}
		if !(c.Epsilon >= 0) || c.Order != 2 {
			return nil, fmt.Errorf("epsilon %g, order %g is not supported", c.Epsilon, c.Order)
		}
		l := &norm{name: name, eps: float32(c.Epsilon), axes: c.Axis, groups: c.Groups, rms: c.RMS, scale: c.Scale, center: c.Center}
		switch name {
		case "UnitNormalization":
			l.eps, l.scale, l.center = 1e-12, false, false
		case "RMSNormalization":
			l.rms = true
		case "LayerNormalization":
		}
		if l.rms {
			l.scale, l.center = true, false
		}
		return l, nil
	}
}

// Kind names the layer in summaries.
func (l *norm) Kind() string { return l.name }

func (l *norm) build(in [][]int) ([]int, error) {
	x, err := single(in)
	if err != nil {
		return nil, err
	}
	rank := len(x) + 1
	axes := slices.Clone(l.axes)
	for i, a := range axes {
		if a < 0 {
			axes[i] += rank
		}
		if axes[i] < 1 || axes[i] >= rank {
			return nil, fmt.Errorf("axis %v of an input of rank %d", l.axes, rank)
		}
	}
	slices.Sort(axes)
	l.axes = axes
	var shape []int
	for _, a := range axes {
		shape = append(shape, x[a-1])
	}
	if l.name == "GroupNormalization" {
		if len(axes) != 1 || axes[0] != rank-1 {
			return nil, fmt.Errorf("axis %v is not the channels", axes)
		}
		if l.groups == -1 {
			l.groups = x[len(x)-1]
		}
		if l.groups < 1 || x[len(x)-1]%l.groups != 0 {
			return nil, fmt.Errorf("%d channels in %d groups", x[len(x)-1], l.groups)
		}
	}
	if n, err := numel(shape); err != nil || n > maxExtent {
		return nil, fmt.Errorf("axes %v of an input %v", axes, x)
	}
	if l.scale {
		l.Gamma = nn.NewParam(nn.Constant(1), shape...)
		l.Gamma.NoDecay = true
	}
	if l.center {
		l.Beta = nn.NewParam(nil, shape...)
		l.Beta.NoDecay = true
	}
	return x, nil
}

func (l *norm) variables() []variable {
	var vs []variable
	if l.Gamma != nil {
		vs = append(vs, variable{"gamma", l.Gamma, formSame, 0})
	}
	if l.Beta != nil {
		vs = append(vs, variable{"beta", l.Beta, formSame, 0})
	}
	return vs
}

// Forward implements [nn.Module].
func (l *norm) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	rank := len(x.Shape)
	wide := func(p *nn.Param) *graph.Value { // that broadcasts with x
		shape := ones(rank)
		for i, a := range l.axes {
			shape[a] = p.Shape[i]
		}
		v := c.Reshape(c.Param(p), shape...)
		if rank == 4 {
			v = toNCHW(c, v)
		}
		return v
	}
	y := x
	var axes []int
	if l.name == "GroupNormalization" {
		channels := x.Shape[axis(rank-1, rank)]
		if rank != 4 { // the channels come last here
			y = c.Reshape(x, x.Shape[0], x.Shape[1:rank-1].Numel(), l.groups, channels/l.groups)
			axes = []int{1, 3}
		} else {
			y = c.Reshape(x, x.Shape[0], l.groups, channels/l.groups*x.Shape[2]*x.Shape[3])
			axes = []int{2}
		}
	} else {
		for _, a := range l.axes {
			axes = append(axes, axis(a, rank))
		}
		slices.Sort(axes)
	}
	average := graph.Reduce{Fn: graph.Mean, Axes: axes, Keep: true}
	if l.name == "UnitNormalization" {
		square := c.Op1(graph.Reduce{Fn: graph.Sum, Axes: axes, Keep: true}, c.Square(y))
		return c.Mul(y, c.Unary(c.Max(square, c.Scalar(l.eps)), graph.Unary{Fn: graph.Rsqrt}))
	}
	if !l.rms {
		y = c.Sub(y, c.Op1(average, y))
	}
	variance := c.Op1(average, c.Square(y))
	y = c.Mul(y, c.Unary(c.Affine(variance, 1, l.eps), graph.Unary{Fn: graph.Rsqrt}))
	if !y.Shape.Equal(x.Shape) {
		y = c.Reshape(y, x.Shape...)
	}
	if l.Gamma != nil {
		y = c.Mul(y, wide(l.Gamma))
	}
	if l.Beta != nil {
		y = c.Add(y, wide(l.Beta))
	}
	return y
}

// average is Average: the mean of its inputs.
type average struct{ elementwise }

// Kind names the layer in summaries.
func (l *average) Kind() string { return "Average" }

func (l *average) merge(c *nn.Context, xs []*graph.Value) *graph.Value {
	return c.Affine(l.elementwise.merge(c, xs), 1/float32(len(xs)), 0)
}

// Forward implements [nn.Module]; the model calls merge.
func (l *average) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return l.merge(c, []*graph.Value{x})
}

// resizing is Resizing and CenterCrop: the picture in another size.
type resizing struct {
	plain
	h, w          int
	crop          bool // CenterCrop
	toAspect      bool
	interpolation string
}

func newResizing(crop bool) func(json.RawMessage) (layer, error) {
	return func(config json.RawMessage) (layer, error) {
		c := struct {
			Height        int    `json:"height"`
			Width         int    `json:"width"`
			Interpolation string `json:"interpolation"`
			Crop          bool   `json:"crop_to_aspect_ratio"`
			Pad           bool   `json:"pad_to_aspect_ratio"`
			Antialias     bool   `json:"antialias"`
		}{Interpolation: "bilinear"}
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, err
		}
		if c.Height < 1 || c.Width < 1 || c.Height > 1<<14 || c.Width > 1<<14 {
			return nil, fmt.Errorf("a size of %dx%d", c.Height, c.Width)
		}
		if c.Pad || c.Antialias {
			return nil, fmt.Errorf("pad_to_aspect_ratio and antialias are not supported")
		}
		switch c.Interpolation {
		case "bilinear", "nearest", "bicubic":
		default:
			return nil, fmt.Errorf("interpolation %q is not supported", c.Interpolation)
		}
		return &resizing{h: c.Height, w: c.Width, crop: crop, toAspect: c.Crop, interpolation: c.Interpolation}, nil
	}
}

// Kind names the layer in summaries.
func (l *resizing) Kind() string {
	if l.crop {
		return "CenterCrop"
	}
	return "Resizing"
}

func (l *resizing) build(in [][]int) ([]int, error) {
	_, _, ch, err := image(in)
	return []int{l.h, l.w, ch}, err
}

// Forward implements [nn.Module].
func (l *resizing) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	h, w := x.Shape[2], x.Shape[3]
	cut := func(x *graph.Value, h, w int) *graph.Value {
		x = c.Slice(x, 2, (x.Shape[2]-h)/2, h, 1)
		return c.Slice(x, 3, (x.Shape[3]-w)/2, w, 1)
	}
	if l.crop && h >= l.h && w >= l.w {
		return cut(x, l.h, l.w)
	}
	if l.crop || l.toAspect { // the largest part of the target's aspect ratio
		ch, cw := int(float64(w*l.h)/float64(l.w)), int(float64(h*l.w)/float64(l.h))
		x = cut(x, max(min(h, ch), 1), max(min(w, cw), 1))
	}
	if l.interpolation == "bilinear" {
		return c.Resize(x, l.h, l.w, true)
	}
	return l.along(c, l.along(c, x, 2, l.h), 3, l.w)
}

// along resamples one axis by a matrix.
func (l *resizing) along(c *nn.Context, x *graph.Value, axis, out int) *graph.Value {
	in := x.Shape[axis]
	if in == out {
		return x
	}
	m := tensor.New(out, in)
	row := func(i int) []float32 { return m.Float32s()[i*in : (i+1)*in] }
	for i := range out {
		if l.interpolation == "nearest" { // in float32, as TensorFlow decides ties
			at := (float32(i) + 0.5) * (float32(in) / float32(out))
			row(i)[min(int(math.Floor(float64(at))), in-1)] = 1
			continue
		}
		cubic(row(i), (float64(i)+0.5)*float64(in)/float64(out)-0.5)
	}
	perm := []int{0, 1, 2, 3}
	perm[axis], perm[3] = 3, axis
	y := c.Permute(x, perm...)
	s := y.Shape.Clone()
	y = c.Linear(c.Reshape(y, s[:3].Numel(), in), c.Const(m), nil)
	s[3] = out
	return c.Permute(c.Reshape(y, s...), perm...)
}

// cubic writes TensorFlow's weights of bicubic interpolation (Keys 1981, a = -0.5),
// which leave out pixels beyond the border.
func cubic(row []float32, at float64) {
	const a = -0.5
	lo, sum := math.Floor(at), 0.0
	for k := -1.0; k <= 2; k++ {
		if lo+k < 0 || int(lo+k) >= len(row) {
			continue
		}
		d := math.Abs(at - lo - k)
		w := ((a*d-5*a)*d+8*a)*d - 4*a
		if d <= 1 {
			w = ((a+2)*d-(a+3))*d*d + 1
		}
		row[int(lo+k)] += float32(w)
		sum += w
	}
	for i := range row {
		row[i] /= float32(sum)
	}
}

// lambda is a layer that holds Python code.
func lambda(json.RawMessage) (layer, error) {
	return nil, fmt.Errorf("it holds Python code, which is not run: replace it by layers such as Rescaling, save the model and give that file")
}
