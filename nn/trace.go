package nn

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// Names of the graph inputs that [Trace] makes, and of the output that the model
// returns, by which package infer runs it.
const (
	ImageInput = "input"  // the model's input
	RNGInput   = "rng"    // int64[2]: seed and step, where the graph has random operators
	MainOutput = "output" // what Forward returns
)

// TraceOptions are the choices of [Trace].
type TraceOptions struct {
	// Input is the type of the model's input, such as F32(32, 3, 224, 224);
	// it becomes the graph input [ImageInput].
	Input graph.Type
	// Layout is the order in memory of the tensors that are fed to that input.
	Layout tensor.Layout
	// Training traces the training form: batch statistics, which also update
	// the running statistics, and dropout.
	Training bool
	// Synchronized makes batch norms, in training, normalize by the statistics of all
	// parts of a batch that several processes compute, and [Context.AllRows] give the rows
	// of all; nil by those of this one.
	Synchronized *Synchronized
	// Graph is the graph to add to; nil means a new one. A network that is traced into
	// it twice shares its variables; another network must not have keys of the first,
	// which is an error, unless it has another Prefix.
	Graph *graph.Graph
	// Prefix, such as "teacher.", stands before the state-dict keys in the names of
	// the graph's variables, and in the Traced.
	Prefix string
	// X, a value of Graph, is the model's input instead of Input.
	X *graph.Value
}

// Traced is a model written as a graph.
type Traced struct {
	Graph  *graph.Graph
	Input  *graph.Value
	Output *graph.Value // not yet a graph output; name it by [graph.Graph.Output]
	RNG    *graph.Value // the graph input [RNGInput], nil if nothing is random
	// Inputs are the model's other inputs and Outputs its other outputs, in the order
	// of [Context.Input] and [Context.Output]. Outputs are not yet graph outputs either.
	Inputs, Outputs []Named

	// Params are the parameters and buffers that the forward pass reads, in
	// state-dict order.
	Params []Var
	// Unused are the keys of parameters and buffers that it does not read, without
	// counters.
	Unused []string
	// Counters are the keys of the num_batches_tracked buffers, to which the caller
	// adds 1 at each training step.
	Counters []string
	// Calls are the calls of modules in the order in which they returned.
	Calls []Call
}

// Named is a value of a graph by the name that the model gives it.
type Named struct {
	Name  string
	Value *graph.Value
}

// Var is a parameter as a variable of the graph.
type Var struct {
	Entry
	Value *graph.Value
}

// Call is one call of a module.
type Call struct {
	Path    string
	Module  Module
	In, Out *graph.Value
}

// Trace runs m's Forward on a symbolic input and returns the graph, which with
// Training includes the updates of running statistics. A mistake in shapes is an
// error that begins with the module's path ("layer3.2.conv1: Conv2d of …") and
// wraps a [*graph.Error]; other panics in Forward pass through.
func Trace(m Module, opt TraceOptions) (*Traced, error) {
	tree, err := checkedWalk(m)
	if err != nil {
		return nil, err
	}
	g, x := opt.Graph, opt.X
	switch {
	case g == nil && x != nil:
		return nil, errors.New("nn: TraceOptions.X is set but Graph, to which it belongs, is not")
	case g == nil:
		g = &graph.Graph{}
	}
	if x == nil {
		if x, err = g.InputAs(ImageInput, opt.Input, opt.Layout); err != nil {
			return nil, fmt.Errorf("nn: the model's input: %w", err)
		}
	}
	c := &Context{
		Training: opt.Training, synchronized: opt.Synchronized, prefix: opt.Prefix,
		tree: tree, traced: &Traced{Graph: g, Input: x},
		vars: map[*Param]*graph.Value{}, running: map[*Param]*graph.Value{},
		counted: map[*Param]bool{}, draws: map[string]int{},
	}
	t := c.traced
	defer g.SetPath(g.SetPath(""))
	if err := graph.Try(func() { t.Output = c.Call(m, x) }); err != nil {
		return nil, fmt.Errorf("nn: %w", err)
	}
	if t.Output == nil {
		return nil, fmt.Errorf("nn: Forward of %T returned nil", m)
	}
	for _, p := range c.updates {
		if err := g.Assign(c.vars[p], c.running[p]); err != nil {
			return nil, fmt.Errorf("nn: %s: %w", tree.names[p], err)
		}
	}
	for _, e := range tree.params {
		if v, ok := c.vars[e.Param]; !ok {
			if !weights.IsCounter(e.Name) {
				t.Unused = append(t.Unused, opt.Prefix+e.Name)
			}
		} else if tree.names[e.Param] == e.Name {
			e.Name = opt.Prefix + e.Name
			t.Params = append(t.Params, Var{e, v})
		}
	}
	return t, nil
}

// Trainable returns the parameters that gradients and the optimizer apply to.
func (t *Traced) Trainable() []Var {
	var vs []Var
	for _, v := range t.Params {
		if v.Param.Trainable() {
			vs = append(vs, v)
		}
	}
	return vs
}

// At returns the output of the last call of the module at path, such as "layer4"
// or "layer1.0.conv2".
func (t *Traced) At(path string) (*graph.Value, error) {
	var known []string
	for i := len(t.Calls) - 1; i >= 0; i-- {
		if t.Calls[i].Path == path {
			return t.Calls[i].Out, nil
		}
		known = append(known, t.Calls[i].Path)
	}
	if near := suggest.Name(path, known); near != "" {
		return nil, fmt.Errorf("nn: no module %q was called; did you mean %q?", path, near)
	}
	return nil, fmt.Errorf("nn: no module %q was called", path)
}

// Kind returns the name of a module's type for messages and summaries: the result
// of its Kind method, if it has one, or the name of its Go type.
func Kind(m Module) string {
	if k, ok := m.(interface{ Kind() string }); ok {
		return k.Kind()
	}
	t := reflect.TypeOf(m)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}
