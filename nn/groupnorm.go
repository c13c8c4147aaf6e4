package nn

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// GroupNorm normalizes groups of channels of each sample (Wu and He 2018), in
// training and at inference alike; see [graph.GroupNorm]. Input [N C ...], output the
// same.
type GroupNorm struct {
	Groups int
	Eps    float32
	Weight *Param // gamma [C], or nil for ones
	Bias   *Param // beta [C], or nil for zeros
}

// NewGroupNorm normalizes channels in groups of neighbors, with Eps 1e-5.
func NewGroupNorm(groups, channels int) *GroupNorm {
	m := &GroupNorm{Groups: groups, Eps: 1e-5}
	m.Weight, m.Bias = newScale(channels), NewBias(nil, channels)
	return m
}

func newScale(shape ...int) *Param {
	p := NewParam(Constant(1), shape...)
	p.NoDecay = true
	return p
}

// scaleOr returns the value of p, or ones or zeros of the given shape for nil.
func (c *Context) scaleOr(p *Param, fill float32, shape ...int) *graph.Value {
	if p != nil {
		return c.Param(p)
	}
	t := tensor.New(shape...)
	for i := range t.Float32s() {
		t.Float32s()[i] = fill
	}
	return c.Const(t)
}

// Forward normalizes x.
func (m *GroupNorm) Forward(c *Context, x *graph.Value) *graph.Value {
	if len(x.Shape) < 2 {
		c.Failf("want an input [N C ...], got %v", x.Shape)
	}
	return graph.GroupNormOf(c.Graph(), x, c.scaleOr(m.Weight, 1, x.Shape[1]), c.scaleOr(m.Bias, 0, x.Shape[1]), m.Groups, m.Eps)
}

// InstanceNorm2d normalizes each channel of each image by itself (Ulyanov et al.
// 2016). As PyTorch's default, it has no parameters and no running statistics; see
// [NewInstanceNorm2d].
type InstanceNorm2d struct {
	Eps    float32
	Weight *Param // gamma [C], or nil for ones
	Bias   *Param // beta [C], or nil for zeros
}

// NewInstanceNorm2d normalizes the channels of images [N C H W], with Eps 1e-5;
// affine gives it Weight and Bias.
func NewInstanceNorm2d(channels int, affine bool) *InstanceNorm2d {
	m := &InstanceNorm2d{Eps: 1e-5}
	if affine {
		m.Weight, m.Bias = newScale(channels), NewBias(nil, channels)
	}
	return m
}

// Forward normalizes x [N C H W].
func (m *InstanceNorm2d) Forward(c *Context, x *graph.Value) *graph.Value {
	if len(x.Shape) != 4 {
		c.Failf("want an input [N C H W], got %v", x.Shape)
	}
	return graph.InstanceNorm(c.Graph(), x, c.scaleOr(m.Weight, 1, x.Shape[1]), c.scaleOr(m.Bias, 0, x.Shape[1]), m.Eps)
}

// LayerNorm normalizes the last axes (Ba et al. 2016); see [graph.LayerNorm].
type LayerNorm struct {
	Shape  []int // of the normalized axes
	Eps    float32
	Weight *Param // gamma of that shape, or nil for ones
	Bias   *Param // beta of that shape, or nil for zeros
}

// NewLayerNorm normalizes the last axes, which have the given shape, with Eps 1e-5.
func NewLayerNorm(shape ...int) *LayerNorm {
	m := &LayerNorm{Shape: shape, Eps: 1e-5, Weight: newScale(shape...), Bias: NewParam(nil, shape...)}
	m.Bias.NoDecay = true
	return m
}

// Forward normalizes x.
func (m *LayerNorm) Forward(c *Context, x *graph.Value) *graph.Value {
	return graph.LayerNorm(c.Graph(), x, c.scaleOr(m.Weight, 1, m.Shape...), c.scaleOr(m.Bias, 0, m.Shape...), m.Eps)
}
