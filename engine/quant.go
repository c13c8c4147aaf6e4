package engine

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/tensor"
)

// maxInt8Products bounds the products of a sum: an int32 holds the sum of as many
// products of bytes whatever their values, with room for the bias.
const maxInt8Products = 1 << 15

// fusedQuantConv is a convolution or linear layer of quantized values by
// quantized constant weights, with its epilogue:
//
//	quantize(act(conv(dequantize(x), dequantize(w)) + bias + dequantize(residual)))
//
// The sums are integers; they are scaled, and the residual added, in float32.
// With add, the residual is added to the rounded result instead:
//
//	quantize(act(dequantize(quantize(conv(…) + bias)) + dequantize(residual)))
//
// Inputs: x, the integers of the weights, then the residual where there is one; x
// and the residual are outputs of QuantizeLinear. If out is nil, the result stays a
// real number.
type fusedQuantConv struct {
	conv      *graph.Conv2d // nil for a linear layer
	x         graph.DequantizeLinear
	xSigned   bool
	wScale    []float32         // of each output channel
	wSum      []int32           // of each output channel's integers
	wAbs      []int32           // of their magnitudes
	wHash     [sha256.Size]byte // of all integers
	bias      []int32           // in units of the sums
	relu      bool
	residual  *graph.DequantizeLinear
	resSigned bool
	out       *graph.QuantizeLinear // of the result
	add       *conv.QuantAdd
}

func (o fusedQuantConv) Name() string {
	if o.conv == nil {
		return "QuantLinear+"
	}
	return "QuantConv2d+"
}

func (o fusedQuantConv) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) < 2 {
		return nil, fmt.Errorf("%d inputs, want x and the weights at least", len(in))
	}
	if o.conv == nil {
		return graph.Linear{}.Infer(in[:2])
	}
	return o.conv.Infer(in[:2])
}

// quantMaxPool is quantize(max pool(dequantize(x))) where both have the same scale
// and zero point, so that the result consists of bytes of x. Its input is an
// output of QuantizeLinear.
type quantMaxPool struct {
	graph.MaxPool2d
	out graph.QuantizeLinear
}

func (quantMaxPool) Name() string { return "QuantMaxPool2d" }

func (o quantMaxPool) Infer(in []graph.Type) ([]graph.Type, error) {
	out, err := o.MaxPool2d.Infer(in)
	if err != nil {
		return nil, err
	}
	return out[:1], nil
}

// quantFuser finds what integer kernels can compute.
type quantFuser struct {
	edit
	g       *graph.Graph
	use     readers
	claimed map[*graph.Node]bool // additions in the epilogue of a convolution
	vars    *Vars
	reading reading // of weights
}

// fuseQuantized replaces dequantize → convolution or linear (→ add) (→ ReLU) →
// quantize by integer kernels.
func fuseQuantized(g *graph.Graph, vars *Vars) edit {
	f := quantFuser{edit: newEdit(), g: g, use: users(g), claimed: map[*graph.Node]bool{}, vars: vars}
	defer f.reading.release()
	for _, n := range g.Nodes {
		f.match(n)
	}
	return f.edit
}

// quantized returns the scale and zero point of v, and the node that quantized it,
// if v is the dequantized form of a value that is kept as bytes.
func (f *quantFuser) quantized(v *graph.Value) (dq graph.DequantizeLinear, q *graph.Node, ok bool) {
	if dq, ok = v.Node.Op.(graph.DequantizeLinear); !ok || len(dq.Scale) != 1 {
		return dq, nil, false
	}
	q = v.Node.In[0].Node
	return dq, q, keptAsBytes(q, f.use)
}

// keptAsBytes reports whether the result of n stays bytes: n quantizes with one
// scale, and every node that reads the result accepts bytes.
func keptAsBytes(n *graph.Node, use readers) bool {
	q, ok := n.Op.(graph.QuantizeLinear)
	if !ok || len(q.Scale) != 1 {
		return false
	}
	for _, u := range use[n.Out[0]] {
		if u == nil {
			return false
		}
		switch op := u.Op.(type) {
		case graph.DequantizeLinear:
			lo, hi := q.Bounds()
			if len(op.Scale) != 1 || op.Zero[0] < lo || op.Zero[0] > hi {
				return false
			}
		case fusedQuantConv, quantMaxPool:
		default:
			return false
		}
	}
	return true
}

// single returns the only node that reads v, or nil.
func (f *quantFuser) single(v *graph.Value) *graph.Node {
	if u := f.use[v]; len(u) == 1 {
		return u[0]
	}
	return nil
}

