package engine

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/tensor"
)

func poolShape(w graph.Window, x, y tensor.Shape) (*vec.PoolShape, error) {
	p := &vec.PoolShape{
		N: x[0], H: x[2], W: x[3], C: x[1], KH: w.KernelH, KW: w.KernelW, SH: w.StrideH, SW: w.StrideW,
		PadTop: w.PadTop, PadLeft: w.PadLeft, PadBottom: w.PadBottom, PadRight: w.PadRight, DH: 1, DW: 1, OH: y[2], OW: y[3],
	}
	return p, p.Check()
}

func (c *compiler) maxPool(n *graph.Node, o graph.MaxPool2d) error {
	p, err := poolShape(o.Window, n.In[0].Shape, n.Out[0].Shape)
	if err != nil {
		return err
	}
	x := c.in(n.In[0], activation)
	y := c.out(n.Out[0], activation)
	slot := -1
	if v := n.Out[1]; c.isRead(v) {
		slot = len(c.plan.winners)
		c.plan.winners = append(c.plan.winners, y.size)
		c.winners[v] = slot
	}
	c.rows("", p.N*p.OH, p.OW*p.C, func(r *run, lo, hi int) {
		var arg []uint16
		if slot >= 0 {
			arg = r.winners[slot]
		}
		vec.MaxPool(r.b[y.id], arg, r.b[x.id], p, lo, hi)
	}, reads(x), writes(y))
	return nil
}

func (c *compiler) maxPoolGrad(n *graph.Node, o graph.MaxPool2dGrad) error {
	p, err := poolShape(o.Window, o.X, n.In[0].Shape)
	if err != nil {
		return err
	}
	slot := c.winners[n.In[1]]
	dy := c.in(n.In[0], activation)
	dx := c.out(n.Out[0], activation)
	c.rows("", p.N*p.H, p.W*p.C, func(r *run, lo, hi int) {
		vec.MaxPoolGrad(r.b[dx.id], r.b[dy.id], r.winners[slot], p, lo, hi, false)
	}, reads(dy), writes(dx))
	return nil
}

func (c *compiler) avgPool(n *graph.Node, o graph.AvgPool2d) error {
	p, err := poolShape(o.Window, n.In[0].Shape, n.Out[0].Shape)
	if err != nil {
		return err
	}
	x := c.in(n.In[0], activation)
	y := c.out(n.Out[0], activation)
	c.rows("", p.N*p.OH, p.OW*p.C, func(r *run, lo, hi int) {
		vec.AvgPool(r.b[y.id], r.b[x.id], p, o.CountPad, lo, hi)
	}, reads(x), writes(y))
	return nil
}

func (c *compiler) avgPoolGrad(n *graph.Node, o graph.AvgPool2dGrad) error {
	p, err := poolShape(o.Pool.Window, o.X, n.In[0].Shape)
	if err != nil {
		return err
	}
	dy := c.in(n.In[0], activation)
	dx := c.out(n.Out[0], activation)
	c.rows("", p.N*p.H, p.W*p.C, func(r *run, lo, hi int) {
		vec.AvgPoolGrad(r.b[dx.id], r.b[dy.id], p, o.Pool.CountPad, lo, hi, false)
	}, reads(dy), writes(dx))
	return nil
}

func newResize(o graph.Resize, x tensor.Shape) (*vec.Resize, error) {
	mode := vec.ResizeNearest
	if o.Bilinear {
		mode = vec.ResizeBilinear
	}
	return vec.NewScaledResize(x[2], x[3], o.OH, o.OW, x[1], mode, o.ScaleH, o.ScaleW)
}

func (c *compiler) resize(n *graph.Node, o graph.Resize) error {
	f, err := newResize(o, n.In[0].Shape)
	if err != nil {
		return err
	}
	x := c.in(n.In[0], activation)
	y := c.out(n.Out[0], activation)
	s := n.Out[0].Shape
	c.rows("", s[0]*s[2], s[3]*s[1], func(r *run, lo, hi int) {
		f.Forward(r.b[y.id], r.b[x.id], lo, hi)
	}, reads(x), writes(y))
	return nil
}

func (c *compiler) resizeGrad(n *graph.Node, o graph.ResizeGrad) error {
	f, err := newResize(o.Resize, o.X)
	if err != nil {
		return err
	}
	dy := c.in(n.In[0], activation)
	dx := c.out(n.Out[0], activation)
	s := o.X
	c.rows("", s[0]*s[2], s[3]*s[1], func(r *run, lo, hi int) {
		f.Backward(r.b[dx.id], r.b[dy.id], lo, hi, false)
	}, reads(dy), writes(dx))
	return nil
}
