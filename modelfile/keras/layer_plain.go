package keras

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// activation is Activation, ReLU, LeakyReLU and Softmax.
type activation struct {
	plain
	act act
}

func activationOf(a act, err error) (layer, error) { return &activation{act: a}, err }

func newActivation(config json.RawMessage) (layer, error) {
	var c struct {
		Activation json.RawMessage `json:"activation"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	return activationOf(parseAct(c.Activation))
}

func newSoftmax(config json.RawMessage) (layer, error) {
	c := struct {
		Axis ints `json:"axis"`
	}{ints{-1}}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	if len(c.Axis) != 1 || c.Axis[0] != -1 {
		return nil, fmt.Errorf("axis %v is not supported, only the last", c.Axis)
	}
	return &activation{act: act{kind: actSoftmax}}, nil
}

func (l *activation) build(in [][]int) ([]int, error) { return single(in) }

// Kind names the layer in summaries.
func (l *activation) Kind() string {
	switch l.act.kind {
	case actSoftmax:
		return "Softmax"
	case actUnary:
		return (&nn.Activation{Op: l.act.unary}).Kind()
	}
	return "Linear"
}

// Forward implements [nn.Module].
func (l *activation) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return l.act.apply(c, x)
}

// elementwise joins inputs element by element: Add, Multiply and more.
type elementwise struct {
	plain
	fn   graph.BinaryFn
	name string
}

// Kind names the layer in summaries.
func (l *elementwise) Kind() string { return l.name }

func (l *elementwise) build(in [][]int) ([]int, error) {
	if len(in) < 2 || l.fn == graph.Sub && len(in) != 2 {
		return nil, fmt.Errorf("%d inputs", len(in))
	}
	out := slices.Clone(in[0])
	for _, x := range in[1:] {
		if len(x) != len(out) {
			return nil, fmt.Errorf("inputs of the ranks %d and %d", len(out)+1, len(x)+1)
		}
		for i, d := range x {
			switch {
			case out[i] == 1:
				out[i] = d
			case d != 1 && d != out[i]:
				return nil, fmt.Errorf("inputs %v and %v do not fit together", in[0], x)
			}
		}
	}
	return out, nil
}

func (l *elementwise) merge(c *nn.Context, xs []*graph.Value) *graph.Value {
	y := xs[0]
	for _, x := range xs[1:] {
		y = c.Op1(graph.Binary{Fn: l.fn}, y, x)
	}
	return y
}

// Forward implements [nn.Module]; the model calls merge.
func (l *elementwise) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return l.merge(c, []*graph.Value{x})
}

// concat is Concatenate.
type concat struct {
	plain
	axis int
}

func newConcat(config json.RawMessage) (layer, error) {
	c := struct {
		Axis int `json:"axis"`
	}{-1}
	err := json.Unmarshal(config, &c)
	return &concat{axis: c.Axis}, err
}

// Kind names the layer in summaries.
func (l *concat) Kind() string { return "Concatenate" }

func (l *concat) build(in [][]int) ([]int, error) {
	if len(in) < 1 {
		return nil, errors.New("no inputs")
	}
	rank := len(in[0]) + 1
	if l.axis < 0 {
		l.axis += rank
	}
	if l.axis < 1 || l.axis >= rank {
		return nil, fmt.Errorf("axis %d of an input of rank %d", l.axis, rank)
	}
	out := slices.Clone(in[0])
	for _, x := range in[1:] {
		if len(x) != len(out) {
			return nil, fmt.Errorf("inputs of the ranks %d and %d", rank, len(x)+1)
		}
		for i, d := range x {
			if i+1 == l.axis {
				out[i] = min(out[i]+d, maxExtent)
			} else if d != out[i] {
				return nil, fmt.Errorf("inputs %v and %v do not fit together", in[0], x)
			}
		}
	}
	return out, nil
}

// axis returns where Keras's axis of a tensor is in ours.
func axis(keras, rank int) int {
	if rank == 4 {
		return []int{0, 2, 3, 1}[keras]
	}
	return keras
}

func (l *concat) merge(c *nn.Context, xs []*graph.Value) *graph.Value {
	return c.Concat(axis(l.axis, len(xs[0].Shape)), xs...)
}

// Forward implements [nn.Module]; the model calls merge.
func (l *concat) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return l.merge(c, []*graph.Value{x})
}

// flatten joins all axes but the batch, in Keras's order.
type flatten struct{ plain }

// Kind names the layer in summaries.
func (l *flatten) Kind() string { return "Flatten" }

func (l *flatten) build(in [][]int) ([]int, error) {
	x, err := single(in)
	if err != nil {
		return nil, err
	}
	n, err := numel(x)
	return []int{n}, err
}

func numel(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if n *= d; n > 1<<40 || d < 0 {
			return 0, fmt.Errorf("a shape %v is too large", shape)
		}
	}
	return n, nil
}

// Forward implements [nn.Module].
func (l *flatten) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if len(x.Shape) == 4 {
		x = toNHWC(c, x)
	}
	return c.Flatten(x)
}

// reshape is Reshape.
type reshape struct {
	plain
	target []int // without the batch; -1 for what is left
}

func newReshape(config json.RawMessage) (layer, error) {
	var c struct {
		Target ints `json:"target_shape"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	if len(c.Target) < 1 || len(c.Target) > 3 {
		return nil, fmt.Errorf("target_shape %v is not supported", c.Target)
	}
	return &reshape{target: c.Target}, nil
}

// Kind names the layer in summaries.
func (l *reshape) Kind() string { return "Reshape" }

func (l *reshape) build(in [][]int) ([]int, error) {
	x, err := single(in)
	if err != nil {
		return nil, err
	}
	n, err := numel(x)
	if err != nil {
		return nil, err
	}
	known, free := 1, -1
	for i, d := range l.target {
		switch {
		case d == -1 && free < 0:
			free = i
		case d < 1 || d > maxExtent || known > 1<<40:
			return nil, fmt.Errorf("target_shape %v", l.target)
		default:
			known *= d
		}
	}
	l.target = slices.Clone(l.target)
	if free >= 0 && n%known == 0 {
		l.target[free] = n / known
		known = n
	}
	if known != n {
		return nil, fmt.Errorf("target_shape %v for an input %v", l.target, x)
	}
	return l.target, nil
}

// Forward implements [nn.Module].
func (l *reshape) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if len(x.Shape) == 4 {
		x = toNHWC(c, x)
	}
	y := c.Reshape(x, append([]int{x.Shape[0]}, l.target...)...)
	if len(y.Shape) == 4 {
		y = toNCHW(c, y)
	}
	return y
}

