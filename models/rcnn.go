package models

import (
	"slices"
	"strconv"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// RCNN finds objects in two stages: a region proposal network gives boxes that may
// hold any object, and what the feature pyramid has inside each decides its class
// and moves it (Ren et al. 2015, "Faster R-CNN"; Lin et al. 2017, "Feature Pyramid
// Networks", section 4.2). With a mask head it also finds the pixels of each object
// (He et al. 2017, "Mask R-CNN"). torchvision's layout; the second version has norms
// in the pyramid and the heads, and convolutions in the box head.
//
// Inputs: pictures [N 3 H W], padded on the right and at the bottom, and the graph
// input [SizesInput]. Output [N detections 6]: x1, y1, x2, y2 in pixels of the
// input, score, class, the highest score first; a row without an object has the
// class -1. The choice of proposals and detections is a step on the host, so that a
// whole detector is one graph of fixed shapes.
type RCNN struct {
	Backbone *PyramidBackbone
	RPN      struct {
		Head *RPNHead
	} `key:"rpn"`
	RoIHeads struct {
		BoxHead      nn.Module // *TwoMLPHead or, in the second version, a nn.Sequential
		BoxPredictor *BoxPredictor
		// MaskHead and MaskPredictor are nil in a Faster R-CNN.
		MaskHead      nn.Sequential
		MaskPredictor *MaskPredictor
	} `key:"roi_heads"`

	head    *DetectionHead `key:"-"`
	classes int            `key:"-"`
	stride  int            `key:"-"` // of the finest level
}

// SizesInput is the graph input with the height and width of each picture without
// padding, [N 2].
const SizesInput = "sizes"

// Sizes of the grids into which a box is cut.
const (
	boxBins  = 7
	maskBins = 14
	MaskSize = 2 * maskBins // pixels along each side of a mask that the mask head gives
)

func newRCNN(cfg Config) *RCNN {
	h := cfg.Detection
	m := &RCNN{head: h, classes: cfg.Classes, stride: 4}
	if cfg.Stem == StemCIFAR {
		m.stride = 1
	}
	if cfg.PoolDown {
		m.stride *= 2
	}
	m.Backbone = newPyramidBackbone(cfg, func(in []int) *FPN { return NewFPN(in, h.Channels, h.V2, nil) })
	convs := 1
	if h.V2 {
		convs = 2
	}
	m.RPN.Head = newRPNHead(h.Channels, h.Anchors.PerPosition(0), convs)
	if h.V2 {
		head := nn.Sequential{}
		for range 4 {
			head = append(head, normConv(h.Channels, h.Channels))
		}
		m.RoIHeads.BoxHead = append(head, nn.NewFlatten(), nn.NewLinear(h.Channels*boxBins*boxBins, h.BoxFeatures), nn.NewReLU())
	} else {
		m.RoIHeads.BoxHead = &TwoMLPHead{nn.NewLinear(h.Channels*boxBins*boxBins, h.BoxFeatures), nn.NewLinear(h.BoxFeatures, h.BoxFeatures)}
	}
	m.RoIHeads.BoxPredictor = &BoxPredictor{nn.NewLinear(h.BoxFeatures, cfg.Classes), nn.NewLinear(h.BoxFeatures, 4*cfg.Classes)}
	if h.Kind == DetectorMaskRCNN {
		m.addMasks()
	}
	return m
}

func (m *RCNN) addMasks() {
	channels := m.head.Channels
	for range 4 {
		if m.head.V2 {
			m.RoIHeads.MaskHead = append(m.RoIHeads.MaskHead, normConv(channels, channels))
			continue
		}
		conv := nn.NewConv2d(channels, channels, 3, nn.Padding(1))
		conv.Weight.Init, conv.Bias.Init = nn.HeNormal(nn.FanOut), nil
		m.RoIHeads.MaskHead = append(m.RoIHeads.MaskHead, nn.Sequential{conv, nn.NewReLU()})
	}
	p := &MaskPredictor{Conv5Mask: nn.NewConvTranspose2d(channels, channels, 2, 2), MaskFCNLogits: nn.NewConv2d(channels, m.classes, 1)}
	// kaiming_normal_ by fan out, which PyTorch computes of the axes in the order of a
	// convolution's.
	p.Conv5Mask.Weight.Init, p.Conv5Mask.Bias.Init = nn.HeNormal(nn.FanOut), nil
	p.MaskFCNLogits.Weight.Init, p.MaskFCNLogits.Bias.Init = nn.HeNormal(nn.FanOut), nil
	m.RoIHeads.MaskPredictor = p
}

// normConv is a 3x3 convolution, a batch norm and a ReLU.
func normConv(in, out int) nn.Sequential {
	return nn.Sequential{conv3x3(in, out, 1, 1, 1), nn.NewBatchNorm2d(out), nn.NewReLU()}
}

// Pyramid implements [Detector].
func (m *RCNN) Pyramid() *PyramidBackbone { return m.Backbone }

// Heads implements [Detector].
func (m *RCNN) Heads() []Head {
	const box, mask = "roi_heads.box_predictor", "roi_heads.mask_predictor"
	heads := []Head{{Path: pyramidPath}, {Path: "rpn"}, {Path: "roi_heads.box_head"}, {Path: box, Last: box + ".cls_score", Boxes: box + ".bbox_pred"}}
	if m.RoIHeads.MaskPredictor != nil {
		heads = append(heads, Head{Path: "roi_heads.mask_head"}, Head{Path: mask, Last: mask + ".mask_fcn_logits"})
	}
	return heads
}

// Forward finds the objects; with a mask head, it also computes the logits of their
// masks, see [RCNN.Stages].
func (m *RCNN) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	sizes, err := c.Graph().Input(SizesInput, graph.F32(x.Shape[0], 2))
	if err != nil {
		c.Failf("%w", err)
	}
	p := m.propose(c, x, sizes, m.head.TopK, m.head.Proposals)
	levels, rois := p.levels, p.rois
	cls, deltas := m.classify(c, m.pool(c, levels, rois, sizes, x.Shape[2], boxBins))
	n := x.Shape[0]
	found := c.Op1(detections{
		images: n, classes: m.classes, keep: m.head.Detections, score: m.head.ScoreThreshold, nms: m.head.NMSThreshold,
	}, cls, deltas, rois, sizes)
	out := c.Reshape(c.Op1(graph.Detach{}, found), n, m.head.Detections, 6)
	if m.RoIHeads.MaskPredictor != nil {
		rows := c.Op1(graph.Detach{}, c.Op1(boxRows{m.head.Detections}, found))
		m.Masks(c, m.pool(c, levels, rows, sizes, x.Shape[2], maskBins))
	}
	return out
}

