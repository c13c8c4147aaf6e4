package enginetest

import (
	"errors"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Choices makes decisions from bytes, so that a fuzzer can steer them; when the
// bytes end it takes the first choice.
type Choices struct{ Bytes []byte }

// Below returns a number from 0 to below n, which is at most 256.
func (c *Choices) Below(n int) int {
	if len(c.Bytes) == 0 {
		return 0
	}
	b := c.Bytes[0]
	c.Bytes = c.Bytes[1:]
	return int(b) % n
}

func (c *Choices) yes() bool { return c.Below(2) == 1 }

// Extents are the numbers that shapes and attributes are made of.
type Extents struct {
	ints   []int
	floats []float32
}

// Tame extents make operators that can be run.
var Tame = Extents{[]int{1, 1, 2, 3, 4, 5, 7}, []float32{0.25, 0.5, 1, 0.125, 0.75}}

// Hostile extents look for overflows and for conditions that were forgotten.
var Hostile = Extents{
	[]int{1, 2, 3, 5, 7, 0, -1, -3, 1 << 16, 1<<31 - 1, 1 << 31, 1 << 32, 1 << 40, 1 << 62, math.MaxInt, math.MinInt},
	[]float32{0, 0.5, 1, -1, 2, float32(math.NaN()), float32(math.Inf(1)), 1e-5},
}

func (e Extents) pick(c *Choices) int { return e.ints[c.Below(len(e.ints))] }

func (e Extents) float(c *Choices) float32 { return e.floats[c.Below(len(e.floats))] }

// Shape returns a shape of the given rank.
func (e Extents) Shape(c *Choices, rank int) tensor.Shape {
	s := tensor.Shape{}
	for range rank {
		s = append(s, e.pick(c))
	}
	return s
}

// Op returns any operator of package graph with attributes made of the extents.
func (e Extents) Op(c *Choices) graph.Op {
	n := func() int { return e.pick(c) }
	// A small number or, in hostile company, any.
	small := func(limit int) int {
		if c.Below(8) == 0 {
			return n()
		}
		return c.Below(limit)
	}
	conv := func() graph.Conv2d {
		return graph.Conv2d{StrideH: 1 + small(3), StrideW: 1 + small(3), PadTop: small(3), PadLeft: small(3), PadBottom: small(3),
			PadRight: small(3), DilationH: 1 + small(2), DilationW: 1 + small(2), Groups: 1 + small(2)}
	}
	window := func() graph.Window {
		return graph.Window{KernelH: 1 + small(4), KernelW: 1 + small(4), StrideH: 1 + small(3), StrideW: 1 + small(3), PadTop: small(2),
			PadLeft: small(2), PadBottom: small(2), PadRight: small(2), Ceil: c.yes()}
	}
	reduce := func() graph.Reduce {
		o := graph.Reduce{Fn: graph.ReduceFn(c.Below(4)), Keep: c.yes()}
		for a := range 1 + c.Below(6) {
			if c.Below(3) == 0 {
				o.Axes = append(o.Axes, a)
			}
		}
		if c.Below(16) == 0 {
			o.Axes = append(o.Axes, n())
		}
		return o
	}
	unary := func() graph.Unary { return graph.Unary{Fn: graph.UnaryFn(c.Below(18)), A: e.float(c), B: e.float(c)} }
	avg := func() graph.AvgPool2d { return graph.AvgPool2d{Window: window(), CountPad: c.yes()} }
	smoothing := func() graph.CrossEntropy { return graph.CrossEntropy{LabelSmoothing: e.float(c)} }
	roi := func() graph.RoIAlign {
		return graph.RoIAlign{OH: n(), OW: n(), Scale: e.float(c), SamplingRatio: small(3), Aligned: c.yes()}
	}
	switch c.Below(58) {
	case 0, 1:
		return conv()
	case 2:
		return graph.Conv2dInputGrad{Conv: conv(), X: e.Shape(c, 4)}
	case 3:
		return graph.Conv2dWeightGrad{Conv: conv(), W: e.Shape(c, 4)}
	case 4:
		return graph.Linear{}
	case 5:
		return graph.LinearInputGrad{}
	case 6:
		return graph.LinearWeightGrad{}
	case 7:
		return graph.MatMul{TransA: c.yes(), TransB: c.yes()}
	case 8:
		return graph.BatchNorm{Eps: e.float(c)}
	case 9:
		return graph.BatchNormTrain{Eps: e.float(c), Momentum: e.float(c)}
	case 10:
		return graph.BatchNormGrad{}
	case 11, 12:
		return unary()
	case 13:
		return graph.UnaryGrad{Of: unary()}
	case 14, 15:
		return graph.Binary{Fn: graph.BinaryFn(c.Below(7))}
	case 16:
		return graph.SelectGrad{Fn: graph.Max + graph.BinaryFn(c.Below(2))}
	case 17:
		return graph.Affine{Scale: e.float(c), Shift: e.float(c)}
	case 18, 19:
		return graph.MaxPool2d{Window: window()}
	case 20:
		return graph.MaxPool2dGrad{Window: window(), X: e.Shape(c, 4)}
	case 21, 22:
		return avg()
	case 23:
		return graph.AvgPool2dGrad{Pool: avg(), X: e.Shape(c, 4)}
	case 24, 25:
		return graph.Resize{OH: n(), OW: n(), Bilinear: c.yes()}
	case 26:
		return graph.ResizeGrad{Resize: graph.Resize{OH: n(), OW: n(), Bilinear: c.yes()}, X: e.Shape(c, 4)}
	case 27, 28:
		return reduce()
	case 29:
		return graph.ReduceMaxGrad{Of: reduce()}
	case 30:
		return graph.BroadcastTo{Shape: e.Shape(c, c.Below(7))}
	case 31:
		return graph.Softmax{}
	case 32:
		return graph.LogSoftmax{}
	case 33:
		return graph.Reshape{Shape: e.Shape(c, c.Below(7))}
	case 34:
		p := graph.Permute{}
		for range c.Below(7) {
			p.Perm = append(p.Perm, small(6))
		}
		return p
	case 35:
		return graph.Concat{Axis: small(6)}
	case 36:
		return graph.Slice{Axis: small(6), Start: small(2), Count: 1 + small(3), Step: 1 + small(2)}
	case 37:
		return graph.Pad{Axis: small(6), Before: small(3), After: small(3), Between: small(2), Value: e.float(c)}
	case 38:
		return smoothing()
	case 39:
		return graph.CrossEntropyGrad{Of: smoothing()}
	case 40:
		return graph.BCEWithLogits{}
	case 41:
		return graph.BCEWithLogitsGrad{}
	case 42:
		return graph.Dropout{P: e.float(c), Key: uint32(c.Below(256)), PerSample: c.yes()}
	case 43:
		return []graph.Op{graph.SGD{Momentum: e.float(c)}, graph.AdamW{Beta1: 0.9, Beta2: 0.99}, graph.LARS{Momentum: e.float(c), Trust: 0.1},
			graph.Adam{Beta1: 0.9, Beta2: 0.99, WeightDecay: e.float(c)}, graph.LAMB{Beta1: 0.9, Beta2: 0.99, Eps: 1e-6, WeightDecay: e.float(c)},
			graph.RMSprop{Alpha: 0.9, Eps: 1e-6, Momentum: e.float(c)}}[c.Below(6)]
	}
	focal := func() graph.SigmoidFocal { return graph.SigmoidFocal{Alpha: e.float(c), Gamma: e.float(c)} }
	axis := func() int { return small(6) }
	switch c.Below(19) {
	case 18:
		return graph.ToInt{}
	case 9:
		return graph.Compare{Fn: graph.CompareFn(c.Below(7))}
	case 10:
		return graph.Where{}
	case 11:
		return graph.ToFloat{}
	case 12:
		return graph.Gather{Axis: axis()}
	case 13:
		return graph.GatherGrad{Axis: axis(), X: e.Shape(c, 1+c.Below(4))}
	case 14:
		return graph.GatherElements{Axis: axis()}
	case 15:
		return graph.GatherElementsGrad{Axis: axis(), X: e.Shape(c, 1+c.Below(4))}
	case 16:
		return graph.TopK{K: n(), Axis: axis(), Smallest: c.yes()}
	case 17:
		return graph.ArgMax{Axis: axis(), Keep: c.yes()}
	case 6:
		return focal()
	case 7:
		return graph.SigmoidFocalGrad{Of: focal()}
	case 8:
		return graph.OneHot{Classes: n()}
	case 4:
		return graph.GroupNorm{Groups: n(), Eps: e.float(c)}
	case 5:
		return graph.GroupNormGrad{Groups: n()}
	case 0:
		return graph.Detach{}
	case 1:
		return roi()
	case 2:
		return graph.RoIAlignGrad{Of: roi(), X: e.Shape(c, 4)}
	}
	return []graph.Op{graph.EMA{}, graph.GlobalNorm{}, graph.Input{Label: "x", Type: graph.F32(e.Shape(c, c.Below(5))...)},
		graph.Variable{Label: "x", Type: graph.F32(e.Shape(c, c.Below(5))...)}}[c.Below(4)]
}

// RandomCase applies up to n random operators to random inputs and earlier
// values. The outputs are the last value and some before it, and, if all operators
// have a gradient, the gradients of the last value's sum with respect to the
// float32 inputs, named d0, d1 and so on.
func RandomCase(bytes []byte, n int) Case {
	c := &Choices{bytes}
	b := &builder{g: &graph.Graph{}}
	b.c = Case{Name: "random", Graph: b.g, Steps: 1, Tol: 1e-3, Vars: map[string]*tensor.Tensor{}, Inputs: map[string]*tensor.Tensor{}}
	var inputs, values []*graph.Value
	for i, rank := range []int{4, 2, 1, 4, 1 + c.Below(6), 3 + c.Below(4)} {
		x := tensor.New(Tame.Shape(c, rank)...)
		for j := range x.Float32s() {
			x.Float32s()[j] = float32(c.Below(256))/128 - 1
		}
		inputs = append(inputs, b.feed(fmt.Sprint("in", i), x))
	}
	for i, rank := range []int{1, 1 + c.Below(4)} {
		x := tensor.NewInt64(Tame.Shape(c, rank)...)
		for j := range x.Int64s() {
			x.Int64s()[j] = int64(c.Below(3))
		}
		values = append(values, b.feed(fmt.Sprint("index", i), x))
	}
	values = append(append(values, inputs...), b.rngInput(int64(c.Below(256)), int64(c.Below(256))))
	for range n {
		op := Tame.Op(c)
		in := make([]*graph.Value, 1+c.Below(6))
		types := make([]graph.Type, len(in))
		for i := range in {
			// Mostly values of the shape of the one before, which fit together.
			in[i] = values[c.Below(len(values))]
			for range 4 {
				if i == 0 || in[i].Shape.Equal(in[i-1].Shape) || c.Below(3) == 0 {
					break
				}
				in[i] = values[c.Below(len(values))]
			}
			types[i] = in[i].Type
		}
		switch op.(type) {
		case graph.Input, graph.Variable:
			continue
		}
		out, err := op.Infer(types)
		for _, o := range out {
			if err == nil && o.Shape.Numel() > 5000 {
				err = errors.New("too large")
			}
		}
		if err != nil {
			continue
		}
		made := b.g.Must(op, in...)
		if _, ok := op.(graph.MaxPool2d); ok {
			made = made[:1] // the winners are for the gradient only
		}
		values = append(values, made...)
	}
	last := values[len(values)-1]
	for _, v := range values {
		if v == last || c.Below(8) == 1 {
			b.out(v.String(), v)
		}
	}
	if last.DType == tensor.Float32 {
		grads, err := b.g.Gradients(b.op(graph.Reduce{Fn: graph.Sum}, last), inputs)
		for i, d := range grads {
			if err == nil {
				b.out(fmt.Sprintf("d%d", i), d)
			}
		}
	}
	return b.c
}
