package resnet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/models/pretrained"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// The methods of [Model.Explain].
const (
	// GradCAM is the sum of a layer's channels, each weighted by the mean of the
	// class's gradient at it, where positive (Selvaraju et al. 2017, equations
	// 1 and 2).
	GradCAM = "gradcam"
	// GradCAMPlusPlus weighs the places of a channel, too (Chattopadhay et al.
	// 2018, equation 19, with the exponential's derivatives taken as the
	// powers of the gradient).
	GradCAMPlusPlus = "gradcam++"
	// Occlusion covers a square of the picture with its mean colour, and asks
	// how much less probable the class becomes (Zeiler and Fergus 2014, section
	// 4.2).
	Occlusion = "occlusion"
	// Saliency is the largest absolute gradient of the channels of a pixel
	// (Simonyan et al. 2014, section 3).
	Saliency = "saliency"
	// Guided is Saliency by guided backpropagation (Springenberg et al. 2015).
	Guided = "guided"
)

// ExplainMethods lists the methods of [Model.Explain].
func ExplainMethods() []string {
	return []string{GradCAM, GradCAMPlusPlus, Occlusion, Guided, Saliency}
}

// ExplainOptions are the choices of [Model.Explain]. The zero value is Grad-CAM
// of the most probable class at the last block.
type ExplainOptions struct {
	Method string
	// Class is the index of the class that is explained, from 1 on: 0 is the
	// most probable one. See [Model.ClassIndex].
	Class int
	// Layer is the module whose output GradCAM and GradCAMPlusPlus look at, see
	// [Model.Layers]; "" is the last of the network's blocks.
	Layer string
	// Patch and Stride are of Occlusion's square, in pixels of the input; 0
	// stands for a quarter of the input's width, and half of the patch.
	Patch, Stride int
	// Done is called while Occlusion works, with what is done of how much; nil
	// for none.
	Done func(done, total int)
}

// Explanation says where in a picture a class was seen.
type Explanation struct {
	Name       string // of the picture
	Prediction        // the class that is explained
	Method     string
	Layer      string // "" where the method needs none
	// Heat is from 0 to 1, row by row, Width by Height: as large as the layer's
	// output, or as the input. Scale is what 1 stands for: a sum of activations,
	// a loss of probability, a gradient.
	Heat          []float32
	Width, Height int
	Scale         float64
	// Picture is what the network saw: cut, resized, as grey or RGB.
	Picture *imaging.Image
}

// ClassIndex returns the number for ExplainOptions.Class of a class's name or
// index (from 0).
func (m *Model) ClassIndex(class string) (int, error) {
	if i := slices.Index(m.classes, class); i >= 0 {
		return i + 1, nil
	}
	var i int
	if _, err := fmt.Sscanf(class, "%d", &i); err == nil && fmt.Sprint(i) == class && i >= 0 && i < len(m.classes) {
		return i + 1, nil
	}
	return 0, fmt.Errorf("resnet: %s has no class %q%s", m.name, class, suggest.Phrase(class, m.classes))
}

// Layer is a module with a picture for output.
type Layer struct {
	Path  string
	Kind  string
	Shape tensor.Shape // [C H W]
}

// Layers lists the modules of the network whose output has height and width, in
// the order in which they end.
func (m *Model) Layers() ([]Layer, error) {
	t, err := m.trace()
	if err != nil {
		return nil, err
	}
	var out []Layer
	for _, c := range t.Calls {
		if len(c.Out.Shape) == 4 && c.Out.Shape[2]*c.Out.Shape[3] > 1 && c.Path != "" {
			out = append(out, Layer{c.Path, kind(c.Module), c.Out.Shape[1:]})
		}
	}
	return out, nil
}

func kind(m nn.Module) string {
	if k, ok := m.(interface{ Kind() string }); ok {
		return k.Kind()
	}
	name := fmt.Sprintf("%T", m)
	return name[strings.LastIndexByte(name, '.')+1:]
}

func (m *Model) trace() (*nn.Traced, error) {
	in := m.Input()
	t, err := nn.Trace(m.net, nn.TraceOptions{Input: graph.F32(1, in[0], in[1], in[2])})
	if err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	return t, nil
}

// layer finds a module's output; "" is the deepest one before the pooling that
// is not inside a block.
func (m *Model) layer(t *nn.Traced, path string) (string, *graph.Value, error) {
	var names []string
	var last nn.Call
	for _, c := range t.Calls {
		if len(c.Out.Shape) != 4 || c.Out.Shape[2]*c.Out.Shape[3] <= 1 || c.Path == "" {
			continue
		}
		if c.Path == path {
			return path, c.Out, nil
		}
		names = append(names, c.Path)
		last = c
	}
	switch {
	case len(names) == 0:
		return "", nil, fmt.Errorf("resnet: %s has no layer with height and width", m.name)
	case path != "":
		return "", nil, fmt.Errorf("resnet: %s has no layer %q with height and width%s", m.name, path, suggest.Phrase(path, names))
	}
	return last.Path, last.Out, nil
}

