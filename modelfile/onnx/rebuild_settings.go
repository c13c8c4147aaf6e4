package onnx

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/models"
)

// settings sets what is not in the layers to the constants of the graph. It notes
// what the graph does not have, and refuses anchors that are not the usual ones.
func (r *rebuild) settings(cfg *models.Config) (notes []string, err error) {
	h := cfg.Detection
	own := *h
	cfg.Detection = &own
	h = cfg.Detection
	var missing []string
	lack := func(ok bool, what string) {
		if !ok {
			missing = append(missing, what)
		}
	}
	mean, std, ok := r.normalization(cfg.InChannels)
	if ok {
		h.Mean, h.Std = mean, std
	} else if cfg.InChannels != len(h.Mean) {
		return nil, fmt.Errorf("the graph takes %d channels, and does not subtract a mean and divide by a deviation of each", cfg.InChannels)
	}
	lack(ok, "mean and deviation")
	least, most, ok := r.sides()
	if ok {
		h.MinSize, h.MaxSize = least, most
	}
	lack(ok, "the size of pictures")
	lack(r.thresholds(h), "the thresholds")
	lack(r.numbers(h), "the numbers of boxes")
	if err := r.anchors(h); err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		notes = append(notes, fmt.Sprintf("%s: taken as in torchvision, because the graph does not have them as constants", strings.Join(missing, ", ")))
	}
	return notes, nil
}

// normalization returns the mean and deviation of each channel of the input.
func (r *rebuild) normalization(channels int) (mean, std []float32, ok bool) {
	for _, n := range r.m.proto.graph.nodes {
		if n.op != "Sub" || len(n.in) != 2 || !slices.ContainsFunc(r.m.inputs, func(v *valueProto) bool { return v.name == n.in[0] }) {
			continue
		}
		a, ok := r.constant(n.in[1])
		users := r.users[n.out[0]]
		if !ok || len(a.f) != channels || len(users) != 1 || users[0].op != "Div" || len(users[0].in) != 2 || users[0].in[0] != n.out[0] {
			continue
		}
		if b, ok := r.constant(users[0].in[1]); ok && len(b.f) == channels {
			return a.f, b.f, true
		}
	}
	return nil, nil, false
}

// sides returns the sizes to which the shorter or the longer side of a picture is
// resized: the smaller of two quotients is its scale.
func (r *rebuild) sides() (least, most int, ok bool) {
	side := func(name string) (int, bool) {
		n := r.maker[name]
		for range 8 { // a chain of nodes, which could be a ring
			if n != nil && (n.op == "Cast" || n.op == "Identity" || n.op == "Unsqueeze") {
				n = r.maker[n.input(0)]
			}
		}
		if n == nil || n.op != "Mul" && n.op != "Div" {
			return 0, false
		}
		for _, in := range n.in {
			if v, ok := r.number(in); ok && v >= 1 && v < 1<<14 && v == math.Trunc(v) {
				return int(v), true
			}
		}
		return 0, false
	}
	for _, n := range r.m.proto.graph.nodes {
		if n.op != "Min" || len(n.in) != 2 {
			continue
		}
		a, ok1 := side(n.in[0])
		b, ok2 := side(n.in[1])
		if ok1 && ok2 {
			return min(a, b), max(a, b), true
		}
	}
	return 0, 0, false
}

// thresholds sets those of overlaps and scores.
func (r *rebuild) thresholds(h *models.DetectionHead) bool {
	var overlaps []float64
	var score float64
	found := false
	everyNode(r.m.proto.graph.nodes, func(n *nodeProto) {
		switch n.op {
		case "NonMaxSuppression":
			if v, ok := r.number(n.input(3)); ok && v >= 0 && v <= 1 {
				overlaps = append(overlaps, rounded(v))
			}
		case "Greater":
			if v, ok := r.number(n.input(1)); ok && v > 0 && v < 1 && !found {
				score, found = rounded(v), true
			}
		}
	})
	stages := 1
	if h.Kind != models.DetectorRetinaNet {
		stages = 2
	}
	if found {
		h.ScoreThreshold = score
	}
	if len(overlaps) < stages {
		return false
	}
	h.NMSThreshold = overlaps[len(overlaps)-1]
	if stages == 2 {
		h.ProposalNMS = overlaps[0]
	}
	return found
}

// rounded returns the decimal number that a float32 was rounded from.
func rounded(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// numbers sets how many boxes are kept: of each level before suppression, and of all
// after it.
func (r *rebuild) numbers(h *models.DetectionHead) bool {
	var kept []int
	everyNode(r.m.proto.graph.nodes, func(n *nodeProto) {
		if most, ok := r.number(n.input(2)); ok && n.op == "NonMaxSuppression" && most > 0 && most < 1<<20 {
			kept = append(kept, int(most)) // PyTorch's exporter bounds them later
		}
	})
	candidates := 0
	for _, n := range r.m.proto.graph.nodes {
		switch n.op {
		case "TopK":
			if k := r.bound(n.input(1)); k > 0 && candidates == 0 {
				candidates = k
			}
		case "Slice":
			start, ok1 := r.number(n.input(1))
			end, ok2 := r.number(n.input(2))
			axis, ok3 := r.number(n.input(3))
			step, ok4 := r.number(n.input(4))
			if ok1 && ok2 && ok3 && ok4 && start == 0 && axis == 0 && step == 1 && end > 0 && end < 1<<20 {
				kept = append(kept, int(end))
			}
		}
	}
	if candidates > 0 {
		h.TopK = candidates
	}
	switch {
	case h.Kind == models.DetectorRetinaNet && len(kept) == 1:
		h.Detections = kept[0]
	case h.Kind != models.DetectorRetinaNet && len(kept) == 2:
		h.Proposals, h.Detections = kept[0], kept[1]
	default:
		return false
	}
	return candidates > 0
}

// bound returns the whole number that the value of a name is at most, 0 if none is
// found.
func (r *rebuild) bound(name string) int {
	for range 16 {
		n := r.maker[name]
		if n == nil {
			break
		}
		switch n.op {
		case "Min", "Concat":
			for _, in := range n.in {
				if v, ok := r.number(in); ok && v > 0 && v < 1<<20 {
					return int(v)
				}
			}
			return 0
		case "ReduceMin", "Reshape", "Unsqueeze", "Squeeze", "Cast", "Identity":
			name = n.input(0)
		default:
			return 0
		}
	}
	return 0
}

// anchors compares the anchors in the graph with those of h.
func (r *rebuild) anchors(h *models.DetectionHead) error {
	level := 0
	for _, n := range r.m.proto.graph.nodes {
		if n.op != "Add" || len(n.in) != 2 {
			continue
		}
		for _, in := range n.in {
			c, ok := r.constant(in)
			if !ok || !c.elem.isFloat() || len(c.f) != 4*h.Anchors.PerPosition(0) || c.shape[len(c.shape)-1] != 4 {
				continue
			}
			if level == len(h.Anchors.Sizes) {
				return nil
			}
			for i, b := range h.Anchors.Cell(level) {
				if got := [4]float32(c.f[4*i:]); got != [4]float32{b.X1, b.Y1, b.X2, b.Y2} {
					return fmt.Errorf("the anchors of level %d in the graph are not torchvision's, such as %v instead of %v, so the network cannot be built anew", level, got, b)
				}
			}
			level++
		}
	}
	return nil
}
