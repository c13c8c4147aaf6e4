package engine

import (
	"crypto/sha256"
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
	b := c.newBuf((v.Shape.Numel() + 3) / 4)
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
	c.needScratch((row + 3) / 4)
	rows := p.N * p.OH
	size := vec.PieceRows(rows, p.OW*p.C)
	c.step("", vec.Pieces(rows, size), func(r *run, task, worker int) {
		lo, hi := vec.PieceBounds(task, size, rows)
		vec.MaxPoolBytes(bytesOf(r.b[y.id], yLen), bytesOf(r.b[x.id], xLen), bytesOf(r.scratch[worker], row), p, lo, hi)
	}, reads(x), writes(y))
	return nil
}

func (c *compiler) quantConv(n *graph.Node, op fusedQuantConv) error {
	shape := linearShape(n.In[0].Shape, op.wShape)
	if op.conv != nil {
		shape = convShape(*op.conv, n.In[0].Shape, op.wShape)
	}
	q, err := conv.PlanInt8Conv(shape)
	if err != nil {
		return err
	}
	x, ok := c.bytes[n.In[0]]
	if !ok {
		return errNotBytes
	}
	xq := kernelQuant(op.x.Scale[0], op.x.Zero[0], op.xSigned)
	e := conv.Int8Epilogue{Add: op.add}
	if op.relu {
		e.Act = isa.ActReLU
	}
	if op.out != nil && op.add == nil {
		e.OutQuant = kernelQuant(op.out.Scale[0], op.out.Zero[0], op.out.Signed)
	}
	var res *buf
	if op.residual != nil {
		if res, ok = c.bytes[n.In[1]]; !ok {
			return errNotBytes
		}
		e.ResQuant = kernelQuant(op.residual.Scale[0], op.residual.Zero[0], op.resSigned)
	}
	w := c.packInt8(q, shape, op.w)
	packed := w.bytes(q.PackedLen())
	e.SetLayer(q, conv.Int8Layer{X: xq, WScale: op.wScale, Bias: op.bias, Sums: w.sums})

	xLen, yLen := shape.XLen(), shape.YLen()
	var y *buf
	real := op.out == nil // the tasks must not keep op, which has the unpacked weights
	if real {
		y = c.out(n.Out[0], activation)
	} else {
		y = c.outBytes(n.Out[0])
	}
	read, xBytes := x, xLen
	if tasks := q.CopyTasks(); tasks > 0 {
		size := q.CopyLen()
		read = c.newBuf((size + 3) / 4)
		c.step("copy", tasks, func(r *run, task, _ int) {
			q.Copy(task, bytesOf(r.b[read.id], size), bytesOf(r.b[x.id], xLen), xq.Zero)
		}, reads(x), writes(read))
		xBytes = size
	}
	scratch := q.ScratchBytes()
	c.needScratch((scratch + 3) / 4)
	s := c.step("", q.Tasks(), func(r *run, task, worker int) {
		e := e
		var tmp []uint8
		if scratch > 0 {
			tmp = bytesOf(r.scratch[worker], scratch)
		}
		if res != nil {
			e.Res = bytesOf(r.b[res.id], yLen)
		}
		if real {
			e.Float = r.b[y.id]
		} else {
			e.Out = bytesOf(r.b[y.id], yLen)
		}
		q.Run(task, conv.Int8Args{X: bytesOf(r.b[read.id], xBytes), Zero: xq.Zero, W: packed, Scratch: tmp}, &e)
	}, reads(read, res), writes(y))
	s.flops, s.algorithm = shape.FLOPs(), "int8"
	return nil
}

// int8Key identifies packed weights among the plans over one Vars. Weights of a
// quantized network are constants that each trace of it makes anew, so only their
// content identifies them.
type int8Key struct {
	hash  [sha256.Size]byte // of the unpacked weights
	shape conv.Conv         // without the images
}

// int8Pack is packed weights and the sum of each output channel's.
type int8Pack struct {
	pack
	sums []int32
}

// bytes returns the packed weights, n bytes.
func (p int8Pack) bytes(n int) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(&p.floats[0])), 4*len(p.floats))[:n]
}

// packInt8 packs w [K C/Groups R S], once for all plans over the same Vars.
func (c *compiler) packInt8(q *conv.Int8Conv, shape conv.Conv, w []int8) int8Pack {
	shape.N, shape.H, shape.W = 1, 1, 1 // packed weights do not depend on the images
	key := int8Key{sha256.Sum256(unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), len(w))), shape}
	v := c.vars
	v.mu.Lock()
	defer v.mu.Unlock()
	p, ok := v.int8Packs[key]
	if !ok {
		p.floats, p.block = c.slabs.Floats((q.PackedLen() + 3) / 4)
		p.sums = q.PackOIHW(p.bytes(q.PackedLen()), w)
		v.int8Packs[key] = p
	}
	c.plan.keep = append(c.plan.keep, p.block)
	return p
}
