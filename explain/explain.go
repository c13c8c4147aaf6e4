// Package explain looks inside a trained network: which part of an image speaks
// for a class (class activation maps, occlusion, saliency), what the channels of
// a layer answer to an image, and what a layer's filters look like.
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
	"sync"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Method is a way to say which part of an image speaks for a class.
type Method string

// The methods. With A the activations of a layer, [C H W], S the logit of the
// class and g = dS/dA:
const (
	// GradCAM is relu(Σ_k w_k A_k), w_k the mean of g_k over the layer's pixels
	// (Selvaraju et al. 2017, equations 1 and 2).
	GradCAM Method = "gradcam"
	// GradCAMPlusPlus weighs the pixels, too: w_k = Σ_ij a_kij relu(g_kij), a_kij =
	// g² / (2g² + g³ Σ_ij A_kij) (Chattopadhay et al. 2018, equations 10 and 19, with
	// S in place of exp S, whose factor drops out, as the authors' program has it).
	GradCAMPlusPlus Method = "gradcam++"
	// Occlusion is how much probability the class loses when a grey patch covers
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
	// Batch is how many occluded images are computed at once; 0 means 16.
	Batch int
	// MultiLabel lets Occlusion take the probability by a sigmoid in place of the
	// softmax.
	MultiLabel bool
	// Progress, if not nil, is called as parts of the work are done.
	Progress func(done, total int)
}

// Map says for each place how much it speaks for a class, in the units of its
// method; it has the size of the layer it was read from.
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
	net   nn.Module
	vars  *engine.Vars
	input tensor.Shape
	opt   engine.Options

	mu    sync.Mutex
	plans map[string]*engine.Plan
}

// New returns an explainer of net with the values in vars, for images of shape
// input, [C H W]. opt.ChannelsLast must be empty.
func New(net nn.Module, vars *engine.Vars, input tensor.Shape, opt engine.Options) (*Explainer, error) {
	if len(input) != 3 {
		return nil, fmt.Errorf("explain: the input %v is not [C H W]", input)
	}
	if len(opt.ChannelsLast) > 0 {
		return nil, errors.New("explain: images are taken as [N C H W] only")
	}
	e := &Explainer{net: net, vars: vars, input: input.Clone(), opt: opt, plans: map[string]*engine.Plan{}}
	if _, err := e.trace(1); err != nil {
		return nil, err
	}
	return e, nil
}

// traced is the network as a graph with its logits, [n classes].
type traced struct {
	*nn.Traced
	n      int
	logits *graph.Value
}

func (e *Explainer) trace(n int) (*traced, error) {
	t, err := nn.Trace(e.net, nn.TraceOptions{Input: graph.F32(n, e.input[0], e.input[1], e.input[2])})
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	z, _ := modelfile.Logits(t.Output)
	if len(z.Shape) != 2 || z.Shape[0] != n {
		return nil, fmt.Errorf("explain: the network's output %v is no vector of classes an image", t.Output.Type)
	}
	return &traced{t, n, z}, nil
}

// site is a place of the network that can be read.
type site struct {
	Layer
	out *graph.Value
}

// sites lists the places in order: the outputs of modules, those of operators
// that carry a path of their own (of foreign graphs), each path once, by its last
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
func (e *Explainer) Layers() ([]Layer, error) {
	t, err := e.trace(1)
	if err != nil {
		return nil, err
	}
	var list []Layer
	for _, s := range t.sites() {
		list = append(list, s.Layer)
	}
	return list, nil
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

// plan returns the compiled form of what build adds to a fresh trace of n images,
// compiled once for a key.
func (e *Explainer) plan(key string, n int, build func(t *traced) error) (*engine.Plan, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key = fmt.Sprintf("%s/%d", key, n)
	if p := e.plans[key]; p != nil {
		return p, nil
	}
	t, err := e.trace(n)
	if err != nil {
		return nil, err
	}
	if err := build(t); err != nil {
		return nil, err
	}
	p, err := engine.Compile(t.Graph, e.vars, e.opt)
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	e.plans[key] = p
	return p, nil
}

// run feeds the inputs by name and returns the outputs in order.
func run(p *engine.Plan, feed map[string]*tensor.Tensor) ([]*tensor.Tensor, error) {
	in := make([]*tensor.Tensor, len(p.Inputs()))
	for i, port := range p.Inputs() {
		in[i] = feed[port.Name]
	}
	out := make([]*tensor.Tensor, len(p.Outputs()))
	for i, port := range p.Outputs() {
		out[i] = tensor.New(port.Shape...)
	}
	if err := p.Run(in, out); err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	return out, nil
}

// logits computes n images, x of n·C·H·W numbers.
func (e *Explainer) logits(x *tensor.Tensor) ([]float32, error) {
	p, err := e.plan("logits", x.Shape()[0], func(t *traced) error {
		t.Graph.Output("logits", t.logits)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out, err := run(p, map[string]*tensor.Tensor{nn.ImageInput: x})
	if err != nil {
		return nil, err
	}
	return out[0].Float32s(), nil
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

// Maps explains what the network says of the image x, [1 C H W]: a map for each
// of classes, or for the most probable one without any.
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
	z, err := e.logits(x)
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
		if maps[i], err = e.gradient(x, c, len(z), opt); err != nil {
			return nil, err
		}
		maps[i].Logit = z[c]
		if opt.Progress != nil {
			opt.Progress(i+1, len(classes))
		}
	}
	return maps, nil
}

// Features returns what the module at path gives for the image x, [1 C H W]:
// [C' H' W'], or [features].
func (e *Explainer) Features(x *tensor.Tensor, path string) (*tensor.Tensor, error) {
	if err := e.check(x); err != nil {
		return nil, err
	}
	p, err := e.plan("features/"+path, 1, func(t *traced) error {
		s, err := t.at(path)
		if err == nil {
			t.Graph.Output("features", s.out)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out, err := run(p, map[string]*tensor.Tensor{nn.ImageInput: x})
	if err != nil {
		return nil, err
	}
	return tensor.FromFloat32(out[0].Float32s(), out[0].Shape()[1:]...)
}

// Filters returns the path of a convolution, the first of the network for "",
// and its filters, [out in/groups kh kw].
func (e *Explainer) Filters(path string) (string, *tensor.Tensor, error) {
	t, err := e.trace(1)
	if err != nil {
		return "", nil, err
	}
	var names []string
	for _, n := range t.Graph.Nodes {
		if _, ok := n.Op.(graph.Conv2d); !ok {
			continue
		}
		if path == "" || n.Path == path {
			v, ok := n.In[1].Node.Op.(graph.Variable)
			if !ok {
				return "", nil, fmt.Errorf("explain: the filters of %s are computed by %s, not stored", n.Path, n.In[1].Node)
			}
			w, err := e.vars.Get(v.Label)
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
