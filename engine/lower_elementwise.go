package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/tensor"
)

// unaryKernel returns the kernel's function and its parameters.
func unaryKernel(o graph.Unary) (op vec.UnaryOp, a, b float32, err error) {
	switch o.Fn {
	case graph.Relu:
		op = vec.OpReLU
	case graph.Clip:
		op, a, b = vec.OpClamp, o.A, o.B
	case graph.LeakyRelu:
		op, a = vec.OpLeakyReLU, o.A
	case graph.Sigmoid:
		op = vec.OpSigmoid
	case graph.Tanh:
		op = vec.OpTanh
	case graph.Silu:
		op = vec.OpSiLU
	case graph.Gelu:
		op = vec.OpGELU
	case graph.HardSigmoid:
		op, a, b = vec.OpHardSigmoid, 1.0/6, 0.5
	case graph.HardSwish:
		op = vec.OpHardSwish
	case graph.Exp:
		op = vec.OpExp
	case graph.Log:
		op = vec.OpLog
	case graph.Sqrt:
		op = vec.OpSqrt
	case graph.Rsqrt:
		op = vec.OpRsqrt
	case graph.Square:
		op = vec.OpSquare
	case graph.Abs:
		op = vec.OpAbs
	case graph.Softplus:
		op = vec.OpSoftplus
	default:
		err = fmt.Errorf("the engine has no kernel for %v", o.Fn)
	}
	return op, a, b, err
}

// flatLayout is the layout in which an operator that treats all elements alike
// works on v: the one it has.
func (c *compiler) flatLayout(v *graph.Value) layout { return c.at[v].layout }

func (c *compiler) unary(n *graph.Node, o graph.Unary) error {
	op, a, b, err := unaryKernel(o)
	if err != nil {
		return err
	}
	l := c.flatLayout(n.In[0])
	x := c.in(n.In[0], l)
	y := c.out(n.Out[0], l)
	s := c.pieces("", x.size, func(r *run, lo, hi int) {
		vec.Unary(op, r.b[y.id][lo:hi], r.b[x.id][lo:hi], a, b)
	}, reads(x), writes(y))
	s.inPlace.out, s.inPlace.in = y, x
	return nil
}

func (c *compiler) unaryGrad(n *graph.Node, o graph.UnaryGrad) error {
	op, a, b, err := unaryKernel(o.Of)
	if err != nil {
		return err
	}
	l := c.flatLayout(n.In[1])
	of, dy := c.in(n.In[0], l), c.in(n.In[1], l)
	dx := c.out(n.Out[0], l)
	fromOutput := o.Of.Fn.FromOutput()
	s := c.pieces("", dy.size, func(r *run, lo, hi int) {
		var x, y []float32
		if fromOutput {
			y = r.b[of.id][lo:hi]
		} else {
			x = r.b[of.id][lo:hi]
		}
		vec.UnaryGrad(op, r.b[dx.id][lo:hi], r.b[dy.id][lo:hi], x, y, a, b, false)
	}, reads(of, dy), writes(dx))
	s.inPlace.out, s.inPlace.in = dx, dy
	return nil
}

func (c *compiler) affine(n *graph.Node, o graph.Affine) error {
	l := c.flatLayout(n.In[0])
	x := c.in(n.In[0], l)
	y := c.out(n.Out[0], l)
	s := c.pieces("", x.size, func(r *run, lo, hi int) {
		out, in := r.b[y.id][lo:hi], r.b[x.id][lo:hi]
		vec.Scale(out, in, o.Scale)
		if o.Shift != 0 {
			vec.BinaryScalar(vec.OpAdd, out, out, o.Shift)
		}
	}, reads(x), writes(y))
	s.inPlace.out, s.inPlace.in = y, x
	return nil
}

var binaryKernels = map[graph.BinaryFn]vec.BinaryOp{
	graph.Add: vec.OpAdd, graph.Sub: vec.OpSub, graph.Mul: vec.OpMul,
	graph.Div: vec.OpDiv, graph.Max: vec.OpMax, graph.Min: vec.OpMin,
}