// proposed is what the region proposal network gives.
type proposed struct {
	levels         []*graph.Value // of the pyramid
	logits, deltas []*graph.Value // of the anchors of each level, see [RPNHead]
	sizes          []boxes.Level  // of the levels
	rois           *graph.Value   // the proposals [N*keep 5] in the form of [graph.RoIAlign]
}

// propose runs the backbone and the region proposal network, of whose topK best boxes
// of each level the best keep become proposals.
func (m *RCNN) propose(c *nn.Context, x, sizes *graph.Value, topK, keep int) proposed {
	var p proposed
	c.CallFunc(m.Backbone, x, func() *graph.Value {
		p.levels = m.Backbone.Levels(c, x)
		return p.levels[len(p.levels)-1]
	})
	for _, l := range p.levels {
		var d *graph.Value
		p.logits = append(p.logits, c.CallFunc(m.RPN.Head, l, func() *graph.Value {
			var z *graph.Value
			z, d = m.RPN.Head.both(c, l)
			return z
		}))
		p.deltas = append(p.deltas, d)
		p.sizes = append(p.sizes, boxes.Level{H: l.Shape[2], W: l.Shape[3]})
	}
	op := proposals{
		anchors: m.head.Anchors, levels: p.sizes, images: x.Shape[0], height: x.Shape[2], width: x.Shape[3],
		topK: topK, keep: keep, nms: m.head.ProposalNMS,
	}
	in := append(slices.Concat(p.logits, p.deltas), sizes)
	p.rois = c.Op1(graph.Detach{}, c.Op1(op, in...))
	return p
}

