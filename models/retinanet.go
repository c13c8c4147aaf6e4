package models

import (
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// RetinaNet finds objects in one stage (Lin et al. 2017, "Focal Loss for Dense
// Object Detection"): for each anchor at each position of a feature pyramid it
// computes a logit for each class and the four numbers that move the anchor to the
// object. torchvision's layout; the second version has group norms in the heads and
// makes its coarser levels of the backbone's last stage. Input [N 3 H W], output
// [N anchors classes+4]: logits, then the deltas dx, dy, dw, dh of [boxes.Coder]
// with weights of 1. The anchors are in the order of [boxes.Anchors.Grid].
type RetinaNet struct {
	Backbone *PyramidBackbone
	Head     struct {
		ClassificationHead *ClassificationHead
		RegressionHead     *RegressionHead
	}
}

func newRetinaNet(cfg Config) *RetinaNet {
	h := cfg.Detection
	r := &RetinaNet{}
	r.Backbone = newPyramidBackbone(cfg, func(in []int) *FPN {
		last := h.Channels
		if h.V2 {
			last = in[len(in)-1]
		}
		return NewFPN(in, h.Channels, false, NewLastLevelP6P7(last, h.Channels, h.V2))
	})
	anchors := h.Anchors.PerPosition(0)
	r.Head.ClassificationHead = newClassificationHead(h.Channels, anchors, cfg.Classes, h.V2)
	r.Head.RegressionHead = newRegressionHead(h.Channels, anchors, h.V2)
	return r
}

// Pyramid implements [Detector].
func (r *RetinaNet) Pyramid() *PyramidBackbone { return r.Backbone }

// Heads implements [Detector].
func (r *RetinaNet) Heads() []Head {
	const cls, reg = "head.classification_head", "head.regression_head"
	m := r.Head.ClassificationHead
	return []Head{{Path: pyramidPath}, {Path: cls, Last: cls + ".cls_logits", Outputs: m.ClsLogits.Out / m.classes}, {Path: reg}}
}

// Forward runs the backbone and, on each level of the pyramid, the heads.
func (r *RetinaNet) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	var levels, logits, deltas []*graph.Value
	c.CallFunc(r.Backbone, x, func() *graph.Value {
		levels = r.Backbone.Levels(c, x)
		return levels[len(levels)-1]
	})
	for _, l := range levels {
		logits = append(logits, c.Call(r.Head.ClassificationHead, l))
		deltas = append(deltas, c.Call(r.Head.RegressionHead, l))
	}
	return c.Concat(2, c.Concat(1, logits...), c.Concat(1, deltas...))
}

// Levels returns what the heads compute on each level of the pyramid, the finest
// first, in a trace of r: its features [N channels h w], logits [N h*w*anchors
// classes] and deltas [N h*w*anchors 4]. They save a caller the joining.
func (r *RetinaNet) Levels(t *nn.Traced) (features, logits, deltas []*graph.Value) {
	for _, call := range t.Calls {
		switch call.Module {
		case r.Head.ClassificationHead:
			features, logits = append(features, call.In), append(logits, call.Out)
		case r.Head.RegressionHead:
			deltas = append(deltas, call.Out)
		}
	}
	return features, logits, deltas
}

// headPrior is the probability that each class starts with, so that the many
// anchors without an object do not dominate the first steps (section 4.1).
const headPrior = 0.01

// ClassificationHead computes the logits of RetinaNet's anchors. Input
// [N channels h w], output [N h*w*anchors classes].
type ClassificationHead struct {
	Conv      []nn.Sequential
	ClsLogits *nn.Conv2d
	classes   int `key:"-"`
}

func newClassificationHead(channels, anchors, classes int, norm bool) *ClassificationHead {
	m := &ClassificationHead{Conv: headConvs(channels, norm), classes: classes}
	m.ClsLogits = headOutput(channels, anchors*classes)
	m.ClsLogits.Bias.Init = nn.Constant(float32(-math.Log((1 - headPrior) / headPrior)))
	return m
}

// Forward runs four convolutions and the one that decides.
func (m *ClassificationHead) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return anchorRows(c, c.Call(m.ClsLogits, headForward(c, m.Conv, x)), m.classes)
}

// RegressionHead computes the deltas of RetinaNet's anchors. Input
// [N channels h w], output [N h*w*anchors 4].
type RegressionHead struct {
	Conv    []nn.Sequential
	BboxReg *nn.Conv2d
}

func newRegressionHead(channels, anchors int, norm bool) *RegressionHead {
	return &RegressionHead{Conv: headConvs(channels, norm), BboxReg: headOutput(channels, anchors*4)}
}

// Forward runs four convolutions and the one that computes the deltas.
func (m *RegressionHead) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return anchorRows(c, c.Call(m.BboxReg, headForward(c, m.Conv, x)), 4)
}

// anchorRows turns [N anchors*k h w] into [N h*w*anchors k].
func anchorRows(c *nn.Context, x *graph.Value, k int) *graph.Value {
	s := x.Shape
	return c.Reshape(c.Permute(x, 0, 2, 3, 1), s[0], s[1:].Numel()/k, k)
}

func headForward(c *nn.Context, convs []nn.Sequential, x *graph.Value) *graph.Value {
	for _, conv := range convs {
		x = c.Call(conv, x)
	}
	return x
}

// headGroups is the number of groups of the heads' norms.
const headGroups = 32

// headConvs returns the four 3x3 convolutions of a head, each with a ReLU; with
// norm, a group norm instead of a bias.
func headConvs(channels int, norm bool) []nn.Sequential {
	var convs []nn.Sequential
	for range 4 {
		conv := headOutput(channels, channels)
		if norm {
			conv.Bias = nil
			convs = append(convs, nn.Sequential{conv, nn.NewGroupNorm(headGroups, channels), nn.NewReLU()})
			continue
		}
		convs = append(convs, nn.Sequential{conv, nn.NewReLU()})
	}
	return convs
}

// headOutput is a 3x3 convolution with the first values of detection heads: a
// deviation of 0.01, and zeros.
func headOutput(in, out int) *nn.Conv2d {
	conv := nn.NewConv2d(in, out, 3, nn.Padding(1))
	conv.Weight.Init, conv.Bias.Init = nn.Normal(0, 0.01), nil
	return conv
}
