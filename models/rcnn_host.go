package models

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// This file has the steps of a two-stage detector that choose: operators that
// compute themselves, see [graph.HostOp]. Where fewer boxes are left than a fixed
// shape has rows, the rows that remain are unused: their image or class is -1.

// boxAt returns the box in elements i to i+3.
func boxAt(x []float32, i int) boxes.Box {
	return boxes.Box{X1: x[i], Y1: x[i+1], X2: x[i+2], Y2: x[i+3]}
}

// wide reports whether both sides of b are at least that long.
func wide(b boxes.Box, least float32) bool { return b.W() >= least && b.H() >= least }

// proposals chooses the boxes that may hold an object (Ren et al. 2015, section
// 3.3), as torchvision's RegionProposalNetwork does.
//
// Inputs: for each level of the pyramid logits [N h*w*anchors 1], then for each level
// deltas [N h*w*anchors 4], then sizes [N 2]. Output [N*keep 5]: image, x1, y1, x2, y2.
type proposals struct {
	anchors       boxes.Anchors
	levels        []boxes.Level
	images        int
	height, width int // of the padded input
	topK, keep    int
	nms           float64
}

// Name implements [graph.Op].
func (proposals) Name() string { return "Proposals" }

// Infer implements [graph.Op].
func (o proposals) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 2*len(o.levels)+1 {
		return nil, fmt.Errorf("got %d inputs, want %d", len(in), 2*len(o.levels)+1)
	}
	return []graph.Type{graph.F32(o.images*o.keep, 5)}, nil
}

// least are the sides of the smallest proposals and detections, in pixels.
const (
	leastProposal  = 1e-3
	leastDetection = 1e-2
)

// Compute implements [graph.HostOp].
func (o proposals) Compute(in, out []*tensor.Tensor) error {
	levels := len(o.levels)
	sizes, rois := in[2*levels].Float32s(), out[0].Float32s()
	unused(rois, 5, 0)
	coder := boxes.Coder{Weights: [4]float32{1, 1, 1, 1}}
	cells := make([][]boxes.Box, levels)
	for l, level := range o.levels {
		one := boxes.Anchors{Sizes: o.anchors.Sizes[l : l+1], Ratios: o.anchors.Ratios}
		cells[l] = one.Grid(o.height, o.width, []boxes.Level{level})
	}
	for n := range o.images {
		h, w := sizes[2*n], sizes[2*n+1]
		var found []boxes.Box
		var scores []float32
		var group []int
		for l := range levels {
			anchors := len(cells[l])
			logits := in[l].Float32s()[n*anchors : (n+1)*anchors]
			deltas := in[levels+l].Float32s()[4*n*anchors : 4*(n+1)*anchors]
			for _, i := range boxes.TopK(logits, o.topK) {
				b := coder.Decode([4]float32(deltas[4*i:]), cells[l][i]).Clip(w, h)
				// Neither a side nor a score that is NaN passes.
				if s := sigmoid(logits[i]); wide(b, leastProposal) && s >= 0 {
					found, scores, group = append(found, b), append(scores, s), append(group, l)
				}
			}
		}
		keep := boxes.BatchedNMS(found, scores, group, o.nms)
		for k, i := range keep[:min(len(keep), o.keep)] {
			b := found[i]
			copy(rois[5*(n*o.keep+k):], []float32{float32(n), b.X1, b.Y1, b.X2, b.Y2})
		}
	}
	return nil
}

func sigmoid(z float32) float32 { return float32(1 / (1 + math.Exp(-float64(z)))) }

// unused clears rows of a width and marks each at a column as unused.
func unused(rows []float32, width, column int) {
	clear(rows)
	for i := column; i < len(rows); i += width {
		rows[i] = -1
	}
}

// assignment gives each box to the level of the pyramid that suits its size (Lin et
// al. 2017, equation 1), as torchvision's MultiScaleRoIAlign does.
//
// Inputs: boxes [K 5], sizes [N 2]. Outputs: for each level the boxes [K 5], where
// those of other levels are unused.
type assignment struct {
	boxes   int
	height  int   // of the padded input
	heights []int // of the levels' features
}

// Name implements [graph.Op].
func (assignment) Name() string { return "AssignLevels" }

// Infer implements [graph.Op].
func (o assignment) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 2 {
		return nil, fmt.Errorf("got %d inputs, want 2", len(in))
	}
	types := make([]graph.Type, len(o.heights))
	for i := range types {
		types[i] = graph.F32(o.boxes, 5)
	}
	return types, nil
}

// exponent is the power of two that is nearest to the ratio of two heights.
func exponent(of, to float64) int { return int(math.RoundToEven(math.Log2(of / to))) }

// scale brings pixels of the input to those of a level.
func (o assignment) scale(level int) float32 {
	return float32(math.Ldexp(1, exponent(float64(o.heights[level]), float64(o.height))))
}

// A box of 224 pixels, the size of pictures of ImageNet, belongs to the level with a
// stride of 16.
const (
	canonicalSize  = 224
	canonicalLevel = 4
)

// levelOf returns the level, from first to last, that suits the size of a box.
func levelOf(b boxes.Box, first, last float64) int {
	size := float32(math.Sqrt(float64(b.Area())))
	level := math.Floor(float64(canonicalLevel + float32(math.Log2(float64(size/canonicalSize))) + 1e-6))
	return int(min(max(level, first), last))
}