// permute is Permute: axes counted from 1.
type permute struct {
	plain
	dims []int
}

func newPermute(config json.RawMessage) (layer, error) {
	var c struct {
		Dims ints `json:"dims"`
	}
	err := json.Unmarshal(config, &c)
	return &permute{dims: c.Dims}, err
}

// Kind names the layer in summaries.
func (l *permute) Kind() string { return "Permute" }

func (l *permute) build(in [][]int) ([]int, error) {
	x, err := single(in)
	if err != nil {
		return nil, err
	}
	sorted := slices.Sorted(slices.Values(l.dims))
	out := make([]int, len(x))
	for i := range x {
		if len(sorted) != len(x) || sorted[i] != i+1 {
			return nil, fmt.Errorf("dims %v for an input of rank %d", l.dims, len(x)+1)
		}
		out[i] = x[l.dims[i]-1]
	}
	return out, nil
}

// Forward implements [nn.Module].
func (l *permute) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	rank := len(x.Shape)
	perm := make([]int, rank)
	for i, d := range l.dims {
		perm[axis(i+1, rank)] = axis(d, rank)
	}
	return c.Permute(x, perm...)
}

// dropout is Dropout.
type dropout struct {
	plain
	rate float32
}

func newDropout(config json.RawMessage) (layer, error) {
	var c struct {
		Rate  float32         `json:"rate"`
		Noise json.RawMessage `json:"noise_shape"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	if !(c.Rate >= 0 && c.Rate < 1) || len(c.Noise) > 0 && string(c.Noise) != "null" {
		return nil, fmt.Errorf("rate %g, noise_shape %s is not supported", c.Rate, c.Noise)
	}
	return &dropout{rate: c.Rate}, nil
}

// Kind names the layer in summaries.
func (l *dropout) Kind() string                    { return "Dropout" }
func (l *dropout) build(in [][]int) ([]int, error) { return single(in) }

// Forward implements [nn.Module].
func (l *dropout) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Dropout(x, l.rate)
}

// affine is Rescaling and Normalization: x*scale + shift, each one number or
// one a channel.
type affine struct {
	name         string
	scale, shift []float32
	// of a Normalization whose statistics are variables
	Mean, Variance *nn.Param
	Count          *nn.Param // kept for the way back
	learned        bool
}

func newRescaling(config json.RawMessage) (layer, error) {
	var c struct {
		Scale  json.RawMessage `json:"scale"`
		Offset json.RawMessage `json:"offset"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	l := &affine{name: "Rescaling"}
	var err error
	if l.scale, err = numbers(c.Scale, 1); err != nil {
		return nil, fmt.Errorf("scale: %w", err)
	}
	if l.shift, err = numbers(c.Offset, 0); err != nil {
		return nil, fmt.Errorf("offset: %w", err)
	}
	return l, nil
}

// numbers reads a number or nested lists of numbers.
func numbers(raw json.RawMessage, fallback float32) ([]float32, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return []float32{fallback}, nil
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, err
	}
	var out []float32
	var add func(v any) error
	add = func(v any) error {
		if list, ok := v.([]any); ok {
			for _, e := range list {
				if err := add(e); err != nil {
					return err
				}
			}
			return nil
		}
		n, err := number(v)
		out = append(out, float32(n))
		return err
	}
	if err := add(v); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("no numbers")
	}
	return out, nil
}

