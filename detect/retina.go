package detect

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// retina turns the outputs of a RetinaNet into objects.
type retina struct {
	net     *models.RetinaNet
	head    *models.DetectionHead
	classes int
	runner  *infer.Runner

	mu     sync.Mutex
	levels map[inputSize][]boxes.Level
}

// Outputs of the query, each with the number of a level.
const (
	logitsOutput = "logits.%d"
	deltasOutput = "deltas.%d"
)

func (r *retina) query() infer.Query {
	return infer.Query{Name: "detect", Build: func(t *nn.Traced) error {
		features, logits, deltas := r.net.Levels(t)
		var levels []boxes.Level
		for i, f := range features {
			t.Graph.Output(fmt.Sprintf(logitsOutput, i), logits[i])
			t.Graph.Output(fmt.Sprintf(deltasOutput, i), deltas[i])
			levels = append(levels, boxes.Level{H: f.Shape[2], W: f.Shape[3]})
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.levels[inputSize{t.Input.Shape[2], t.Input.Shape[3]}] = levels
		return nil
	}}
}

// inputSize is the padded size of an input.
type inputSize struct{ h, w int }

// anchors returns the anchors of each level for an input whose plan is compiled.
func (r *retina) anchors(size inputSize) [][]boxes.Box {
	r.mu.Lock()
	levels := r.levels[size]
	r.mu.Unlock()
	grids := make([][]boxes.Box, len(levels))
	for i, l := range levels {
		one := boxes.Anchors{Sizes: r.head.Anchors.Sizes[i : i+1], Ratios: r.head.Anchors.Ratios}
		grids[i] = one.Grid(size.h, size.w, []boxes.Level{l})
	}
	return grids
}

var unitCoder = boxes.Coder{Weights: [4]float32{1, 1, 1, 1}}

func (r *retina) find(ctx context.Context, x *tensor.Tensor, h, w int) ([]found, error) {
	out, err := r.runner.Run(ctx, r.query(), infer.Tensors{nn.ImageInput: x})
	if err != nil {
		return nil, err
	}
	var all []boxes.Box
	var scores []float32
	var classes, rows []int
	first := 0
	for i, cells := range r.anchors(inputSize{x.Shape()[2], x.Shape()[3]}) {
		deltas := out[fmt.Sprintf(deltasOutput, i)].Float32s()
		at, s := candidates(out[fmt.Sprintf(logitsOutput, i)].Float32s(), r.head.ScoreThreshold, r.head.TopK)
		for k, a := range at {
			anchor := a / r.classes
			b := unitCoder.Decode([4]float32(deltas[4*anchor:]), cells[anchor])
			all = append(all, b.Clip(float32(w), float32(h)))
			scores, classes, rows = append(scores, s[k]), append(classes, a%r.classes), append(rows, first+anchor)
		}
		first += len(cells)
	}
	keep := boxes.BatchedNMS(all, scores, classes, r.head.NMSThreshold)
	keep = keep[:min(len(keep), r.head.Detections)]
	objects := make([]found, len(keep))
	for i, k := range keep {
		objects[i] = found{Object: Object{Box: all[k], Class: classes[k], Score: scores[k]}, at: rows[k]}
	}
	return objects, nil
}

// candidates returns the indices and scores of the k logits with the highest
// scores above the threshold, the highest first.
func candidates(logits []float32, threshold float64, k int) (at []int, scores []float32) {
	// The score of a logit is a function that costs much more than a comparison, and
	// almost all logits are far below the threshold.
	least := float32(math.Inf(-1))
	if threshold > 0 {
		least = float32(math.Log(threshold)-math.Log1p(-threshold)) - 1e-3
	}
	var all []int
	for i, z := range logits {
		if z < least {
			continue
		}
		if s := sigmoid(z); float64(s) > threshold {
			all, scores = append(all, i), append(scores, s)
		}
	}
	best := boxes.TopK(scores, k)
	kept := make([]float32, len(best))
	for i, b := range best {
		at, kept[i] = append(at, all[b]), scores[b]
	}
	return at, kept
}

func sigmoid(z float32) float32 { return float32(1 / (1 + math.Exp(-float64(z)))) }
