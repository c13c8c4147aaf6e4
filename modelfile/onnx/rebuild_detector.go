package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Detector builds the network of a graph that PyTorch's exporter has written of one
// of torchvision's detectors (RetinaNet, Faster R-CNN, Mask R-CNN, both versions, on
// any of its ResNets), with the weights of the file. Sizes, thresholds and numbers of
// boxes are those of the graph where it has them as constants, else torchvision's;
// notes list what is assumed. A graph of another form is an error that names the
// layer or the constant that is not as expected.
func (m *Model) Detector() (net *models.Model, notes []string, err error) {
	r := newRebuild(m)
	layers, err := r.layers()
	if err != nil {
		return nil, nil, fmt.Errorf("onnx: %w", err)
	}
	cfg, err := detectorConfig(layers)
	if err != nil {
		return nil, nil, fmt.Errorf("onnx: the graph chooses boxes by NonMaxSuppression, which is not supported but in torchvision's detectors, and its layers are not theirs: %w", err)
	}
	if notes, err = r.settings(&cfg); err != nil {
		return nil, nil, fmt.Errorf("onnx: %w", err)
	}
	if net, err = cfg.Build(); err != nil {
		return nil, nil, fmt.Errorf("onnx: %w", err)
	}
	if err := fill(net, layers); err != nil {
		return nil, nil, fmt.Errorf("onnx: the layers of the graph are not those of %s: %w", cfg.Name, err)
	}
	return net, notes, nil
}

// reader reads the list of layers as a network's.
type reader struct {
	layers []*weighted
	at     int
}

// peek returns a layer that comes, nil behind the last.
func (r *reader) peek(i int) *weighted {
	if r.at+i < len(r.layers) {
		return r.layers[r.at+i]
	}
	return nil
}

// conv takes a convolution.
func (r *reader) conv(what string, kernel int) (*weighted, error) {
	l := r.peek(0)
	if l == nil {
		return nil, fmt.Errorf("the %s is missing", what)
	}
	if !l.is(kernel) {
		return nil, fmt.Errorf("%s is not the %s, a convolution of %d x %d", l, what, kernel, kernel)
	}
	r.at++
	return l, nil
}

// linear takes a linear layer.
func (r *reader) linear(what string) (*weighted, error) {
	l := r.peek(0)
	if l == nil {
		return nil, fmt.Errorf("the %s is missing", what)
	}
	if l.kernel() != 0 {
		return nil, fmt.Errorf("%s is not the %s, a linear layer", l, what)
	}
	r.at++
	return l, nil
}

// detectorConfig describes the network that has these layers.
func detectorConfig(layers []*weighted) (models.Config, error) {
	r := &reader{layers: layers}
	cfg, err := models.Lookup("resnet18")
	if err != nil {
		return cfg, err
	}
	stem, err := r.conv("first layer", 7)
	if err != nil {
		return cfg, err
	}
	cfg.Width, cfg.InChannels = stem.out(), stem.weight.shape[1]
	last, err := r.body(&cfg)
	if err != nil {
		return cfg, err
	}
	levels := 0
	channels := 0
	for { // the pyramid, from the coarsest level
		inner, outer := r.peek(0), r.peek(1)
		if inner == nil || outer == nil || !inner.is(1) || !outer.is(3) || levels > 0 && inner.out() != channels {
			break
		}
		channels = inner.out()
		levels++
		r.at += 2
	}
	kind, v2 := models.DetectorRetinaNet, false
	switch levels {
	case 3:
		p6, err := r.conv("level P6 of the pyramid", 3)
		if err != nil {
			return cfg, err
		}
		if _, err := r.conv("level P7 of the pyramid", 3); err != nil {
			return cfg, err
		}
		first := r.peek(0)
		v2 = first != nil && first.groups > 0
		if v2 != (p6.weight.shape[1] == last) && channels != last {
			return cfg, fmt.Errorf("%s has %d inputs", p6, p6.weight.shape[1])
		}
		models.Detect(kind, v2)(&cfg)
		err = r.retina(&cfg)
		if err != nil {
			return cfg, err
		}
	case 4:
		v2 = r.peek(1) != nil && r.peek(1).is(3)
		kind, err = r.rcnn(&cfg, v2)
		if err != nil {
			return cfg, err
		}
	default:
		return cfg, fmt.Errorf("the pyramid has %d levels after the backbone, want 3 or 4", levels)
	}
	if l := r.peek(0); l != nil {
		return cfg, fmt.Errorf("%s comes after the last layer", l)
	}
	cfg.Detection.Channels = channels
	cfg.Name = fmt.Sprintf("%s_%s_fpn", kind, baseName(cfg))
	if v2 {
		cfg.Name += "_v2"
	} else {
		cfg.Detection.NormEps = 0 // the graph has norms as a factor and a summand: see fill
	}
	return cfg, nil
}

