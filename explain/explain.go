// Package explain looks inside a trained network: which part of an image raises
// the score of a class (class activation maps, occlusion, saliency), what the channels of
// a layer respond to an image, and what a layer's filters look like.
//
// It computes numbers; package resnet and the command draw them. All maps come
// from the network's own graph with the gradients that training uses, so they
// work for every network that can be opened.
package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Method is a way to find the part of an image that raises a class's score.
type Method string

// The methods. With A the activations of a layer, [C H W], S the logit of the
// class and g = dS/dA:
const (
	// GradCAM is relu(Σ_k w_k A_k), w_k the mean of g_k over the layer's pixels
	// (Selvaraju et al. 2017, equations 1 and 2).
	GradCAM Method = "gradcam"
	// GradCAMPlusPlus weighs the pixels, too: w_k = Σ_ij a_kij relu(g_kij), a_kij =
	// g² / (2g² + g³ Σ_ij A_kij) (Chattopadhay et al. 2018, equations 10 and 19, with
	// S instead of exp S, whose factor drops out, as the authors' program has it).
	GradCAMPlusPlus Method = "gradcam++"
	// Occlusion is how much probability the class loses when a gray patch covers
	// a pixel, the mean over the patches that do (Zeiler & Fergus 2014, section 4.2).
	Occlusion Method = "occlusion"
	// Guided is guided backpropagation: |g|, the largest over the channels, where
	// a ReLU on the way back lets only positive gradients through (Springenberg et
	// al. 2015, section 3.4).
	Guided Method = "guided"
	// Saliency is |g|, the largest over the channels (Simonyan et al. 2014, section 3.1).
	Saliency Method = "saliency"
)

// Methods lists the methods.
func Methods() []Method { return []Method{GradCAM, GradCAMPlusPlus, Occlusion, Guided, Saliency} }

// ParseMethod returns the method of that name; an unknown one is an error that
// suggests the nearest.
func ParseMethod(name string) (Method, error) {
	var names []string
	for _, m := range Methods() {
		if string(m) == name {
			return m, nil
		}
		names = append(names, string(m))
	}
	return "", fmt.Errorf("explain: unknown method %q%s", name, suggest.Phrase(name, names))
}

// AtLayer reports whether the method reads a layer by default: GradCAM and
// GradCAMPlusPlus do. Guided and Saliency look at the image unless a layer is
// named; Occlusion always does.
func (m Method) AtLayer() bool { return m == GradCAM || m == GradCAMPlusPlus }

// Options are the choices of [Explainer.Maps]. The zero value is Grad-CAM of the
// last layer that still has an extent.
type Options struct {
	Method Method // "" stands for GradCAM
	// Layer is the path of the module whose output is read, see
	// [Explainer.Layers]. "" stands for the last layer with height and width for
	// class activation maps, for the image itself for Guided and Saliency.
	Layer string
	// Patch and Stride are the side of the patch of Occlusion and its step, in
	// pixels; 0 stands for a seventh of the image and a quarter of the patch.
	Patch, Stride int
	// Batch is the number of occluded images computed at once; 0 means 16.
	Batch int
	// MultiLabel makes Occlusion compute probabilities by a sigmoid instead of the
	// softmax.
	MultiLabel bool
	// Progress, if not nil, is called as parts of the work are done.
	Progress func(done, total int)
}

// Map is how much each place of a layer raises the score of a class, in the units
// of its method. It has the size of the layer.
type Map struct {
	Class  int
	Logit  float32
	Layer  string // "" for the image
	W, H   int
	Values []float32 // [H W], row by row from the top
}

// Layer is a module whose output can be read.
type Layer struct {
	Path  string
	Kind  string
	Shape tensor.Shape // of the output for one image: [C H W], or [features]
}

// Explainer explains one network. It may be used by several goroutines at once.
type Explainer struct {
	input  tensor.Shape
	runner *infer.Runner
	one    *traced // for one image; only read
}

