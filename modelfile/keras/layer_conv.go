package keras

import (
	"encoding/json"
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// conv is Conv2D and DepthwiseConv2D: a convolution and an activation.
type conv struct {
	*nn.Conv2d
	cfg      convConfig
	same     bool
	act      act
	channels int // of the input
	// before is the padding of a ZeroPadding2D in front, which the
	// convolution does itself: top, bottom, left, right.
	before [4]int
}

type convConfig struct {
	Filters    int             `json:"filters"`
	Multiplier *int            `json:"depth_multiplier"`
	Kernel     ints            `json:"kernel_size"`
	Strides    ints            `json:"strides"`
	Dilation   ints            `json:"dilation_rate"`
	Padding    string          `json:"padding"`
	Groups     *int            `json:"groups"`
	UseBias    *bool           `json:"use_bias"`
	Activation json.RawMessage `json:"activation"`
	depthwise  bool
}

func newConv(config json.RawMessage) (layer, error)      { return convOf(config, false) }
func newDepthwise(config json.RawMessage) (layer, error) { return convOf(config, true) }

func convOf(config json.RawMessage, depthwise bool) (layer, error) {
	l := &conv{}
	if err := json.Unmarshal(config, &l.cfg); err != nil {
		return nil, err
	}
	l.cfg.depthwise = depthwise
	var err error
	if l.same, err = padding(l.cfg.Padding); err != nil {
		return nil, err
	}
	if l.act, err = parseAct(l.cfg.Activation); err != nil {
		return nil, err
	}
	return l, nil
}

// Kind names the layer in summaries.
func (l *conv) Kind() string {
	if l.cfg.depthwise {
		return "DepthwiseConv2D"
	}
	return "Conv2D"
}

func (l *conv) build(in [][]int) ([]int, error) {
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
	if int64(kh)*int64(dh) > maxExtent || int64(kw)*int64(dw) > maxExtent {
		return nil, fmt.Errorf("a kernel of %dx%d with dilation %dx%d", kh, kw, dh, dw)
	}
	groups, filters := 1, l.cfg.Filters
	if l.cfg.Groups != nil {
		groups = *l.cfg.Groups
	}
	if l.cfg.depthwise {
		groups, filters = c, c
		if m := l.cfg.Multiplier; m != nil {
			if *m < 1 || *m > maxExtent/c {
				return nil, fmt.Errorf("depth_multiplier is %d", *m)
			}
			filters = c * *m
		}
	}
	if filters < 1 || filters > maxExtent || groups < 1 || filters%groups != 0 || c%groups != 0 {
		return nil, fmt.Errorf("%d filters of %d channels in %d groups", filters, c, groups)
	}
	opts := []nn.ConvOption{nn.KernelHW(kh, kw), nn.StrideHW(sh, sw), nn.Groups(groups), func(m *nn.Conv2d) { m.Op.DilationH, m.Op.DilationW = dh, dw }}
	if l.cfg.UseBias != nil && !*l.cfg.UseBias {
		opts = append(opts, nn.NoBias())
	}
	l.channels = c
	l.Conv2d = nn.NewConv2d(c, filters, kh, opts...)
	oh, err := outExtent(h, kh, sh, dh, l.same)
	if err != nil {
		return nil, err
	}
	ow, err := outExtent(w, kw, sw, dw, l.same)
	return []int{oh, ow, filters}, err
}

func (l *conv) variables() []variable {
	v := variable{"kernel", l.Weight, formConv, 0}
	if l.cfg.depthwise {
		v = variable{"depthwise_kernel", l.Weight, formDepthwise, l.channels}
	}
	vs := []variable{v}
	if l.Bias != nil {
		vs = append(vs, variable{"bias", l.Bias, formSame, 0})
	}
	return vs
}

// window returns the convolution of an input.
func (l *conv) window(c *nn.Context, x *graph.Value) graph.Conv2d {
	if len(x.Shape) != 4 {
		c.Failf("want an image [N C H W], got %v", x.Shape)
	}
	op := l.Op
	op.PadTop, op.PadBottom, op.PadLeft, op.PadRight = l.before[0], l.before[1], l.before[2], l.before[3]
	if l.same {
		op.PadTop, op.PadBottom = samePad(x.Shape[2], l.KernelH, op.StrideH, op.DilationH)
		op.PadLeft, op.PadRight = samePad(x.Shape[3], l.KernelW, op.StrideW, op.DilationW)
	}
	return op
}

// Forward implements [nn.Module].
func (l *conv) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	op := l.window(c, x)
	var b *graph.Value
	if l.Bias != nil {
		b = c.Param(l.Bias)
	}
	return l.act.apply(c, c.Conv2d(x, c.Param(l.Weight), b, op))
}

// dense is Dense: a linear layer on the last axis and an activation.
type dense struct {
	*nn.Linear
	units int
	bias  bool
	act   act
}

