package graph_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/engine/ref"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// choices makes decisions from bytes, so that the fuzzer can steer them; when
// the bytes end it takes the first choice.
type choices struct{ bytes []byte }

func (c *choices) below(n int) int {
	if len(c.bytes) == 0 {
		return 0
	}
	b := c.bytes[0]
	c.bytes = c.bytes[1:]
	return int(b) % n
}

func (c *choices) yes() bool { return c.below(2) == 1 }

// extents are those that shapes and attributes are made of.
type extents []int

// tame extents make graphs that can be run.
var tame = extents{1, 1, 2, 3, 4, 5, 7}

// hostile extents look for overflows and for conditions that were forgotten.
var hostile = extents{1, 2, 3, 5, 7, 0, -1, -3, 1 << 16, 1<<31 - 1, 1 << 31, 1 << 32, 1 << 40, 1 << 62, math.MaxInt, math.MinInt}

func (e extents) pick(c *choices) int { return e[c.below(len(e))] }

func (e extents) shape(c *choices, rank int) tensor.Shape {
	s := tensor.Shape{}
	for range rank {
		s = append(s, e.pick(c))
	}
	return s
}

func (c *choices) float() float32 {
	return []float32{0, 0.5, 1, -1, 2, float32(math.NaN()), float32(math.Inf(1)), 1e-5}[c.below(8)]
}

// op returns any operator with attributes made of the extents.
func (e extents) op(c *choices) graph.Op {
	n := func() int { return e.pick(c) }
	// A small number or, in hostile company, any.
	small := func(limit int) int {
		if c.below(8) == 0 {
			return n()
		}
		return c.below(limit)
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
		o := graph.Reduce{Fn: graph.ReduceFn(c.below(4)), Keep: c.yes()}
		for a := range 4 {
			if c.below(3) == 0 {
				o.Axes = append(o.Axes, a)
			}
		}
		if c.below(16) == 0 {
			o.Axes = append(o.Axes, n())
		}
		return o
	}
	unary := func() graph.Unary { return graph.Unary{Fn: graph.UnaryFn(c.below(18)), A: c.float(), B: c.float()} }
	avg := func() graph.AvgPool2d { return graph.AvgPool2d{Window: window(), CountPad: c.yes()} }
	smoothing := func() graph.CrossEntropy { return graph.CrossEntropy{LabelSmoothing: c.float()} }
	switch c.below(45) {
	case 0, 1:
		return conv()
	case 2:
		return graph.Conv2dInputGrad{Conv: conv(), X: e.shape(c, 4)}
	case 3:
		return graph.Conv2dWeightGrad{Conv: conv(), W: e.shape(c, 4)}
	case 4:
		return graph.Linear{}
	case 5:
		return graph.LinearInputGrad{}
	case 6:
		return graph.LinearWeightGrad{}
	case 7:
		return graph.MatMul{TransA: c.yes(), TransB: c.yes()}
	case 8:
		return graph.BatchNorm{Eps: c.float()}
	case 9:
		return graph.BatchNormTrain{Eps: c.float(), Momentum: c.float()}
	case 10:
		return graph.BatchNormGrad{}
	case 11, 12:
		return unary()
	case 13:
		return graph.UnaryGrad{Of: unary()}
	case 14, 15:
		return graph.Binary{Fn: graph.BinaryFn(c.below(7))}
	case 16:
		return graph.SelectGrad{Fn: graph.Max + graph.BinaryFn(c.below(2))}
	case 17:
		return graph.Affine{Scale: c.float(), Shift: c.float()}
	case 18, 19:
		return graph.MaxPool2d{Window: window()}
	case 20:
		return graph.MaxPool2dGrad{Window: window(), X: e.shape(c, 4)}
	case 21, 22:
		return avg()
	case 23:
		return graph.AvgPool2dGrad{Pool: avg(), X: e.shape(c, 4)}
	case 24, 25:
		return graph.Resize{OH: n(), OW: n(), Bilinear: c.yes()}
	case 26:
		return graph.ResizeGrad{Resize: graph.Resize{OH: n(), OW: n(), Bilinear: c.yes()}, X: e.shape(c, 4)}
	case 27, 28:
		return reduce()
	case 29:
		return graph.ReduceMaxGrad{Of: reduce()}
	case 30:
		return graph.BroadcastTo{Shape: e.shape(c, c.below(5))}
	case 31:
		return graph.Softmax{}
	case 32:
		return graph.LogSoftmax{}
	case 33:
		return graph.Reshape{Shape: e.shape(c, c.below(5))}
	case 34:
		p := graph.Permute{}
		for range c.below(5) {
			p.Perm = append(p.Perm, small(4))
		}
		return p
	case 35:
		return graph.Concat{Axis: small(4)}
	case 36:
		return graph.Slice{Axis: small(4), Start: small(2), Count: 1 + small(3), Step: 1 + small(2)}
	case 37:
		return graph.Pad{Axis: small(4), Before: small(3), After: small(3), Between: small(2), Value: c.float()}
	case 38:
		return smoothing()
	case 39:
		return graph.CrossEntropyGrad{Of: smoothing()}
	case 40:
		return graph.BCEWithLogits{}
	case 41:
		return graph.BCEWithLogitsGrad{}
	case 42:
		return graph.Dropout{P: c.float(), Key: uint32(c.below(256)), PerSample: c.yes()}
	case 43:
		return []graph.Op{graph.SGD{Momentum: c.float()}, graph.AdamW{Beta1: 0.9, Beta2: 0.99}, graph.LARS{Momentum: c.float(), Trust: 0.1}}[c.below(3)]
	}
	return []graph.Op{graph.EMA{}, graph.GlobalNorm{}, graph.Input{Label: "x", Type: graph.F32(e.shape(c, c.below(5))...)},
		graph.Variable{Label: "x", Type: graph.F32(e.shape(c, c.below(5))...)}}[c.below(4)]
}