func (c *compiler) binary(n *graph.Node, o graph.Binary) error {
	op, ok := binaryKernels[o.Fn]
	if !ok {
		return fmt.Errorf("the engine has no kernel for %v", o.Fn)
	}
	a, b := n.In[0], n.In[1]
	commutes := o.Fn != graph.Sub && o.Fn != graph.Div
	if commutes && b.Shape.Numel() > a.Shape.Numel() {
		a, b = b, a
	}
	switch {
	case a.Shape.Equal(b.Shape):
		c.binarySame(n, op, a, b)
	case b.Shape.Numel() == 1 && a.Shape.Equal(n.Out[0].Shape):
		c.binaryScalar(n, op, a, b)
	default:
		c.binaryBroadcast(n, op, a, b)
	}
	return nil
}

func (c *compiler) binarySame(n *graph.Node, op vec.BinaryOp, a, b *graph.Value) {
	l := c.flatLayout(a)
	ab, bb := c.in(a, l), c.in(b, l)
	y := c.out(n.Out[0], l)
	s := c.pieces("", y.size, func(r *run, lo, hi int) {
		vec.Binary(op, r.b[y.id][lo:hi], r.b[ab.id][lo:hi], r.b[bb.id][lo:hi])
	}, reads(ab, bb), writes(y))
	s.inPlace.out, s.inPlace.in = y, ab
}

func (c *compiler) binaryScalar(n *graph.Node, op vec.BinaryOp, a, b *graph.Value) {
	l := c.flatLayout(a)
	ab, bb := c.in(a, l), c.in(b, rowMajor)
	y := c.out(n.Out[0], l)
	s := c.pieces("", y.size, func(r *run, lo, hi int) {
		vec.BinaryScalar(op, r.b[y.id][lo:hi], r.b[ab.id][lo:hi], r.b[bb.id][0])
	}, reads(ab, bb), writes(y))
	s.inPlace.out, s.inPlace.in = y, ab
}

// binaryBroadcast handles shapes that stretch, with fast ways for the gates of
// attention: a number for each channel, each image and channel, or each pixel.
func (c *compiler) binaryBroadcast(n *graph.Node, op vec.BinaryOp, a, b *graph.Value) {
	out := n.Out[0].Shape
	l := activation
	if a.Shape.Equal(out) {
		l = c.flatLayout(a)
	}
	as, aBuf := c.stretched(a, len(out), l)
	bs, bBuf := c.stretched(b, len(out), l)
	y := c.out(n.Out[0], l)
	shape := l.shape(out)
	in, outs := reads(aBuf, bBuf), writes(y)
	if last := len(shape) - 1; last > 0 && a.Shape.Equal(out) && b.Shape.Numel() == bs[last] && bs[last] == shape[last] { // per channel
		ch := shape[last]
		c.rows("", tensor.Shape(shape[:last]).Numel(), ch, func(r *run, lo, hi int) {
			vec.BinaryRow(op, r.b[y.id][lo*ch:hi*ch], r.b[aBuf.id][lo*ch:hi*ch], r.b[bBuf.id])
		}, in, outs)
		return
	}
	if len(shape) == 4 && a.Shape.Equal(out) {
		rows, ch := shape[0]*shape[1]*shape[2], shape[3]
		image := shape[1] * shape[2] * ch
		one := func(i int) bool { return bs[i] == 1 }
		switch {
		case bs[0] == shape[0] && one(1) && one(2) && bs[3] == ch: // per image and channel
			c.step("", shape[0], func(r *run, i, _ int) {
				vec.BinaryRow(op, r.b[y.id][i*image:(i+1)*image], r.b[aBuf.id][i*image:(i+1)*image], r.b[bBuf.id][i*ch:(i+1)*ch])
			}, in, outs)
			return
		case bs[0] == shape[0] && bs[1] == shape[1] && bs[2] == shape[2] && one(3): // per pixel
			c.rows("", rows, ch, func(r *run, lo, hi int) {
				vec.BinaryCol(op, r.b[y.id][lo*ch:hi*ch], r.b[aBuf.id][lo*ch:hi*ch], r.b[bBuf.id][lo:hi], ch)
			}, in, outs)
			return
		}
	}
	broadcast := vec.Broadcast{Shape: shape, A: strides(as, shape), B: strides(bs, shape)}
	c.step("", max(1, first(shape)), func(r *run, i, _ int) {
		vec.BinaryStrided(op, r.b[y.id], r.b[aBuf.id], r.b[bBuf.id], broadcast, i, i+1)
	}, in, outs)
}