// Compute implements [graph.HostOp].
func (o assignment) Compute(in, out []*tensor.Tensor) error {
	rois, sizes := in[0].Float32s(), in[1].Float32s()
	// torchvision compares the features with the largest picture without padding. For
	// pictures of less than about 75 pixels that is another power of two.
	largest := sizes[0]
	for i := 0; i < len(sizes); i += 2 {
		largest = max(largest, sizes[i])
	}
	exponents, ratio := make([]int, len(o.heights)), make([]float32, len(o.heights))
	for l, h := range o.heights {
		exponents[l] = exponent(float64(h), float64(largest))
		ratio[l] = float32(math.Ldexp(1, exponents[l])) / o.scale(l)
		unused(out[l].Float32s(), 5, 0)
	}
	first, last := -exponents[0], -exponents[len(exponents)-1]
	for k := range o.boxes {
		r := rois[5*k : 5*k+5]
		if r[0] < 0 {
			continue
		}
		l := levelOf(boxAt(r, 1), float64(first), float64(last)) - first
		l = min(max(l, 0), len(o.heights)-1)
		row := out[l].Float32s()[5*k : 5*k+5]
		row[0] = r[0]
		for i := 1; i < 5; i++ {
			row[i] = r[i] * ratio[l]
		}
	}
	return nil
}

// detections chooses the objects among boxes with logits and deltas, as torchvision's
// RoIHeads does.
//
// Inputs: logits [N*K classes], deltas [N*K 4*classes], proposals [N*K 5], sizes
// [N 2]. Output [N*keep 6]: x1, y1, x2, y2, score, class.
type detections struct {
	images, classes, keep int
	score, nms            float64
}

// Name implements [graph.Op].
func (detections) Name() string { return "Detections" }

// Infer implements [graph.Op].
func (o detections) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 4 {
		return nil, fmt.Errorf("got %d inputs, want 4", len(in))
	}
	return []graph.Type{graph.F32(o.images*o.keep, 6)}, nil
}

// DecodeBox returns the box that the deltas of an R-CNN's box head make of a proposal.
func DecodeBox(deltas [4]float32, proposal boxes.Box) boxes.Box {
	return boxes.Coder{Weights: boxWeights}.Decode(deltas, proposal)
}

// boxWeights are those of the coder of boxes relative to proposals.
var boxWeights = [4]float32{10, 10, 5, 5}

// Compute implements [graph.HostOp].
func (o detections) Compute(in, out []*tensor.Tensor) error {
	logits, deltas, rois, sizes := in[0].Float32s(), in[1].Float32s(), in[2].Float32s(), in[3].Float32s()
	found := out[0].Float32s()
	unused(found, 6, 5)
	coder := boxes.Coder{Weights: boxWeights}
	per := len(rois) / 5 / o.images
	p := make([]float32, o.classes)
	for n := range o.images {
		h, w := sizes[2*n], sizes[2*n+1]
		var all []boxes.Box
		var scores []float32
		var classes []int
		for k := n * per; k < (n+1)*per; k++ {
			if rois[5*k] < 0 {
				continue
			}
			softmax(p, logits[k*o.classes:(k+1)*o.classes])
			for c := 1; c < o.classes; c++ { // 0 is the background
				if !(float64(p[c]) > o.score) {
					continue
				}
				b := coder.Decode([4]float32(deltas[4*(k*o.classes+c):]), boxAt(rois, 5*k+1)).Clip(w, h)
				if wide(b, leastDetection) {
					all, scores, classes = append(all, b), append(scores, p[c]), append(classes, c)
				}
			}
		}
		keep := boxes.BatchedNMS(all, scores, classes, o.nms)
		for j, i := range keep[:min(len(keep), o.keep)] {
			b := all[i]
			copy(found[6*(n*o.keep+j):], []float32{b.X1, b.Y1, b.X2, b.Y2, scores[i], float32(classes[i])})
		}
	}
	return nil
}

// softmax writes the probabilities of logits to p.
func softmax(p, logits []float32) {
	top := logits[0]
	for _, z := range logits {
		top = max(top, z)
	}
	sum := 0.
	for i, z := range logits {
		e := math.Exp(float64(z - top))
		p[i] = float32(e)
		sum += e
	}
	for i := range p {
		p[i] = float32(float64(p[i]) / sum)
	}
}

// boxRows turns detections [N*keep 6] into boxes [N*keep 5] for [graph.RoIAlign].
type boxRows struct{ keep int }

// Name implements [graph.Op].
func (boxRows) Name() string { return "BoxesOfDetections" }

// Infer implements [graph.Op].
func (boxRows) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 1 || len(in[0].Shape) != 2 {
		return nil, fmt.Errorf("want one input [K 6]")
	}
	return []graph.Type{graph.F32(in[0].Shape[0], 5)}, nil
}

// Compute implements [graph.HostOp].
func (o boxRows) Compute(in, out []*tensor.Tensor) error {
	found, rois := in[0].Float32s(), out[0].Float32s()
	unused(rois, 5, 0)
	for k := 0; 6*k < len(found); k++ {
		if found[6*k+5] >= 0 {
			rois[5*k] = float32(k / o.keep)
			copy(rois[5*k+1:5*k+5], found[6*k:])
		}
	}
	return nil
}