func (f *quantFuser) match(n *graph.Node) {
	var o fusedQuantConv
	switch op := n.Op.(type) {
	case graph.Conv2d:
		o.conv = &op
	case graph.Linear:
	case graph.MaxPool2d:
		f.matchPool(n, op)
		return
	default:
		return
	}
	x, xq, ok := f.quantized(n.In[0])
	if !ok || !f.weights(&o, n, x.Scale[0]) {
		return
	}
	o.x, o.xSigned = x, xq.Op.(graph.QuantizeLinear).Signed
	in := operands(xq.Out[0], n.In[1].Node.In[0])
	last := n
	if add, res := f.addition(n); add != nil {
		dq, q, _ := f.quantized(res)
		f.claimed[add] = true
		o.residual, o.resSigned = &dq, q.Op.(graph.QuantizeLinear).Signed
		in = append(in, operands(q.Out[0])...)
		last = add
	}
	if u := f.single(last.Out[0]); u != nil {
		if fn, ok := u.Op.(graph.Unary); ok && (fn.Fn == graph.Relu || f.clipsAsBytes(u)) {
			o.relu, last = fn.Fn == graph.Relu || fn.A == 0, u
		}
	}
	if u := f.single(last.Out[0]); u != nil && keptAsBytes(u, f.use) {
		q := u.Op.(graph.QuantizeLinear)
		o.out, last = &q, u
	}
	if o.out != nil && o.residual == nil {
		if end, res := f.roundedAddition(&o, last); end != nil {
			in, last = append(in, res), end
		}
	}
	f.put[last] = replacement{op: o, in: in, out: last.Out}
}

// clipsAsBytes reports whether n is a Clip that leaves nothing to do but the ReLU of its
// lower bound 0: the bytes that its result is rounded to end at its bounds, or before.
func (f *quantFuser) clipsAsBytes(n *graph.Node) bool {
	fn, ok := n.Op.(graph.Unary)
	u := f.single(n.Out[0])
	if !ok || fn.Fn != graph.Clip || u == nil || !keptAsBytes(u, f.use) {
		return false
	}
	q := u.Op.(graph.QuantizeLinear)
	lo, hi := q.Bounds()
	end := func(x float32) float32 { return vec.QuantizeTo(x, q.Scale[0], q.Zero[0], lo, hi) }
	return (fn.A == 0 || end(fn.A) == float32(lo)) && end(fn.B) == float32(hi)
}

// matchPool replaces a max pool by one of bytes if its input and its result have
// the same scale and zero point.
func (f *quantFuser) matchPool(n *graph.Node, op graph.MaxPool2d) {
	x, xq, ok := f.quantized(n.In[0])
	u := f.single(n.Out[0])
	if !ok || u == nil || len(f.use[n.Out[1]]) > 0 || !keptAsBytes(u, f.use) {
		return
	}
	out, in := u.Op.(graph.QuantizeLinear), xq.Op.(graph.QuantizeLinear)
	if out.Signed != in.Signed || out.Scale[0] != x.Scale[0] || out.Zero[0] != x.Zero[0] {
		return
	}
	f.put[u] = replacement{op: quantMaxPool{op, out}, in: operands(xq.Out[0]), out: u.Out}
}

// roundedAddition moves an addition that follows the rounded result y of the
// convolution o into o's epilogue. It returns the node that rounds the sum, nil if
// there is no such addition, and what is added.
func (f *quantFuser) roundedAddition(o *fusedQuantConv, y *graph.Node) (end *graph.Node, residual operand) {
	back := f.single(y.Out[0])
	if back == nil || o.relu {
		return nil, residual
	}
	dq, ok := back.Op.(graph.DequantizeLinear)
	if !ok {
		return nil, residual
	}
	add, res := f.addition(back)
	if add == nil {
		return nil, residual
	}
	end = f.single(add.Out[0])
	act := isa.ActNone
	if end != nil {
		if fn, ok := end.Op.(graph.Unary); ok && fn.Fn == graph.Relu {
			act, end = isa.ActReLU, f.single(end.Out[0])
		}
	}
	if end == nil || !keptAsBytes(end, f.use) {
		return nil, residual
	}
	resDQ, q, _ := f.quantized(res)
	resSigned := q.Op.(graph.QuantizeLinear).Signed
	out := end.Op.(graph.QuantizeLinear)
	plan, ok := conv.PlanQuantAdd(
		kernelQuant(dq.Scale[0], dq.Zero[0], o.out.Signed),
		kernelQuant(resDQ.Scale[0], resDQ.Zero[0], resSigned),
		kernelQuant(out.Scale[0], out.Zero[0], out.Signed), act)
	if !ok || dq.Scale[0] != o.out.Scale[0] || dq.Zero[0] != o.out.Zero[0] {
		return nil, residual
	}
	f.claimed[add] = true
	o.add, o.residual, o.resSigned, o.out = plan, &resDQ, resSigned, &out
	return end, operand{value: q.Out[0]}
}

