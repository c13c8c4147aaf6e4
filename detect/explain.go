package detect

import (
	"context"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// locator is a [finder] that knows where in the network the scores are.
type locator interface {
	// locate is find with the network's inputs and the score of each object.
	locate(ctx context.Context, x *tensor.Tensor, h, w int) ([]found, func(i int) (explain.Score, error), infer.Tensors, error)
}

// Explanation is what raises the scores of objects in a picture.
type Explanation struct {
	Objects []Object
	// Maps has a map for each object, of the network's input. Its Class is the
	// object's, its Logit that of the class.
	Maps []explain.Map
	// Input is the network's input, [1 3 H W], of which the upper left Height by Width
	// pixels are the picture.
	Input         *tensor.Tensor
	Height, Width int
	Mean, Std     []float32 // by which the input is normalized
}

// Explain finds which parts of a picture raise the class scores of objects, by an
// explainer of the detector's network. choose returns the numbers of those that are
// explained, among the objects that [Detector.Detect] finds. Unless opt names
// a layer, activations are read at the level of the pyramid that the box is from. What
// is explained is the logit of the class, given where the anchor or the proposal lies.
func (d *Detector) Explain(ctx context.Context, e *explain.Explainer, m *imaging.Image, choose func([]Object) ([]int, error), opt explain.Options) (*Explanation, error) {
	x, h, w, err := d.Input(m)
	if err != nil {
		return nil, err
	}
	l, ok := d.finder.(locator)
	if !ok {
		return nil, fmt.Errorf("detect: detectors of type %T cannot be explained", d.finder)
	}
	all, score, in, err := l.locate(ctx, x, h, w)
	if err != nil {
		return nil, err
	}
	objects := d.objects(m, all, h, w)
	chosen, err := choose(objects)
	if err != nil {
		return nil, err
	}
	out := &Explanation{Input: x, Height: h, Width: w, Mean: d.prep.Mean, Std: d.prep.Std}
	for k, i := range chosen {
		if i < 0 || i >= len(objects) {
			return nil, fmt.Errorf("detect: no object %d: there are %d", i, len(objects))
		}
		s, err := score(i)
		if err != nil {
			return nil, err
		}
		one, err := e.Map(ctx, in, s, opt)
		if err != nil {
			return nil, err
		}
		one.Class = objects[i].Class
		out.Objects, out.Maps = append(out.Objects, objects[i]), append(out.Maps, one)
		if opt.Progress != nil {
			opt.Progress(k+1, len(chosen))
		}
	}
	return out, nil
}

// Features returns the output of a module of the detector's network for a picture,
// with the padding that the network sees, by an explainer of the network. See
// [explain.Explainer.Features].
func (d *Detector) Features(ctx context.Context, e *explain.Explainer, m *imaging.Image, layer string) (*tensor.Tensor, error) {
	x, h, w, err := d.Input(m)
	if err != nil {
		return nil, err
	}
	in := infer.Tensors{nn.ImageInput: x}
	if t, ok := d.finder.(*twoStage); ok {
		in = t.inputs(x, h, w)
	}
	return e.FeaturesOf(ctx, in, layer)
}

func (r *retina) locate(ctx context.Context, x *tensor.Tensor, h, w int) ([]found, func(int) (explain.Score, error), infer.Tensors, error) {
	all, err := r.find(ctx, x, h, w)
	var ends []int // of the levels, in rows
	rows := 0
	for _, cells := range r.anchors(inputSize{x.Shape()[2], x.Shape()[3]}) {
		rows += len(cells)
		ends = append(ends, rows)
	}
	score := func(i int) (explain.Score, error) {
		f := all[i]
		level := slices.IndexFunc(ends, func(end int) bool { return f.at < end })
		layer := fmt.Sprintf("backbone.fpn.layer_blocks.%d", level)
		if pyramid := len(r.net.Backbone.FPN.LayerBlocks); level >= pyramid {
			layer = fmt.Sprintf("backbone.fpn.extra_blocks.p%d", 6+level-pyramid)
		}
		weights := tensor.New(1, rows, r.classes+4)
		weights.Float32s()[f.at*(r.classes+4)+f.Class] = 1
		return explain.Score{Name: "output", Weights: weights, Layer: layer, Value: func(t *nn.Traced) (*graph.Value, error) { return t.Output, nil }}, nil
	}
	return all, score, infer.Tensors{nn.ImageInput: x}, err
}

// Outputs of the query of locate, besides those of find.
const (
	rowLogits = "row.logits"
	rowDeltas = "row.deltas"
	rowBoxes  = "row.boxes"
)

func (t *twoStage) locate(ctx context.Context, x *tensor.Tensor, h, w int) ([]found, func(int) (explain.Score, error), infer.Tensors, error) {
	in := t.inputs(x, h, w)
	q := infer.Query{Name: "locate", Build: func(tr *nn.Traced) error {
		logits, deltas, proposals := t.net.Scores(tr)
		tr.Graph.Output(rowLogits, logits)
		tr.Graph.Output(rowDeltas, deltas)
		tr.Graph.Output(rowBoxes, proposals)
		return t.query().Build(tr)
	}}
	out, err := t.runner.Run(ctx, q, in)
	if err != nil {
		return nil, nil, nil, err
	}
	all, err := t.objects(ctx, in[models.SizesInput], out)
	if err != nil {
		return nil, nil, nil, err
	}
	logits, deltas, proposals := out[rowLogits].Float32s(), out[rowDeltas].Float32s(), out[rowBoxes].Float32s()
	score := func(i int) (explain.Score, error) {
		f := all[i]
		row := t.rowOf(f.Object, deltas, proposals, float32(w), float32(h))
		if row < 0 {
			return explain.Score{}, fmt.Errorf("detect: the proposal of object %d is not found", i)
		}
		weights := tensor.New(len(logits)/t.classes, t.classes)
		weights.Float32s()[row*t.classes+f.Class] = 1
		level := t.net.Level(boxes.Box{X1: proposals[5*row+1], Y1: proposals[5*row+2], X2: proposals[5*row+3], Y2: proposals[5*row+4]})
		return explain.Score{
			Name: "logits", Weights: weights, Layer: fmt.Sprintf("backbone.fpn.layer_blocks.%d", level),
			Value: func(tr *nn.Traced) (*graph.Value, error) {
				logits, _, _ := t.net.Scores(tr)
				return logits, nil
			},
		}, nil
	}
	return all, score, in, nil
}

// rowOf returns the proposal that became an object: the one that its class's deltas
// move there, -1 for none.
func (t *twoStage) rowOf(o Object, deltas, proposals []float32, w, h float32) int {
	for k := range len(proposals) / 5 {
		p := proposals[5*k : 5*k+5]
		if p[0] < 0 {
			continue
		}
		b := models.DecodeBox([4]float32(deltas[4*(k*t.classes+o.Class):]), boxes.Box{X1: p[1], Y1: p[2], X2: p[3], Y2: p[4]}).Clip(w, h)
		if b == o.Box {
			return k
		}
	}
	return -1
}
