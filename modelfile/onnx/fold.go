package onnx

import (
	"cmp"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// This file computes with tensors that are known: what exporters write to get
// the shape of a reshape or the sizes of a resize from the shape of the input.

// maxFolded bounds the elements that all nodes together compute here, in addition
// to four times the elements of the file, which leaves room for weights that are
// transposed or converted. Shapes are a few numbers.
const maxFolded = 1 << 22

// spend counts elements that a node computes from constants.
func (n *node) spend(elements int) {
	if n.folded += elements; n.folded > maxFolded+4*n.m.elements {
		n.failf("the file computes more than %d numbers from its %d constants", maxFolded+4*n.m.elements, n.m.elements)
	}
}

// empty returns a static of the shape that dims give, within limits.
func (n *node) empty(elem elemType, shape tensor.Shape) *static {
	dims := make([]int64, len(shape))
	for i, d := range shape {
		dims[i] = int64(d)
	}
	s, err := sized(dims)
	if err != nil {
		n.failf("%w", err)
	}
	if elem.bytes() == 0 {
		n.failf("elements of type %v are not supported", elem)
	}
	n.spend(s.Numel())
	return newStatic(elem, s)
}

// strided returns for each element of shape, in order, the offset in a tensor
// that has the given stride for each axis.
func strided(shape tensor.Shape, stride []int, f func(i, offset int)) {
	at := make([]int, len(shape))
	offset := 0
	for i := range shape.Numel() {
		f(i, offset)
		for a := len(shape) - 1; a >= 0; a-- {
			at[a]++
			offset += stride[a]
			if at[a] < shape[a] {
				break
			}
			offset -= at[a] * stride[a]
			at[a] = 0
		}
	}
}

// stridesOf returns row-major strides.
func stridesOf(s tensor.Shape) []int {
	out := make([]int, len(s))
	n := 1
	for a := len(s) - 1; a >= 0; a-- {
		out[a] = n
		n *= s[a]
	}
	return out
}

// broadcastStrides are the strides of s as an operand of a result of shape to.
func broadcastStrides(s, to tensor.Shape) []int {
	out := make([]int, len(to))
	own := stridesOf(s)
	for a := range s {
		if s[a] != 1 {
			out[len(to)-len(s)+a] = own[a]
		}
	}
	return out
}

func (n *node) broadcast(a, b tensor.Shape) tensor.Shape {
	for _, s := range []tensor.Shape{a, b} {
		for _, d := range s {
			if d == 0 {
				n.failf("an operand is empty: %v", s)
			}
		}
	}
	s, err := graph.Broadcast(a, b)
	if err != nil {
		n.failf("%w", err)
	}
	return s
}

// foldFn is a binary operator for whole numbers and for others; nil where it has no rule.
type foldFn struct {
	ints   func(x, y int64) int64
	floats func(x, y float64) float64
}

// foldFns are the binary operators that need nothing of their node.
var foldFns = map[string]foldFn{
	"Add": {func(x, y int64) int64 { return x + y }, func(x, y float64) float64 { return x + y }},
	"Sub": {func(x, y int64) int64 { return x - y }, func(x, y float64) float64 { return x - y }},
	"Mul": {func(x, y int64) int64 { return x * y }, func(x, y float64) float64 { return x * y }},
	"Max": {func(x, y int64) int64 { return max(x, y) }, math.Max},
	"Min": {func(x, y int64) int64 { return min(x, y) }, math.Min},
}

// foldBinary computes a binary operator on known values; ok is false if it has
// no rule here.
func (n *node) foldBinary() bool {
	a, b := n.static(0, "an operand"), n.static(1, "an operand")
	shape := n.broadcast(a.shape, b.shape)
	sa, sb := broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape)
	elem := a.elem
	float := a.elem.isFloat()
	if float != b.elem.isFloat() && n.op != "Pow" {
		n.failf("operands of types %v and %v", a.elem, b.elem)
	}
	fi, ff := foldFns[n.op].ints, foldFns[n.op].floats
	var test func(order int) bool
	switch n.op {
	case "Div":
		fi, ff = func(x, y int64) int64 { n.nonzero(y); return x / y }, func(x, y float64) float64 { return x / y }
	case "Mod":
		fi = func(x, y int64) int64 {
			n.nonzero(y)
			r := x % y
			if r != 0 && (r < 0) != (y < 0) && n.attrInt("fmod", 0) == 0 {
				r += y
			}
			return r
		}
		ff = func(x, y float64) float64 {
			r := math.Mod(x, y)
			if r != 0 && (r < 0) != (y < 0) && n.attrInt("fmod", 0) == 0 {
				r += y
			}
			return r
		}
	case "Pow":
		if !float || !b.elem.isFloat() {
			return n.foldPow(a, b, shape, sa, sb)
		}
		ff = math.Pow
	case "And":
		fi = func(x, y int64) int64 { return x & y }
	case "Or":
		fi = func(x, y int64) int64 { return x | y }
	case "Xor":
		fi = func(x, y int64) int64 { return x ^ y }
	case "Equal":
		test = func(o int) bool { return o == 0 }
	case "Greater":
		test = func(o int) bool { return o > 0 }
	case "Less":
		test = func(o int) bool { return o < 0 }
	case "GreaterOrEqual":
		test = func(o int) bool { return o >= 0 }
	case "LessOrEqual":
		test = func(o int) bool { return o <= 0 }
	}
	if test != nil {
		elem = elemBool
	} else if float && ff == nil || !float && fi == nil {
		return false
	}
	out := n.empty(elem, shape)
	at := make([]int, shape.Numel())
	strided(shape, sa, func(i, o int) { at[i] = o })
	strided(shape, sb, func(i, o int) {
		switch {
		case test != nil && float:
			out.i[i] = truth(test(cmp.Compare(a.f[at[i]], b.f[o])))
		case test != nil:
			out.i[i] = truth(test(cmp.Compare(a.i[at[i]], b.i[o])))
		case float:
			out.f[i] = round(elem, float32(ff(float64(a.f[at[i]]), float64(b.f[o]))))
		default:
			out.i[i] = wrap(elem, fi(a.i[at[i]], b.i[o]))
		}
	})
	n.fold(out)
	return true
}

