package keras

import (
	"fmt"
	"slices"
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
// inference has not, are left out. An operator that no Keras layer computes is
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

// kerasName makes a name that Keras takes: no slashes, not empty.
func kerasName(s string) string {
	if s = strings.ReplaceAll(s, "/", "."); s == "" {
		return "model"
	}
	return s
}

// unique returns a name for a layer that no other has.
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
	var in []string
	for _, v := range n.In {
		p, ok := e.at[v]
		if !ok {
			break // variables and constants come after the tensors
		}
		in = append(in, p.name)
	}
	var nonNegative bool
	if len(n.In) > 0 {
		nonNegative = e.at[n.In[0]].nonNegative
	}
	put := func(class, name string, config object) {
		e.at[n.Out[0]] = place{e.add(class, e.unique(name), config, in...), nonNegative}
	}
	need := func(count int) error {
		if len(in) != count {
			return fmt.Errorf("it takes %d tensors, want %d beside parameters", len(in), count)
		}
		return nil
	}
	switch op := n.Op.(type) {
	case graph.Input, graph.Variable, graph.Const:
		return nil
	case graph.Conv2d:
		if err := need(1); err != nil {
			return err
		}
		name, err := e.paramName(n.In[1], "weight")
		if err != nil {
			return err
		}
		if len(n.In) == 3 {
			if _, err := e.paramName(n.In[2], "bias"); err != nil {
				return err
			}
		}
		w := n.In[1].Shape
		same := op.StrideH == 1 && op.StrideW == 1 && evenPad(op.PadTop, op.PadBottom, w[2], op.DilationH) && evenPad(op.PadLeft, op.PadRight, w[3], op.DilationW)
		padding := "valid"
		if pad := [4]int{op.PadTop, op.PadBottom, op.PadLeft, op.PadRight}; same {
			padding = "same"
		} else if pad != [4]int{} {
			in[0] = e.padSides(e.unique(name+".pad"), pad, in[0])
		}
		nonNegative = false
		if e.used[name] {
			return fmt.Errorf("the module %s is called twice", name)
		}
		put("Conv2D", name, object{
			"filters": w[0], "kernel_size": []int{w[2], w[3]}, "strides": []int{op.StrideH, op.StrideW}, "padding": padding,
			"data_format": "channels_last", "dilation_rate": []int{op.DilationH, op.DilationW}, "groups": op.Groups,
			"activation": "linear", "use_bias": len(n.In) == 3,
		})
	case graph.Linear:
		if err := need(1); err != nil {
			return err
		}
		name, err := e.paramName(n.In[1], "weight")
		if err != nil {
			return err
		}
		nonNegative = false
		if e.used[name] {
			return fmt.Errorf("the module %s is called twice", name)
		}
		put("Dense", name, object{"units": n.In[1].Shape[0], "activation": "linear", "use_bias": len(n.In) == 3})
	case graph.BatchNorm:
		if err := need(1); err != nil {
			return err
		}
		name, err := e.paramName(n.In[1], "weight")
		if err != nil {
			return err
		}
		nonNegative = false
		if e.used[name] {
			return fmt.Errorf("the module %s is called twice", name)
		}
		momentum := float32(0.9)
		if bn := e.norms[name]; bn != nil {
			momentum = 1 - bn.Momentum
		}
		put("BatchNormalization", name, object{"axis": -1, "momentum": momentum, "epsilon": op.Eps, "center": true, "scale": true})
	case graph.Unary:
		if err := need(1); err != nil {
			return err
		}
		for _, name := range exported {
			if a := activations[name]; a.unary == op {
				nonNegative = a.nonNegative()
				put("Activation", e.label(n.Path, name), object{"activation": name})
				return nil
			}
		}
		switch op.Fn {
		case graph.LeakyRelu:
			nonNegative = false
			put("LeakyReLU", e.label(n.Path, "leaky_relu"), object{"negative_slope": op.A})
		case graph.Clip:
			if op.A != 0 {
				return fmt.Errorf("bounds %g and %g", op.A, op.B)
			}
			nonNegative = true
			put("ReLU", e.label(n.Path, "relu"), object{"max_value": op.B})
		default:
			return fmt.Errorf("no Keras layer computes it")
		}
	case graph.Binary:
		class := map[graph.BinaryFn]string{graph.Add: "Add", graph.Sub: "Subtract", graph.Mul: "Multiply", graph.Max: "Maximum", graph.Min: "Minimum"}[op.Fn]
		if class == "" || len(n.In[0].Shape) != len(n.In[1].Shape) {
			return fmt.Errorf("no Keras layer computes it")
		}
		if err := need(2); err != nil {
			return err
		}
		nonNegative = class != "Subtract" && nonNegative && e.at[n.In[1]].nonNegative
		put(class, e.label(n.Path, strings.ToLower(class)), nil)
	case graph.Affine:
		nonNegative = false
		put("Rescaling", e.label(n.Path, "rescaling"), object{"scale": op.Scale, "offset": op.Shift})
	case graph.MaxPool2d:
		pad := [4]int{op.PadTop, op.PadBottom, op.PadLeft, op.PadRight}
		if op.Ceil || pad != [4]int{} && !nonNegative {
			return fmt.Errorf("padding of numbers that may be negative, or ceil mode")
		}
		if pad != [4]int{} {
			in[0] = e.padSides(e.unique(under(n.Path, "pad")), pad, in[0])
		}
		put("MaxPooling2D", e.label(n.Path, "pool"), poolConfig(op.Window))
	case graph.AvgPool2d:
		pad := [4]int{op.PadTop, op.PadBottom, op.PadLeft, op.PadRight}
		if op.Ceil || pad != [4]int{} && !op.CountPad {
			return fmt.Errorf("padding that does not count, or ceil mode")
		}
		if pad != [4]int{} {
			in[0] = e.padSides(e.unique(under(n.Path, "pad")), pad, in[0])
		}
		put("AveragePooling2D", e.label(n.Path, "pool"), poolConfig(op.Window))
	case graph.Reduce:
		class := map[graph.ReduceFn]string{graph.Mean: "GlobalAveragePooling2D", graph.MaxOf: "GlobalMaxPooling2D"}[op.Fn]
		if class == "" || len(n.In[0].Shape) != 4 || !slices.Equal(op.Axes, []int{2, 3}) {
			return fmt.Errorf("only the mean and the maximum of an image have Keras layers")
		}
		put(class, e.label(n.Path, "global_pool"), object{"data_format": "channels_last", "keepdims": op.Keep})
	case graph.Softmax:
		if len(n.In[0].Shape) > 3 {
			return fmt.Errorf("a softmax along the width")
		}
		nonNegative = true
		put("Softmax", e.label(n.Path, "softmax"), object{"axis": -1})
	case graph.Concat:
		a := op.Axis
		if len(n.In[0].Shape) == 4 {
			a = []int{0, 3, 1, 2}[a]
		}
		if err := need(len(n.In)); err != nil {
			return err
		}
		nonNegative = false
		put("Concatenate", e.label(n.Path, "concatenate"), object{"axis": a})
	case graph.Pad:
		return e.pad(n, op, in, nonNegative)
	case graph.Slice:
		return e.slice(n, op, in, nonNegative)
	case graph.Reshape:
		return e.reshape(n, op, in, nonNegative)
	case graph.Resize:
		x := n.In[0].Shape
		if op.OH%x[2] != 0 || op.OW%x[3] != 0 {
			return fmt.Errorf("%dx%d is no multiple of %dx%d", op.OH, op.OW, x[2], x[3])
		}
		mode := "nearest"
		if op.Bilinear {
			mode = "bilinear"
		}
		put("UpSampling2D", e.label(n.Path, "up"), object{"size": []int{op.OH / x[2], op.OW / x[3]}, "interpolation": mode, "data_format": "channels_last"})
	default:
		return fmt.Errorf("no Keras layer computes it")
	}
	return nil
}

