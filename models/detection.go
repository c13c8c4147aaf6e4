package models

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/nn"
)

// Detector is a network that finds objects: [RetinaNet] or [RCNN]. Package detect
// runs it on pictures.
type Detector interface {
	nn.Module

	Heads() []Head // the parts that are not the backbone

	// Pyramid returns the backbone with the feature pyramid on it, whose state-dict
	// keys begin with "backbone.".
	Pyramid() *PyramidBackbone
}

// DetectorKind is the kind of a [DetectionHead].
type DetectorKind string

// The kinds of detectors.
const (
	DetectorRetinaNet  DetectorKind = "retinanet"  // see [RetinaNet]
	DetectorFasterRCNN DetectorKind = "fasterrcnn" // see [RCNN]
	DetectorMaskRCNN   DetectorKind = "maskrcnn"   // the same with masks
)

// DetectionHead describes the part of a detector that follows the backbone, how
// pictures become its input, and how its outputs become detections. Config.Classes
// counts class 0, which is never an object: the background of Faster R-CNN, unused
// in RetinaNet.
type DetectionHead struct {
	Kind DetectorKind `json:"kind"`
	// V2 selects torchvision's second version: norms in the heads.
	V2 bool `json:"v2,omitempty"`
	// Channels of the pyramid and the heads' convolutions.
	Channels int           `json:"channels"`
	Anchors  boxes.Anchors `json:"anchors"` // the same number on each level

	// FrozenNorm makes the backbone's batch norms normalize by their running
	// statistics in training, too, and train neither scale nor shift.
	FrozenNorm bool `json:"frozen_norm,omitempty"`
	// NormEps is Eps of the backbone's batch norms: 1e-5, and 0 for the weights
	// COCO_V1 of torchvision's first versions.
	NormEps float32 `json:"norm_eps"`

	// A picture is normalized by Mean and Std, one per channel, of values from 0 to
	// 1; then its shorter side is resized to MinSize, or its longer to MaxSize if
	// that would be exceeded.
	MinSize int       `json:"min_size"`
	MaxSize int       `json:"max_size"`
	Mean    []float32 `json:"mean"`
	Std     []float32 `json:"std"`

	// Of the candidates with a score above ScoreThreshold, the TopK best of each
	// level compete: those of a class that overlap a better one by an IoU above
	// NMSThreshold are dropped, and the best Detections of the rest are kept.
	ScoreThreshold float64 `json:"score_threshold"`
	TopK           int     `json:"top_k"`
	NMSThreshold   float64 `json:"nms_threshold"`
	Detections     int     `json:"detections"`

	// R-CNNs choose proposals first: the TopK best of each level compete by
	// ProposalNMS, and the best Proposals are kept. The rest is for what becomes of
	// these. BoxFeatures are what the box head computes of each.
	Proposals   int     `json:"proposals,omitempty"`
	ProposalNMS float64 `json:"proposal_nms,omitempty"`
	BoxFeatures int     `json:"box_features,omitempty"`
}

// twoStage reports whether there are proposals.
func (h *DetectionHead) twoStage() bool { return h.Kind != DetectorRetinaNet }

func (h *DetectionHead) clone() *DetectionHead {
	own := *h
	own.Mean, own.Std = slices.Clone(h.Mean), slices.Clone(h.Std)
	own.Anchors.Ratios = slices.Clone(h.Anchors.Ratios)
	own.Anchors.Sizes = make([][]float32, len(h.Anchors.Sizes))
	for i, s := range h.Anchors.Sizes {
		own.Anchors.Sizes[i] = slices.Clone(s)
	}
	return &own
}

// channels sets the mean and deviation of inputs that are not RGB to those of gray
// pictures of ImageNet.
func (h *DetectionHead) channels(n int) {
	h.Mean, h.Std = slices.Repeat([]float32{0.449}, n), slices.Repeat([]float32{0.226}, n)
}

