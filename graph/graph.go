// Package graph describes a computation: typed values, the operators that make
// them, and the rules for shapes and gradients. Every model, however it was
// written, becomes one Graph; package engine turns a Graph into a plan.
//
// A Graph only grows: values never change once made. Shapes are concrete and in
// N, C, H, W order. Each file holds one family of operators, with the formula,
// the shape rule and the gradient of an operator together. How an operator is
// computed is not here but in package engine.
package graph

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/resnet-go/resnet/tensor"
)

// Type is what is known of a value before it is computed.
type Type struct {
	DType tensor.DType
	Shape tensor.Shape
}

// String prints the type as "float32[8 3 32 32]".
func (t Type) String() string { return t.DType.String() + t.Shape.String() }

// F32 returns the type of a float32 value of the given shape.
func F32(shape ...int) Type { return Type{tensor.Float32, shape} }

// Op is an operator: attributes and a shape rule. Operators that can be
// differentiated also implement [Differentiable].
type Op interface {
	// Name is the operator's name in messages and dumps, such as "Conv2d".
	Name() string
	// Infer returns the types of the outputs for inputs of the given types, or
	// an error that names the input which does not fit.
	Infer(in []Type) ([]Type, error)
}

// Differentiable is an operator with a gradient.
type Differentiable interface {
	Op
	// Grad adds to g the nodes that compute the gradient of a scalar with
	// respect to n's inputs. dout is the gradient of the scalar with respect to
	// n's outputs, nil for an output that the scalar does not depend on. Results
	// for inputs whose need is false may be nil.
	Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value
}

// Value is one tensor in the computation.
type Value struct {
	Type
	ID    int   // position among the graph's values
	Node  *Node // the node that makes it
	Index int   // which of the node's outputs it is
}

// String describes the value for messages.
func (v *Value) String() string {
	return fmt.Sprintf("%%%d %s of %s", v.ID, v.Type, v.Node)
}

// Node is one use of an operator.
type Node struct {
	ID   int // position among the graph's nodes, which is an order of execution
	Op   Op
	In   []*Value
	Out  []*Value
	Path string // the module that asked for it, such as "layer1.0.conv1"
}

// String names the node for messages: its operator and module path.
func (n *Node) String() string {
	if n.Path == "" {
		return n.Op.Name()
	}
	return n.Path + " (" + n.Op.Name() + ")"
}

// Output is a value that a caller reads after a run.
type Output struct {
	Name  string
	Value *Value
}

// Update assigns the value of New to the variable at the end of each run.
type Update struct {
	Variable *Value
	New      *Value
}

// Graph is a computation under construction. Its zero value is empty and ready
// to use. It is not safe for concurrent changes.
type Graph struct {
	Nodes   []*Node // in an order in which they can be executed
	Outputs []Output
	Updates []Update

	values int
	path   string
	inputs map[string]*Value
	vars   map[string]*Value
	owners map[string]any // of variables, see OwnedVariable
}

// Error is a shape or type mistake, with the place in the model where it was made.
type Error struct {
	Path string // module path, may be empty
	Op   string
	In   []Type
	Err  error
}

// Error puts the module path first, as a compiler puts the line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Op)
	if len(e.In) > 0 {
		parts := make([]string, len(e.In))
		for i, t := range e.In {
			parts[i] = t.String()
		}
		b.WriteString(" of " + strings.Join(parts, ", "))
	}
	b.WriteString(": " + e.Err.Error())
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Apply adds a node and returns its outputs. A mistake in shapes or types is
// an [*Error].
func (g *Graph) Apply(op Op, in ...*Value) ([]*Value, error) {
	types := make([]Type, len(in))
	for i, v := range in {
		if v == nil {
			return nil, &Error{Path: g.path, Op: op.Name(), Err: fmt.Errorf("input %d is nil", i)}
		}
		if !g.owns(v) {
			return nil, &Error{Path: g.path, Op: op.Name(), Err: fmt.Errorf("input %d, %v, belongs to another graph", i, v)}
		}
		types[i] = v.Type
	}
	outTypes, err := op.Infer(types)
	if err != nil {
		return nil, &Error{Path: g.path, Op: op.Name(), In: types, Err: err}
	}
	n := &Node{ID: len(g.Nodes), Op: op, In: append([]*Value(nil), in...), Path: g.path}
	for i, t := range outTypes {
		n.Out = append(n.Out, &Value{Type: t, ID: g.values, Node: n, Index: i})
		g.values++
	}
	g.Nodes = append(g.Nodes, n)
	return n.Out, nil
}