// pool cuts each box into bins by bins: [K channels bins bins], each from the level
// of the pyramid that suits its size.
func (m *RCNN) pool(c *nn.Context, levels []*graph.Value, rois, sizes *graph.Value, height, bins int) *graph.Value {
	own := levels[:len(levels)-1] // the last is for proposals alone
	a := assignment{boxes: rois.Shape[0]}
	for _, l := range own {
		a.heights = append(a.heights, l.Shape[2])
	}
	a.height = height
	var sum *graph.Value
	for i, r := range c.Op(a, rois, sizes) {
		op := graph.RoIAlign{OH: bins, OW: bins, Scale: a.scale(i), SamplingRatio: 2}
		y := c.Op1(op, own[i], c.Op1(graph.Detach{}, r))
		if sum == nil {
			sum = y
			continue
		}
		sum = c.Add(sum, y) // a box is zero on all levels but one
	}
	return sum
}

// classify returns the logits [K classes] and the deltas [K 4*classes] of boxes.
func (m *RCNN) classify(c *nn.Context, pooled *graph.Value) (logits, deltas *graph.Value) {
	features := c.Call(m.RoIHeads.BoxHead, pooled)
	p := m.RoIHeads.BoxPredictor
	logits = c.CallFunc(p, features, func() *graph.Value {
		var z *graph.Value
		z, deltas = p.both(c, features)
		return z
	})
	return logits, deltas
}

// Scores returns what the heads compute of each proposal in a trace of m: the logits
// [K classes], the deltas [K 4*classes] and the proposals [K 5] themselves, in the
// form of [graph.RoIAlign].
func (m *RCNN) Scores(t *nn.Traced) (logits, deltas, proposals *graph.Value) {
	for _, n := range t.Graph.Nodes {
		if _, ok := n.Op.(detections); ok {
			return n.In[0], n.In[1], n.In[2]
		}
	}
	return nil, nil, nil
}

// Level returns the level of the pyramid from which a box is cut, 0 for the finest,
// of a picture that is not tiny (Lin et al. 2017, equation 1).
func (m *RCNN) Level(b boxes.Box) int {
	first := exponent(float64(m.stride), 1)
	return levelOf(b, float64(first), float64(first+len(m.Backbone.stages)-1)) - first
}

// Masks returns the logits of the masks, [K classes MaskSize MaskSize], of boxes
// that were cut into bins, [K channels MaskSize/2 MaskSize/2].
func (m *RCNN) Masks(c *nn.Context, pooled *graph.Value) *graph.Value {
	return c.Call(m.RoIHeads.MaskPredictor, c.Call(m.RoIHeads.MaskHead, pooled))
}

// Levels returns the levels of the pyramid of which the heads are given boxes, in a
// trace of m, the finest first.
func (m *RCNN) Levels(t *nn.Traced) []*graph.Value {
	var levels []*graph.Value
	for _, call := range t.Calls {
		if call.Module == nn.Module(m.RPN.Head) {
			levels = append(levels, call.In)
		}
	}
	return levels[:len(levels)-1]
}

// MaskStage is the part of a Mask R-CNN that finds the masks of given objects, as a
// module of its own with the same state-dict keys: most pictures have fewer objects
// than a detector can give, and masks cost more than all that is before them.
//
// Inputs: the finest level of [RCNN.Levels] [N C H W], the other levels as graph
// inputs [LevelInput], [SizesInput] [N 2], and [BoxesInput] [Boxes 5], rows of image,
// x1, y1, x2, y2, unused where the image is -1. Output: logits
// [Boxes classes MaskSize MaskSize].
type MaskStage struct {
	RoIHeads struct {
		MaskHead      nn.Sequential
		MaskPredictor *MaskPredictor
	} `key:"roi_heads"`

	net    *RCNN `key:"-"`
	boxes  int   `key:"-"`
	levels int   `key:"-"`
}

// Graph inputs of [MaskStage]; levels other than the finest have their number, from
// 1, behind LevelInput, and are fed in N, H, W, C order.
const (
	LevelInput = "level."
	BoxesInput = "boxes"
)