// pad writes padding of zeros along the height, the width, or, with the axes
// exchanged around it, the channels.
func (e *exporter) pad(n *graph.Node, op graph.Pad, in []string, nonNegative bool) error {
	if len(n.In[0].Shape) != 4 || op.Value != 0 || op.Between != 0 || op.Axis == 0 {
		return fmt.Errorf("only zeros around an image have a Keras layer")
	}
	x := in[0]
	name := func(what string) string { return e.unique(under(n.Path, what)) }
	switch op.Axis {
	case 1:
		x = e.add("Permute", name("channels_to_width"), object{"dims": []int{1, 3, 2}}, x)
		x = e.padSides(name("pad"), [4]int{0, 0, op.Before, op.After}, x)
		x = e.add("Permute", name("width_to_channels"), object{"dims": []int{1, 3, 2}}, x)
	case 2:
		x = e.padSides(name("pad"), [4]int{op.Before, op.After, 0, 0}, x)
	case 3:
		x = e.padSides(name("pad"), [4]int{0, 0, op.Before, op.After}, x)
	}
	e.at[n.Out[0]] = place{x, nonNegative}
	return nil
}

// slice writes every Step-th row or column as a pooling of windows of one
// element, and a range of them as cropping.
func (e *exporter) slice(n *graph.Node, op graph.Slice, in []string, nonNegative bool) error {
	x := n.In[0].Shape
	if len(x) != 4 || op.Axis < 2 || op.Step < 1 {
		return fmt.Errorf("only slices of rows and columns have Keras layers")
	}
	name := in[0]
	end := op.Start + (op.Count-1)*op.Step + 1
	if after := x[op.Axis] - end; op.Start > 0 || after >= op.Step {
		crop := [2][2]int{}
		crop[op.Axis-2] = [2]int{op.Start, after}
		name = e.add("Cropping2D", e.unique(under(n.Path, "crop")), object{"cropping": crop, "data_format": "channels_last"}, name)
	}
	if op.Step > 1 {
		strides := []int{1, 1}
		strides[op.Axis-2] = op.Step
		name = e.add("MaxPooling2D", e.unique(under(n.Path, "subsample")), object{"pool_size": []int{1, 1}, "strides": strides, "padding": "valid", "data_format": "channels_last"}, name)
	}
	e.at[n.Out[0]] = place{name, nonNegative}
	return nil
}

