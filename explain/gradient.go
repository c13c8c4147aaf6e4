package explain

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// classInput has 1 for the class and 0 elsewhere, or the weights of a [Score].
const classInput = "class"

// Score is a number that a network computes of an image: a sum of elements of one of
// its values, each times a weight.
type Score struct {
	// Name names Value: the same name must stand for the same value.
	Name string
	// Value finds the value in a trace of the network for one image.
	Value func(t *nn.Traced) (*graph.Value, error)
	// Weights has the value's shape.
	Weights *tensor.Tensor
	// Layer is the module that class activation maps read by default.
	Layer string
}

// Map explains a score that is not a class's of a classifier, such as that of a box:
// which places of a layer raise it. in has the image, [1 C H W] of any size that the
// network takes, as [nn.ImageInput], and other inputs of the network. The methods
// are those of [Explainer.Maps] but Occlusion. In the result, Logit is the score, and
// Class is 0.
func (e *Explainer) Map(ctx context.Context, in infer.Tensors, s Score, opt Options) (Map, error) {
	if opt.Method == "" {
		opt.Method = GradCAM
	}
	if _, err := ParseMethod(string(opt.Method)); err != nil {
		return Map{}, err
	}
	if opt.Method == Occlusion {
		return Map{}, errors.New("explain: occlusion is for classifiers: take another method")
	}
	if opt.Layer == "" && opt.Method.AtLayer() {
		opt.Layer = s.Layer
	}
	feed := infer.Tensors{classInput: s.Weights}
	maps.Copy(feed, in)
	return e.byGradient(ctx, feed, s.Name, opt, func(t *nn.Traced) (*traced, error) {
		v, err := s.Value(t)
		if err != nil {
			return nil, err
		}
		if !v.Shape.Equal(s.Weights.Shape()) {
			return nil, fmt.Errorf("explain: the weights of the score are %v, its value is %v", s.Weights, v.Type)
		}
		return &traced{Traced: t, n: t.Input.Shape[0], logits: v}, nil
	})
}

// gradient computes a map by the gradient of a class's logit with respect to the
// activations of a layer or to the image.
func (e *Explainer) gradient(ctx context.Context, x *tensor.Tensor, class, classes int, opt Options) (Map, error) {
	one := tensor.New(1, classes)
	one.Float32s()[class] = 1
	m, err := e.byGradient(ctx, infer.Tensors{nn.ImageInput: x, classInput: one}, "", opt, read)
	m.Class = class
	return m, err
}

// byGradient computes a map by the gradient of a sum of what find finds.
func (e *Explainer) byGradient(ctx context.Context, in infer.Tensors, name string, opt Options, find func(*nn.Traced) (*traced, error)) (Map, error) {
	guided := opt.Method == Guided
	path := opt.Layer
	if path == "" && opt.Method.AtLayer() {
		s, err := e.one.at("")
		if err != nil {
			return Map{}, err
		}
		path = s.Path
	}
	q := infer.Query{Name: fmt.Sprintf("gradient/%v/%s/%s", guided, name, path), Build: func(n *nn.Traced) error {
		t, err := find(n)
		if err != nil {
			return err
		}
		of := t.Input
		if path != "" {
			s, err := t.at(path)
			if err != nil {
				return err
			}
			of = s.out
		}
		if len(of.Shape) != 4 || of.Shape[0] != t.n {
			return fmt.Errorf("explain: layer %q gives %v, which has no height and width", path, of.Shape)
		}
		return t.addGradient(of, guided)
	}}
	out, err := e.runner.Run(ctx, q, in)
	if err != nil {
		return Map{}, err
	}
	a, g, shape := out[activationsOutput].Float32s(), out[gradientOutput].Float32s(), out[gradientOutput].Shape()
	c, h, w := shape[1], shape[2], shape[3]
	m := Map{Layer: path, W: w, H: h, Logit: out[scoreOutput].Float32s()[0]}
	switch opt.Method {
	case GradCAM:
		m.Values = weighted(a, camWeights(g, c), c)
	case GradCAMPlusPlus:
		m.Values = weighted(a, camPlusPlusWeights(a, g, c), c)
	default:
		m.Values = largest(g, c)
	}
	return m, nil
}

// addGradient adds three outputs: of, the gradient with respect to it, and the score.
func (t *traced) addGradient(of *graph.Value, guided bool) error {
	g := t.Graph
	class, err := g.Input(classInput, t.logits.Type)
	if err != nil {
		return err
	}
	var axes []int
	for a := range t.logits.Shape {
		axes = append(axes, a)
	}
	score := g.Must1(graph.Reduce{Fn: graph.Sum, Axes: axes}, g.Must1(graph.Binary{Fn: graph.Mul}, t.logits, class))
	if guided {
		defer guide(g)()
	}
	grads, err := g.Gradients(score, []*graph.Value{of})
	if err != nil {
		return err
	}
	g.Output(activationsOutput, of)
	g.Output(gradientOutput, grads[0])
	g.Output(scoreOutput, score)
	return nil
}

// guidedReLU is ReLU with the gradient of guided backpropagation: only what is
// positive goes back.
type guidedReLU struct{ graph.Unary }

func (o guidedReLU) Grad(g *graph.Graph, n *graph.Node, dout []*graph.Value, need []bool) []*graph.Value {
	positive := g.Must1(graph.Unary{Fn: graph.Relu}, dout[0])
	return o.Unary.Grad(g, n, []*graph.Value{positive}, need)
}

// guide gives the ReLUs of g the gradient of guided backpropagation until the
// function it returns is called. What is computed forward stays the same.
func guide(g *graph.Graph) (undo func()) {
	var nodes []*graph.Node
	for _, n := range g.Nodes {
		if op, ok := n.Op.(graph.Unary); ok && op.Fn == graph.Relu {
			n.Op = guidedReLU{op}
			nodes = append(nodes, n)
		}
	}
	return func() {
		for _, n := range nodes {
			n.Op = n.Op.(guidedReLU).Unary
		}
	}
}

// camWeights are the means of the channels' gradients.
func camWeights(g []float32, channels int) []float64 {
	w, hw := make([]float64, channels), len(g)/channels
	for k := range w {
		for _, v := range g[k*hw : (k+1)*hw] {
			w[k] += float64(v)
		}
		w[k] /= float64(hw)
	}
	return w
}

// camPlusPlusWeights are Σ a relu(g) over a channel's pixels.
func camPlusPlusWeights(a, g []float32, channels int) []float64 {
	w, hw := make([]float64, channels), len(g)/channels
	for k := range w {
		sum := 0.0
		for _, v := range a[k*hw : (k+1)*hw] {
			sum += float64(v)
		}
		for _, v := range g[k*hw : (k+1)*hw] {
			if d := float64(v); d > 0 {
				w[k] += d * d * d / (2*d*d + sum*d*d*d + 1e-6)
			}
		}
	}
	return w
}

// weighted is relu(Σ_k w_k a_k).
func weighted(a []float32, w []float64, channels int) []float32 {
	out := make([]float32, len(a)/channels)
	for i := range out {
		s := 0.0
		for k, wk := range w {
			s += wk * float64(a[k*len(out)+i])
		}
		out[i] = float32(max(s, 0))
	}
	return out
}

// largest is max_k |g_k|.
func largest(g []float32, channels int) []float32 {
	out := make([]float32, len(g)/channels)
	for k := range channels {
		for i := range out {
			v := g[k*len(out)+i]
			out[i] = max(out[i], v, -v)
		}
	}
	return out
}

var errLayer = errors.New("explain: occlusion covers the image; it takes no layer")