func newNormalization(config json.RawMessage) (layer, error) {
	var c struct {
		Axis     ints            `json:"axis"`
		Mean     json.RawMessage `json:"mean"`
		Variance json.RawMessage `json:"variance"`
		Invert   bool            `json:"invert"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	l := &affine{name: "Normalization"}
	if len(c.Axis) != 1 || c.Axis[0] != -1 && c.Axis[0] != 3 || c.Invert {
		return nil, fmt.Errorf("axis %v, invert %v is not supported", c.Axis, c.Invert)
	}
	if len(c.Mean) == 0 || string(c.Mean) == "null" {
		l.learned = true
		return l, nil
	}
	mean, err := numbers(c.Mean, 0)
	if err != nil {
		return nil, fmt.Errorf("mean: %w", err)
	}
	variance, err := numbers(c.Variance, 1)
	if err != nil {
		return nil, fmt.Errorf("variance: %w", err)
	}
	if len(mean) != len(variance) {
		return nil, fmt.Errorf("%d means and %d variances", len(mean), len(variance))
	}
	l.normalize(mean, variance)
	return l, nil
}

// normalizeEps keeps Keras from dividing by zero (backend.epsilon).
const normalizeEps = 1e-7

func (l *affine) normalize(mean, variance []float32) {
	l.scale, l.shift = make([]float32, len(mean)), make([]float32, len(mean))
	for i := range mean {
		std := max(math.Sqrt(float64(variance[i])), normalizeEps)
		l.scale[i] = float32(1 / std)
		l.shift[i] = float32(-float64(mean[i]) / std)
	}
}

// Kind names the layer in summaries.
func (l *affine) Kind() string { return l.name }

func (l *affine) build(in [][]int) ([]int, error) {
	x, err := single(in)
	if err != nil {
		return nil, err
	}
	channels := x[len(x)-1]
	if l.learned {
		if len(x) != 3 {
			return nil, fmt.Errorf("an input of rank %d is not supported", len(x)+1)
		}
		l.Mean, l.Variance = nn.NewBuffer(nil, channels), nn.NewBuffer(nn.Constant(1), channels)
		l.Count = &nn.Param{Shape: tensor.Shape{}, DType: tensor.Int64, Buffer: true}
		return x, nil
	}
	for _, v := range [][]float32{l.scale, l.shift} {
		if len(v) != 1 && (len(v) != channels || len(x) != 3) {
			return nil, fmt.Errorf("%d numbers for an input %v", len(v), x)
		}
	}
	return x, nil
}

func (l *affine) variables() []variable {
	if !l.learned {
		return nil
	}
	return []variable{{"mean", l.Mean, formSame, 0}, {"variance", l.Variance, formSame, 0}, {"count", l.Count, formSame, 0}}
}

// Forward implements [nn.Module].
func (l *affine) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if l.learned {
		n := l.Mean.Shape[0]
		std := c.Max(c.Sqrt(c.Param(l.Variance)), c.Scalar(normalizeEps))
		return c.Div(c.Sub(x, c.Reshape(c.Param(l.Mean), 1, n, 1, 1)), c.Reshape(std, 1, n, 1, 1))
	}
	if len(l.scale) == 1 && len(l.shift) == 1 {
		return c.Affine(x, l.scale[0], l.shift[0])
	}
	return c.Add(c.Mul(x, perChannel(c, l.scale)), perChannel(c, l.shift))
}

func perChannel(c *nn.Context, v []float32) *graph.Value {
	t := tensor.New(1, len(v), 1, 1)
	copy(t.Float32s(), v)
	return c.Const(t)
}