// reshape writes a flatten, in our order of the elements, and what becomes a
// vector's image again.
func (e *exporter) reshape(n *graph.Node, op graph.Reshape, in []string, nonNegative bool) error {
	if len(in) == 0 { // of a parameter
		return fmt.Errorf("a parameter is given another shape")
	}
	x, y := n.In[0].Shape, n.Out[0].Shape
	name := in[0]
	switch {
	case len(x) == 4 && len(y) == 2:
		if x[2] != 1 || x[3] != 1 {
			name = e.add("Permute", e.unique(under(n.Path, "channels_first")), object{"dims": []int{3, 1, 2}}, name)
		}
		name = e.add("Flatten", e.unique(e.label(n.Path, "flatten")), object{"data_format": "channels_last"}, name)
	case len(x) == 2 && len(y) == 4 && y[2] == 1 && y[3] == 1:
		name = e.add("Reshape", e.unique(e.label(n.Path, "reshape")), object{"target_shape": []int{1, 1, y[1]}}, name)
	case x.Equal(y):
	default:
		return fmt.Errorf("from %v to %v", x, y)
	}
	e.at[n.Out[0]] = place{name, nonNegative}
	return nil
}

// evenPad reports whether padding is TensorFlow's "same" at stride 1.
func evenPad(before, after, kernel, dilation int) bool {
	return before == after && 2*before == (kernel-1)*dilation
}

func poolConfig(w graph.Window) object {
	return object{"pool_size": []int{w.KernelH, w.KernelW}, "strides": []int{w.StrideH, w.StrideW}, "padding": "valid", "data_format": "channels_last"}
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
