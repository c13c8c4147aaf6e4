package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// UnaryFn is a function of one number.
type UnaryFn uint8

// The element-wise functions, with their ONNX names where they have one.
const (
	Relu        UnaryFn = iota // max(x, 0)
	Clip                       // min(max(x, A), B); ReLU6 is Clip with A=0, B=6
	LeakyRelu                  // x > 0 ? x : A*x
	Sigmoid                    // 1/(1+e^-x)
	Tanh                       // tanh x
	Silu                       // x*sigmoid(x), also called swish
	Gelu                       // x*Φ(x), exact, by erf
	HardSigmoid                // min(max(x/6+1/2, 0), 1)
	HardSwish                  // x*HardSigmoid(x)
	Exp                        // e^x
	Log                        // ln x
	Sqrt                       // √x
	Rsqrt                      // 1/√x
	Square                     // x²
	Abs                        // |x|
	Softplus                   // ln(1+e^x)
)

var unaryNames = [...]string{"Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "Silu", "Gelu", "HardSigmoid",
	"HardSwish", "Exp", "Log", "Sqrt", "Rsqrt", "Square", "Abs", "Softplus"}

// String returns the function's name.
func (f UnaryFn) String() string {
	if int(f) < len(unaryNames) {
		return unaryNames[f]
	}
	return fmt.Sprintf("UnaryFn(%d)", uint8(f))
}

// FromOutput reports whether the function's derivative is computed from its
// output y rather than from its input x. Those functions can run in place.
func (f UnaryFn) FromOutput() bool {
	switch f {
	case Relu, Sigmoid, Tanh, Exp, Sqrt, Rsqrt:
		return true
	}
	return false
}

// Unary applies Fn to each element. A and B are the parameters of [Clip] and
// [LeakyRelu]. Input any shape; output the same.
type Unary struct {
	Fn   UnaryFn
	A, B float32
}

func (o Unary) Name() string { return o.Fn.String() }

func (o Unary) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	if int(o.Fn) >= len(unaryNames) {
		return nil, fmt.Errorf("the function %v is unknown", o.Fn)
	}
	if o.Fn == Clip && !(o.A < o.B) {
		return nil, fmt.Errorf("the lower bound %g is not below the upper %g", o.A, o.B)
	}
	if o.Fn == LeakyRelu && !(o.A >= 0) {
		return nil, fmt.Errorf("the slope is %g, must not be negative", o.A)
	}
	return []Type{in[0]}, floats(in)
}

// Grad multiplies dy by the derivative, from the output where that is enough, so
// that the input need not be kept.
func (o Unary) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	of := n.In[0]
	if o.Fn.FromOutput() {
		of = n.Out[0]
	}
	return []*Value{g.Must1(UnaryGrad{o}, of, dout[0])}
}

// UnaryGrad multiplies dy by the derivative of a [Unary]. Inputs: the
// function's output if [UnaryFn.FromOutput], else its input; dy. At a kink the
// derivative is PyTorch's: 0 at ReLU's 0 and at both bounds of Clip.
type UnaryGrad struct{ Of Unary }

func (o UnaryGrad) Name() string { return o.Of.Fn.String() + "Grad" }

func (o UnaryGrad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 2); err != nil {
		return nil, err
	}
	if !in[0].Shape.Equal(in[1].Shape) {
		return nil, fmt.Errorf("the shapes %v and %v differ", in[0].Shape, in[1].Shape)
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	return o.Of.Infer(in[:1])
}

// Grad uses the second derivative, which is 0 for the piecewise linear functions
// and 2 for Square, so that gradients of gradients are exact for ReLU networks.
// Other functions stop with an [*Error].
func (o UnaryGrad) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	var dx *Value
	switch o.Of.Fn {
	case Relu, Clip, LeakyRelu, HardSigmoid, Abs:
	case Square:
		dx = g.Must1(Affine{Scale: 2}, g.Must1(Binary{Fn: Mul}, n.In[1], dout[0]))
	default:
		if need[0] {
			panic(&Error{Path: n.Path, Op: o.Name(), Err: fmt.Errorf("the operator has no second derivative")})
		}
	}
	return []*Value{dx, g.Must1(o, n.In[0], dout[0])}
}

// BinaryFn is a function of two numbers.
type BinaryFn uint8

// The binary functions.
const (
	Add BinaryFn = iota
	Sub
	Mul
	Div
	Max // the gradient goes to the larger input, to both halves on a tie
	Min
)

var binaryNames = [...]string{"Add", "Sub", "Mul", "Div", "Max", "Min"}

