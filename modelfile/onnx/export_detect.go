package onnx

import (
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

// This file writes detectors. Their networks choose boxes by operators that compute
// themselves, with fixed numbers of rows of which some are unused (models/rcnn_host.go);
// the file has operators of ONNX instead, with as many rows as there are boxes. All
// else, the networks between them, is written as for any module.

// detectorExport is what is known of a detector while it is written.
type detectorExport struct {
	net       *models.Model
	head      *models.DetectionHead
	constants map[string]string

	picture string // the input [3 H W]
	size    string // height and width of the resized picture, int64 [2]
	padded  string // of the network's input, int64 [2]
	h, w    string // of the resized picture, float32 scalars

	features []*graph.Value // the levels of the pyramid
	pools    map[*graph.Value]*pool
	labels   string // of the objects that R-CNNs have chosen, int64 [n]
	scores   string
	boxes    string // in pixels of the network's input
}

// pool is boxes cut into bins, level by level.
type pool struct {
	order string   // the numbers of the boxes, level by level, int64 [n]
	parts []string // bins of the levels' boxes
	all   string   // the bins of all boxes, in their order, when all levels are done
	want  int      // levels
}

// detector writes net, of which t is the trace.
func (x *exporter) detector(t *nn.Traced, net *models.Model) error {
	d := &detectorExport{net: net, head: net.Config.Detection, constants: map[string]string{}, picture: x.opt.InputName, pools: map[*graph.Value]*pool{}}
	x.detect = d
	for _, name := range []string{boxesName, labelsName, scoresName, masksName} {
		if name == x.opt.InputName {
			return fmt.Errorf("onnx: the input cannot be called %q, as an output is", name)
		}
		x.taken[name] = true
	}
	x.out.inputs = []*valueProto{{name: d.picture, elem: elemFloat, known: true, dims: []int64{int64(net.Config.InChannels), -1, -1}, names: []string{"", "height", "width"}}}
	x.names[t.Input] = x.prepare()
	switch m := net.Detector.(type) {
	case *models.RetinaNet:
		return x.retina(t, m)
	case *models.RCNN:
		return x.rcnn(t, m)
	}
	return fmt.Errorf("onnx: a detector of type %T has no form in ONNX", net.Detector)
}

// The names of a detector's outputs, which are torchvision's.
const (
	boxesName  = "boxes"
	labelsName = "labels"
	scoresName = "scores"
	masksName  = "masks"
)

// prepare writes torchvision's GeneralizedRCNNTransform: the picture is normalized,
// resized and padded. It returns the network's input [1 3 H W].
func (x *exporter) prepare() string {
	s, d := section{x, "transform"}, x.detect
	y := s.op("Div", s.op("Sub", d.picture, s.floats(d.head.Mean, len(d.head.Mean), 1, 1)), s.floats(d.head.Std, len(d.head.Std), 1, 1))
	y = s.op("Unsqueeze", y, s.ints(0))
	// In double, because the products are rounded down.
	side := s.cast(s.shape(d.picture, 1, 3), elemDouble)
	number := func(v int) string { return s.cast(s.float(float32(v)), elemDouble) }
	least := s.with("ReduceMin", []string{side}, attrIs("axes", 0), attrI("keepdims", 1))
	most := s.with("ReduceMax", []string{side}, attrIs("axes", 0), attrI("keepdims", 1))
	scale := s.op("Min", s.op("Div", number(d.head.MinSize), least), s.op("Div", number(d.head.MaxSize), most))
	size := s.op("Max", s.op("Floor", s.op("Mul", side, scale)), number(1))
	d.size = s.cast(size, elemInt64)
	float := s.cast(size, elemFloat)
	d.h, d.w = s.at(float, 0), s.at(float, 1)
	y = s.with("Resize", []string{y, "", "", s.concat(0, s.shape(y, 0, 2), d.size)},
		attrS("coordinate_transformation_mode", "half_pixel"), attrS("mode", "linear"))
	const divisor = 32
	d.padded = s.op("Mul", s.op("Div", s.op("Add", d.size, s.int(divisor-1)), s.int(divisor)), s.int(divisor))
	pads := s.concat(0, s.ints(0, 0, 0, 0, 0, 0), s.op("Sub", d.padded, d.size))
	return s.with("Pad", []string{y, pads, s.float(0)}, attrS("mode", "constant"))
}

// retina writes a RetinaNet and the choice of its objects.
func (x *exporter) retina(t *nn.Traced, net *models.RetinaNet) error {
	d := x.detect
	features, logits, deltas := net.Levels(t)
	all := append(append(append([]*graph.Value{}, features...), logits...), deltas...)
	if err := x.nodes(x.live(t.Graph, all...)); err != nil {
		return err
	}
	s := section{x, "detections"}
	classes := s.int(d.net.Config.Classes)
	var found, scores, labels []string
	for i, f := range features {
		z := s.op("Reshape", x.names[logits[i]], s.ints(-1))
		z, at := s.best(z, d.head.TopK)
		score := s.op("Sigmoid", z)
		ok := s.op("Greater", score, s.float(above(d.head.ScoreThreshold)))
		score, at = s.where(score, ok), s.where(at, ok)
		anchor := s.op("Div", at, classes)
		delta := s.rows(s.op("Reshape", x.names[deltas[i]], s.ints(-1, 4)), anchor)
		box := s.decode(s.rows(s.anchors(i, x.names[f]), anchor), delta, [4]float32{1, 1, 1, 1})
		found, scores, labels = append(found, s.clip(box)), append(scores, score), append(labels, s.op("Mod", at, classes))
	}
	box, score, label := s.concat(0, found...), s.concat(0, scores...), s.concat(0, labels...)
	keep := s.suppress(box, score, s.cast(label, elemFloat), d.head.NMSThreshold, d.head.Detections)
	d.boxes, d.scores, d.labels = s.rows(box, keep), s.rows(score, keep), s.rows(label, keep)
	x.results("")
	return nil
}

// rcnn writes an R-CNN.
func (x *exporter) rcnn(t *nn.Traced, net *models.RCNN) error {
	d := x.detect
	outputs := []*graph.Value{}
	for _, n := range t.Graph.Nodes {
		if _, ok := n.Op.(graph.HostOp); ok && n.Op.Name() == "Detections" {
			outputs = append(outputs, n.Out...)
		}
	}
	for _, c := range t.Calls {
		switch {
		case c.Module == nn.Module(net.RPN.Head):
			d.features = append(d.features, c.In)
		case net.RoIHeads.MaskPredictor != nil && c.Module == nn.Module(net.RoIHeads.MaskPredictor):
			outputs = append(outputs, c.Out)
		}
	}
	if err := x.nodes(x.live(t.Graph, outputs...)); err != nil {
		return err
	}
	if d.boxes == "" {
		return errors.New("onnx: the detector chooses no objects")
	}
	logits := ""
	if net.RoIHeads.MaskPredictor != nil {
		logits = x.names[outputs[len(outputs)-1]]
	}
	x.results(logits)
	return nil
}

// choose writes the operators of an R-CNN that have another form in the file. It
// reports whether n is one.
func (x *exporter) choose(n *graph.Node, in []string) (bool, error) {
	d := x.detect
	switch op := n.Op.(type) {
	case graph.Input: // the size of the picture in it, which the file computes
		return op.Label == models.SizesInput, nil
	case graph.HostOp:
		s := section{x, map[string]string{"Proposals": "rpn", "AssignLevels": "roi_heads", "Detections": "detections", "BoxesOfDetections": "detections"}[n.Op.Name()]}
		switch n.Op.Name() {
		case "Proposals":
			x.names[n.Out[0]] = s.proposals(in)
		case "AssignLevels":
			s.levels(n, in[0])
		case "Detections":
			x.names[n.Out[0]] = s.detections(in)
		case "BoxesOfDetections":
			x.names[n.Out[0]] = in[0]
		default:
			return true, fmt.Errorf("the operator %s has no form in ONNX", n.Op.Name())
		}
		return true, nil
	case graph.RoIAlign:
		box := n.In[1]
		for _, ok := box.Node.Op.(graph.Detach); ok; _, ok = box.Node.Op.(graph.Detach) {
			box = box.Node.In[0]
		}
		p := d.pools[box]
		if p == nil {
			return false, nil
		}
		s := section{x, "roi_heads"}
		first := s.op("ConstantOfShape", s.shape(in[1], 0, 1)) // zeros of type float
		p.parts = append(p.parts, s.with("RoiAlign", []string{in[0], in[1], s.cast(first, elemInt64)}, roiAttrs(op)...))
		if len(p.parts) == p.want {
			back := s.ops("TopK", 2, []string{p.order, s.shape(p.order, 0, 1)}, attrI("largest", 0))[1]
			p.all = s.rows(s.concat(0, p.parts...), back)
		}
		x.names[n.Out[0]] = p.all
		d.pools[n.Out[0]] = p
		return true, nil
	case graph.Binary: // the sum over the levels
		a, b := d.pools[n.In[0]], d.pools[n.In[1]]
		if a == nil || a != b {
			return false, nil
		}
		x.names[n.Out[0]] = a.all
		d.pools[n.Out[0]] = a
		return true, nil
	}
	return false, nil
}

// results writes the outputs: the boxes in pixels of the picture and, with logits of
// masks, these.
func (x *exporter) results(logits string) {
	s, d := section{x, "results"}, x.detect
	size := s.cast(s.shape(d.picture, 1, 3), elemFloat)
	scale := s.op("Div", size, s.cast(d.size, elemFloat)) // of y, x
	box := s.op("Mul", d.boxes, s.op("Gather", scale, s.ints(1, 0, 1, 0)))
	list := func(name string, elem elemType, of string, dims ...int64) {
		x.emit(&nodeProto{name: name, op: "Identity", in: []string{of}, out: []string{name}})
		v := &valueProto{name: name, elem: elem, known: true, dims: append([]int64{-1}, dims...), names: make([]string, len(dims)+1)}
		v.names[0] = "objects"
		if len(dims) == 3 {
			v.names[2], v.names[3] = "height", "width"
		}
		x.out.outputs = append(x.out.outputs, v)
	}
	list(boxesName, elemFloat, box, 4)
	list(labelsName, elemInt64, d.labels)
	list(scoresName, elemFloat, d.scores)
	if logits != "" {
		list(masksName, elemFloat, s.masks(logits, box), 1, -1, -1)
	}
}

// masks writes the probabilities of the objects' pixels [n 1 H W], as [masks.Paste]
// computes them: as each pixel is a mean of at most two rows and two columns of the
// mask head's grid, the picture is a product of two matrices with the grid.
func (s section) masks(logits, box string) string {
	d := s.detect
	// The mask of each object's class.
	flat := s.op("Reshape", logits, s.ints(-1, models.MaskSize, models.MaskSize))
	count := s.op("Squeeze", s.shape(d.labels, 0, 1), s.ints(0))
	first := s.op("Mul", s.op("Range", s.int(0), count, s.int(1)), s.int(d.net.Config.Classes))
	mask := s.op("Sigmoid", s.rows(flat, s.op("Add", first, d.labels)))

	e := s.corners(box)
	rows := s.taps(e[1], e[3], s.at(s.shape(d.picture, 1, 3), 0))
	columns := s.taps(e[0], e[2], s.at(s.shape(d.picture, 1, 3), 1))
	y := s.op("MatMul", s.op("MatMul", rows, mask), s.with("Transpose", []string{columns}, attrIs("perm", 0, 2, 1)))
	return s.op("Unsqueeze", y, s.ints(1))
}

// taps returns the weights [n pixels MaskSize] by which the rows of a mask make those
// of a picture, along one axis, for objects from low to high [n 1].
func (s section) taps(low, high, pixels string) string {
	half := s.float(0.5)
	center := s.op("Mul", s.op("Add", high, low), half)
	radius := s.op("Mul", s.op("Mul", s.op("Sub", high, low), half), s.float(float32(masks.Growth(models.MaskSize))))
	// Casting cuts toward zero, as it must.
	first := s.cast(s.cast(s.op("Sub", center, radius), elemInt64), elemFloat)
	last := s.cast(s.cast(s.op("Add", center, radius), elemInt64), elemFloat)
	one := s.float(1)
	extent := s.op("Max", s.op("Add", s.op("Sub", last, first), one), one) // [n 1]
	pixel := s.cast(s.op("Range", s.int(0), pixels, s.int(1)), elemFloat)  // [pixels]
	inner := s.op("Sub", pixel, first)                                     // [n pixels]
	inside := s.op("And", s.op("GreaterOrEqual", inner, s.float(0)), s.op("Less", inner, extent))
	ratio := s.op("Div", s.float(models.MaskSize+2), extent)
	at := s.op("Max", s.op("Sub", s.op("Mul", ratio, s.op("Add", inner, half)), half), s.float(0))
	cells := make([]float32, models.MaskSize) // a border of zeros is left out
	for i := range cells {
		cells[i] = float32(i + 1)
	}
	away := s.op("Abs", s.op("Sub", s.op("Unsqueeze", at, s.ints(2)), s.floats(cells, len(cells))))
	weight := s.op("Max", s.op("Sub", one, away), s.float(0))
	return s.op("Mul", weight, s.op("Unsqueeze", s.cast(inside, elemFloat), s.ints(2)))
}

// anchors returns the anchors [n 4] of a level with these features, in the order of
// [boxes.Anchors.Grid].
func (s section) anchors(level int, feature string) string {
	d := s.detect
	cells := d.head.Anchors.Cell(level)
	flat := make([]float32, 0, 4*len(cells))
	for _, c := range cells {
		flat = append(flat, c.X1, c.Y1, c.X2, c.Y2)
	}
	size := s.shape(feature, 2, 4)
	stride := s.op("Div", d.padded, size)
	along := func(axis int, dims ...int) string {
		v := s.op("Range", s.int(0), s.at(size, axis), s.int(1))
		v = s.cast(s.op("Mul", v, s.at(stride, axis)), elemFloat)
		return s.op("Expand", s.op("Reshape", v, s.ints(dims...)), s.concat(0, size, s.ints(1)))
	}
	y, x := along(0, -1, 1, 1), along(1, 1, -1, 1)
	shift := s.op("Unsqueeze", s.concat(2, x, y, x, y), s.ints(2)) // [h w 1 4]
	return s.op("Reshape", s.op("Add", shift, s.floats(flat, len(cells), 4)), s.ints(-1, 4))
}

// decode is [boxes.Coder.Decode].
func (s section) decode(anchors, deltas string, weights [4]float32) string {
	a, d := s.corners(anchors), s.corners(deltas)
	half := s.float(0.5)
	out := make([]string, 4)
	for axis := range 2 {
		size := s.op("Sub", a[2+axis], a[axis])
		center := s.op("Add", a[axis], s.op("Mul", size, half))
		move, grow := d[axis], d[2+axis]
		if w := weights[axis]; w != 1 {
			move = s.op("Div", move, s.float(w))
		}
		if w := weights[2+axis]; w != 1 {
			grow = s.op("Div", grow, s.float(w))
		}
		center = s.op("Add", s.op("Mul", move, size), center)
		radius := s.op("Mul", s.op("Mul", s.op("Exp", s.op("Min", grow, s.float(boxes.MaxLogRatio))), size), half)
		out[axis], out[2+axis] = s.op("Sub", center, radius), s.op("Add", center, radius)
	}
	return s.concat(-1, out...)
}

// clip keeps boxes within the picture.
func (s section) clip(box string) string {
	d := s.detect
	limit := s.concat(0, s.op("Unsqueeze", d.w, s.ints(0)), s.op("Unsqueeze", d.h, s.ints(0)))
	limit = s.concat(0, limit, limit)
	return s.op("Min", s.op("Max", box, s.float(0)), limit)
}

// best returns the k highest of a list and their numbers, or all if there are fewer.
func (s section) best(list string, k int) (values, numbers string) {
	out := s.ops("TopK", 2, []string{list, s.op("Min", s.shape(list, 0, 1), s.ints(k))})
	return out[0], out[1]
}

// wide is a condition [n]: both sides of a box [n 4] are at least that long.
func (s section) wide(box string, least float32) string {
	e := s.corners(box)
	w := s.op("GreaterOrEqual", s.op("Sub", e[2], e[0]), s.float(least))
	h := s.op("GreaterOrEqual", s.op("Sub", e[3], e[1]), s.float(least))
	return s.op("Squeeze", s.op("And", w, h), s.ints(1))
}

// suppress is [boxes.BatchedNMS] with the groups shifted apart, as torchvision's
// exports do it for any number of boxes. Of what is left it keeps the most best.
func (s section) suppress(box, score, group string, threshold float64, most int) string {
	// Without a box there would be no largest coordinate.
	largest := s.with("ReduceMax", []string{s.concat(0, box, s.floats(make([]float32, 4), 1, 4))}, attrI("keepdims", 0))
	shift := s.op("Mul", group, s.op("Add", largest, s.float(1)))
	apart := s.op("Add", box, s.op("Unsqueeze", shift, s.ints(1)))
	kept := s.op("NonMaxSuppression", s.op("Unsqueeze", apart, s.ints(0)), s.op("Unsqueeze", score, s.ints(0, 1)), s.ints(most), s.floats([]float32{above(threshold)}, 1))
	return s.with("Gather", []string{kept, s.int(2)}, attrI("axis", 1))
}
