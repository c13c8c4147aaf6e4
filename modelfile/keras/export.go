package keras

import (
	"fmt"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// FromModule makes a Keras model of a network of ours, for images of the shape
// [C H W], with the network's values. Layers are named by their modules:
// "layer1.0.conv1", so that the model's state-dict keys are the network's.
//
// It is the network's inference form, written in Keras's layers: padding that
// is not TensorFlow's becomes ZeroPadding2D, an option-A shortcut a
// MaxPooling2D, Permute and ZeroPadding2D. Dropout and stochastic depth, which
// inference does not have, are left out. An operator that no Keras layer computes is
// an error that names its module.
func FromModule(net nn.Module, name string, input tensor.Shape) (*Model, error) {
	if len(input) != 3 {
		return nil, fmt.Errorf("keras: an input of the shape %v, want [C H W]", input)
	}
	t, err := nn.Trace(net, nn.TraceOptions{Input: graph.F32(append([]int{1}, input...)...)})
	if err != nil {
		return nil, err
	}
	e := &exporter{builder: newBuilder(kerasName(name)), at: map[*graph.Value]place{}, params: map[string]*nn.Param{}, norms: map[string]*nn.BatchNorm{}, inner: map[string]bool{}}
	for path, mod := range nn.Modules(net) {
		if bn, ok := mod.(*nn.BatchNorm); ok {
			e.norms[path] = bn
		}
		if i := strings.LastIndexByte(path, '.'); i > 0 {
			e.inner[path[:i]] = true
		}
	}
	for _, p := range t.Params {
		e.params[p.Name] = p.Param
	}
	e.at[t.Input] = place{name: e.input("input", input[1], input[2], input[0])}
	needed := neededBy(t.Output)
	for _, n := range t.Graph.Nodes {
		if !needed[n] {
			continue
		}
		if err := e.node(n); err != nil {
			return nil, fmt.Errorf("keras: %s cannot be written as Keras layers: %w", n, err)
		}
	}
	out, ok := e.at[t.Output]
	if !ok {
		return nil, fmt.Errorf("keras: the network has no layers")
	}
	m, err := build(e.finish(out.name))
	if err != nil {
		return nil, err
	}
	if _, err := nn.Load(m, e.renamed(m, nn.Values(net)), nn.LoadOptions{}); err != nil {
		return nil, fmt.Errorf("keras: %w", err)
	}
	return m, nil
}

// exported are the functions that are written by their name.
var exported = []string{"relu", "relu6", "sigmoid", "tanh", "silu", "gelu", "hard_sigmoid", "hard_silu", "exponential", "softplus"}

// place is where a value of the graph is in the Keras model.
type place struct {
	name        string
	nonNegative bool
}

type exporter struct {
	*builder
	at     map[*graph.Value]place
	params map[string]*nn.Param
	norms  map[string]*nn.BatchNorm
	inner  map[string]bool // paths of modules that have modules in them
}

// label names a layer that has no parameters: by its module's path if that is
// what the module does.
func (e *exporter) label(path, what string) string {
	if path != "" && !e.inner[path] {
		return path
	}
	return under(path, what)
}

func neededBy(out *graph.Value) map[*graph.Node]bool {
	needed := map[*graph.Node]bool{}
	todo := []*graph.Value{out}
	for len(todo) > 0 {
		n := todo[len(todo)-1].Node
		todo = todo[:len(todo)-1]
		if n != nil && !needed[n] {
			needed[n] = true
			todo = append(todo, n.In...)
		}
	}
	return needed
}

// kerasName makes a name that Keras accepts: without slashes, not empty.
func kerasName(s string) string {
	if s = strings.ReplaceAll(s, "/", "."); s == "" {
		return "model"
	}
	return s
}

// unique returns a name for a layer that no other layer has.
func (e *exporter) unique(name string) string {
	name = kerasName(name)
	for i, base := 1, name; e.used[name]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	return name
}

func under(path, what string) string {
	if path == "" {
		return what
	}
	return path + "." + what
}

// node adds the layers of one operator.
func (e *exporter) node(n *graph.Node) error {
	o := &operator{exporter: e, n: n}
	for _, v := range n.In {
		p, ok := e.at[v]
		if !ok {
			break // variables and constants come after the tensors
		}
		o.in = append(o.in, p.name)
	}
	if len(n.In) > 0 {
		o.nonNegative = e.at[n.In[0]].nonNegative
	}
	return o.write()
}

// paramName returns the module's path of a parameter "path.weight", which must
// be a parameter and not something computed.
func (e *exporter) paramName(v *graph.Value, what string) (string, error) {
	op, ok := v.Node.Op.(graph.Variable)
	if !ok {
		return "", fmt.Errorf("its %s is computed", what)
	}
	name, ok := strings.CutSuffix(op.Label, "."+what)
	if !ok || e.params[op.Label] == nil {
		return "", fmt.Errorf("its %s is the parameter %q, want one named …%s", what, op.Label, "."+what)
	}
	return name, nil
}

// renamed returns the part of a state that the model has, under its keys.
func (e *exporter) renamed(m *Model, state map[string]*tensor.Tensor) map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{}
	for _, v := range nn.Params(m) {
		if t, ok := state[v.Name]; ok {
			out[v.Name] = t
		}
	}
	return out
}
