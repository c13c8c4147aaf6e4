package onnx

import (
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// This file has comparisons and indices that are computed at run time. Whole numbers and
// truth values of the graph are float32 in the importer, whatever the file has them as;
// they become int64 only where an operator reads by them.

var compareFns = map[string]graph.CompareFn{
	"Less": graph.Less, "LessOrEqual": graph.LessOrEqual, "Greater": graph.Greater, "GreaterOrEqual": graph.GreaterOrEqual, "Equal": graph.Equal,
}

// logic computes comparisons, and what is made of truth values. It returns false for
// other operators.
func (n *node) logic() bool {
	truth := func(v *graph.Value) bool {
		n.put(0, value{dyn: v, elem: elemBool})
		return true
	}
	if fn, ok := compareFns[n.op]; ok {
		return truth(n.do(graph.Compare{Fn: fn}, n.moved(0), n.moved(1)))
	}
	if !slices.Contains([]string{"And", "Or", "Xor", "Not"}, n.op) {
		return false
	}
	for i := range n.ins {
		if n.must(i).elem != elemBool {
			n.failf("input %d, %q, is of type %v, want truth values", i, n.in[i], n.ins[i].elem)
		}
	}
	switch n.op {
	case "And":
		return truth(n.binary(graph.Mul, n.moved(0), n.moved(1)))
	case "Or":
		return truth(n.binary(graph.Max, n.moved(0), n.moved(1)))
	case "Xor":
		return truth(n.do(graph.Compare{Fn: graph.NotEqual}, n.moved(0), n.moved(1)))
	}
	return truth(n.affine(n.moved(0), -1, 1))
}

// chosen is Where with a condition that is computed at run time.
func (n *node) chosen() {
	if n.must(0).elem != elemBool {
		n.failf("the condition %q is of type %v, want truth values", n.in[0], n.ins[0].elem)
	}
	if n.must(1).elem.isFloat() != n.must(2).elem.isFloat() {
		n.failf("the values are of types %v and %v", n.ins[1].elem, n.ins[2].elem)
	}
	y := n.do(graph.Where{}, n.moved(0), n.moved(1), n.moved(2))
	n.put(0, value{dyn: y, elem: n.ins[1].elem})
}

// indices returns input i as int64, where negative ones count from the end of an axis of
// the given extent.
func (n *node) indices(i, extent int) *graph.Value {
	if v := n.must(i); v.elem.isFloat() {
		n.failf("the indices %q are of type %v, not integers", n.in[i], v.elem)
	}
	x := n.moved(i)
	fromEnd := n.do(graph.Compare{Fn: graph.Less}, x, n.g.Scalar(0))
	return n.do(graph.ToInt{}, n.binary(graph.Add, x, n.affine(fromEnd, float32(extent), 0)))
}

// gatherAt is Gather by indices that are computed at run time.
func (n *node) gatherAt() {
	x := n.moved(0)
	axis := n.axis(n.attrInt("axis", 0), len(x.Shape))
	n.same(n.do(graph.Gather{Axis: axis}, x, n.indices(1, x.Shape[axis])))
}

func gatherElements(n *node) {
	x := n.moved(0)
	axis := n.axis(n.attrInt("axis", 0), len(x.Shape))
	n.same(n.do(graph.GatherElements{Axis: axis}, x, n.indices(1, x.Shape[axis])))
}

func topK(n *node) {
	x := n.x(0)
	axis := n.axis(n.attrInt("axis", -1), len(x.Shape))
	k := []int64{n.attrInt("k", 0)}
	if n.version() >= 10 {
		k = n.ints(1, "the number of elements")
	}
	if len(k) != 1 {
		n.failf("%d numbers of elements, want one", len(k))
	}
	op := graph.TopK{K: n.small("k", k, 1, int64(x.Shape[axis]))[0], Axis: axis, Smallest: n.attrInt("largest", 1) == 0}
	out := n.g.Must(op, x)
	n.set(out[0])
	n.put(1, value{dyn: n.do(graph.ToFloat{}, out[1]), elem: elemInt64})
}

// argMax is ArgMax and ArgMin.
func argMax(n *node) {
	x := n.x(0)
	if n.op == "ArgMin" {
		x = n.affine(x, -1, 0)
	}
	op := graph.ArgMax{Axis: n.axis(n.attrInt("axis", 0), len(x.Shape)), Keep: n.attrInt("keepdims", 1) != 0}
	size := x.Shape[op.Axis]
	last := n.attrInt("select_last_index", 0) != 0
	if last { // the first from the end
		back := tensor.NewInt64(size)
		for i := range back.Int64s() {
			back.Int64s()[i] = int64(size - 1 - i)
		}
		x = n.do(graph.Gather{Axis: op.Axis}, x, n.g.Const(back))
	}
	y := n.do(graph.ToFloat{}, n.do(op, x))
	if last {
		y = n.affine(y, -1, float32(size-1))
	}
	n.put(0, value{dyn: y, elem: elemInt64})
}

// oneHot compares the indices with all classes.
func oneHot(n *node) {
	depth := n.static(1, "the number of classes").floats()
	off, on := float32(0), float32(0)
	if v := n.static(2, "the values").floats(); len(v) == 2 {
		off, on = v[0], v[1]
	} else {
		n.failf("%d values, want two", len(v))
	}
	if len(depth) != 1 || !(depth[0] >= 1 && depth[0] <= 1<<20) {
		n.failf("the number of classes is %v", depth)
	}
	classes := tensor.New(int(depth[0]))
	for i := range classes.Float32s() {
		classes.Float32s()[i] = float32(i)
	}
	x := n.moved(0)
	axis := n.axis(n.attrInt("axis", -1), len(x.Shape)+1)
	if !n.ins[0].elem.isFloat() { // negative ones count from the end
		x = n.binary(graph.Add, x, n.affine(n.do(graph.Compare{Fn: graph.Less}, x, n.g.Scalar(0)), depth[0], 0))
	}
	y := n.do(graph.Compare{Fn: graph.Equal}, n.reshape(x, append(x.Shape.Clone(), 1)...), n.g.Const(classes))
	perm := make([]int, len(x.Shape))
	for i := range perm {
		perm[i] = i
	}
	if perm = slices.Insert(perm, axis, len(x.Shape)); axis < len(x.Shape) {
		y = n.do(graph.Permute{Perm: perm}, y)
	}
	n.put(0, value{dyn: n.affine(y, on-off, off), elem: n.ins[2].elem})
}

// roiAlign joins the images' indices and the corners to the boxes of the graph.
func roiAlign(n *node) {
	x, corners, images := n.x(0), n.x(1), n.moved(2)
	if len(corners.Shape) != 2 || corners.Shape[1] != 4 || len(images.Shape) != 1 || images.Shape[0] != corners.Shape[0] {
		n.failf("boxes %v of images %v, want [K 4] and [K]", corners.Shape, images.Shape)
	}
	if mode := n.attrString("mode", "avg"); mode != "avg" {
		n.failf("the mode %q is not supported, only avg", mode)
	}
	mode := "half_pixel"
	if n.version() < 16 {
		mode = "output_half_pixel"
	}
	mode = n.attrString("coordinate_transformation_mode", mode)
	if mode != "half_pixel" && mode != "output_half_pixel" {
		n.failf("the coordinates %q are not known", mode)
	}
	size := n.small("the output's size", []int64{n.attrInt("output_height", 1), n.attrInt("output_width", 1)}, 1, 1<<12)
	op := graph.RoIAlign{
		OH: size[0], OW: size[1], Scale: n.attrFloat("spatial_scale", 1), Aligned: mode == "half_pixel",
		SamplingRatio: n.small("sampling_ratio", []int64{n.attrInt("sampling_ratio", 0)}, 0, graph.MaxRoISamples)[0],
	}
	boxes := n.do(graph.Concat{Axis: 1}, n.reshape(images, images.Shape[0], 1), corners)
	n.set(n.do(op, x, boxes))
}
