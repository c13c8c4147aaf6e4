package onnx

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// This file has the operators that give constants, shapes and types.

func identity(n *node) { n.put(0, n.ins[0]) }

// cast converts known values. Values of the graph are float32 whatever type
// the file gives them.
func cast(n *node) {
	v := n.must(0)
	to := elemType(n.attrInt("to", 0))
	if n.op == "CastLike" {
		to = n.must(1).elem
	}
	if v.st != nil {
		n.fold(n.foldCast(v.st, to))
		return
	}
	switch {
	case to.isFloat() && v.elem.isFloat(), v.elem == to, v.elem == elemBool:
	case to == elemBool:
		v.dyn = n.do(graph.Compare{Fn: graph.NotEqual}, v.dyn, n.g.Scalar(0))
	case v.elem.isFloat() && (to == elemInt32 || to == elemInt64):
		v.dyn = n.do(graph.ToFloat{}, n.do(graph.ToInt{}, v.dyn))
	case to.isFloat(): // whole numbers of few digits, which float32 holds
	case !v.elem.isFloat() && to.bytes() > v.elem.bytes() && v.elem == elemUint8, to == elemInt64 && v.elem == elemInt32:
	default:
		n.failf("values of type %v computed at run time cannot become %v", v.elem, to)
	}
	v.elem = to
	n.put(0, v)
}

func constant(n *node) {
	if len(n.attrs) != 1 {
		n.failf("it has %d values, want one", len(n.attrs))
	}
	switch a := n.attrs[0]; a.name {
	case "value":
		if a.t == nil {
			n.failf("it has no value")
		}
		s, err := newExternal().decode(a.t)
		if err != nil {
			n.failf("%w", err)
		}
		n.fold(s)
	case "value_float":
		n.fold(&static{elem: elemFloat, shape: tensor.Shape{}, f: []float32{a.f}})
	case "value_floats":
		n.fold(&static{elem: elemFloat, shape: tensor.Shape{len(a.floats)}, f: a.floats})
	case "value_int":
		n.fold(&static{elem: elemInt64, shape: tensor.Shape{}, i: []int64{a.i}})
	case "value_ints":
		n.fold(ints(a.ints...))
	default:
		n.failf("a constant by %q is not supported", a.name)
	}
}

func constantOfShape(n *node) {
	shape, err := sized(n.ints(0, "the shape"))
	if err != nil {
		n.failf("%w", err)
	}
	fill := newStatic(elemFloat, tensor.Shape{1})
	if a := n.attr("value"); a != nil && a.t != nil {
		if fill, err = newExternal().decode(a.t); err != nil {
			n.failf("%w", err)
		}
		if fill.shape.Numel() != 1 {
			n.failf("the value has shape %v", fill.shape)
		}
	}
	out := n.empty(fill.elem, shape)
	for i := range shape.Numel() {
		out.at(i, fill, 0)
	}
	n.fold(out)
}

func shapeOf(n *node) {
	s := n.shape(0)
	if n.op == "Size" {
		n.fold(&static{elem: elemInt64, shape: tensor.Shape{}, i: []int64{int64(s.Numel())}})
		return
	}
	place := func(x int64) int64 {
		if x < 0 {
			x += int64(len(s))
		}
		return min(max(x, 0), int64(len(s)))
	}
	lo, hi := place(n.attrInt("start", 0)), place(n.attrInt("end", int64(len(s))))
	out := []int64{}
	for a := lo; a < hi; a++ {
		out = append(out, int64(s[a]))
	}
	n.fold(ints(out...))
}

func rangeOf(n *node) {
	elem := n.static(0, "the start").elem
	if elem.isFloat() {
		start, limit, delta := n.number(0, "the start"), n.number(1, "the limit"), n.number(2, "the step")
		k := float64((limit - start) / delta)
		if !(k <= maxPieces) {
			n.failf("%g numbers", k)
		}
		out := n.empty(elem, tensor.Shape{int(max(0, ceil(k)))})
		for i := range out.f {
			out.f[i] = start + float32(i)*delta
		}
		n.fold(out)
		return
	}
	one := func(i int) int64 {
		s := n.static(i, "a bound")
		if s.elem != elem || len(s.i) != 1 {
			n.failf("input %d is %v%v", i, s.elem, s.shape)
		}
		return s.i[0]
	}
	start, limit, delta := one(0), one(1), one(2)
	out := []int64{}
	for x := start; delta > 0 && x < limit || delta < 0 && x > limit; x += delta {
		if len(out) > 1<<20 {
			n.failf("too many numbers")
		}
		out = append(out, x)
	}
	n.fold(&static{elem: elem, shape: tensor.Shape{len(out)}, i: out})
}

// branch runs the branch of an If that a known condition chooses.
func branch(n *node) {
	c := n.static(0, "the condition")
	if c.elem != elemBool || len(c.i) != 1 {
		n.failf("the condition is %v%v", c.elem, c.shape)
	}
	name := "else_branch"
	if c.i[0] != 0 {
		name = "then_branch"
	}
	a := n.attr(name)
	if a == nil || a.g == nil {
		n.failf("it has no %s", name)
	}
	// Only the branch sees its initializers; names do not repeat.
	for _, t := range a.g.initializers {
		s, err := newExternal().decode(t)
		if err != nil {
			n.failf("%w", err)
		}
		n.vals[t.name] = value{st: s, elem: s.elem}
	}
	outs := n.nodes(a.g)
	if len(outs) < len(n.out) {
		n.failf("the %s has %d outputs, want %d", name, len(outs), len(n.out))
	}
	for i := range n.out {
		n.put(i, outs[i])
	}
}