// Prepare decodes a picture and returns it as the network's input, [H W C], and
// as it looks then.
func (m *Model) Prepare(p Picture) (x []float32, seen *imaging.Image, err error) {
	img, err := p.load(imaging.DecodeOptions{MaxPixels: m.opt.MaxPixels})
	if err == nil {
		x = make([]float32, m.Input().Numel())
		err = m.prep.ApplyNHWC(x, img)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	c := m.prep.Channels
	seen = imaging.New(m.prep.Width, m.prep.Height, c)
	for i, v := range x {
		pixel := 255 * (v*m.prep.Std[i%c] + m.prep.Mean[i%c])
		seen.Pix[i] = uint8(min(max(pixel+0.5, 0), 255))
	}
	return x, seen, nil
}

// Explain shows where in the picture a class is seen. Errors name the picture,
// the layer or the method.
func (m *Model) Explain(ctx context.Context, p Picture, opt ExplainOptions) (*Explanation, error) {
	if opt.Method == "" {
		opt.Method = GradCAM
	}
	if !slices.Contains(ExplainMethods(), opt.Method) {
		return nil, fmt.Errorf("resnet: unknown method %q%s", opt.Method, suggest.Phrase(opt.Method, ExplainMethods()))
	}
	if opt.Class < 0 || opt.Class > len(m.classes) {
		return nil, fmt.Errorf("resnet: class %d of %d", opt.Class, len(m.classes))
	}
	x, seen, err := m.Prepare(p)
	if err != nil {
		return nil, err
	}
	logits, _, err := m.forward(ctx, x, 1)
	if err != nil {
		return nil, err
	}
	class := opt.Class - 1
	if class < 0 {
		class = metrics.ArgMax(logits)
	}
	e := &Explanation{Name: p.Name, Method: opt.Method, Picture: seen,
		Prediction: Prediction{m.classes[class], class, m.probability(logits, class)}}
	if opt.Method == Occlusion {
		err = m.occlude(ctx, e, x, opt)
	} else {
		err = m.explainByGradient(e, x, opt)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	e.normalise()
	return e, nil
}

func (m *Model) probability(logits []float32, class int) float64 {
	if m.MultiLabel() {
		return 1 / (1 + math.Exp(-float64(logits[class])))
	}
	return metrics.Softmax(logits, 1)[class]
}

// normalise scales the heat to 0 to 1.
func (e *Explanation) normalise() {
	if e.Scale = float64(slices.Max(e.Heat)); !(e.Scale > 0) {
		e.Scale = 0
		clear(e.Heat)
		return
	}
	for i, v := range e.Heat {
		e.Heat[i] = max(0, v) / float32(e.Scale)
	}
}

func (m *Model) explainByGradient(e *Explanation, x []float32, opt ExplainOptions) error {
	t, err := m.trace()
	if err != nil {
		return err
	}
	at := t.Input
	if opt.Method == GradCAM || opt.Method == GradCAMPlusPlus {
		if e.Layer, at, err = m.layer(t, opt.Layer); err != nil {
			return err
		}
	} else if opt.Layer != "" {
		return fmt.Errorf("resnet: the method %s looks at no layer", opt.Method)
	}
	z, _ := pretrained.Logits(t.Output)
	g := t.Graph
	err = graph.Try(func() {
		one := tensor.New(1, len(m.classes))
		one.Float32s()[e.Index] = 1
		score := g.Must1(graph.Reduce{Fn: graph.Sum}, g.Must1(graph.Binary{Fn: graph.Mul}, z, g.Const(one)))
		gradients := g.Gradients
		if opt.Method == Guided {
			gradients = g.GuidedGradients
		}
		d, err := gradients(score, []*graph.Value{at})
		if err != nil {
			panic(err)
		}
		g.Output("gradient", d[0])
		g.Output("activation", at)
	})
	if err != nil {
		return fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	plan, err := engine.Compile(g, m.vars, engine.Options{Pool: m.pool, ChannelsLast: []string{nn.ImageInput}})
	if err != nil {
		return fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	in := m.Input()
	xs, err := tensor.FromFloat32(x, 1, in[0], in[1], in[2])
	if err != nil {
		return err
	}
	grad, act := tensor.New(at.Shape...), tensor.New(at.Shape...)
	if err := plan.Run([]*tensor.Tensor{xs}, []*tensor.Tensor{grad, act}); err != nil {
		return fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	c, h, w := at.Shape[1], at.Shape[2], at.Shape[3]
	e.Width, e.Height, e.Heat = w, h, make([]float32, h*w)
	dx, a := grad.Float32s(), act.Float32s()
	for k := range c {
		d, a := dx[k*h*w:(k+1)*h*w], a[k*h*w:(k+1)*h*w]
		switch opt.Method {
		case GradCAM, GradCAMPlusPlus:
			weight := channelWeight(d, a, opt.Method == GradCAMPlusPlus)
			for i, v := range a {
				e.Heat[i] += float32(weight * float64(v))
			}
		default:
			for i, v := range d {
				e.Heat[i] = max(e.Heat[i], float32(math.Abs(float64(v))))
			}
		}
	}
	return nil
}

// channelWeight is the weight of a channel with gradient d and activation a.
func channelWeight(d, a []float32, plus bool) float64 {
	sum, total := 0.0, 0.0
	for i := range d {
		sum += float64(d[i])
		total += float64(a[i])
	}
	if !plus {
		return sum / float64(len(d))
	}
	weight := 0.0
	for _, v := range d {
		g := float64(v)
		if g > 0 {
			weight += g * g * g / (2*g*g + total*g*g*g + 1e-6)
		}
	}
	return weight
}

// occlude fills in the heat by covering a square of the input at a time.
func (m *Model) occlude(ctx context.Context, e *Explanation, x []float32, opt ExplainOptions) error {
	in := m.Input()
	c, h, w := in[0], in[1], in[2]
	patch, stride := opt.Patch, opt.Stride
	if patch == 0 {
		patch = max(1, w/4)
	}
	if stride == 0 {
		stride = max(1, patch/2)
	}
	if opt.Layer != "" {
		return errors.New("resnet: the method occlusion looks at no layer")
	}
	if patch < 1 || patch > min(h, w) || stride < 1 || stride > patch {
		return fmt.Errorf("resnet: a square of %d pixels in steps of %d over %d x %d", patch, stride, w, h)
	}
	var at [][2]int
	for y := 0; ; y = min(y+stride, h-patch) {
		for x := 0; ; x = min(x+stride, w-patch) {
			at = append(at, [2]int{x, y})
			if x == w-patch {
				break
			}
		}
		if y == h-patch {
			break
		}
	}
	drop, count := make([]float64, h*w), make([]float64, h*w)
	size := c * h * w
	batch := make([]float32, 0, m.batch()*size)
	first := 0
	for i, p := range at {
		batch = append(batch, x...)
		img := batch[len(batch)-size:]
		for y := p[1]; y < p[1]+patch; y++ {
			clear(img[(y*w+p[0])*c : (y*w+p[0]+patch)*c]) // 0 is the mean colour
		}
		if i+1 < len(at) && i+1-first < m.batch() {
			continue
		}
		n := i + 1 - first
		logits, _, err := m.forward(ctx, batch, n)
		if err != nil {
			return err
		}
		for k := range n {
			loss := e.Probability - m.probability(logits[k*len(m.classes):(k+1)*len(m.classes)], e.Index)
			p := at[first+k]
			for y := p[1]; y < p[1]+patch; y++ {
				for x := p[0]; x < p[0]+patch; x++ {
					drop[y*w+x] += loss
					count[y*w+x]++
				}
			}
		}
		first, batch = i+1, batch[:0]
		if opt.Done != nil {
			opt.Done(first, len(at))
		}
	}
	e.Width, e.Height, e.Heat = w, h, make([]float32, h*w)
	for i := range drop {
		e.Heat[i] = float32(drop[i] / count[i])
	}
	return nil
}

// Activation returns a layer's output for a picture, [C H W], and the layer's
// path; "" is the layer that Explain takes.
func (m *Model) Activation(p Picture, layer string) (*tensor.Tensor, string, error) {
	x, _, err := m.Prepare(p)
	if err != nil {
		return nil, "", err
	}
	t, err := m.trace()
	if err != nil {
		return nil, "", err
	}
	path, at, err := m.layer(t, layer)
	if err != nil {
		return nil, "", err
	}
	t.Graph.Output("activation", at)
	plan, err := engine.Compile(t.Graph, m.vars, engine.Options{Pool: m.pool, ChannelsLast: []string{nn.ImageInput}})
	if err != nil {
		return nil, "", fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	in := m.Input()
	xs, err := tensor.FromFloat32(x, 1, in[0], in[1], in[2])
	if err != nil {
		return nil, "", err
	}
	out := tensor.New(at.Shape...)
	if err := plan.Run([]*tensor.Tensor{xs}, []*tensor.Tensor{out}); err != nil {
		return nil, "", fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	out, err = tensor.FromFloat32(out.Float32s(), at.Shape[1:]...)
	return out, path, err
}

// Filters returns the weights of a convolution, [out in H W], and its path; ""
// is the first one of the network.
func (m *Model) Filters(conv string) (*tensor.Tensor, string, error) {
	t, err := m.trace()
	if err != nil {
		return nil, "", err
	}
	var names []string
	for _, c := range t.Calls {
		if _, ok := c.Module.(*nn.Conv2d); !ok {
			continue
		}
		if conv == "" || c.Path == conv {
			w, err := m.vars.Get(c.Path + ".weight")
			if err != nil {
				return nil, "", fmt.Errorf("resnet: %s: %w", m.name, err)
			}
			return w, c.Path, nil
		}
		names = append(names, c.Path)
	}
	return nil, "", fmt.Errorf("resnet: %s has no convolution %q%s", m.name, conv, suggest.Phrase(conv, names))
}