// stretched returns v as an operand of a result of the given rank in layout l: its
// extents in the result's memory order, and its buffer in that order.
func (c *compiler) stretched(v *graph.Value, rank int, l layout) ([]int, *buf) {
	wide := append(onesShape(rank-len(v.Shape)), v.Shape...)
	if rank == len(v.Shape) {
		return l.shape(v.Shape), c.in(v, l)
	}
	b := c.in(v, rowMajor)
	if !sameOrder(wide, rowMajor, l) {
		src, perm := b, permutation(rank, rowMajor, l)
		dst := c.newBuf(src.size)
		c.step("layout", 1, func(r *run, _, _ int) {
			vec.Permute(r.b[dst.id], r.b[src.id], wide, perm, 0, wide[perm[0]])
		}, reads(src), writes(dst))
		b = dst
	}
	return l.shape(wide), b
}

func onesShape(n int) tensor.Shape {
	s := make(tensor.Shape, n)
	for i := range s {
		s[i] = 1
	}
	return s
}

// strides returns how far apart neighbors lie along each axis of a contiguous
// array of extents s that is stretched to shape; 0 along stretched axes.
func strides(s, shape []int) []int {
	out := make([]int, len(s))
	step := 1
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] != 1 || shape[i] == 1 {
			out[i] = step
		}
		step *= s[i]
	}
	return out
}

func first(shape []int) int {
	if len(shape) == 0 {
		return 1
	}
	return shape[0]
}

// selectGrad is rare (a maximum of two branches), hence a plain loop.
func (c *compiler) selectGrad(n *graph.Node, o graph.SelectGrad) error {
	out := n.Out[0].Shape
	xs, x := c.stretched(n.In[0], len(out), activation)
	os, other := c.stretched(n.In[1], len(out), activation)
	dy := c.in(n.In[2], activation)
	dx := c.out(n.Out[0], activation)
	shape := activation.shape(out)
	xStride, oStride := strides(xs, shape), strides(os, shape)
	inner := dy.size / max(1, first(shape))
	c.step("", max(1, first(shape)), func(r *run, task, _ int) {
		xv, ov, dyv, dxv := r.b[x.id], r.b[other.id], r.b[dy.id], r.b[dx.id]
		for i := task * inner; i < (task+1)*inner; i++ {
			xi, oi, rest := 0, 0, i
			for d := len(shape) - 1; d >= 0; d-- {
				at := rest % shape[d]
				rest /= shape[d]
				xi += at * xStride[d]
				oi += at * oStride[d]
			}
			a, b := xv[xi], ov[oi]
			if o.Fn == graph.Min {
				a, b = b, a
			}
			switch {
			case a > b:
				dxv[i] = dyv[i]
			case a == b:
				dxv[i] = dyv[i] / 2
			default:
				dxv[i] = 0
			}
		}
	}, reads(x, other, dy), writes(dx))
	return nil
}

// dropout follows vec.DropoutKey: the same mask at any cutting.
func (c *compiler) dropout(n *graph.Node, o graph.Dropout) error {
	port, err := c.intsOf(n.In[1])
	if err != nil {
		return err
	}
	x := c.in(n.In[0], activation)
	y := c.out(n.Out[0], activation)
	key := func(r *run) vec.DropoutKey {
		rng := r.i64[port]
		return vec.DropoutKey{Seed: uint64(rng[0]), Step: uint64(rng[1]), Op: o.Key &^ (1 << 31)}
	}
	var s *step
	if o.PerSample {
		samples := n.In[0].Shape[0]
		each := x.size / samples
		s = c.step("", samples, func(r *run, i, _ int) {
			var keep [1]float32
			vec.DropPath(keep[:], o.P, key(r), i)
			vec.Scale(r.b[y.id][i*each:(i+1)*each], r.b[x.id][i*each:(i+1)*each], keep[0])
		}, reads(x), writes(y))
	} else {
		s = c.pieces("", x.size, func(r *run, lo, hi int) {
			vec.Dropout(r.b[y.id][lo:hi], r.b[x.id][lo:hi], o.P, key(r), lo)
		}, reads(x), writes(y))
	}
	s.inPlace.out, s.inPlace.in = y, x
	return nil
}
