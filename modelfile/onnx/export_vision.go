package onnx

import (
	"errors"
	"math"

	"github.com/resnet-go/resnet/graph"
)

// This file writes the operators of detectors, of normalization by groups, and those
// with indices and conditions. Integers of the graph are int64 in the file; conditions,
// which are float32 in the graph, become booleans where an operator wants them.

func (x *exporter) cast(n *graph.Node, in string, to elemType) string {
	return x.add(n, "Cast", []string{in}, attrI("to", int64(to)))
}

// pick takes elements from start to end along an axis.
func (x *exporter) pick(n *graph.Node, in string, axis, start, end int) string {
	return x.add(n, "Slice", []string{in, x.integers(n, "starts", []int64{int64(start)}), x.integers(n, "ends", []int64{int64(end)}),
		x.integers(n, "axes", []int64{int64(axis)})})
}

// roiAlign takes the boxes apart into the images' indices and the corners.
func (x *exporter) roiAlign(n *graph.Node, op graph.RoIAlign, in []string) string {
	image := x.add(n, "Squeeze", []string{x.pick(n, in[1], 1, 0, 1), x.integers(n, "axes", []int64{1})})
	return x.add(n, "RoiAlign", []string{in[0], x.pick(n, in[1], 1, 1, 5), x.cast(n, image, elemInt64)}, roiAttrs(op)...)
}

// groupNorm is LayerNormalization for one group of features, and else
// InstanceNormalization, of which the groups are the channels: GroupNormalization came
// with later opsets.
func (x *exporter) groupNorm(n *graph.Node, op graph.GroupNorm, in []string) (string, error) {
	if x.used[n.Out[1]] > 0 || x.used[n.Out[2]] > 0 {
		return "", errors.New("the statistics of the groups have no form in ONNX")
	}
	s := n.In[0].Shape
	eps := attrF("epsilon", op.Eps)
	switch {
	case len(s) == 2 && op.Groups == 1:
		return x.add(n, "LayerNormalization", in, attrI("axis", -1), eps), nil
	case len(s) == 4 && op.Groups == s[1]:
		return x.add(n, "InstanceNormalization", in, eps), nil
	}
	ones, zeros := make([]float32, op.Groups), make([]float32, op.Groups)
	for i := range ones {
		ones[i] = 1
	}
	dims := []int64{int64(op.Groups)}
	y := x.add(n, "Reshape", []string{in[0], x.integers(n, "groups", []int64{0, int64(op.Groups), -1})})
	y = x.add(n, "InstanceNormalization", []string{y, x.init(x.unique(constName(n, "ones")), dims, ones, nil), x.init(x.unique(constName(n, "zeros")), dims, zeros, nil)}, eps)
	y = x.add(n, "Reshape", []string{y, x.add(n, "Shape", []string{in[0]})})
	for i, step := range []string{"Mul", "Add"} {
		p := in[i+1]
		if len(s) == 4 {
			p = x.add(n, "Reshape", []string{p, x.integers(n, "wide", []int64{int64(s[1]), 1, 1})})
		}
		y = x.add(n, step, []string{y, p})
	}
	return y, nil
}

// compare writes a comparison as numbers.
func (x *exporter) compare(n *graph.Node, op graph.Compare, in []string) string {
	if op.Fn == graph.NotEqual {
		return x.cast(n, x.add(n, "Not", []string{x.add(n, "Equal", in)}), elemFloat)
	}
	return x.cast(n, x.add(n, op.Fn.String(), in), elemFloat)
}

// oneHot compares with all classes: ONNX's OneHot counts negative labels from the end.
func (x *exporter) oneHot(n *graph.Node, op graph.OneHot, in string) string {
	classes := make([]int64, op.Classes)
	for i := range classes {
		classes[i] = int64(i)
	}
	wide := x.add(n, "Unsqueeze", []string{in, x.integers(n, "axes", []int64{-1})})
	return x.cast(n, x.add(n, "Equal", []string{wide, x.integers(n, "classes", classes)}), elemFloat)
}

// topK writes both outputs.
func (x *exporter) topK(n *graph.Node, op graph.TopK, in string) string {
	values := x.unique("/" + n.Path + "/TopK")
	indices := x.unique(values + "/indices")
	x.emit(&nodeProto{name: values, op: "TopK", in: []string{in, x.integers(n, "k", []int64{int64(op.K)})}, out: []string{values, indices},
		attrs: []*attrProto{attrI("axis", int64(op.Axis)), attrI("largest", int64(bit(!op.Smallest))), attrI("sorted", 1)}})
	x.names[n.Out[1]] = indices
	return values
}

// scales gives the scale of each axis of a Resize that does not go by its sizes.
func (x *exporter) scales(n *graph.Node, op graph.Resize) (string, error) {
	s := n.In[0].Shape
	scales := []float32{1, 1, 1, 1}
	for i, q := range []struct {
		in, out int
		scale   float64
	}{{s[2], op.OH, op.ScaleH}, {s[3], op.OW, op.ScaleW}} {
		if q.in == q.out {
			continue // copied
		}
		f := float32(q.scale)
		if q.scale == 0 {
			f = float32(q.out) / float32(q.in)
			for int(math.Floor(float64(f)*float64(q.in))) < q.out {
				f = math.Nextafter32(f, math.MaxFloat32)
			}
		}
		if int(math.Floor(float64(f)*float64(q.in))) != q.out {
			return "", errors.New("a scale that does not give the size has no form in ONNX")
		}
		scales[2+i] = f
	}
	return x.init(x.unique(constName(n, "scales")), []int64{4}, scales, nil), nil
}