// owns reports whether the value was made by this graph.
func (g *Graph) owns(v *Value) bool {
	return v.Node != nil && v.Node.ID < len(g.Nodes) && g.Nodes[v.Node.ID] == v.Node
}

// Must is Apply for code that builds graphs inside [Try]: it panics with the
// *Error, which Try returns. Gradient rules and module tracing use it.
func (g *Graph) Must(op Op, in ...*Value) []*Value {
	out, err := g.Apply(op, in...)
	if err != nil {
		panic(err)
	}
	return out
}

// Must1 is [Graph.Must] for operators of one output.
func (g *Graph) Must1(op Op, in ...*Value) *Value { return g.Must(op, in...)[0] }

// Try calls f and returns the *Error with which a Must in it stopped, if any.
// Other panics pass through.
func Try(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			var e *Error
			if re, ok := r.(error); ok && errors.As(re, &e) {
				err = re
				return
			}
			panic(r)
		}
	}()
	f()
	return nil
}

// SetPath sets the module path given to nodes from now on and returns the
// previous one.
func (g *Graph) SetPath(path string) (previous string) {
	previous, g.path = g.path, path
	return previous
}

// NumValues returns the number of values; their IDs are below it.
func (g *Graph) NumValues() int { return g.values }

// Input returns the value fed by the caller under this name, making it on first
// use. The caller feeds it in row-major order; see [Graph.InputAs].
func (g *Graph) Input(name string, t Type) (*Value, error) {
	return g.InputAs(name, t, tensor.NCHW)
}

// InputAs is [Graph.Input] with the layout of the tensors that the caller feeds.
// Operators do not see it: a value's type is the same in either layout. It
// returns an error if the input was made with another type or layout before.
func (g *Graph) InputAs(name string, t Type, l tensor.Layout) (*Value, error) {
	v, err := g.source(&g.inputs, name, Input{Label: name, Type: t, Layout: l})
	if err != nil {
		return nil, err
	}
	if before := v.Node.Op.(Input).Layout; before != l {
		return nil, &Error{Path: g.path, Op: Input{}.Name(), Err: fmt.Errorf("%q was laid out as %v before, now %v", name, before, l)}
	}
	return v, nil
}

// Variable returns the value kept between runs under this name, making it on
// first use.
func (g *Graph) Variable(name string, t Type) (*Value, error) {
	return g.source(&g.vars, name, Variable{Label: name, Type: t})
}

func (g *Graph) source(m *map[string]*Value, name string, op Op) (*Value, error) {
	types, err := op.Infer(nil)
	if err != nil {
		return nil, &Error{Path: g.path, Op: op.Name(), Err: err}
	}
	if v, ok := (*m)[name]; ok {
		if v.DType != types[0].DType || !v.Shape.Equal(types[0].Shape) {
			return nil, &Error{Path: g.path, Op: op.Name(), Err: fmt.Errorf("%q was %s before, now %s", name, v.Type, types[0])}
		}
		return v, nil
	}
	out, err := g.Apply(op)
	if err != nil {
		return nil, err
	}
	if *m == nil {
		*m = map[string]*Value{}
	}
	(*m)[name] = out[0]
	return out[0], nil
}

// OwnedVariable is [Graph.Variable] for a variable that belongs to something, such as
// a parameter of a network. It returns an error if the name belongs to something else,
// which would share the value without anybody's wish. owner must be comparable.
func (g *Graph) OwnedVariable(name string, t Type, owner any) (*Value, error) {
	if before, ok := g.owners[name]; ok && before != owner {
		return nil, &Error{Path: g.path, Op: Variable{}.Name(), Err: fmt.Errorf("%q is a variable of something else in this graph: give one of the two another name (of a network, by TraceOptions.Prefix)", name)}
	}
	v, err := g.Variable(name, t)
	if err != nil {
		return nil, err
	}
	if g.owners == nil {
		g.owners = map[string]any{}
	}
	g.owners[name] = owner
	return v, nil
}

// Const adds a constant; t must not be changed afterwards. Like [Graph.Must] it
// panics with an *Error, which [Try] returns, if t has no elements.
func (g *Graph) Const(t *tensor.Tensor) *Value { return g.Must1(Const{t}) }

// Scalar adds a float32 constant of rank 0.
func (g *Graph) Scalar(x float32) *Value {
	t := tensor.New()
	t.Float32s()[0] = x
	return g.Const(t)
}

// Output makes v readable after a run under the given name.
func (g *Graph) Output(name string, v *Value) {
	g.Outputs = append(g.Outputs, Output{name, v})
}