// addition returns the addition of n's result and a quantized value that can be
// part of an epilogue, and that value; nil if there is none.
func (f *quantFuser) addition(n *graph.Node) (add *graph.Node, res *graph.Value) {
	y := n.Out[0]
	u := f.single(y)
	if _, linear := n.Op.(graph.Linear); u == nil || linear {
		return nil, nil
	}
	b, ok := u.Op.(graph.Binary)
	if !ok || b.Fn != graph.Add || f.claimed[u] || u.In[0] == u.In[1] || !u.In[0].Shape.Equal(u.In[1].Shape) {
		return nil, nil
	}
	res = u.In[0]
	if res == y {
		res = u.In[1]
	}
	if _, _, ok := f.quantized(res); !ok {
		return nil, nil
	}
	return u, res
}

// weights sets what the kernels need to know of the weights, and the bias. It
// reports whether both are constants that the kernels accept.
func (f *quantFuser) weights(o *fusedQuantConv, n *graph.Node, xScale float32) bool {
	dq, ok := n.In[1].Node.Op.(graph.DequantizeLinear)
	if !ok {
		return false
	}
	c, ok := n.In[1].Node.In[0].Node.Op.(graph.Const)
	if !ok {
		return false
	}
	k, size := n.In[1].Shape[0], n.In[1].Shape.Numel()
	if size/k > maxInt8Products || len(dq.Scale) > 1 && dq.Axis != 0 {
		return false
	}
	for _, z := range dq.Zero {
		if z != 0 {
			return false
		}
	}
	if !f.integers(o, c.Tensor, k) {
		return false
	}
	o.wScale = make([]float32, k)
	for i := range o.wScale {
		o.wScale[i] = dq.Scale[i%len(dq.Scale)]
	}
	o.bias = make([]int32, k)
	if len(n.In) < 3 {
		return true
	}
	bias, ok := constantReals(n.In[2])
	if !ok {
		return false
	}
	for i, b := range bias {
		v := math.RoundToEven(b / (float64(xScale) * float64(o.wScale[i])))
		if !(math.Abs(v) < 1<<29) {
			return false
		}
		o.bias[i] = int32(v)
	}
	return true
}

// integers sums and hashes the integers of k output channels. It reports whether
// they are bytes. They are not kept: packing reads them again.
func (f *quantFuser) integers(o *fusedQuantConv, t *tensor.Tensor, k int) bool {
	w, err := f.reading.of(t, f.g, f.vars)
	if err != nil {
		f.err = err
		return false
	}
	o.wSum, o.wAbs = make([]int32, k), make([]int32, k)
	hash := sha256.New()
	var block [4096]uint8
	filter := len(w) / k
	for i := range k {
		for row := range slices.Chunk(w[i*filter:][:filter], len(block)) {
			for j, v := range row {
				x := int8(max(-128, min(127, v)))
				if float32(x) != v {
					return false
				}
				o.wSum[i] += int32(x)
				o.wAbs[i] += max(int32(x), -int32(x))
				block[j] = uint8(x)
			}
			hash.Write(block[:len(row)])
		}
	}
	hash.Sum(o.wHash[:0])
	return true
}

// constantReals returns the numbers of a constant, or of a dequantized constant.
func constantReals(v *graph.Value) ([]float64, bool) {
	dq, quantized := v.Node.Op.(graph.DequantizeLinear)
	if quantized {
		v = v.Node.In[0]
	}
	c, ok := v.Node.Op.(graph.Const)
	if !ok || len(v.Shape) != 1 {
		return nil, false
	}
	out := make([]float64, v.Shape[0])
	for i, x := range c.Tensor.Float32s() {
		out[i] = float64(x)
		if quantized {
			j := i % len(dq.Scale)
			out[i] = (out[i] - float64(dq.Zero[j])) * float64(dq.Scale[j])
		}
	}
	return out, true
}

// kernelQuant returns a scale and zero point for kernels, which know unsigned
// bytes only: signed integers are kept as bytes 128 above them.
func kernelQuant(scale float32, zero int32, signed bool) vec.Quant {
	if signed {
		zero += 128
	}
	return vec.Quant{Scale: scale, Zero: uint8(zero)}
}

var errNotBytes = errors.New("its input is not kept as bytes")
