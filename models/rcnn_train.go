package models

import (
	"fmt"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// RCNNTraining is an R-CNN as a step of training computes it, as a module of its own
// with the same state-dict keys: the region proposal network's answers about all
// anchors, and the box and mask heads' about boxes that are sampled among the
// proposals and the objects (Ren et al. 2015, section 3.2; Girshick 2015, "Fast
// R-CNN", section 2.3), as torchvision 0.29 does. Package detect makes the loss of it.
//
// Inputs: pictures [N 3 H W]; [SizesInput]; [ObjectsInput] [N*Objects 5], rows of x1,
// y1, x2, y2 and class, unused where the class is below 1; [DrawInput] int64 [2], which
// chooses the random numbers; and, with masks, [MasksInput] int64
// [N*Objects (H*W+63)/64], the pixels of each object's mask, row by row from the lowest
// bit. Output: the logits of the sampled boxes; the rest is in Values.
type RCNNTraining struct {
	Backbone *PyramidBackbone
	RPN      struct {
		Head *RPNHead
	} `key:"rpn"`
	RoIHeads struct {
		BoxHead       nn.Module
		BoxPredictor  *BoxPredictor
		MaskHead      nn.Sequential
		MaskPredictor *MaskPredictor
	} `key:"roi_heads"`

	// Values are those of the last trace.
	Values RCNNValues `key:"-"`

	net              *RCNN `key:"-"`
	objects, samples int   `key:"-"`
}

// RCNNValues are the values of which the losses of an R-CNN are made. R is the number
// of sampled boxes, M of those of them whose masks are learned.
type RCNNValues struct {
	Objectness []*graph.Value // of each level [N h*w*anchors 1]
	Deltas     []*graph.Value // of each level [N h*w*anchors 4]
	Levels     []boxes.Level

	Logits    *graph.Value // [R classes]
	Classes   *graph.Value // int64 [R]: what Logits should be, graph.IgnoreLabel for unused rows
	BoxDeltas *graph.Value // [R 4]: of the class in Classes
	BoxTarget *graph.Value // [R 4]
	BoxWeight *graph.Value // [R 1]: 1 over the number of sampled boxes, 0 where there is no object

	// Of a Mask R-CNN, else nil.
	MaskLogits *graph.Value // [M 1 MaskSize MaskSize]: of the class in Classes
	MaskTarget *graph.Value // the same shape
	MaskWeight *graph.Value // [M 1 1 1]: 1 over the number of pixels of all masks, 0 for unused rows
}

// Graph inputs of [RCNNTraining], besides [SizesInput].
const (
	ObjectsInput = "objects"
	DrawInput    = "draw"
	MasksInput   = "masks"
)

// positiveShare is the largest part of the sampled boxes that are objects.
const positiveShare = 0.25

// Training returns m as a step of training computes it, for batches with room for
// that number of objects in a picture. Of each picture a number of boxes is sampled, at
// least 4; torchvision samples 512.
func (m *RCNN) Training(objects, samples int) *RCNNTraining {
	t := &RCNNTraining{Backbone: m.Backbone, net: m, objects: objects, samples: samples}
	t.RPN.Head = m.RPN.Head
	t.RoIHeads.BoxHead, t.RoIHeads.BoxPredictor = m.RoIHeads.BoxHead, m.RoIHeads.BoxPredictor
	t.RoIHeads.MaskHead, t.RoIHeads.MaskPredictor = m.RoIHeads.MaskHead, m.RoIHeads.MaskPredictor
	return t
}

// Forward computes the Values and returns the logits of the sampled boxes.
func (t *RCNNTraining) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	m, n := t.net, x.Shape[0]
	input := func(name string, dtype tensor.DType, shape ...int) *graph.Value {
		v, err := c.Graph().Input(name, graph.Type{DType: dtype, Shape: shape})
		if err != nil {
			c.Failf("%w", err)
		}
		return v
	}
	sizes := input(SizesInput, tensor.Float32, n, 2)
	objects := input(ObjectsInput, tensor.Float32, n*t.objects, 5)
	draw := input(DrawInput, tensor.Int64, 2)

	// torchvision considers and keeps twice as many proposals in training.
	p := m.propose(c, x, sizes, 2*m.head.TopK, 2*m.head.Proposals)
	s := sampling{images: n, objects: t.objects, samples: t.samples}
	out := c.Op(s, p.rois, objects, sizes, draw)
	rows, match, index := out[0], out[2], out[3]
	v := RCNNValues{Objectness: p.logits, Deltas: p.deltas, Levels: p.sizes, Classes: out[1], BoxTarget: out[4], BoxWeight: out[5]}
	var deltas *graph.Value
	v.Logits, deltas = m.classify(c, m.pool(c, p.levels, rows, sizes, x.Shape[2], boxBins))
	v.BoxDeltas = c.Op1(graph.GatherElements{Axis: 1}, deltas, index)
	if m.RoIHeads.MaskPredictor != nil {
		bits := input(MasksInput, tensor.Int64, n*t.objects, (x.Shape[2]*x.Shape[3]+63)/64)
		op := maskTargets{images: n, samples: t.samples, positives: s.positives(), objects: t.objects, width: x.Shape[3]}
		out := c.Op(op, rows, match, objects, sizes, bits)
		logits := m.Masks(c, m.pool(c, p.levels, out[0], sizes, x.Shape[2], maskBins))
		v.MaskLogits = c.Op1(graph.GatherElements{Axis: 1}, logits, out[1])
		v.MaskTarget, v.MaskWeight = out[2], out[3]
	}
	t.Values = v
	return v.Logits
}