// Assign gives the variable v's value at the end of each run. All updates take
// effect together, after every read. A variable can have only one update.
func (g *Graph) Assign(variable, v *Value) error {
	if variable == nil || v == nil {
		return &Error{Path: g.path, Op: "Assign", Err: errors.New("the variable or the value is nil")}
	}
	if !g.owns(variable) || !g.owns(v) {
		return &Error{Path: g.path, Op: "Assign", Err: errors.New("the variable or the value belongs to another graph")}
	}
	if _, ok := variable.Node.Op.(Variable); !ok {
		return &Error{Path: g.path, Op: "Assign", Err: fmt.Errorf("%v is not a variable", variable)}
	}
	if variable.DType != v.DType || !variable.Shape.Equal(v.Shape) {
		return &Error{Path: g.path, Op: "Assign", In: []Type{variable.Type, v.Type}, Err: errors.New("the variable and its new value must have one type")}
	}
	for _, u := range g.Updates {
		if u.Variable == variable {
			return &Error{Path: g.path, Op: "Assign", Err: fmt.Errorf("%q is assigned twice: a variable can have only one update", variable.Node.Op.(Variable).Label)}
		}
	}
	g.Updates = append(g.Updates, Update{variable, v})
	return nil
}

// Input is fed by the caller at each run. Made by [Graph.Input] and
// [Graph.InputAs].
type Input struct {
	Label  string
	Type   Type
	Layout tensor.Layout // of the tensors that the caller feeds
}

func (Input) Name() string { return "Input" }

func (o Input) Infer([]Type) ([]Type, error) {
	if o.Layout != tensor.NCHW && (o.Layout != tensor.NHWC || o.Type.DType != tensor.Float32 || len(o.Type.Shape) != 4) {
		return nil, fmt.Errorf("input %q is %s: only float32 inputs of rank 4 can be %v", o.Label, o.Type, o.Layout)
	}
	return []Type{o.Type}, validType(o.Type)
}

// Variable is kept between runs: a parameter, a running statistic or a slot of
// an optimizer. Made by [Graph.Variable].
type Variable struct {
	Label string
	Type  Type
}

func (Variable) Name() string { return "Variable" }

func (o Variable) Infer([]Type) ([]Type, error) { return []Type{o.Type}, validType(o.Type) }

// Const is a constant. Made by [Graph.Const].
type Const struct{ Tensor *tensor.Tensor }

func (Const) Name() string { return "Const" }

func (o Const) Infer([]Type) ([]Type, error) {
	if o.Tensor == nil {
		return nil, errors.New("the constant has no tensor")
	}
	if l := o.Tensor.Layout(); l != tensor.NCHW {
		return nil, fmt.Errorf("the constant is %v, must be laid out as %v", o.Tensor, tensor.NCHW)
	}
	t := Type{o.Tensor.DType(), o.Tensor.Shape()}
	return []Type{t}, validType(t)
}

// Limits that keep the arithmetic of shape rules from overflowing; they are
// far above what fits into memory.
const (
	maxExtent         = math.MaxInt32 // of a shape, a kernel, a stride, a padding
	maxElements int64 = 1 << 40       // of a value
)

func validShape(s tensor.Shape) error {
	n := int64(1)
	for _, d := range s {
		if d < 1 {
			return fmt.Errorf("shape %v has an extent below 1", s)
		}
		if d > maxExtent {
			return fmt.Errorf("shape %v has an extent above %d", s, maxExtent)
		}
		if int64(d) > maxElements/n {
			return fmt.Errorf("shape %v has more than 2^40 elements", s)
		}
		n *= int64(d)
	}
	return nil
}

func validType(t Type) error {
	if t.DType != tensor.Float32 && t.DType != tensor.Int64 {
		return fmt.Errorf("the type %s is unknown, want float32 or int64", t.DType)
	}
	return validShape(t.Shape)
}

// result returns the type of an operator's only output, or an error if there
// can be no such value.
func result(shape ...int) ([]Type, error) {
	if err := validShape(shape); err != nil {
		return nil, fmt.Errorf("the result is impossible: %w", err)
	}
	return []Type{F32(shape...)}, nil
}

// arity checks the number of inputs, and that each is a possible value.
func arity(in []Type, lo, hi int) error {
	if len(in) < lo || len(in) > hi {
		if lo == hi {
			return fmt.Errorf("want %d inputs, got %d", lo, len(in))
		}
		return fmt.Errorf("want %d to %d inputs, got %d", lo, hi, len(in))
	}
	for i, t := range in {
		if err := validType(t); err != nil {
			return fmt.Errorf("input %d: %w", i, err)
		}
	}
	return nil
}

func floats(in []Type) error {
	for i, t := range in {
		if t.DType != tensor.Float32 {
			return fmt.Errorf("input %d must be float32, is %s", i, t.DType)
		}
	}
	return nil
}
