package detect

import (
	"fmt"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Loss is what a training step of a detector minimizes, and its parts.
type Loss struct {
	Total *graph.Value
	Parts []Part // which add up to Total
}

// Part is one part of a loss, called as in torchvision.
type Part struct {
	Name  string
	Value *graph.Value
}

// RetinaLoss is the training of a RetinaNet for one shape of batches: what it adds to
// the graph of a step, and the targets that it feeds to it. All that is chosen depends
// on the anchors and the objects alone, so that it happens before the step.
type RetinaLoss struct {
	images, classes int
	v2              bool
	anchors         []boxes.Box
}

// Graph inputs of the targets.
const (
	classTarget = "target.classes" // int64 [images*anchors]
	classWeight = "weight.classes" // [images*anchors]
	boxTarget   = "target.boxes"   // [images*anchors 4]: deltas or, in version 2, corners
	boxWeight   = "weight.boxes"   // [images*anchors 1]
)

// Of the losses of torchvision's RetinaNet.
const (
	focalAlpha = 0.25
	focalGamma = 2
	giouEps    = 1e-7
)

// retinaMatcher assigns objects to the anchors of a RetinaNet.
var retinaMatcher = boxes.Matcher{High: 0.5, Low: 0.4, LowQuality: true}

// NewRetinaLoss adds the losses of a RetinaNet to the graph of t, which is its trace
// (Lin et al. 2017, "Focal Loss for Dense Object Detection", sections 3 and 4): the
// focal loss of the classes of all anchors but those between object and background,
// and of the anchors of objects the L1 distance of the deltas or, in version 2, the
// GIoU loss of the boxes. Both are divided by the number of such anchors in each
// picture and averaged over pictures.
func NewRetinaLoss(net *models.RetinaNet, cfg models.Config, t *nn.Traced) (*RetinaLoss, *Loss, error) {
	features, logits, deltas := net.Levels(t)
	in := t.Input.Shape
	l := &RetinaLoss{images: in[0], classes: cfg.Classes, v2: cfg.Detection.V2}
	var levels []boxes.Level
	for _, f := range features {
		levels = append(levels, boxes.Level{H: f.Shape[2], W: f.Shape[3]})
	}
	l.anchors = cfg.Detection.Anchors.Grid(in[2], in[3], levels)
	var loss *Loss
	err := graph.Try(func() { loss = l.add(t.Graph, logits, deltas) })
	return l, loss, err
}

func (l *RetinaLoss) add(g *graph.Graph, logits, deltas []*graph.Value) *Loss {
	rows := l.images * len(l.anchors)
	join := func(levels []*graph.Value, k int) *graph.Value { return joinLevels(g, levels, rows, k) }
	input := func(name string, t graph.Type) *graph.Value { return addInput(g, "RetinaLoss", name, t) }
	classes := input(classTarget, graph.Type{DType: tensor.Int64, Shape: tensor.Shape{rows}})
	focal := graph.SigmoidFocal{Alpha: focalAlpha, Gamma: focalGamma}
	cls := g.Must1(focal, join(logits, l.classes), classes, input(classWeight, graph.F32(rows)))

	moved, target, weight := join(deltas, 4), input(boxTarget, graph.F32(rows, 4)), input(boxWeight, graph.F32(rows, 1))
	var reg *graph.Value
	if l.v2 {
		reg = graph.GIoULoss(g, l.decode(g, moved), target, weight, giouEps)
	} else {
		reg = graph.L1Loss(g, moved, target, weight)
	}
	return &Loss{
		Total: g.Must1(graph.Binary{Fn: graph.Add}, cls, reg),
		Parts: []Part{{"classification", cls}, {"bbox_regression", reg}},
	}
}

// decode turns deltas [images*anchors 4] into corners, as [boxes.Coder.Decode] does
// with weights of 1.
func (l *RetinaLoss) decode(g *graph.Graph, deltas *graph.Value) *graph.Value {
	n := len(l.anchors)
	size, center := tensor.New(1, n, 2), tensor.New(1, n, 2)
	for i, a := range l.anchors {
		size.Float32s()[2*i], size.Float32s()[2*i+1] = a.W(), a.H()
		center.Float32s()[2*i], center.Float32s()[2*i+1] = a.X1+0.5*a.W(), a.Y1+0.5*a.H()
	}
	do := func(fn graph.BinaryFn, a, b *graph.Value) *graph.Value { return g.Must1(graph.Binary{Fn: fn}, a, b) }
	d := g.Must1(graph.Reshape{Shape: tensor.Shape{l.images, n, 4}}, deltas)
	part := func(start int) *graph.Value {
		return g.Must1(graph.Slice{Axis: 2, Start: start, Count: 2, Step: 1}, d)
	}
	sizes, centers := g.Const(size), g.Const(center)
	mid := do(graph.Add, do(graph.Mul, part(0), sizes), centers)
	ratio := g.Must1(graph.Unary{Fn: graph.Exp}, do(graph.Min, part(2), g.Scalar(boxes.MaxLogRatio)))
	half := g.Must1(graph.Affine{Scale: 0.5}, do(graph.Mul, ratio, sizes))
	corners := g.Must1(graph.Concat{Axis: 2}, do(graph.Sub, mid, half), do(graph.Add, mid, half))
	return g.Must1(graph.Reshape{Shape: tensor.Shape{l.images * n, 4}}, corners)
}

// Targets returns the graph inputs for a batch of the shape that the loss was made
// for. An object without an area is an error, because no deltas reach it.
func (l *RetinaLoss) Targets(b *detection.Batch) (infer.Tensors, error) {
	if b.N != l.images {
		return nil, fmt.Errorf("detect: the batch has %d pictures, the step was compiled for %d", b.N, l.images)
	}
	n := len(l.anchors)
	classes, box := tensor.NewInt64(b.N*n), tensor.New(b.N*n, 4)
	classWeights, boxWeights := tensor.New(b.N*n), tensor.New(b.N*n, 1)
	for row := range b.Real {
		objects, err := objectsOf(b, row, l.classes)
		if err != nil {
			return nil, err
		}
		match := retinaMatcher.Match(objects, l.anchors)
		positives := 0
		for _, m := range match {
			if m >= 0 {
				positives++
			}
		}
		weight := 1 / float32(max(positives, 1)) / float32(b.Real)
		for i, m := range match {
			at := row*n + i
			classes.Int64s()[at] = -1
			if m == boxes.Between {
				continue // its weight is 0
			}
			classWeights.Float32s()[at] = weight
			if m < 0 {
				continue
			}
			classes.Int64s()[at] = b.Labels[row*b.Capacity+m]
			boxWeights.Float32s()[at] = weight
			o := objects[m]
			t := [4]float32{o.X1, o.Y1, o.X2, o.Y2}
			if !l.v2 {
				t = unitCoder.Encode(o, l.anchors[i])
			}
			copy(box.Float32s()[4*at:], t[:])
		}
	}
	for at := b.Real * n; at < b.N*n; at++ {
		classes.Int64s()[at] = -1
	}
	if l.v2 { // the loss of anchors that do not count must be finite, too
		for at, w := range boxWeights.Float32s() {
			if w == 0 {
				a := l.anchors[at%n]
				copy(box.Float32s()[4*at:], []float32{a.X1, a.Y1, a.X2, a.Y2})
			}
		}
	}
	return infer.Tensors{classTarget: classes, classWeight: classWeights, boxTarget: box, boxWeight: boxWeights}, nil
}