// check returns an error that names a field of h that does not go with cfg.
func (h *DetectionHead) check(cfg Config) error {
	if err := known("kind", h.Kind, DetectorRetinaNet, DetectorFasterRCNN, DetectorMaskRCNN); err != nil {
		return err
	}
	if cfg.Dropout != 0 {
		return fmt.Errorf("dropout of the network is %g, but a detector has no layer that it comes before", cfg.Dropout)
	}
	if cfg.Classes < 2 {
		return errors.New("classes is 1, want at least 2: class 0 is never an object")
	}
	type count struct {
		what        string
		n, lo, high int
	}
	counts := []count{
		{"channels", h.Channels, 1, 1 << 14}, {"min_size", h.MinSize, 1, 1 << 13}, {"max_size", h.MaxSize, 1, 1 << 13},
		{"top_k", h.TopK, 1, 1 << 20}, {"detections", h.Detections, 1, 1 << 20},
	}
	if h.twoStage() {
		counts = append(counts, count{"proposals", h.Proposals, 1, 1 << 16}, count{"box_features", h.BoxFeatures, 1, 1 << 16})
	} else {
		counts = append(counts, count{"proposals", h.Proposals, 0, 0}, count{"box_features", h.BoxFeatures, 0, 0})
	}
	for _, p := range counts {
		if p.n < p.lo || p.n > p.high {
			return fmt.Errorf("%s is %d, want %d to %d", p.what, p.n, p.lo, p.high)
		}
	}
	if h.V2 && h.Kind == DetectorRetinaNet && h.Channels%headGroups != 0 {
		return fmt.Errorf("channels is %d, want a multiple of %d for the group norms of version 2", h.Channels, headGroups)
	}
	if h.MaxSize < h.MinSize {
		return fmt.Errorf("max_size is %d, want at least min_size %d", h.MaxSize, h.MinSize)
	}
	for _, p := range []struct {
		what string
		v    float64
	}{{"norm_eps", float64(h.NormEps)}, {"score_threshold", h.ScoreThreshold}, {"nms_threshold", h.NMSThreshold}, {"proposal_nms", h.ProposalNMS}} {
		if !(p.v >= 0 && p.v <= 1) {
			return fmt.Errorf("%s is %g, want 0 to 1", p.what, p.v)
		}
	}
	if len(h.Mean) != cfg.InChannels || len(h.Std) != cfg.InChannels {
		return fmt.Errorf("there are %d means and %d deviations, want one of each for each of %d channels", len(h.Mean), len(h.Std), cfg.InChannels)
	}
	for _, s := range h.Std {
		if !(s > 0) {
			return fmt.Errorf("std has a deviation of %g, want more than 0", s)
		}
	}
	return h.checkAnchors(cfg)
}

func (h *DetectionHead) checkAnchors(cfg Config) error {
	a := h.Anchors
	if levels := len(h.levels(cfg)); len(a.Sizes) != levels {
		return fmt.Errorf("anchors has sizes for %d levels, the pyramid has %d", len(a.Sizes), levels)
	}
	for i, sizes := range a.Sizes {
		if n := len(sizes); n != len(a.Sizes[0]) || n < 1 || n > 64 {
			return fmt.Errorf("anchors has %d sizes on level %d and %d on the first, want the same number on each, 1 to 64", n, i, len(a.Sizes[0]))
		}
		for _, s := range sizes {
			if !(s > 0 && s <= 1<<16) {
				return fmt.Errorf("anchors has a size of %g, want above 0 and at most %d", s, 1<<16)
			}
		}
	}
	if len(a.Ratios) < 1 || len(a.Ratios) > 64 {
		return fmt.Errorf("anchors has %d ratios, want 1 to 64", len(a.Ratios))
	}
	for _, r := range a.Ratios {
		if !(r >= 1e-3 && r <= 1e3) {
			return fmt.Errorf("anchors has a ratio of %g, want 0.001 to 1000", r)
		}
	}
	return nil
}

// stages returns the stages of the backbone, counted from 1 for layer1, on which
// the pyramid stands.
func (h *DetectionHead) stages(cfg Config) []int {
	var s []int
	for i := 1; i <= len(cfg.Layers); i++ {
		if i > 1 || len(cfg.Layers) < 4 || h.twoStage() { // RetinaNet leaves out the finest of four
			s = append(s, i)
		}
	}
	return s
}

// levels returns the names of the pyramid's levels.
func (h *DetectionHead) levels(cfg Config) []string {
	var names []string
	for i := range h.stages(cfg) {
		names = append(names, fmt.Sprint(i))
	}
	if h.twoStage() {
		return append(names, "pool")
	}
	return append(names, "p6", "p7")
}

// newDetector builds the network that cfg, which has been checked, describes.
func newDetector(cfg Config) Detector {
	if cfg.Detection.twoStage() {
		return newRCNN(cfg)
	}
	return newRetinaNet(cfg)
}

