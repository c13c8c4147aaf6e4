// Package stablehlo writes graphs as StableHLO, the text that XLA compiles for CPUs,
// GPUs and TPUs, and that IREE and other compilers read too: the inference of a network,
// or a whole step of its training.
package stablehlo

import (
	"fmt"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Options are the choices of [Write]. The zero value is the usual one.
type Options struct {
	// Name is the name of the module; "" means resnet.
	Name string
	// Constants are values of variables that are written into the text, by name. They
	// must not be updated by the graph.
	Constants map[string]*tensor.Tensor
	// Donate marks the arguments that hold updated variables so that their results may
	// take over their memory, by XLA's attribute tf.aliasing_output.
	Donate bool
	// KeepLayouts gives the arguments of inputs that the graph takes in N, H, W, C order
	// that order; else all are in N, C, H, W order.
	KeepLayouts bool
	// BF16 rounds the operands of convolutions and products of matrices to bfloat16; the
	// sums stay float32.
	BF16 bool
	// Highest asks for float32 products (precision HIGHEST) where hardware has faster and
	// coarser ones, such as TF32.
	Highest bool
}

// Program is a graph as the function main of a module.
type Program struct {
	Text      []byte
	Arguments []Argument // of main, in order: the graph's inputs, then its variables
	Results   []Result   // of main, in order: the graph's outputs, then its updated variables
}

// Argument is an argument of a [Program]. Tensors are in N, C, H, W order, unless
// Options.KeepLayouts is set.
type Argument struct {
	Name     string
	Type     graph.Type
	Variable bool // kept between runs; else fed at each run
}

// Result is a result of a [Program].
type Result struct {
	Name     string
	Type     graph.Type
	Variable bool // the new value of the variable of this name
}

// Unsupported is the error for an operator that has no form in StableHLO here.
type Unsupported struct{ Node *graph.Node }

// Error names the operator and the module that asked for it.
func (e *Unsupported) Error() string {
	return fmt.Sprintf("stablehlo: %s cannot be written: the operator has no form in StableHLO", e.Node)
}

// Write returns a graph as StableHLO. Only what outputs and updates need is written. It
// returns an [*Unsupported] error for quantized operators, RoIAlign, TopK and its kin, and
// what runs on the host. A label out of range, which stops the run of a plan, counts as a
// row without a label; an index out of range gives NaN.
func Write(g *graph.Graph, opt Options) (*Program, error) {
	w := &writer{bf16: opt.BF16, highest: opt.Highest, values: map[*graph.Value]value{}, scalars: map[string]value{}}
	p := &Program{}
	needed := reached(g)
	updates := map[*graph.Value]int{} // the result of each variable's new value
	for i, u := range g.Updates {
		updates[u.Variable] = len(g.Outputs) + i
	}
	var args []string
	last := map[*graph.Value]int{} // the arguments whose channels are last
	add := func(v *graph.Value, name string, variable bool) {
		a := value{fmt.Sprintf("%%arg%d", len(args)), elementOf(v.DType), v.Shape}
		text := a.name + ": " + a.typeText()
		if result, updated := updates[v]; updated && opt.Donate {
			text += fmt.Sprintf(" {tf.aliasing_output = %d : i32}", result)
		}
		args = append(args, text+" loc("+quote(name)+")")
		w.values[v] = a
		p.Arguments = append(p.Arguments, Argument{name, v.Type, variable})
	}
	for _, n := range g.Nodes {
		if in, ok := n.Op.(graph.Input); ok && needed[n] {
			add(n.Out[0], in.Label, false)
			if opt.KeepLayouts && in.Layout == tensor.NHWC {
				last[n.Out[0]] = len(args) - 1
			}
		}
	}
	for v, i := range last {
		a := w.values[v]
		given := a
		given.shape = tensor.Shape{a.shape[0], a.shape[2], a.shape[3], a.shape[1]}
		args[i] = strings.Replace(args[i], a.typeText(), given.typeText(), 1)
		w.values[v] = w.transpose(given, 0, 3, 1, 2)
	}
	for _, n := range g.Nodes {
		if v, ok := n.Op.(graph.Variable); ok && needed[n] && opt.Constants[v.Label] == nil {
			add(n.Out[0], v.Label, true)
		}
	}
	for _, n := range g.Nodes {
		if !needed[n] {
			continue
		}
		switch op := n.Op.(type) {
		case graph.Input:
		case graph.Variable:
			if t := opt.Constants[op.Label]; t != nil {
				if _, updated := updates[n.Out[0]]; updated {
					return nil, fmt.Errorf("stablehlo: the variable %q is updated, so it cannot be a constant", op.Label)
				}
				w.values[n.Out[0]] = w.constant(t)
			}
		default:
			if err := w.node(n); err != nil {
				return nil, err
			}
		}
	}
	var names, types []string
	var unwritten *graph.Node
	result := func(v *graph.Value, name string, variable bool) {
		r := w.values[v]
		if r.name == "" {
			unwritten = v.Node
		}
		names, types = append(names, r.name), append(types, r.typeText())
		p.Results = append(p.Results, Result{name, v.Type, variable})
	}
	for _, o := range g.Outputs {
		result(o.Value, o.Name, false)
	}
	for _, u := range g.Updates {
		result(u.New, u.Variable.Node.Op.(graph.Variable).Label, true)
	}
	if unwritten != nil {
		return nil, &Unsupported{unwritten}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("stablehlo: the graph has neither outputs nor updates")
	}
	name := opt.Name
	if name == "" {
		name = "resnet"
	}
	list := strings.Join(types, ", ")
	p.Text = fmt.Appendf(nil, "module @%s {\n  func.func public @main(%s) -> (%s) {\n%s    return %s : %s\n  }\n}\n",
		quote(name), strings.Join(args, ", "), list, w.body.Bytes(), strings.Join(names, ", "), list)
	return p, nil
}

// reached returns the nodes that outputs and updates need.
func reached(g *graph.Graph) map[*graph.Node]bool {
	needed := map[*graph.Node]bool{}
	mark := func(v *graph.Value) { needed[v.Node] = true }
	for _, o := range g.Outputs {
		mark(o.Value)
	}
	for _, u := range g.Updates {
		mark(u.New)
		mark(u.Variable)
	}
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		if n := g.Nodes[i]; needed[n] {
			for _, v := range inputsOf(n) {
				mark(v)
			}
		}
	}
	return needed
}

// inputsOf returns what the written form of a node needs: the gradient of a max pooling
// finds the largest elements again.
func inputsOf(n *graph.Node) []*graph.Value {
	if x := pooled(n); x != nil {
		return []*graph.Value{n.In[0], x}
	}
	return n.In
}