// baseName returns the name of the classifier with the same blocks.
func baseName(cfg models.Config) string {
	for _, name := range models.Names() {
		c, err := models.Lookup(name)
		if err == nil && c.Task() == models.Classification && c.Block == cfg.Block && slices.Equal(c.Layers, cfg.Layers) && c.Stem == cfg.Stem &&
			c.Groups == cfg.Groups && c.WidthPerGroup == cfg.WidthPerGroup && c.Shortcut == cfg.Shortcut {
			return name
		}
	}
	return "resnet"
}

// body reads the blocks of the backbone and returns the channels of the last.
func (r *reader) body(cfg *models.Config) (last int, err error) {
	in := cfg.Width
	block := models.BlockBasic
	if l := r.peek(0); l != nil && l.is(1) {
		block = models.BlockBottleneck
	}
	var counts []int
	for {
		a, b, c := r.peek(0), r.peek(1), r.peek(2)
		size := 2
		switch {
		case a == nil || b == nil || a.weight.shape[1] != in:
			size = 0
		case block == models.BlockBasic:
			if !a.is(3) || !b.is(3) {
				size = 0
			}
		default:
			size = 3
			if c == nil || !a.is(1) || !b.is(3) || !c.is(1) || c.weight.shape[1] != b.out() || b.out() != a.out() {
				size = 0
			}
		}
		if size == 0 {
			break
		}
		out := r.peek(size - 1).out()
		down := r.peek(size)
		shortcut := down != nil && down.is(1) && down.weight.shape[1] == in && down.out() == out && (in != out || len(counts) == 0)
		if len(counts) == 0 || shortcut && (len(counts) > 1 || counts[0] > 0) {
			counts = append(counts, 0)
		}
		if size == 3 && len(counts) == 1 && counts[0] == 0 {
			planes := out / 4
			cfg.Groups = int(max(b.node.attr("group", 1), 1))
			if planes < 1 {
				return 0, fmt.Errorf("%s has %d outputs", c, out)
			}
			cfg.WidthPerGroup = b.out() * 64 / planes / cfg.Groups
		}
		counts[len(counts)-1]++
		r.at += size
		if shortcut {
			r.at++
		}
		in = out
	}
	if len(counts) != 4 {
		return 0, fmt.Errorf("the backbone has %d stages of residual blocks, want 4", len(counts))
	}
	models.Blocks(block, counts...)(cfg)
	return in, nil
}

// retina reads the heads of a RetinaNet.
func (r *reader) retina(cfg *models.Config) error {
	anchors := cfg.Detection.Anchors.PerPosition(0)
	for _, head := range []string{"classification head", "regression head"} {
		for range 4 {
			if _, err := r.conv(head, 3); err != nil {
				return err
			}
		}
		l, err := r.conv("end of the "+head, 3)
		if err != nil {
			return err
		}
		switch {
		case l.out()%anchors != 0 || head == "regression head" && l.out() != 4*anchors:
			return fmt.Errorf("%s has %d outputs for %d anchors at each position", l, l.out(), anchors)
		case head == "classification head":
			cfg.Classes = l.out() / anchors
		}
	}
	return nil
}

// rcnn reads the heads of an R-CNN.
func (r *reader) rcnn(cfg *models.Config, v2 bool) (models.DetectorKind, error) {
	convs := 1
	if v2 {
		convs = 2
	}
	for range convs {
		if _, err := r.conv("convolution of the region proposal network", 3); err != nil {
			return "", err
		}
	}
	logits, err := r.conv("objectness", 1)
	if err != nil {
		return "", err
	}
	if _, err := r.conv("deltas of the proposals", 1); err != nil {
		return "", err
	}
	if v2 {
		for range 4 {
			if _, err := r.conv("box head", 3); err != nil {
				return "", err
			}
		}
	}
	fc, err := r.linear("box head")
	if err == nil && !v2 {
		fc, err = r.linear("box head")
	}
	if err != nil {
		return "", err
	}
	score, err := r.linear("class of a box")
	if err == nil {
		_, err = r.linear("deltas of a box")
	}
	if err != nil {
		return "", err
	}
	kind := models.DetectorFasterRCNN
	if r.peek(0) != nil {
		kind = models.DetectorMaskRCNN
		for range 4 {
			if _, err := r.conv("mask head", 3); err != nil {
				return "", err
			}
		}
		if l := r.peek(0); l == nil || l.node.op != "ConvTranspose" {
			return "", errors.New("the transposed convolution of the mask head is missing")
		}
		r.at++
		if _, err := r.conv("end of the mask head", 1); err != nil {
			return "", err
		}
	}
	models.Detect(kind, v2)(cfg)
	cfg.Classes, cfg.Detection.BoxFeatures = score.out(), fc.out()
	if n := cfg.Detection.Anchors.PerPosition(0); n != logits.out() {
		return "", fmt.Errorf("%s has %d anchors at each position, want %d", logits, logits.out(), n)
	}
	return kind, nil
}

