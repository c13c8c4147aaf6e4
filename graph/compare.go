package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// CompareFn is a comparison of two numbers.
type CompareFn uint8

// The comparisons, with their ONNX names.
const (
	Less CompareFn = iota
	LessOrEqual
	Greater
	GreaterOrEqual
	Equal
	NotEqual // in ONNX Not of Equal
)

var compareNames = [...]string{"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "NotEqual"}

// String returns the comparison's name.
func (f CompareFn) String() string {
	if int(f) < len(compareNames) {
		return compareNames[f]
	}
	return fmt.Sprintf("CompareFn(%d)", uint8(f))
}

// Compare is 1 where the comparison holds and 0 elsewhere, for two float32 or two int64
// values, broadcasting as [Binary] does. With NaN only NotEqual holds. Output float32; no
// gradient flows through it.
type Compare struct{ Fn CompareFn }

func (o Compare) Name() string { return o.Fn.String() }

func (o Compare) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 2); err != nil {
		return nil, err
	}
	if int(o.Fn) >= len(compareNames) {
		return nil, fmt.Errorf("the comparison %v is unknown", o.Fn)
	}
	if in[0].DType != in[1].DType {
		return nil, fmt.Errorf("%s and %s cannot be compared: the types must be equal", in[0].DType, in[1].DType)
	}
	s, err := Broadcast(in[0].Shape, in[1].Shape)
	if err != nil {
		return nil, err
	}
	return result(s...)
}

// Where is a where the condition is not 0, and b elsewhere. Inputs: condition, a, b,
// all float32, broadcast against each other. Equals ONNX Where.
type Where struct{}

func (Where) Name() string { return "Where" }

func (Where) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 3, 3); err != nil {
		return nil, err
	}
	if err := floats(in); err != nil {
		return nil, err
	}
	s, err := Broadcast(in[0].Shape, in[1].Shape)
	if err == nil {
		s, err = Broadcast(s, in[2].Shape)
	}
	if err != nil {
		return nil, err
	}
	return result(s...)
}

// Grad gives dy to what was chosen and 0 to the other. The condition has none.
func (o Where) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	zero, d := g.Scalar(0), make([]*Value, 3)
	if need[1] {
		d[1] = g.sumTo(g.Must1(o, n.In[0], dout[0], zero), n.In[1].Shape)
	}
	if need[2] {
		d[2] = g.sumTo(g.Must1(o, n.In[0], zero, dout[0]), n.In[2].Shape)
	}
	return d
}

// ToFloat converts integers to the nearest float32. Input int64 of any shape; output
// float32 of the same. Equals ONNX Cast.
type ToFloat struct{}

func (ToFloat) Name() string { return "ToFloat" }

func (ToFloat) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	if in[0].DType != tensor.Int64 {
		return nil, fmt.Errorf("want int64 numbers, got %s", in[0])
	}
	return result(in[0].Shape...)
}

// ToInt cuts numbers off toward zero. Input float32 of any shape; output int64 of the
// same. A number that is not finite, or of 2^63 and more, stops the run with an error.
// Equals ONNX Cast.
type ToInt struct{}

func (ToInt) Name() string { return "ToInt" }

func (ToInt) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 1, 1); err != nil {
		return nil, err
	}
	return []Type{{DType: tensor.Int64, Shape: in[0].Shape}}, floats(in)
}

// PReLU is x where x > 0 and slope*x elsewhere, with trained slopes (He et al. 2015,
// "Delving Deep into Rectifiers", section 2.1), as PyTorch's prelu. x is [N ...] or [N C
// ...], slope [1] or [C]. Equals ONNX PRelu. A mistake in shapes is a panic with an
// [*Error], as of [Graph.Must].
func PReLU(g *Graph, x, slope *Value) *Value {
	count := slope.Shape.Numel()
	if len(slope.Shape) != 1 || count != 1 && (len(x.Shape) < 2 || x.Shape[1] != count) {
		panic(&Error{Path: g.path, Op: "PReLU", In: []Type{x.Type, slope.Type}, Err: fmt.Errorf("want one slope or one for each channel of [N C ...], got %v", slope.Shape)})
	}
	if count > 1 && len(x.Shape) > 2 {
		wide := tensor.Shape{count}
		for range x.Shape[2:] {
			wide = append(wide, 1)
		}
		slope = g.reshaped(slope, wide...)
	}
	above := g.Must1(Unary{Fn: Relu}, x)
	below := g.Must1(Binary{Fn: Sub}, x, above) // min(x, 0), with PyTorch's slope at 0
	return g.Must1(Binary{Fn: Add}, above, g.Must1(Binary{Fn: Mul}, below, slope))
}