// MaskStage returns the mask stage of m for that number of objects.
func (m *RCNN) MaskStage(boxes int) *MaskStage {
	s := &MaskStage{net: m, boxes: boxes, levels: len(m.Backbone.stages)}
	s.RoIHeads.MaskHead, s.RoIHeads.MaskPredictor = m.RoIHeads.MaskHead, m.RoIHeads.MaskPredictor
	return s
}

// Forward computes the masks' logits.
func (s *MaskStage) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	input := func(name string, layout tensor.Layout, shape ...int) *graph.Value {
		v, err := c.Graph().InputAs(name, graph.F32(shape...), layout)
		if err != nil {
			c.Failf("%w", err)
		}
		return v
	}
	levels, d := []*graph.Value{x}, x.Shape
	for i := 1; i < s.levels; i++ {
		levels = append(levels, input(LevelInput+strconv.Itoa(i), tensor.NHWC, d[0], d[1], d[2]>>i, d[3]>>i))
	}
	sizes := input(SizesInput, tensor.NCHW, d[0], 2)
	rows := input(BoxesInput, tensor.NCHW, s.boxes, 5)
	pooled := s.net.pool(c, append(levels, x), rows, sizes, d[2]*s.net.stride, maskBins)
	return s.net.Masks(c, pooled)
}

// RPNHead computes on one level of a pyramid, for each anchor at each position,
// whether it holds an object and the deltas that move it there.
type RPNHead struct {
	Conv      nn.Sequential
	ClsLogits *nn.Conv2d
	BboxPred  *nn.Conv2d
}

func newRPNHead(channels, anchors, convs int) *RPNHead {
	h := &RPNHead{ClsLogits: nn.NewConv2d(channels, anchors, 1), BboxPred: nn.NewConv2d(channels, 4*anchors, 1)}
	for range convs {
		h.Conv = append(h.Conv, nn.Sequential{headOutput(channels, channels), nn.NewReLU()})
	}
	for _, conv := range []*nn.Conv2d{h.ClsLogits, h.BboxPred} {
		conv.Weight.Init, conv.Bias.Init = nn.Normal(0, 0.01), nil
	}
	return h
}

// both returns logits [N h*w*anchors 1] and deltas [N h*w*anchors 4].
func (h *RPNHead) both(c *nn.Context, x *graph.Value) (logits, deltas *graph.Value) {
	x = c.Call(h.Conv, x)
	return anchorRows(c, c.Call(h.ClsLogits, x), 1), anchorRows(c, c.Call(h.BboxPred, x), 4)
}

// Forward returns the logits, [N h*w*anchors 1].
func (h *RPNHead) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	logits, _ := h.both(c, x)
	return logits
}

// TwoMLPHead is two linear layers with ReLU. Input [K C H W], output [K features].
type TwoMLPHead struct {
	FC6 *nn.Linear
	FC7 *nn.Linear
}

// Forward applies both layers.
func (h *TwoMLPHead) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	x = c.ReLU(c.Call(h.FC6, c.Flatten(x)))
	return c.ReLU(c.Call(h.FC7, x))
}

// BoxPredictor computes the class of a box and, for each class, the deltas that
// move it. Input [K features].
type BoxPredictor struct {
	ClsScore *nn.Linear
	BboxPred *nn.Linear
}

func (p *BoxPredictor) both(c *nn.Context, x *graph.Value) (logits, deltas *graph.Value) {
	return c.Call(p.ClsScore, x), c.Call(p.BboxPred, x)
}

// Forward returns the logits, [K classes].
func (p *BoxPredictor) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	logits, _ := p.both(c, x)
	return logits
}

// MaskPredictor doubles the resolution and computes a mask for each class. Input
// [K C H W], output [K classes 2H 2W].
type MaskPredictor struct {
	Conv5Mask     *nn.ConvTranspose2d
	MaskFCNLogits *nn.Conv2d `key:"mask_fcn_logits"`
}

// Forward applies the transposed convolution, ReLU and the 1x1 convolution.
func (p *MaskPredictor) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Call(p.MaskFCNLogits, c.ReLU(c.Call(p.Conv5Mask, x)))
}
