package nn

import (
	"math"

	"github.com/resnet-go/resnet/graph"
)

// MultiheadAttention is scaled dot-product attention with several heads (Vaswani et al.
// 2017, "Attention Is All You Need", section 3.2), with the parameters of PyTorch's
// MultiheadAttention and inputs as with batch_first:
//
//	head_h = softmax(q_h k_hᵀ / √(Embed/Heads)) v_h,  y = [head_1 … head_Heads] OutProj.Weightᵀ + OutProj.Bias
//
// where q, k and v are the inputs times one third each of InProjWeight. Forward is self
// attention: input [N L Embed], output the same. [MultiheadAttention.Attend] takes
// queries, keys and values apart.
type MultiheadAttention struct {
	Embed, Heads int
	Dropout      float32 // of the attention's weights, in training
	InProjWeight *Param  // [3*Embed Embed]: queries, keys, values
	InProjBias   *Param  // [3*Embed], may be nil
	OutProj      *Linear
}

// NewMultiheadAttention returns attention with biases, initialized as PyTorch does:
// Xavier uniform weights within, zero biases. heads must divide embed, or [Trace]
// returns an error.
func NewMultiheadAttention(embed, heads int) *MultiheadAttention {
	m := &MultiheadAttention{
		Embed: embed, Heads: heads,
		InProjWeight: NewParam(XavierUniform(), 3*embed, embed),
		InProjBias:   NewBias(nil, 3*embed),
		OutProj:      NewLinear(embed, embed),
	}
	m.OutProj.Bias.Init = nil
	return m
}

// Forward attends to x by itself.
func (m *MultiheadAttention) Forward(c *Context, x *graph.Value) *graph.Value {
	return m.Attend(c, x, x, x, nil)
}

// Attend attends to key [N S Embed] and value [N S Embed] by query [N L Embed]. mask is
// added to the scores before the softmax and may be nil: [L S] for all, or [N*Heads L
// S]; -1e9 hides a position. The output is [N L Embed]. To have the module's path on its
// operators, run it by [Context.CallFunc].
func (m *MultiheadAttention) Attend(c *Context, query, key, value, mask *graph.Value) *graph.Value {
	if m.Heads < 1 || m.Embed%m.Heads != 0 {
		c.Failf("%d features do not divide into %d heads", m.Embed, m.Heads)
	}
	for _, x := range []*graph.Value{query, key, value} {
		if len(x.Shape) != 3 || x.Shape[2] != m.Embed || x.Shape[0] != query.Shape[0] || x.Shape[1] != key.Shape[1] && x != query {
			c.Failf("want queries [N L %d], keys and values [N S %d], got %v, %v, %v", m.Embed, m.Embed, query.Shape, key.Shape, value.Shape)
		}
	}
	q, k, v := m.project(c, query, key, value)
	n, l, width := query.Shape[0], query.Shape[1], m.Embed/m.Heads
	scores := c.Op1(graph.MatMul{TransB: true}, c.Affine(q, float32(1/math.Sqrt(float64(width))), 0), k)
	if mask != nil {
		scores = c.Add(scores, mask)
	}
	y := c.MatMul(c.Dropout(c.Softmax(scores), m.Dropout), v)
	y = c.Permute(c.Reshape(y, n, m.Heads, l, width), 0, 2, 1, 3)
	return c.Reshape(c.Call(m.OutProj, c.Reshape(y, n*l, m.Embed)), n, l, m.Embed)
}

// project returns queries, keys and values as stacks [N*Heads L Embed/Heads]. What is
// the same input is projected by one product.
func (m *MultiheadAttention) project(c *Context, query, key, value *graph.Value) (q, k, v *graph.Value) {
	w := c.Param(m.InProjWeight)
	var b *graph.Value
	if m.InProjBias != nil {
		b = c.Param(m.InProjBias)
	}
	part := func(v *graph.Value, from, count int) *graph.Value {
		if v == nil || count == 3 {
			return v
		}
		return c.Slice(v, 0, from*m.Embed, count*m.Embed, 1)
	}
	width := m.Embed / m.Heads
	// linear projects x by parts of the weight, from on.
	linear := func(x *graph.Value, from, count int) []*graph.Value {
		n, l := x.Shape[0], x.Shape[1]
		y := c.Linear(c.Reshape(x, n*l, m.Embed), part(w, from, count), part(b, from, count))
		y = c.Permute(c.Reshape(y, n, l, count, m.Heads, width), 2, 0, 3, 1, 4)
		var parts []*graph.Value
		for i := range count {
			parts = append(parts, c.Reshape(c.Slice(y, 0, i, 1, 1), n*m.Heads, l, width))
		}
		return parts
	}
	switch {
	case query == key && key == value:
		p := linear(query, 0, 3)
		return p[0], p[1], p[2]
	case key == value:
		p := linear(key, 1, 2)
		return linear(query, 0, 1)[0], p[0], p[1]
	}
	return linear(query, 0, 1)[0], linear(key, 1, 1)[0], linear(value, 2, 1)[0]
}