// sampling chooses the boxes that the heads of an R-CNN learn of: the proposals and
// the objects themselves are matched with the objects, and a number of them is drawn
// in a balance of objects and background, as torchvision's RoIHeads does.
//
// Inputs: proposals [N*P 5], objects [N*O 5], sizes [N 2], draw int64 [2]. Outputs, with
// R = N*samples: boxes [R 5], of each picture those of objects first; their classes
// int64 [R]; the rows of their objects int64 [R], or -1; for the four deltas of the
// class their columns int64 [R 4]; target [R 4] and weight [R 1] of these. A picture
// with fewer boxes repeats them in rows that do not count, so that they do not
// change the statistics of batch norms as rows of zeros would.
type sampling struct{ images, objects, samples int }

// Name implements [graph.Op].
func (sampling) Name() string { return "SampleBoxes" }

// positives is the largest number of sampled boxes of a picture that are objects.
func (o sampling) positives() int { return int(float64(o.samples) * positiveShare) }

// Infer implements [graph.Op].
func (o sampling) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 4 || in[3].DType != tensor.Int64 {
		return nil, fmt.Errorf("want four inputs, the last int64")
	}
	r := o.images * o.samples
	ints := func(shape ...int) graph.Type { return graph.Type{DType: tensor.Int64, Shape: shape} }
	return []graph.Type{graph.F32(r, 5), ints(r), ints(r), ints(r, 4), graph.F32(r, 4), graph.F32(r, 1)}, nil
}

// opSampleBoxes numbers the random decision, beside those of packages data,
// data/detection and detect; never reuse it.
const opSampleBoxes = 129

// boxMatcher assigns objects to proposals.
var boxMatcher = boxes.Matcher{High: 0.5, Low: 0.5}

// candidate is a box that may be sampled.
type candidate struct {
	box    boxes.Box
	object int // row of its object, -1 for the background
}

// Compute implements [graph.HostOp].
func (o sampling) Compute(in, out []*tensor.Tensor) error {
	proposals, objects, sizes, draw := in[0].Float32s(), in[1].Float32s(), in[2].Float32s(), in[3].Int64s()
	rows, classes, match, index := out[0].Float32s(), out[1].Int64s(), out[2].Int64s(), out[3].Int64s()
	target, weight := out[4].Float32s(), out[5].Float32s()
	clear(index)
	clear(target)
	clear(weight)
	per := len(proposals) / 5 / o.images
	coder := boxes.Coder{Weights: boxWeights}
	total := 0
	for n := range o.images {
		var all, truth []boxes.Box
		var truthRow []int
		for k := n * per; k < (n+1)*per; k++ {
			if proposals[5*k] >= 0 {
				all = append(all, boxAt(proposals, 5*k+1))
			}
		}
		for k := n * o.objects; k < (n+1)*o.objects; k++ {
			if objects[5*k+4] >= 1 {
				truth, truthRow = append(truth, boxAt(objects, 5*k)), append(truthRow, k)
			}
		}
		all = append(all, truth...)
		if len(all) == 0 {
			all = append(all, boxes.Box{X2: sizes[2*n+1], Y2: sizes[2*n]}) // an empty picture is background
		}
		matched := boxMatcher.Match(truth, all)
		rng := philox.Keyed(uint64(draw[0]), opSampleBoxes, uint32(draw[1]), uint32(n))
		positives, negatives := boxes.Sampler{Size: o.samples, Positive: positiveShare}.Sample(matched, rng.Permutation)
		var chosen []candidate
		for _, i := range positives {
			chosen = append(chosen, candidate{all[i], truthRow[matched[i]]})
		}
		for _, i := range negatives {
			chosen = append(chosen, candidate{all[i], -1})
		}
		total += len(chosen)
		for k := range o.samples {
			c, at := chosen[k%len(chosen)], n*o.samples+k
			copy(rows[5*at:], []float32{float32(n), c.box.X1, c.box.Y1, c.box.X2, c.box.Y2})
			match[at], classes[at] = -1, 0
			if k >= len(chosen) {
				classes[at] = graph.IgnoreLabel
				continue
			}
			if c.object < 0 {
				continue
			}
			match[at], classes[at] = int64(c.object), int64(objects[5*c.object+4])
			weight[at] = 1
			d := coder.Encode(boxAt(objects, 5*c.object), c.box)
			copy(target[4*at:], d[:])
			for i := range 4 {
				index[4*at+i] = 4*classes[at] + int64(i)
			}
		}
	}
	for i := range weight {
		weight[i] /= float32(total)
	}
	return nil
}

