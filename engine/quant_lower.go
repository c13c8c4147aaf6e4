package engine

import (
	"unsafe"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/tensor"
)

// bytesOf views the memory of a buffer as n bytes.
func bytesOf(f []float32, n int) []uint8 {
	return unsafe.Slice((*uint8)(unsafe.Pointer(&f[0])), 4*len(f))[:n]
}

// outBytes makes room for a quantized value in the order of activations.
func (c *compiler) outBytes(v *graph.Value) *buf {
	b := c.newBuf(conv.FloatsOf(v.Shape.Numel()))
	c.bytes[v] = b
	return b
}

// signed reports whether the bytes of v are 128 above its integers.
func signed(v *graph.Value) bool {
	switch op := v.Node.Op.(type) {
	case graph.QuantizeLinear:
		return op.Signed
	case fusedQuantConv:
		return op.out != nil && op.out.Signed
	case quantMaxPool:
		return op.out.Signed
	}
	return false
}

func (c *compiler) quantize(n *graph.Node, op graph.QuantizeLinear) {
	size := n.Out[0].Shape.Numel()
	if keptAsBytes(n, users(c.g)) {
		q := kernelQuant(op.Scale[0], op.Zero[0], op.Signed)
		x, y := c.in(n.In[0], activation), c.outBytes(n.Out[0])
		c.pieces("", size, func(r *run, lo, hi int) {
			q.Quantize(bytesOf(r.b[y.id], size)[lo:hi], r.b[x.id][lo:hi])
		}, reads(x), writes(y))
		return
	}
	x, y := c.in(n.In[0], rowMajor), c.out(n.Out[0], rowMajor)
	least, most := op.Bounds()
	step := axisStep(n.In[0].Shape, op.Axis, len(op.Scale))
	c.pieces("", size, func(r *run, lo, hi int) {
		src, dst := r.b[x.id], r.b[y.id]
		for i := lo; i < hi; i++ {
			j := i / step % len(op.Scale)
			dst[i] = vec.QuantizeTo(src[i], op.Scale[j], op.Zero[j], least, most)
		}
	}, reads(x), writes(y))
}

// axisStep returns the elements between neighbors along the axis, 1 if all share
// one scale.
func axisStep(s tensor.Shape, axis, scales int) int {
	if scales == 1 {
		return 1
	}
	return s[axis+1:].Numel()
}

func (c *compiler) dequantize(n *graph.Node, op graph.DequantizeLinear) {
	v := n.In[0]
	size := v.Shape.Numel()
	if x, ok := c.bytes[v]; ok {
		q := kernelQuant(op.Scale[0], op.Zero[0], signed(v))
		y := c.out(n.Out[0], activation)
		c.pieces("", size, func(r *run, lo, hi int) {
			q.Dequantize(r.b[y.id][lo:hi], bytesOf(r.b[x.id], size)[lo:hi])
		}, reads(x), writes(y))
		return
	}
	x := c.in(v, rowMajor)
	step := axisStep(v.Shape, op.Axis, len(op.Scale))
	do := func(dst, src []float32, lo, hi int) {
		for i := lo; i < hi; i++ {
			j := i / step % len(op.Scale)
			dst[i] = (src[i] - float32(op.Zero[j])) * op.Scale[j]
		}
	}
	y := c.out(n.Out[0], rowMajor)
	if x.kind == constant && y.kind == temporary {
		y.kind, y.data = constant, make([]float32, size)
		do(y.data, x.data, 0, size)
		return
	}
	c.pieces("", size, func(r *run, lo, hi int) { do(r.b[y.id], r.b[x.id], lo, hi) }, reads(x), writes(y))
}

func (c *compiler) quantMaxPool(n *graph.Node, op quantMaxPool) error {
	p, err := poolShape(op.Window, n.In[0].Shape, n.Out[0].Shape)
	if err != nil {
		return err
	}
	x, ok := c.bytes[n.In[0]]
	if !ok {
		return errNotBytes
	}
	y := c.outBytes(n.Out[0])
	xLen, yLen := n.In[0].Shape.Numel(), n.Out[0].Shape.Numel()
	row := p.W * p.C
	c.needScratch(conv.FloatsOf(row))
	rows := p.N * p.OH
	size := vec.PieceRows(rows, p.OW*p.C)
	c.step("", vec.Pieces(rows, size), func(r *run, task, worker int) {
		lo, hi := vec.PieceBounds(task, size, rows)
		vec.MaxPoolBytes(bytesOf(r.b[y.id], yLen), bytesOf(r.b[x.id], xLen), bytesOf(r.scratch[worker], row), p, lo, hi)
	}, reads(x), writes(y))
	return nil
}

func (c *compiler) quantConv(n *graph.Node, op fusedQuantConv) error {
	x, w := n.In[0], n.In[1]
	shape := linearShape(x.Shape, w.Shape)
	if op.conv != nil {
		shape = convShape(*op.conv, x.Shape, w.Shape)
	}
	q := &conv.Quant{
		X: kernelQuant(op.x.Scale[0], op.x.Zero[0], op.xSigned), Add: op.add, Real: op.out == nil,
		WScale: op.wScale, WSum: op.wSum, WAbs: op.wAbs, Bias: op.bias,
	}
	var b args
	var ok bool
	if b[conv.ArgX], ok = c.bytes[x]; !ok {
		return errNotBytes
	}
	if op.residual != nil {
		if b[conv.ArgResidual], ok = c.bytes[n.In[2]]; !ok {
			return errNotBytes
		}
		q.Residual = kernelQuant(op.residual.Scale[0], op.residual.Zero[0], op.resSigned)
	}
	if op.out == nil {
		b[conv.ArgY] = c.out(n.Out[0], activation)
	} else {
		b[conv.ArgY] = c.outBytes(n.Out[0])
		q.Y = kernelQuant(op.out.Scale[0], op.out.Zero[0], op.out.Signed)
	}
	act := isa.ActNone
	if op.relu {
		act = isa.ActReLU
	}
	c.at[w].buf.source.hash = op.wHash
	return c.convolution(shape, conv.Want{Op: conv.QuantForward, Quant: q}, w, b, act)
}