// COCOClasses is the number of classes of COCO in torchvision's numbering, which
// are COCO's category ids from 1 to 90, with gaps, and 0 for the background.
const COCOClasses = 91

// detectionKind is a prefix of names: what becomes of the classifier whose name
// follows.
type detectionKind struct {
	prefix, about string
	head          DetectionHead
}

func detectionKinds() []detectionKind {
	common := DetectionHead{
		Channels: 256, NormEps: 1e-5, MinSize: 800, MaxSize: 1333,
		Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225},
		ScoreThreshold: 0.05, TopK: 1000, NMSThreshold: 0.5,
	}
	retina := common
	retina.Kind, retina.Anchors, retina.Detections = DetectorRetinaNet, boxes.RetinaNetAnchors(), 300
	faster := common
	faster.Kind, faster.Anchors, faster.Detections = DetectorFasterRCNN, boxes.ProposalAnchors(), 100
	faster.Proposals, faster.ProposalNMS, faster.BoxFeatures = 1000, 0.7, 1024
	mask := faster
	mask.Kind = DetectorMaskRCNN
	return []detectionKind{
		{"retinanet_", "RetinaNet", retina}, {"fasterrcnn_", "Faster R-CNN", faster}, {"maskrcnn_", "Mask R-CNN", mask},
	}
}

const (
	detectionSuffix   = "_fpn"
	detectionSuffixV2 = "_fpn_v2"
)

func (k detectionKind) apply(v2 bool) Option {
	return func(c *Config) {
		h := k.head.clone()
		h.V2, h.FrozenNorm = v2, !v2
		if n := len(h.levels(*c)); n < len(h.Anchors.Sizes) { // of a network with fewer stages, the finer levels
			h.Anchors.Sizes = h.Anchors.Sizes[:n]
		}
		c.Detection, c.Classes, c.InputSize = h, COCOClasses, h.MinSize
	}
}

// Detect turns a classifier into a detector of that kind, with the sizes and
// thresholds of the named networks, in torchvision's first or second version.
func Detect(kind DetectorKind, v2 bool) Option {
	return func(c *Config) {
		for _, k := range detectionKinds() {
			if k.head.Kind == kind {
				k.apply(v2)(c)
				return
			}
		}
		c.Detection = &DetectionHead{Kind: kind} // of which Check returns the error
	}
}

// detectionOptions reads names such as retinanet_resnet18_fpn; ok is false if name
// is not of that form.
func detectionOptions(name string) (opts []Option, ok bool, err error) {
	for _, k := range detectionKinds() {
		rest, found := strings.CutPrefix(name, k.prefix)
		if !found {
			continue
		}
		base, v2 := strings.CutSuffix(rest, detectionSuffixV2)
		if !v2 {
			if base, found = strings.CutSuffix(rest, detectionSuffix); !found {
				return nil, true, fmt.Errorf("models: unknown model %q: the name of a detector ends in %s or %s", name, detectionSuffix, detectionSuffixV2)
			}
		}
		if strings.Contains(base, "mobilenet") {
			return nil, true, fmt.Errorf("models: unknown model %q: detectors on a MobileNet are not supported, only those on residual networks, such as %sresnet50%s", name, k.prefix, detectionSuffix)
		}
		if _, nested, _ := detectionOptions(base); nested {
			return nil, true, fmt.Errorf("models: unknown model %q: %q is a detector already", name, base)
		}
		opts, err := options(base)
		if err != nil {
			return nil, true, err
		}
		return append(slices.Clone(opts), k.apply(v2)), true, nil
	}
	for _, kind := range []string{"ssd", "fcos", "yolo", "keypointrcnn"} {
		if strings.HasPrefix(name, kind) {
			return nil, true, fmt.Errorf("models: unknown model %q: detectors of this kind are not supported, only RetinaNet, Faster and Mask R-CNN on residual networks", name)
		}
	}
	return nil, false, nil
}

func detectionTable() []named {
	var rows []named
	for _, k := range detectionKinds() {
		for v, suffix := range []string{detectionSuffix, detectionSuffixV2} {
			about := fmt.Sprintf("detection: %s on ResNet-50, version %d", k.about, v+1)
			rows = append(rows, named{k.prefix + "resnet50" + suffix, about, []Option{layers50, k.apply(v == 1)}})
		}
	}
	return rows
}