// fill gives the parameters of net the values of the layers, which must be in the
// order in which net uses its own.
func fill(net *models.Model, layers []*weighted) error {
	t, err := nn.Trace(net, nn.TraceOptions{Input: net.Config.Input(1)})
	if err != nil {
		return err
	}
	norms := map[*graph.Value]*graph.Node{}
	for _, n := range t.Graph.Nodes {
		switch n.Op.(type) {
		case graph.BatchNorm, graph.GroupNorm:
			norms[n.In[0]] = n
		}
	}
	f := &filler{values: map[string]*tensor.Tensor{}, params: map[string]*nn.Param{}}
	for _, e := range nn.Params(net) {
		f.params[e.Name] = e.Param
	}
	at := 0
	for _, n := range t.Graph.Nodes {
		switch n.Op.(type) {
		case graph.Conv2d, graph.Linear, graph.Conv2dInputGrad:
		default:
			continue
		}
		if f.values[label(n.In[1])] != nil {
			continue
		}
		if at == len(layers) {
			return fmt.Errorf("there is no layer for %v", n)
		}
		if err := f.layer(n, norms[n.Out[0]], layers[at]); err != nil {
			return err
		}
		at++
	}
	_, err = nn.Load(net, f.values, nn.LoadOptions{Share: true})
	return err
}

// label returns the key of a parameter.
func label(v *graph.Value) string {
	if p, ok := v.Node.Op.(graph.Variable); ok {
		return p.Label
	}
	return ""
}

type filler struct {
	params map[string]*nn.Param
	values map[string]*tensor.Tensor
}

func (f *filler) set(name string, values []float32) error {
	p := f.params[name]
	if p == nil {
		return fmt.Errorf("there is no parameter %q", name)
	}
	t, err := tensor.FromFloat32(values, p.Shape...)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f.values[name] = t
	return nil
}

// layer sets the parameters of node and of the norm that follows it, which may be nil.
func (f *filler) layer(node, norm *graph.Node, l *weighted) error {
	if want := node.In[1].Shape; !want.Equal(l.weight.shape) {
		return fmt.Errorf("%s should be %v with a weight of %v", l, node, want)
	}
	_, grouped := normOp(norm).(graph.GroupNorm)
	if grouped != (l.groups > 0) || grouped && l.groups != normOp(norm).(graph.GroupNorm).Groups {
		return fmt.Errorf("%s is normalized by %d groups, %v not", l, l.groups, node)
	}
	weight, bias := l.weight.f, l.bias
	zeros := make([]float32, l.out())
	if bias == nil {
		bias = zeros
	}
	if l.scale != nil && norm == nil { // into the layer
		weight, bias = slices.Clone(weight), slices.Clone(bias)
		inner := l.weight.shape[1:].Numel() // elements for each channel, which are together
		if l.node.op == "ConvTranspose" {
			inner = l.weight.shape[2:].Numel() // of each input
		}
		for i := range weight {
			weight[i] *= l.scale[i/inner%l.out()]
		}
		for i := range bias {
			bias[i] = bias[i]*l.scale[i] + l.shift[i]
		}
	}
	name := label(node.In[1])
	if err := f.set(name, weight); err != nil {
		return err
	}
	own := strings.TrimSuffix(name, ".weight") + ".bias"
	biased := f.params[own] != nil
	if biased {
		if err := f.set(own, bias); err != nil {
			return err
		}
		bias = zeros
	}
	if norm == nil {
		if !biased && (l.bias != nil || l.shift != nil) {
			return fmt.Errorf("%s has a bias, %v has none", l, node)
		}
		return nil
	}
	scale, shift := slices.Repeat([]float32{1}, l.out()), slices.Clone(bias)
	for i := range l.scale {
		scale[i], shift[i] = l.scale[i], l.shift[i]+bias[i]*l.scale[i]
	}
	if err := f.set(label(norm.In[1]), scale); err != nil {
		return err
	}
	if grouped {
		if l.bias != nil {
			return fmt.Errorf("%s has a bias before its normalization by groups", l)
		}
		return f.set(label(norm.In[2]), shift)
	}
	// A norm that only multiplies and adds.
	op := norm.Op.(graph.BatchNorm)
	variance := slices.Repeat([]float32{1 - op.Eps}, l.out())
	for i, v := range [][]float32{shift, zeros, variance} {
		if err := f.set(label(norm.In[2+i]), v); err != nil {
			return err
		}
	}
	return nil
}

func normOp(n *graph.Node) graph.Op {
	if n == nil {
		return nil
	}
	return n.Op
}
