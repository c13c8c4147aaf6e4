package detect

import (
	"fmt"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// rcnnLoss is the losses of an R-CNN for one shape of batches.
type rcnnLoss struct {
	images, classes, h, w int
	masks                 bool
	sampling              Sampling
	anchors               []boxes.Box
}

// Graph inputs of the targets of the region proposal network, with A anchors of all
// pictures.
const (
	proposalTarget    = "target.objectness"  // [A 1]: whether it is an object
	proposalWeight    = "weight.objectness"  // [A 1]
	proposalBox       = "target.rpn_box_reg" // [A 4]
	proposalBoxWeight = "weight.rpn_box_reg" // [A 1]
)

// smoothL1Beta is where the losses of boxes change from square to linear.
const smoothL1Beta = 1. / 9

// proposalMatcher assigns objects to the anchors of a region proposal network.
var proposalMatcher = boxes.Matcher{High: 0.7, Low: 0.3, LowQuality: true}

// opSampleAnchors numbers the random decision, beside those of packages data,
// data/detection and models; never reuse it.
const opSampleAnchors = 128

// newRCNNLoss adds the losses of an R-CNN to the graph of t, which is its trace (Ren
// et al. 2015, "Faster R-CNN", section 3.1.2; He et al. 2017, "Mask R-CNN", section 3):
// of a sample of anchors the binary cross entropy of whether they hold an object, and
// of the objects among them the smooth L1 distance of the deltas; of sampled boxes the
// cross entropy of the class and the smooth L1 distance of the deltas; of the masks
// the binary cross entropy of each pixel. All are means over what was sampled of the
// whole batch.
func newRCNNLoss(m *models.RCNNTraining, cfg models.Config, s Sampling, t *nn.Traced) (*rcnnLoss, *Loss, error) {
	in := t.Input.Shape
	l := &rcnnLoss{images: in[0], classes: cfg.Classes, h: in[2], w: in[3], masks: m.Values.MaskLogits != nil, sampling: s}
	l.anchors = cfg.Detection.Anchors.Grid(in[2], in[3], m.Values.Levels)
	var loss *Loss
	err := graph.Try(func() { loss = l.add(t.Graph, &m.Values) })
	return l, loss, err
}

func (l *rcnnLoss) add(g *graph.Graph, v *models.RCNNValues) *Loss {
	rows := l.images * len(l.anchors)
	input := func(name string, k int) *graph.Value { return addInput(g, "RCNNLoss", name, graph.F32(rows, k)) }
	parts := []Part{
		{"loss_classifier", g.Must1(graph.CrossEntropy{}, v.Logits, v.Classes)},
		{"loss_box_reg", graph.SmoothL1Loss(g, v.BoxDeltas, v.BoxTarget, v.BoxWeight, smoothL1Beta)},
		{"loss_objectness", graph.BCELoss(g, joinLevels(g, v.Objectness, rows, 1), input(proposalTarget, 1), input(proposalWeight, 1))},
		{"loss_rpn_box_reg", graph.SmoothL1Loss(g, joinLevels(g, v.Deltas, rows, 4), input(proposalBox, 4), input(proposalBoxWeight, 1), smoothL1Beta)},
	}
	if l.masks {
		parts = append(parts, Part{"loss_mask", graph.BCELoss(g, v.MaskLogits, v.MaskTarget, v.MaskWeight)})
	}
	total := parts[0].Value
	for _, p := range parts[1:] {
		total = g.Must1(graph.Binary{Fn: graph.Add}, total, p.Value)
	}
	return &Loss{Total: total, Parts: parts}
}

// Targets implements targets.
func (l *rcnnLoss) Targets(b *detection.Batch, seed uint64, draw int) (infer.Tensors, error) {
	if b.N != l.images || b.H != l.h || b.W != l.w {
		return nil, fmt.Errorf("detect: the batch has %d pictures of %d x %d pixels, the step was compiled for %d of %d x %d", b.N, b.W, b.H, l.images, l.w, l.h)
	}
	if l.masks && len(b.Masks) != b.N {
		return nil, fmt.Errorf("detect: a Mask R-CNN learns from masks, which the batch does not have: set LoaderConfig.Masks")
	}
	n := len(l.anchors)
	objectness, weights := tensor.New(b.N*n, 1), tensor.New(b.N*n, 1)
	box, boxWeights := tensor.New(b.N*n, 4), tensor.New(b.N*n, 1)
	rows, sizes := tensor.New(b.N*b.Capacity, 5), tensor.New(b.N, 2)
	sampled := 0
	for row := range b.N {
		sizes.Float32s()[2*row], sizes.Float32s()[2*row+1] = float32(max(b.Sizes[row][0], 1)), float32(max(b.Sizes[row][1], 1))
		if row >= b.Real {
			continue
		}
		objects, err := objectsOf(b, row, l.classes)
		if err != nil {
			return nil, err
		}
		for i, o := range objects {
			at := row*b.Capacity + i
			copy(rows.Float32s()[5*at:], []float32{o.X1, o.Y1, o.X2, o.Y2, float32(b.Labels[at])})
		}
		match := proposalMatcher.Match(objects, l.anchors)
		rng := philox.Keyed(seed, opSampleAnchors, uint32(draw), uint32(row))
		positives, negatives := boxes.Sampler{Size: l.sampling.Anchors, Positive: 0.5}.Sample(match, rng.Permutation)
		sampled += len(positives) + len(negatives)
		for _, i := range positives {
			at := row*n + i
			objectness.Float32s()[at], weights.Float32s()[at], boxWeights.Float32s()[at] = 1, 1, 1
			d := unitCoder.Encode(objects[match[i]], l.anchors[i])
			copy(box.Float32s()[4*at:], d[:])
		}
		for _, i := range negatives {
			weights.Float32s()[row*n+i] = 1
		}
	}
	for _, t := range []*tensor.Tensor{weights, boxWeights} {
		for i := range t.Float32s() {
			t.Float32s()[i] /= float32(max(sampled, 1))
		}
	}
	draws := tensor.NewInt64(2)
	draws.Int64s()[0], draws.Int64s()[1] = int64(seed), int64(draw)
	in := infer.Tensors{
		proposalTarget: objectness, proposalWeight: weights, proposalBox: box, proposalBoxWeight: boxWeights,
		models.SizesInput: sizes, models.ObjectsInput: rows, models.DrawInput: draws,
	}
	if l.masks {
		in[models.MasksInput] = packMasks(b)
	}
	return in, nil
}

// packMasks returns the masks of a batch as bits, see [models.RCNNTraining].
func packMasks(b *detection.Batch) *tensor.Tensor {
	words := (b.H*b.W + 63) / 64
	t := tensor.NewInt64(b.N*b.Capacity, words)
	for row, ms := range b.Masks[:b.Real] {
		for i, m := range ms {
			if m != nil {
				packMask(t.Int64s()[(row*b.Capacity+i)*words:][:words], m, b.W)
			}
		}
	}
	return t
}

// packMask sets the bits of a mask in rows of that width.
func packMask(words []int64, m *masks.Bitmap, width int) {
	for y := range m.Rows {
		for x, v := range m.Pix[y*m.Cols : (y+1)*m.Cols] {
			if v != 0 {
				p := (m.Y+y)*width + m.X + x
				words[p>>6] |= 1 << (p & 63)
			}
		}
	}
}