// maskTargets makes what the mask head learns of the sampled boxes that are objects,
// as torchvision's RoIHeads does: the part of the object's mask inside the box.
//
// Inputs: boxes [R 5], the rows of their objects int64 [R], objects [N*O 5], sizes
// [N 2], masks int64 [N*O words]. Outputs, with M = N*positives: boxes [M 5], unused
// where the image is -1; the channel of their class int64 [M 1 MaskSize MaskSize];
// target of that shape; weight [M 1 1 1].
type maskTargets struct{ images, samples, positives, objects, width int }

// Name implements [graph.Op].
func (maskTargets) Name() string { return "MaskTargets" }

// Infer implements [graph.Op].
func (o maskTargets) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 5 || in[1].DType != tensor.Int64 || in[4].DType != tensor.Int64 {
		return nil, fmt.Errorf("want five inputs, the second and the last int64")
	}
	m := o.images * o.positives
	channel := graph.Type{DType: tensor.Int64, Shape: tensor.Shape{m, 1, MaskSize, MaskSize}}
	return []graph.Type{graph.F32(m, 5), channel, graph.F32(m, 1, MaskSize, MaskSize), graph.F32(m, 1, 1, 1)}, nil
}

// Compute implements [graph.HostOp].
func (o maskTargets) Compute(in, out []*tensor.Tensor) error {
	from, match, objects, sizes, bits := in[0].Float32s(), in[1].Int64s(), in[2].Float32s(), in[3].Float32s(), in[4].Int64s()
	rows, channel, target, weight := out[0].Float32s(), out[1].Int64s(), out[2].Float32s(), out[3].Float32s()
	clear(channel)
	clear(target)
	clear(weight)
	unused(rows, 5, 0)
	words := len(bits) / (o.images * o.objects)
	const size = MaskSize * MaskSize
	used := 0
	for n := range o.images {
		chosen := match[n*o.samples:][:o.positives] // those of objects come first
		objectsIn := len(chosen) - count(chosen, -1)
		for k := range chosen {
			at, object := n*o.positives+k, int(chosen[k])
			if object < 0 {
				if objectsIn > 0 { // for batch norms, see sampling
					copy(rows[5*at:5*at+5], rows[5*(n*o.positives+k%objectsIn):])
				}
				continue
			}
			used++
			row := from[5*(n*o.samples+k):][:5]
			copy(rows[5*at:], row)
			h, w := int(sizes[2*n]), int(sizes[2*n+1])
			mask := bits[object*words : (object+1)*words]
			box := boxAt(row, 1)
			masks.Align(target[at*size:(at+1)*size], MaskSize, [4]float32{box.X1, box.Y1, box.X2, box.Y2}, h, w, func(y, x int) float32 {
				p := y*o.width + x
				return float32(mask[p>>6] >> (p & 63) & 1)
			})
			weight[at] = 1
			class := int64(objects[5*object+4])
			for i := at * size; i < (at+1)*size; i++ {
				channel[i] = class
			}
		}
	}
	for i := range weight {
		weight[i] /= float32(max(used, 1) * size)
	}
	return nil
}

// count returns how many of the values are v.
func count(values []int64, v int64) int {
	n := 0
	for _, w := range values {
		if w == v {
			n++
		}
	}
	return n
}