// String returns the function's name.
func (f BinaryFn) String() string {
	if int(f) < len(binaryNames) {
		return binaryNames[f]
	}
	return fmt.Sprintf("BinaryFn(%d)", uint8(f))
}

// Binary applies Fn element by element, broadcasting as NumPy does: shapes are
// aligned at their last axis and an extent of 1 stretches.
type Binary struct{ Fn BinaryFn }

func (o Binary) Name() string { return o.Fn.String() }

func (o Binary) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 2); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	if int(o.Fn) >= len(binaryNames) {
		return nil, fmt.Errorf("the function %v is unknown", o.Fn)
	}
	s, err := Broadcast(in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	return result(s...)
}

// Grad is dy for Add, ±dy for Sub, dy*b and dy*a for Mul, dy/b and -dy*y/b for Div,
// and [SelectGrad] for Max and Min, each summed over the axes that were stretched.
func (o Binary) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	a, b, dy := n.In[0], n.In[1], dout[0]
	mul := func(x, y *Value) *Value { return g.Must1(Binary{Fn: Mul}, x, y) }
	d := make([]*Value, 2)
	switch o.Fn {
	case Add:
		d[0], d[1] = dy, dy
	case Sub:
		d[0] = dy
		if need[1] {
			d[1] = g.Must1(Affine{Scale: -1}, dy)
		}
	case Mul:
		if need[0] {
			d[0] = mul(dy, b)
		}
		if need[1] {
			d[1] = mul(dy, a)
		}
	case Div:
		if need[0] {
			d[0] = g.Must1(Binary{Fn: Div}, dy, b)
		}
		if need[1] {
			d[1] = g.Must1(Affine{Scale: -1}, g.Must1(Binary{Fn: Div}, mul(dy, n.Out[0]), b))
		}
	case Max, Min:
		for i := range d {
			if need[i] {
				d[i] = g.Must1(SelectGrad(o), n.In[i], n.In[1-i], dy)
			}
		}
	}
	for i := range d {
		if d[i] != nil && need[i] {
			d[i] = g.sumTo(d[i], n.In[i].Shape)
		}
	}
	return d
}

// SelectGrad is dy where Max or Min chose x, dy/2 on a tie, and 0 where it chose
// other. Inputs: x, other (broadcast against each other), dy.
type SelectGrad struct{ Fn BinaryFn }

func (o SelectGrad) Name() string { return o.Fn.String() + "Grad" }

func (o SelectGrad) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 3, 3); err != nil {
		return nil, err
	}
	if o.Fn != Max && o.Fn != Min {
		return nil, fmt.Errorf("the function is %v, want Max or Min", o.Fn)
	}
	s, err := Broadcast(in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	if !s.Equal(in[2].Shape) {
		return nil, fmt.Errorf("want a gradient %v, got %v", s, in[2].Shape)
	}
	return []Type{in[2]}, floats(in)
}

// Affine is y = Scale*x + Shift with constant numbers. Input any shape; output the
// same.
type Affine struct{ Scale, Shift float32 }

func (Affine) Name() string { return "Affine" }

func (Affine) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	return []Type{in[0]}, floats(in)
}

// Grad is Scale*dy.
func (o Affine) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(Affine{Scale: o.Scale}, dout[0])}
}

// Broadcast returns the shape to which a and b stretch together.
func Broadcast(a, b tensor.Shape) (tensor.Shape, error) {
	r := max(len(a), len(b))
	out := make(tensor.Shape, r)
	for i := 1; i <= r; i++ {
		x, y := 1, 1
		if i <= len(a) {
			x = a[len(a)-i]
		}
		if i <= len(b) {
			y = b[len(b)-i]
		}
		if x != y && x != 1 && y != 1 {
			return nil, fmt.Errorf("shapes %v and %v do not broadcast: %d against %d at axis %d from the end", a, b, x, y, i)
		}
		out[r-i] = max(x, y)
	}
	return out, nil
}

// sumTo adds v up over the axes along which shape was stretched to v's.
func (g *Graph) sumTo(v *Value, shape tensor.Shape) *Value {
	if v.Shape.Equal(shape) {
		return v
	}
	lead := len(v.Shape) - len(shape)
	var axes []int
	for i, d := range v.Shape {
		if i < lead || (shape[i-lead] == 1 && d != 1) {
			axes = append(axes, i)
		}
	}
	if len(axes) > 0 {
		v = g.Must1(Reduce{Fn: Sum, Axes: axes}, v)
	}
	if v.Shape.Equal(shape) {
		return v
	}
	return g.Must1(Reshape{shape}, v)
}