// New returns an explainer of net with the values in vars, nil for its parameters'
// own (see [infer.New]), for images of shape input, [C H W]. [Explainer.Maps] needs a
// classifier; [Explainer.Map] takes any network.
func New(net nn.Module, vars *engine.Vars, input tensor.Shape, opt infer.Options) (*Explainer, error) {
	if len(input) != 3 {
		return nil, fmt.Errorf("explain: the input is %v, must be [C H W]", input)
	}
	r, err := infer.New(net, vars, opt)
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	t, err := nn.Trace(net, nn.TraceOptions{Input: graph.F32(1, input[0], input[1], input[2])})
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	return &Explainer{input: input.Clone(), runner: r, one: &traced{Traced: t, n: 1}}, nil
}

// traced is the network as a graph for n images.
type traced struct {
	*nn.Traced
	n      int
	logits *graph.Value // [n classes], of a classifier
}

// read finds the logits of a traced network.
func read(t *nn.Traced) (*traced, error) {
	n := t.Input.Shape[0]
	if len(t.Output.Shape) != 2 {
		return nil, fmt.Errorf("explain: the network's output is %v, must be [N classes]: use Map", t.Output.Type)
	}
	z, _ := graph.Logits(t.Output)
	if len(z.Shape) != 2 || z.Shape[0] != n {
		return nil, fmt.Errorf("explain: the network's output is %v, must be [N classes]", t.Output.Type)
	}
	return &traced{t, n, z}, nil
}

// site is a place of the network that can be read.
type site struct {
	Layer
	out *graph.Value
}

// sites lists the places in order: the outputs of modules and of
// operators with their own path (in foreign graphs), each path once, by its last
// use.
func (t *traced) sites() []site {
	var all []site
	add := func(path, kind string, out *graph.Value) {
		if path == "" || len(out.Shape) < 2 || out.Shape[0] != t.n || out.DType != tensor.Float32 {
			return
		}
		all = slices.DeleteFunc(all, func(s site) bool { return s.Path == path })
		all = append(all, site{Layer{path, kind, out.Shape[1:]}, out})
	}
	called := map[string]bool{}
	for _, c := range t.Calls {
		called[c.Path] = true
		add(c.Path, nn.Kind(c.Module), c.Out)
	}
	for _, n := range t.Graph.Nodes { // of foreign graphs
		if !called[n.Path] {
			add(n.Path, n.Op.Name(), n.Out[0])
		}
	}
	slices.SortStableFunc(all, func(a, b site) int { return a.out.Node.ID - b.out.Node.ID })
	return all
}

// Layers lists the modules whose outputs can be read, in the order in which
// they end.
func (e *Explainer) Layers() []Layer {
	var list []Layer
	for _, s := range e.one.sites() {
		list = append(list, s.Layer)
	}
	return list
}

// at returns the place of that path; "" stands for the last one with height and
// width.
func (t *traced) at(path string) (site, error) {
	all := t.sites()
	var names []string
	for i := len(all) - 1; i >= 0; i-- {
		s := all[i]
		if s.Path == path || path == "" && len(s.Shape) == 3 && s.Shape[1]*s.Shape[2] > 1 {
			return s, nil
		}
		names = append(names, s.Path)
	}
	if path == "" {
		return site{}, errors.New("explain: no layer of the network has height and width")
	}
	if near, ok := suggest.Nearest(path, names); ok {
		return site{}, fmt.Errorf("explain: no layer %q; did you mean %q?", path, near)
	}
	return site{}, fmt.Errorf("explain: no layer %q; there are %s", path, strings.Join(names, ", "))
}

// ask runs what build adds to the traced network, named by name. in are the images
// and further inputs.
func (e *Explainer) ask(ctx context.Context, name string, in infer.Tensors, build func(t *traced) error) (infer.Tensors, error) {
	q := infer.Query{Name: name, Build: func(n *nn.Traced) error {
		t, err := read(n)
		if err != nil {
			return err
		}
		return build(t)
	}}
	return e.runner.Run(ctx, q, in)
}

// The names of queries and outputs.
const (
	logitsOutput      = "logits"
	featuresOutput    = "features"
	activationsOutput = "activations"
	gradientOutput    = "gradient"
	scoreOutput       = "score"
)