// foldPow raises where a type is an integer: the result has the base's type.
func (n *node) foldPow(a, b *static, shape tensor.Shape, sa, sb []int) bool {
	out := n.empty(a.elem, shape)
	at := make([]int, shape.Numel())
	x, y := a.floats(), b.floats()
	strided(shape, sa, func(i, o int) { at[i] = o })
	strided(shape, sb, func(i, o int) {
		v := math.Pow(float64(x[at[i]]), float64(y[o]))
		if a.elem.isFloat() {
			out.f[i] = float32(v)
		} else {
			out.i[i] = wrap(a.elem, int64(v))
		}
	})
	n.fold(out)
	return true
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (n *node) nonzero(y int64) {
	if y == 0 {
		n.failf("division by zero")
	}
}

// foldUnary computes an element-wise operator on a known value.
func (n *node) foldUnary() bool {
	a := n.static(0, "the operand")
	if a.elem.isFloat() {
		var f func(float64) float64
		switch n.op {
		case "Neg":
			f = func(x float64) float64 { return -x }
		case "Abs":
			f = math.Abs
		case "Floor":
			f = math.Floor
		case "Ceil":
			f = math.Ceil
		case "Round":
			f = math.RoundToEven
		case "Sign":
			f = func(x float64) float64 { return float64(cmp.Compare(x, 0)) }
		case "Sqrt":
			f = math.Sqrt
		case "Exp":
			f = math.Exp
		case "Log":
			f = math.Log
		case "Reciprocal":
			f = func(x float64) float64 { return 1 / x }
		default:
			return false
		}
		out := n.empty(a.elem, a.shape)
		for i, x := range a.f {
			out.f[i] = float32(f(float64(x)))
		}
		n.fold(out)
		return true
	}
	out := n.empty(a.elem, a.shape)
	for i, x := range a.i {
		switch n.op {
		case "Neg":
			x = -x
		case "Abs":
			x = max(x, -x)
		case "Not":
			x = 1 - x
		case "Sign":
			x = int64(cmp.Compare(x, 0))
		default:
			return false
		}
		out.i[i] = wrap(a.elem, x)
	}
	n.fold(out)
	return true
}

// foldCast converts a known value to another type.
func (n *node) foldCast(a *static, to elemType) *static {
	out := n.empty(to, a.shape)
	switch {
	case to.isFloat():
		copy(out.f, a.floats())
		for i := range out.f {
			out.f[i] = round(to, out.f[i])
		}
	case a.elem.isFloat():
		for i, x := range a.f {
			if to == elemBool {
				out.i[i] = truth(x != 0)
			} else {
				out.i[i] = wrap(to, int64(x))
			}
		}
	default:
		for i, x := range a.i {
			out.i[i] = wrap(to, x)
		}
	}
	return out
}

// take copies elements along an axis: element j of the result is element
// index[j] of a.
func (n *node) take(a *static, axis int, index []int) *static {
	shape := a.shape.Clone()
	shape[axis] = len(index)
	out := n.empty(a.elem, shape)
	inner := a.shape[axis+1:].Numel()
	outer := a.shape[:axis].Numel()
	i := 0
	for o := range outer {
		for _, j := range index {
			for k := range inner {
				out.at(i, a, (o*a.shape[axis]+j)*inner+k)
				i++
			}
		}
	}
	return out
}

// foldConcat joins known values.
func (n *node) foldConcat(axis int) *static {
	first := n.static(0, "a part")
	shape := first.shape.Clone()
	for i := 1; i < len(n.ins); i++ {
		s := n.static(i, "a part")
		if len(s.shape) != len(shape) || s.elem != first.elem {
			n.failf("parts %v%v and %v%v do not fit together", first.elem, first.shape, s.elem, s.shape)
		}
		for a := range shape {
			if a != axis && s.shape[a] != shape[a] {
				n.failf("parts %v and %v differ at axis %d", first.shape, s.shape, a)
			}
		}
		shape[axis] += s.shape[axis]
	}
	out := n.empty(first.elem, shape)
	width := shape[axis:].Numel()
	start := 0
	for i := range n.ins {
		s := n.ins[i].st
		w := s.shape[axis:].Numel()
		for o := range s.shape[:axis].Numel() {
			for k := range w {
				out.at(o*width+start+k, s, o*w+k)
			}
		}
		start += w
	}
	return out
}

// foldPermute transposes a known value.
func (n *node) foldPermute(a *static, perm []int) *static {
	own := stridesOf(a.shape)
	shape, stride := make(tensor.Shape, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		shape[i], stride[i] = a.shape[p], own[p]
	}
	out := n.empty(a.elem, shape)
	strided(shape, stride, func(i, o int) { out.at(i, a, o) })
	return out
}

// foldExpand stretches a known value.
func (n *node) foldExpand(a *static, shape tensor.Shape) *static {
	out := n.empty(a.elem, shape)
	strided(shape, broadcastStrides(a.shape, shape), func(i, o int) { out.at(i, a, o) })
	return out
}

// foldWhere chooses between known values.
func (n *node) foldWhere() *static {
	c, a, b := n.static(0, "the condition"), n.static(1, "a choice"), n.static(2, "a choice")
	if a.elem != b.elem || c.elem != elemBool {
		n.failf("a choice between %v and %v by %v", a.elem, b.elem, c.elem)
	}
	shape := n.broadcast(n.broadcast(c.shape, a.shape), b.shape)
	out := n.empty(a.elem, shape)
	from := make([]*static, shape.Numel())
	strided(shape, broadcastStrides(c.shape, shape), func(i, o int) {
		if from[i] = b; c.i[o] != 0 {
			from[i] = a
		}
	})
	for _, s := range []*static{a, b} {
		strided(shape, broadcastStrides(s.shape, shape), func(i, o int) {
			if from[i] == s {
				out.at(i, s, o)
			}
		})
	}
	return out
}

// foldReduce combines known values along axes, ascending.
func (n *node) foldReduce(a *static, axes []int, keep bool) *static {
	gone := make([]bool, len(a.shape))
	for _, x := range axes {
		gone[x] = true
	}
	kept, short := a.shape.Clone(), tensor.Shape{}
	count := 1
	for i, d := range a.shape {
		if gone[i] {
			kept[i] = 1
			count *= d
		} else {
			short = append(short, d)
		}
	}
	if count == 0 {
		n.failf("nothing to reduce in %v", a.shape)
	}
	out := n.empty(a.elem, kept)
	seen := make([]bool, kept.Numel())
	to := make([]int, a.shape.Numel())
	strided(a.shape, broadcastStrides(kept, a.shape), func(i, o int) { to[i] = o })
	combine := func(acc, x float64) float64 {
		switch n.op {
		case "ReduceProd":
			return acc * x
		case "ReduceMax":
			return max(acc, x)
		case "ReduceMin":
			return min(acc, x)
		}
		return acc + x
	}
	sums := make([]float64, kept.Numel())
	for i, o := range to {
		x := 0.0
		if a.elem.isFloat() {
			x = float64(a.f[i])
		} else {
			x = float64(a.i[i])
		}
		if seen[o] {
			x = combine(sums[o], x)
		}
		sums[o], seen[o] = x, true
	}
	for o, x := range sums {
		if n.op == "ReduceMean" {
			x /= float64(count)
		}
		if a.elem.isFloat() {
			out.f[o] = float32(x)
		} else {
			out.i[o] = wrap(a.elem, int64(x))
		}
	}
	if !keep {
		return out.as(short)
	}
	return out
}
