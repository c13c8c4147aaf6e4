package onnx

import (
	"math"

	"github.com/resnet-go/resnet/graph"
)

// This file writes the choices of an R-CNN, see models/rcnn_host.go.

// proposals writes the choice of the boxes that may hold an object, [n 4], of logits
// [1 anchors 1] and deltas [1 anchors 4] of each level.
func (s section) proposals(in []string) string {
	d := s.detect
	levels := len(d.features)
	var found, scores, groups []string
	for l, f := range d.features {
		z, at := s.best(s.op("Reshape", in[l], s.ints(-1)), d.head.TopK)
		delta := s.rows(s.op("Reshape", in[levels+l], s.ints(-1, 4)), at)
		box := s.clip(s.decode(s.rows(s.anchors(l, s.names[f]), at), delta, [4]float32{1, 1, 1, 1}))
		score := s.op("Sigmoid", z)
		found, scores = append(found, box), append(scores, score)
		groups = append(groups, s.op("Expand", s.float(float32(l)), s.shape(score, 0, 1)))
	}
	box, score, group := s.concat(0, found...), s.concat(0, scores...), s.concat(0, groups...)
	ok := s.wide(box, 1e-3)
	box, score, group = s.where(box, ok), s.where(score, ok), s.where(group, ok)
	return s.rows(box, s.suppress(box, score, group, d.head.ProposalNMS, d.head.Proposals))
}

// levels writes the assignment of boxes [n 4] to the levels of the pyramid: the
// outputs of node are the boxes of each.
func (s section) levels(node *graph.Node, box string) {
	d := s.detect
	p := &pool{want: len(node.Out)}
	// The exponents of the levels' scales follow the heights, as they are without
	// padding; the operators' own scales follow those with padding.
	log2 := func(v string) string { return s.op("Div", s.op("Log", v), s.float(math.Ln2)) }
	var exponents []string
	for l := range node.Out {
		h := s.cast(s.at(s.shape(s.names[d.features[l]], 2, 4), 0), elemFloat)
		exponents = append(exponents, s.op("Round", log2(s.op("Div", h, d.h))))
	}
	e := s.corners(box)
	area := s.op("Squeeze", s.op("Mul", s.op("Sub", e[2], e[0]), s.op("Sub", e[3], e[1])), s.ints(1))
	level := log2(s.op("Div", s.op("Sqrt", area), s.float(224)))
	level = s.op("Floor", s.op("Add", s.op("Add", level, s.float(4)), s.float(1e-6)))
	first, last := s.op("Neg", exponents[0]), s.op("Neg", exponents[len(exponents)-1])
	level = s.op("Sub", s.op("Min", s.op("Max", level, first), last), first)
	level = s.op("Min", s.op("Max", level, s.float(0)), s.float(float32(len(node.Out)-1)))
	var order []string
	for l, out := range node.Out {
		at := s.op("Squeeze", s.op("NonZero", s.op("Equal", level, s.float(float32(l)))), s.ints(0))
		order = append(order, at)
		h := s.cast(s.at(s.shape(s.names[d.features[l]], 2, 4), 0), elemFloat)
		padded := s.cast(s.at(d.padded, 0), elemFloat)
		own := s.op("Round", log2(s.op("Div", h, padded)))
		ratio := s.op("Pow", s.float(2), s.op("Sub", exponents[l], own))
		s.exporter.names[out] = s.op("Mul", s.rows(box, at), ratio)
		d.pools[out] = p
	}
	p.order = s.concat(0, order...)
}

// roiAttrs are the attributes of an operator that cuts boxes into bins.
func roiAttrs(op graph.RoIAlign) []*attrProto {
	mode := "output_half_pixel"
	if op.Aligned {
		mode = "half_pixel"
	}
	return []*attrProto{
		attrS("coordinate_transformation_mode", mode), attrS("mode", "avg"), attrI("output_height", int64(op.OH)), attrI("output_width", int64(op.OW)),
		attrI("sampling_ratio", int64(max(op.SamplingRatio, 0))), attrF("spatial_scale", op.Scale),
	}
}

// detections writes the choice of the objects of logits [n classes], deltas
// [n 4*classes] and proposals [n 4]. It returns their boxes.
func (s section) detections(in []string) string {
	d := s.detect
	classes := d.net.Config.Classes
	// Class 0 is the background.
	objects := func(v string, dims ...int) string {
		return s.op("Slice", s.op("Reshape", v, s.ints(dims...)), s.ints(1), s.ints(classes), s.ints(1))
	}
	score := s.op("Reshape", objects(s.with("Softmax", []string{in[0]}, attrI("axis", -1)), -1, classes), s.ints(-1))
	delta := objects(in[1], -1, classes, 4)
	box := s.clip(s.decode(s.op("Unsqueeze", in[2], s.ints(1)), delta, [4]float32{10, 10, 5, 5}))
	box = s.op("Reshape", box, s.ints(-1, 4))
	label := s.op("Range", s.int(1), s.int(classes), s.int(1))
	label = s.op("Expand", label, s.concat(0, s.shape(in[0], 0, 1), s.ints(1)))
	label = s.op("Reshape", label, s.ints(-1))
	ok := s.op("And", s.op("Greater", score, s.float(above(d.head.ScoreThreshold))), s.wide(box, 1e-2))
	box, score, label = s.where(box, ok), s.where(score, ok), s.where(label, ok)
	keep := s.suppress(box, score, s.cast(label, elemFloat), d.head.NMSThreshold, d.head.Detections)
	d.boxes, d.scores, d.labels = s.rows(box, keep), s.rows(score, keep), s.rows(label, keep)
	return d.boxes
}