// logits computes n images, [n C H W].
func (e *Explainer) logits(ctx context.Context, x *tensor.Tensor) ([]float32, error) {
	out, err := e.ask(ctx, logitsOutput, infer.Tensors{nn.ImageInput: x}, func(t *traced) error {
		t.Graph.Output(logitsOutput, t.logits)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out[logitsOutput].Float32s(), nil
}

func (e *Explainer) check(x *tensor.Tensor) error {
	if want := append(tensor.Shape{1}, e.input...); x == nil || x.DType() != tensor.Float32 || !x.Shape().Equal(want) {
		got := "nothing"
		if x != nil {
			got = x.String()
		}
		return fmt.Errorf("explain: the image is %s, want float32%v", got, want)
	}
	return nil
}

// Maps explains the network's answer to the image x, [1 C H W] in either layout:
// one map for each of classes, or for the most probable one if there are none.
func (e *Explainer) Maps(ctx context.Context, x *tensor.Tensor, classes []int, opt Options) ([]Map, error) {
	if err := e.check(x); err != nil {
		return nil, err
	}
	if opt.Method == "" {
		opt.Method = GradCAM
	}
	if _, err := ParseMethod(string(opt.Method)); err != nil {
		return nil, err
	}
	z, err := e.logits(ctx, x)
	if err != nil {
		return nil, err
	}
	if len(classes) == 0 {
		best := 0
		for i, v := range z {
			if v > z[best] {
				best = i
			}
		}
		classes = []int{best}
	}
	for _, c := range classes {
		if c < 0 || c >= len(z) {
			return nil, fmt.Errorf("explain: no class %d: the network has %d", c, len(z))
		}
	}
	if opt.Method == Occlusion {
		return e.occlusion(ctx, x, z, classes, opt)
	}
	maps := make([]Map, len(classes))
	for i, c := range classes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if maps[i], err = e.gradient(ctx, x, c, len(z), opt); err != nil {
			return nil, err
		}
		maps[i].Logit = z[c]
		if opt.Progress != nil {
			opt.Progress(i+1, len(classes))
		}
	}
	return maps, nil
}

// Features returns the output of the module at path for the image x, [1 C H W] in
// either layout: [C' H' W'], or [features].
func (e *Explainer) Features(ctx context.Context, x *tensor.Tensor, path string) (*tensor.Tensor, error) {
	if err := e.check(x); err != nil {
		return nil, err
	}
	return e.FeaturesOf(ctx, infer.Tensors{nn.ImageInput: x}, path)
}

// FeaturesOf is Features for an image of any size that the network takes, as
// [nn.ImageInput], with other inputs of the network.
func (e *Explainer) FeaturesOf(ctx context.Context, in infer.Tensors, path string) (*tensor.Tensor, error) {
	if x := in[nn.ImageInput]; x == nil || x.DType() != tensor.Float32 || len(x.Shape()) != 4 || x.Shape()[0] != 1 || x.Shape()[1] != e.input[0] {
		return nil, e.check(x)
	}
	q := infer.Query{Name: "features/" + path, Build: func(n *nn.Traced) error {
		s, err := (&traced{Traced: n, n: 1}).at(path)
		if err == nil {
			n.Graph.Output(featuresOutput, s.out)
		}
		return err
	}}
	out, err := e.runner.Run(ctx, q, in)
	if err != nil {
		return nil, err
	}
	f := out[featuresOutput]
	return f.Reshape(f.Shape()[1:]...)
}

// Filters returns the path of a convolution, the first of the network for "",
// and its filters, [out in/groups kh kw].
func (e *Explainer) Filters(path string) (string, *tensor.Tensor, error) {
	var names []string
	for _, n := range e.one.Graph.Nodes {
		if _, ok := n.Op.(graph.Conv2d); !ok {
			continue
		}
		if path == "" || n.Path == path {
			v, ok := n.In[1].Node.Op.(graph.Variable)
			if !ok {
				return "", nil, fmt.Errorf("explain: the filters of %s are computed by %s, not stored", n.Path, n.In[1].Node)
			}
			w, err := e.runner.Vars().Get(v.Label)
			if err != nil {
				return "", nil, fmt.Errorf("explain: %w", err)
			}
			return n.Path, w, nil
		}
		names = append(names, n.Path)
	}
	if len(names) == 0 {
		return "", nil, errors.New("explain: the network has no convolution")
	}
	return "", nil, fmt.Errorf("explain: no convolution %q%s", path, suggest.Phrase(path, names))
}