func newDense(config json.RawMessage) (layer, error) {
	var c struct {
		Units      int             `json:"units"`
		UseBias    *bool           `json:"use_bias"`
		Activation json.RawMessage `json:"activation"`
		Quantized  json.RawMessage `json:"quantization_config"`
		LoraRank   *int            `json:"lora_rank"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	if c.LoraRank != nil || len(c.Quantized) > 0 && string(c.Quantized) != "null" {
		return nil, fmt.Errorf("LoRA and quantized layers are not supported")
	}
	l := &dense{units: c.Units, bias: c.UseBias == nil || *c.UseBias}
	var err error
	l.act, err = parseAct(c.Activation)
	return l, err
}

// Kind names the layer in summaries.
func (l *dense) Kind() string { return "Dense" }

func (l *dense) build(in [][]int) ([]int, error) {
	x, err := single(in)
	if err != nil {
		return nil, err
	}
	if l.units < 1 || l.units > maxExtent || len(x) < 1 || len(x) > 3 {
		return nil, fmt.Errorf("%d units for an input %v", l.units, x)
	}
	last := len(x) - 1
	l.Linear = nn.NewLinear(x[last], l.units)
	if !l.bias {
		l.Bias = nil
	}
	return append(append([]int{}, x[:last]...), l.units), nil
}

func (l *dense) variables() []variable {
	vs := []variable{{"kernel", l.Weight, formDense, 0}}
	if l.Bias != nil {
		vs = append(vs, variable{"bias", l.Bias, formSame, 0})
	}
	return vs
}

// Forward implements [nn.Module].
func (l *dense) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	rank := len(x.Shape)
	if rank == 4 {
		x = toNHWC(c, x)
	}
	outer := x.Shape[:len(x.Shape)-1].Clone()
	if rank > 2 {
		x = c.Reshape(x, outer.Numel(), x.Shape[len(x.Shape)-1])
	}
	var b *graph.Value
	if l.Bias != nil {
		b = c.Param(l.Bias)
	}
	y := c.Linear(x, c.Param(l.Weight), b)
	if rank > 2 {
		y = c.Reshape(y, append(outer, l.units)...)
	}
	if rank == 4 {
		y = toNCHW(c, y)
	}
	return l.act.apply(c, y)
}

// batchNorm is BatchNormalization over the channels.
type batchNorm struct {
	*nn.BatchNorm
	axis          int
	eps, momentum float32
	scale, center bool
}

func newBatchNorm(config json.RawMessage) (layer, error) {
	c := struct {
		Axis     ints    `json:"axis"`
		Epsilon  float64 `json:"epsilon"`
		Momentum float64 `json:"momentum"`
		Scale    bool    `json:"scale"`
		Center   bool    `json:"center"`
		Renorm   bool    `json:"renorm"`
	}{ints{-1}, 1e-3, 0.99, true, true, false}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	if len(c.Axis) != 1 || c.Renorm {
		return nil, fmt.Errorf("axis %v, renorm %v is not supported", c.Axis, c.Renorm)
	}
	if !(c.Epsilon > 0) || !(c.Momentum >= 0 && c.Momentum <= 1) {
		return nil, fmt.Errorf("epsilon %g, momentum %g", c.Epsilon, c.Momentum)
	}
	// Keras's momentum is the part that stays, ours the part that is new.
	return &batchNorm{axis: c.Axis[0], eps: float32(c.Epsilon), momentum: float32(1 - c.Momentum), scale: c.Scale, center: c.Center}, nil
}

func (l *batchNorm) build(in [][]int) ([]int, error) {
	x, err := single(in)
	if err != nil {
		return nil, err
	}
	if l.axis != -1 && l.axis != len(x) {
		return nil, fmt.Errorf("axis %d of an input of rank %d is not the channels", l.axis, len(x)+1)
	}
	switch len(x) {
	case 1:
		l.BatchNorm = nn.NewBatchNorm1d(x[0])
	case 3:
		l.BatchNorm = nn.NewBatchNorm2d(x[2])
	default:
		return nil, fmt.Errorf("an input of rank %d is not supported", len(x)+1)
	}
	l.Eps, l.Momentum = l.eps, l.momentum
	// A scale or shift that Keras leaves out is 1 or 0 for ever.
	l.Weight.Frozen, l.Bias.Frozen = !l.scale, !l.center
	return x, nil
}

func (l *batchNorm) variables() []variable {
	var vs []variable
	if l.scale {
		vs = append(vs, variable{"gamma", l.Weight, formSame, 0})
	}
	if l.center {
		vs = append(vs, variable{"beta", l.Bias, formSame, 0})
	}
	return append(vs, variable{"moving_mean", l.RunningMean, formSame, 0}, variable{"moving_variance", l.RunningVar, formSame, 0})
}

// Kind names the layer in summaries.
func (l *batchNorm) Kind() string { return "BatchNormalization" }