// checkInfer infers the type of one operator on hostile types.
func checkInfer(t *testing.T, bytes []byte) {
	c := &choices{bytes}
	op := hostile.op(c)
	in := make([]graph.Type, c.below(7))
	for i := range in {
		if i > 0 && c.yes() { // equal types, so that some get through
			in[i] = in[c.below(i)]
			continue
		}
		in[i] = graph.Type{DType: []tensor.DType{tensor.Float32, tensor.Float32, tensor.Float32, tensor.Int64, 9}[c.below(5)], Shape: hostile.shape(c, c.below(6))}
	}
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("%s %+v of %v panics: %v", op.Name(), op, in, r)
		}
	}()
	out, err := op.Infer(in)
	if err != nil {
		return
	}
	for _, o := range out {
		n := 1.0
		for _, d := range o.Shape {
			if d < 1 {
				t.Fatalf("%s %+v of %v gives %v", op.Name(), op, in, out)
			}
			n *= float64(d)
		}
		if n != float64(o.Shape.Numel()) && n < 1<<53 || n >= 1<<53 {
			t.Fatalf("%s %+v of %v gives %v, whose elements overflow", op.Name(), op, in, out)
		}
	}
}

func TestInferWithstandsHostileTypes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	bytes := make([]byte, 64)
	for range 300000 {
		for i := range bytes {
			bytes[i] = byte(rng.Uint32())
		}
		checkInfer(t, bytes)
	}
}

func FuzzInfer(f *testing.F) {
	for i := range 45 {
		f.Add([]byte{byte(i), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	}
	f.Fuzz(checkInfer)
}

// randomGraph applies up to n random operators to random earlier values.
func randomGraph(t *testing.T, c *choices, n int) (*graph.Graph, map[string]*tensor.Tensor, []*graph.Value) {
	g := &graph.Graph{}
	feeds := map[string]*tensor.Tensor{}
	var values []*graph.Value
	input := func(x *tensor.Tensor) *graph.Value {
		name := fmt.Sprint("in", len(feeds))
		v, err := g.Input(name, graph.Type{DType: x.DType(), Shape: x.Shape()})
		if err != nil {
			t.Fatal(err)
		}
		feeds[name] = x
		values = append(values, v)
		return v
	}
	var inputs []*graph.Value
	for i := range 4 {
		x := tensor.New(tame.shape(c, []int{4, 2, 1, 4}[i])...)
		for j := range x.Float32s() {
			x.Float32s()[j] = float32(c.below(256))/128 - 1
		}
		inputs = append(inputs, input(x))
	}
	input(tensor.NewInt64(2))
	for range n {
		op := tame.op(c)
		in := make([]*graph.Value, 1+c.below(6))
		for i := range in {
			// Mostly values of the shape of the one before, which fit together.
			in[i] = values[c.below(len(values))]
			for range 4 {
				if i == 0 || in[i].Shape.Equal(in[i-1].Shape) || c.below(3) == 0 {
					break
				}
				in[i] = values[c.below(len(values))]
			}
		}
		types := make([]graph.Type, len(in))
		for i, v := range in {
			types[i] = v.Type
		}
		out, err := op.Infer(types)
		big := false
		for _, o := range out {
			big = big || o.Shape.Numel() > 5000
		}
		switch op.(type) {
		case graph.Input, graph.Variable:
			continue
		case graph.CrossEntropy, graph.CrossEntropyGrad:
			big = big || len(in) > 2 // a class weight of NaN is no test
		}
		if err != nil || big {
			continue
		}
		vs, err := g.Apply(op, in...)
		if err != nil {
			t.Fatalf("Infer accepts what Apply refuses: %v", err)
		}
		values = append(values, vs...)
	}
	return g, feeds, inputs
}

// TestShapeRulesEqualWhatIsComputed runs random graphs, and the gradients of
// those that have one, on the reference interpreter, which finds the shapes
// anew from the values and compares them with the shape rules.
func TestShapeRulesEqualWhatIsComputed(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	bytes := make([]byte, 4096)
	used, differentiated := map[string]int{}, 0
	for range 1500 {
		for i := range bytes {
			bytes[i] = byte(rng.Uint32())
		}
		g, feeds, inputs := randomGraph(t, &choices{bytes}, 60)
		last := g.Nodes[len(g.Nodes)-1].Out[0]
		if last.DType != tensor.Float32 {
			continue // nothing fitted
		}
		err := graph.Try(func() {
			loss := g.Must1(graph.Reduce{Fn: graph.Sum}, last)
			grads, err := g.Gradients(loss, inputs)
			if err != nil {
				return // some operators have no gradient
			}
			differentiated++
			for i, d := range grads {
				if !d.Shape.Equal(inputs[i].Shape) {
					t.Errorf("the gradient of %v has type %v", inputs[i], d.Type)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range g.Nodes {
			used[n.Op.Name()]++
		}
		if _, err := ref.Run(g, nil, feeds); err != nil {
			t.Fatal(err)
		}
	}
	if len(used) < 55 || differentiated < 300 {
		t.Errorf("only %d operators and %d gradients were tried: %v", len(used), differentiated, used)
	}
}
