// Package keras reads and writes the files of Keras: .keras archives, .h5
// files of whole models, and .h5 files of weights of Keras 2 and 3.
//
// A file's config becomes a [Model], made of package nn's modules, whatever
// layers of [Layers] it consists of; keras.applications' ResNets, of both
// generations, are among them. A network of our own becomes a Keras model by
// [FromModule]. Weights keep their bits in both directions.
//
// What differs between the two worlds is settled here: the order of axes
// ([N H W C] there, [N C H W] here), TensorFlow's "same" padding, the meaning of
// batch norm's momentum, the order of a flattened image, BGR input
// ([Model.BGR]), and that Keras's classifiers end in a softmax where ours give
// logits ([Model.Final]).
package keras

import (
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Modules are the layers of a model by their name, the first part of the
// state-dict keys: "conv1_conv.weight", "conv1_bn.running_mean".
type Modules map[string]nn.Module

// Model is a Keras model as a module. Input [N C H W], output [N classes].
type Model struct {
	Modules
	// Final is the activation at the end of the Keras model that Forward
	// leaves out to give logits: "softmax", "sigmoid", or "" for none.
	Final string
	// Probabilities makes Forward apply Final.
	Probabilities bool
	// BGR is set if the Keras model takes the channels in the order blue, green,
	// red, like models that were converted from Caffe. Forward takes RGB and swaps
	// them.
	BGR bool
	// Preprocess is how pictures become inputs; nil if it is not known.
	Preprocess *data.Preprocess
	// Info is what our own files hold besides what Keras reads.
	Info Info

	spec   *spec        `key:"-"`
	layers []*layerSpec `key:"-"` // in Keras's order
	calls  []call
	inputs []int // Keras's shape of the input
	shapes map[ref][]int
}

// call is one call of a layer, in an order in which they can run.
type call struct {
	layer string
	in    []ref
	out   ref
}

// defaultSize stands for the height and width of an input that leaves them
// free.
const defaultSize = 224

// build makes the model that s describes, without values.
func build(s *spec) (*Model, error) { return buildFrom(s, s.shape, false) }

func buildFrom(s *spec, shape []int, inner bool) (*Model, error) {
	if shape == nil {
		return nil, fmt.Errorf("keras: model %s does not declare the shape of its input", s.name)
	}
	m := &Model{Modules: Modules{}, spec: s, shapes: map[ref][]int{}}
	m.inputs = slices.Clone(shape)
	for i, d := range m.inputs {
		if d == 0 && i == len(shape)-1 {
			return nil, fmt.Errorf("keras: model %s leaves the channels of its input free", s.name)
		} else if d == 0 {
			m.inputs[i] = defaultSize
		}
	}
	var err error
	if m.layers, err = s.order(); err != nil {
		return nil, err
	}
	if m.calls, err = schedule(m.layers); err != nil {
		return nil, fmt.Errorf("keras: model %s: %w", s.name, err)
	}
	byName := map[string]*layerSpec{}
	for _, l := range m.layers {
		byName[l.name] = l
		if l.op != nil {
			m.Modules[l.name] = l.op
		} else if l.sub == nil {
			made, err := newLayer(l.class, l.config)
			if err != nil {
				return nil, fmt.Errorf("keras: layer %s of class %s: %w", l.name, l.class, err)
			}
			m.Modules[l.name] = made
		}
	}
	built := map[string][]int{}
	for _, c := range m.calls {
		l := byName[c.layer]
		in := make([][]int, len(c.in))
		for i, r := range c.in {
			in[i] = m.shapes[r]
		}
		if len(in) == 0 {
			in = [][]int{m.inputs}
		}
		out, err := m.buildCall(l, in, built)
		if err != nil {
			return nil, fmt.Errorf("keras: layer %s of class %s: %w", l.name, l.class, err)
		}
		for _, d := range out {
			if d < 1 || d > 1<<40 {
				return nil, fmt.Errorf("keras: layer %s of class %s: its output would be %v", l.name, l.class, out)
			}
		}
		m.shapes[c.out] = out
	}
	for _, l := range m.layers {
		if _, ok := built[l.name]; !ok {
			delete(m.Modules, l.name) // never called
			continue
		}
		if l.frozen && l.sub == nil {
			for _, v := range m.Modules[l.name].(layer).variables() {
				v.param.Frozen = true
			}
		} else if l.frozen {
			for _, e := range nn.Params(m.Modules[l.name]) {
				e.Param.Frozen = true
			}
		}
	}
	m.foldPadding()
	if inner {
		return m, nil
	}
	return m, m.choose("")
}

// buildCall makes a layer's parameters at its first call, and returns the
// shape of the call's output. built has the shape of the first input of the
// first call: where that decided about parameters, other calls must have it
// too.
func (m *Model) buildCall(l *layerSpec, in [][]int, built map[string][]int) ([]int, error) {
	first, again := built[l.name]
	if !again {
		built[l.name] = in[0]
	}
	differs := func() error {
		if !slices.Equal(first, in[0]) {
			return fmt.Errorf("calls with inputs of the shapes %v and %v are not supported", first, in[0])
		}
		return nil
	}
	if l.sub == nil {
		made := m.Modules[l.name].(layer)
		if !again || len(made.variables()) == 0 && !isReshaping(made) {
			return made.build(in)
		}
		return m.shapes[ref{l.name, 0}], differs()
	}
	x, err := single(in)
	if err != nil {
		return nil, err
	}
	if again {
		return m.shapes[ref{l.name, 0}], differs()
	}
	sub, err := buildFrom(l.sub, x, true)
	if err != nil {
		return nil, err
	}
	m.Modules[l.name] = sub
	return sub.shapes[sub.spec.output], nil
}

func isReshaping(l layer) bool {
	switch l.(type) {
	case *reshape, *concat:
		return true
	}
	return false
}

// schedule orders the calls so that inputs come first.
func schedule(layers []*layerSpec) ([]call, error) {
	waiting := map[ref]int{}
	users := map[ref][]ref{}
	inputs := map[ref][]ref{}
	var ready, all []ref
	for _, l := range layers {
		for k, in := range l.calls {
			r := ref{l.name, k}
			all = append(all, r)
			inputs[r] = in
			waiting[r] = len(in)
			for _, i := range in {
				users[i] = append(users[i], r)
			}
			if len(in) == 0 {
				ready = append(ready, r)
			}
		}
	}
	var calls []call
	for len(ready) > 0 {
		r := ready[0]
		ready = ready[1:]
		calls = append(calls, call{r.layer, inputs[r], r})
		for _, u := range users[r] {
			if waiting[u]--; waiting[u] == 0 {
				ready = append(ready, u)
			}
		}
	}
	if len(calls) != len(all) {
		return nil, fmt.Errorf("%d calls of layers never get their inputs", len(all)-len(calls))
	}
	return calls, nil
}

// users returns the calls that take the output of a layer which is called
// once; nil if it is called more often or is the model's output.
func (m *Model) users(layer string) []call {
	n := 0
	var out []call
	for _, c := range m.calls {
		if c.layer == layer {
			n++
		}
		for _, r := range c.in {
			if r.layer == layer {
				out = append(out, c)
			}
		}
	}
	if n != 1 || slices.ContainsFunc(m.spec.ends(), func(r ref) bool { return r.layer == layer }) {
		return nil
	}
	return out
}

// foldPadding moves zero padding into the convolution that follows, and, where
// the input has no negative values, into a max pooling, for which zeros then are
// the same as no values. This saves a copy of the image.
func (m *Model) foldPadding() {
	callsOf := map[string]int{}
	for _, c := range m.calls {
		callsOf[c.layer]++
	}
	for _, c := range m.calls {
		pad, ok := m.Modules[c.layer].(*zeroPadding)
		if !ok || len(c.in) != 1 {
			continue
		}
		users := m.users(c.layer)
		fits := len(users) > 0
		for _, u := range users {
			switch l := m.Modules[u.layer].(type) {
			case *conv:
				fits = fits && !l.same && callsOf[u.layer] == 1 && pad.below(l.KernelH, l.KernelW)
			case *pooling:
				fits = fits && l.max && !l.same && callsOf[u.layer] == 1 && pad.below(l.kh, l.kw) && m.nonNegative(c.in[0])
			default:
				fits = false
			}
		}
		if !fits {
			continue
		}
		pad.folded = true
		for _, u := range users {
			switch l := m.Modules[u.layer].(type) {
			case *conv:
				l.before = pad.sides
			case *pooling:
				l.before = pad.sides
			}
		}
	}
}

// below reports whether no side reaches the kernel's extent.
func (l *zeroPadding) below(h, w int) bool {
	return max(l.sides[0], l.sides[1]) < h && max(l.sides[2], l.sides[3]) < w
}

func (m *Model) nonNegative(r ref) bool {
	switch l := m.Modules[r.layer].(type) {
	case *activation:
		return l.act.nonNegative()
	case *conv:
		return l.act.nonNegative()
	}
	return false
}

// takeFinal removes the softmax or sigmoid at the end and returns its name.
func (m *Model) takeFinal() string {
	out := m.spec.output
	if len(m.shapes[out]) != 1 || out.node != 0 {
		return ""
	}
	for _, c := range m.calls {
		if c.layer == out.layer && c.out != out || slices.Contains(c.in, out) {
			return "" // used elsewhere too
		}
	}
	var a *act
	switch l := m.Modules[out.layer].(type) {
	case *dense:
		a = &l.act
	case *activation:
		a = &l.act
	case *Model:
		return l.takeFinal()
	default:
		return ""
	}
	name := ""
	switch {
	case a.kind == actSoftmax:
		name = "softmax"
	case a.kind == actUnary && a.unary.Fn == graph.Sigmoid:
		name = "sigmoid"
	default:
		return ""
	}
	*a = act{}
	return name
}

// Kind names the model in summaries.
func (m *Model) Kind() string { return m.spec.name }

// Name returns the model's name in its config, such as "resnet50".
func (m *Model) Name() string { return m.spec.name }

// Input returns the shape [C H W] of the images that the model is meant for;
// 224 stands for a height or width that the config leaves free.
func (m *Model) Input() tensor.Shape {
	if len(m.inputs) != 3 {
		return slices.Clone(m.inputs)
	}
	return tensor.Shape{m.inputs[2], m.inputs[0], m.inputs[1]}
}

// FixedSize reports whether the config declares the height and width of the images.
func (m *Model) FixedSize() bool { return !slices.Contains(m.spec.shape, 0) }

// Classes returns the number of logits, 0 if the output is no vector.
func (m *Model) Classes() int {
	if s := m.shapes[m.spec.output]; len(s) == 1 {
		return s[0]
	}
	return 0
}

// Forward implements [nn.Module].
func (m *Model) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if m.BGR {
		if len(x.Shape) != 4 || x.Shape[1] != 3 {
			c.Failf("want a picture [N 3 H W], got %v", x.Shape)
		}
		x = c.Concat(1, c.Slice(x, 1, 2, 1, 1), c.Slice(x, 1, 1, 1, 1), c.Slice(x, 1, 0, 1, 1))
	}
	values := map[ref]*graph.Value{}
	for _, call := range m.calls {
		mod := m.Modules[call.layer]
		in := make([]*graph.Value, len(call.in))
		for i, r := range call.in {
			in[i] = values[r]
		}
		if len(in) == 0 {
			in = []*graph.Value{x}
		}
		if j, ok := mod.(merger); ok {
			values[call.out] = join(c, j, in)
		} else {
			values[call.out] = c.Call(mod, in[0])
		}
	}
	y := values[m.spec.output]
	if m.Probabilities {
		switch m.Final {
		case "softmax":
			y = c.Softmax(y)
		case "sigmoid":
			y = c.Sigmoid(y)
		}
	}
	return y
}

func join(c *nn.Context, m merger, in []*graph.Value) *graph.Value {
	return c.CallFunc(m, in[0], func() *graph.Value { return m.merge(c, in) })
}
