package graph_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/tensor"
)

// step is the distance of finite differences. Inputs are multiples of grid, so
// that x+step and x+2*step are float32 numbers and the differences are exact.
const (
	step = 1.0 / 1024
	grid = 1.0 / 4096
)

// smooth returns numbers in [lo, hi], in no order.
func smooth(rng *rand.Rand, lo, hi float64, shape ...int) *tensor.Tensor {
	x := tensor.New(shape...)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(math.Round((lo+(hi-lo)*rng.Float64())/grid) * grid)
	}
	return x
}

// apart returns numbers around 0 of which no two, and none and 0, are nearer
// than 1/64, for functions with kinks where numbers are equal or 0.
func apart(rng *rand.Rand, shape ...int) *tensor.Tensor {
	x := tensor.New(shape...)
	n := x.Numel()
	for i, p := range rng.Perm(n) {
		x.Float32s()[i] = (float32(p-n/2) + 0.5) / 64
	}
	return x
}

// checkGradient compares g.Gradients of a random weighting of build's output,
// with respect to the inputs listed in wrt (all float32 ones if nil), with
// central finite differences of fourth order, both in float64.
func checkGradient(t *testing.T, rng *rand.Rand, wrt []int, inputs []*tensor.Tensor, build func(g *graph.Graph, in []*graph.Value) *graph.Value) {
	t.Helper()
	const tolerance = 1e-6
	g := &graph.Graph{}
	feeds := map[string]*tensor.Tensor{}
	name := func(i int) string { return fmt.Sprint("in", i) }
	var in, with []*graph.Value
	for i, x := range inputs {
		v, err := g.Input(name(i), graph.Type{DType: x.DType(), Shape: x.Shape()})
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, v)
		feeds[name(i)] = x
	}
	if wrt == nil {
		for i, x := range inputs {
			if x.DType() == tensor.Float32 {
				wrt = append(wrt, i)
			}
		}
	}
	for _, i := range wrt {
		with = append(with, in[i])
	}
	var loss *graph.Value
	var grads []*graph.Value
	forward := 0
	err := graph.Try(func() {
		y := build(g, in)
		weights := g.Const(smooth(rng, -1, 1, y.Shape...))
		loss = g.Must1(graph.Reduce{Fn: graph.Sum}, g.Must1(graph.Binary{Fn: graph.Mul}, y, weights))
		forward = len(g.Nodes)
		var err error
		if grads, err = g.Gradients(loss, with); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ref.Run64(g, nil, feeds)
	if err != nil {
		t.Fatal(err)
	}

	only := &graph.Graph{Nodes: g.Nodes[:forward]}
	at := func(x *float32, v float64) float64 {
		old := *x
		defer func() { *x = old }()
		*x = float32(v)
		r, err := ref.Run64(only, nil, feeds)
		if err != nil {
			t.Fatal(err)
		}
		return r.Float64s(loss)[0]
	}
	for k, i := range wrt {
		got := r.Float64s(grads[k])
		for j := range inputs[i].Float32s() {
			x := &inputs[i].Float32s()[j]
			v := float64(*x)
			near := (at(x, v+step) - at(x, v-step)) / (2 * step)
			far := (at(x, v+2*step) - at(x, v-2*step)) / (4 * step)
			want := (4*near - far) / 3
			if !(math.Abs(got[j]-want) <= tolerance*(1+math.Abs(want))) {
				t.Errorf("input %d %v element %d: gradient %.9g, finite difference %.9g", i, inputs[i].Shape(), j, got[j], want)
				return
			}
		}
	}
}

// one is a build function of a single operator.
func one(op graph.Op) func(*graph.Graph, []*graph.Value) *graph.Value {
	return func(g *graph.Graph, in []*graph.Value) *graph.Value { return g.Must(op, in...)[0] }
}

// between returns a random whole number in [lo, hi].
func between(rng *rand.Rand, lo, hi int) int { return lo + rng.IntN(hi-lo+1) }

// each runs a random case n times, each with its own reproducible numbers.
func each(t *testing.T, n int, f func(t *testing.T, rng *rand.Rand)) {
	for i := range n {
		t.Run(fmt.Sprint(i), func(t *testing.T) { f(t, rand.New(rand.NewPCG(uint64(i), 7))) })
	}
}

// randomConv returns a geometry with an input and a weight that it fits.
func randomConv(rng *rand.Rand) (o graph.Conv2d, x, w tensor.Shape) {
	o = graph.Conv2d{StrideH: between(rng, 1, 3), StrideW: between(rng, 1, 2), PadTop: between(rng, 0, 2), PadLeft: between(rng, 0, 2),
		PadBottom: between(rng, 0, 2), PadRight: between(rng, 0, 1), DilationH: between(rng, 1, 2), DilationW: between(rng, 1, 2), Groups: between(rng, 1, 3)}
	r, s := between(rng, 1, 3), between(rng, 1, 3)
	h := max(o.DilationH*(r-1)+1-o.PadTop-o.PadBottom, 1) + between(rng, 0, 3)
	v := max(o.DilationW*(s-1)+1-o.PadLeft-o.PadRight, 1) + between(rng, 0, 3)
	c, k := between(rng, 1, 2), between(rng, 1, 2)
	return o, tensor.Shape{between(rng, 1, 2), c * o.Groups, h, v}, tensor.Shape{k * o.Groups, c, r, s}
}

func TestConvGradient(t *testing.T) {
	each(t, 40, func(t *testing.T, rng *rand.Rand) {
		o, x, w := randomConv(rng)
		in := []*tensor.Tensor{smooth(rng, -1, 1, x...), smooth(rng, -1, 1, w...)}
		if rng.IntN(2) == 0 {
			in = append(in, smooth(rng, -1, 1, w[0]))
		}
		checkGradient(t, rng, nil, in, one(o))
	})
}

// inputGradients adds the gradients of the sum of squares of f's output with
// respect to the inputs, joined to one vector: a function that depends on all
// inputs again, so that its own gradient is a gradient of a gradient.
func inputGradients(f func(*graph.Graph, []*graph.Value) *graph.Value) func(*graph.Graph, []*graph.Value) *graph.Value {
	return func(g *graph.Graph, in []*graph.Value) *graph.Value {
		loss := g.Must1(graph.Reduce{Fn: graph.Sum}, g.Must1(graph.Unary{Fn: graph.Square}, f(g, in)))
		grads, err := g.Gradients(loss, in)
		if err != nil {
			panic(err)
		}
		for i, d := range grads {
			grads[i] = g.Must1(graph.Reshape{Shape: tensor.Shape{d.Shape.Numel()}}, d)
		}
		return g.Must1(graph.Concat{Axis: 0}, grads...)
	}
}

func TestSecondGradients(t *testing.T) {
	t.Run("conv", func(t *testing.T) {
		each(t, 12, func(t *testing.T, rng *rand.Rand) {
			o, x, w := randomConv(rng)
			in := []*tensor.Tensor{smooth(rng, -1, 1, x...), smooth(rng, -1, 1, w...), smooth(rng, -1, 1, w[0])}
			checkGradient(t, rng, nil, in, inputGradients(one(o)))
		})
	})
	t.Run("linear", func(t *testing.T) {
		each(t, 8, func(t *testing.T, rng *rand.Rand) {
			n, i, o := between(rng, 1, 3), between(rng, 1, 4), between(rng, 1, 4)
			in := []*tensor.Tensor{smooth(rng, -1, 1, n, i), smooth(rng, -1, 1, o, i), smooth(rng, -1, 1, o)}
			checkGradient(t, rng, nil, in, inputGradients(one(graph.Linear{})))
		})
	})
	t.Run("matmul", func(t *testing.T) {
		each(t, 8, func(t *testing.T, rng *rand.Rand) {
			o, in := randomMatMul(rng)
			checkGradient(t, rng, nil, in, inputGradients(one(o)))
		})
	})
	t.Run("relu network", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 1))
		in := []*tensor.Tensor{smooth(rng, 0.5, 1, 1, 2, 4, 4), smooth(rng, 0.5, 1, 3, 2, 3, 3), smooth(rng, -1, 1, 2, 3)}
		checkGradient(t, rng, nil, in, inputGradients(func(g *graph.Graph, in []*graph.Value) *graph.Value {
			y := g.Must1(graph.Conv2d{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1}, in[0], in[1])
			// Half of the sums are below 0, none is near it.
			y = g.Must1(graph.Unary{Fn: graph.Relu}, g.Must1(graph.Affine{Scale: 1, Shift: -10.123}, y))
			return g.Must1(graph.Linear{}, g.Must1(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, y), in[2])
		}))
	})
}

func randomMatMul(rng *rand.Rand) (graph.MatMul, []*tensor.Tensor) {
	o := graph.MatMul{TransA: rng.IntN(2) == 0, TransB: rng.IntN(2) == 0}
	m, k, n := between(rng, 1, 4), between(rng, 1, 4), between(rng, 1, 4)
	a, b := []int{m, k}, []int{k, n}
	if o.TransA {
		a = []int{k, m}
	}
	if o.TransB {
		b = []int{n, k}
	}
	if stack := rng.IntN(3); stack > 0 {
		a, b = append([]int{stack}, a...), append([]int{stack}, b...)
	}
	return o, []*tensor.Tensor{smooth(rng, -1, 1, a...), smooth(rng, -1, 1, b...)}
}

func TestLinearAndMatMulGradient(t *testing.T) {
	each(t, 12, func(t *testing.T, rng *rand.Rand) {
		n, i, o := between(rng, 1, 4), between(rng, 1, 5), between(rng, 1, 5)
		in := []*tensor.Tensor{smooth(rng, -1, 1, n, i), smooth(rng, -1, 1, o, i)}
		if rng.IntN(2) == 0 {
			in = append(in, smooth(rng, -1, 1, o))
		}
		checkGradient(t, rng, nil, in, one(graph.Linear{}))
		m, in := randomMatMul(rng)
		checkGradient(t, rng, nil, in, one(m))
	})
}

func TestBatchNormGradient(t *testing.T) {
	each(t, 12, func(t *testing.T, rng *rand.Rand) {
		c := between(rng, 1, 4)
		shape := []int{between(rng, 4, 6), c}
		if rng.IntN(2) == 0 {
			shape = []int{between(rng, 1, 3), c, between(rng, 2, 3), between(rng, 2, 3)}
		}
		in := []*tensor.Tensor{smooth(rng, -2, 2, shape...), smooth(rng, 0.5, 1.5, c), smooth(rng, -1, 1, c), smooth(rng, -1, 1, c), smooth(rng, 0.5, 1.5, c)}
		// A large Eps keeps the function tame for finite differences.
		checkGradient(t, rng, []int{0, 1, 2}, in, one(graph.BatchNorm{Eps: 0.1}))
		checkGradient(t, rng, []int{0, 1, 2}, in, one(graph.BatchNormTrain{Eps: 0.1, Momentum: 0.1}))
	})
}

func TestUnaryGradient(t *testing.T) {
	for fn := graph.Relu; fn <= graph.Softplus; fn++ {
		t.Run(fn.String(), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(fn), 1))
			for _, shape := range [][]int{{}, {3}, {2, 3, 4, 5}} {
				x := smooth(rng, -4, 4, shape...)
				o := graph.Unary{Fn: fn}
				switch fn {
				case graph.Log, graph.Sqrt, graph.Rsqrt:
					x = smooth(rng, 0.5, 4, shape...)
				case graph.Clip:
					o.A, o.B = -1, 2
				case graph.LeakyRelu:
					o.A = 0.125
				}
				for i, v := range x.Float32s() { // away from all kinks
					for _, kink := range []float32{-3, -1, 0, 2, 3} {
						if math.Abs(float64(v-kink)) < 4*step {
							x.Float32s()[i] = kink + 8*step
						}
					}
				}
				checkGradient(t, rng, nil, []*tensor.Tensor{x}, one(o))
			}
		})
	}
	t.Run("Affine", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 1))
		checkGradient(t, rng, nil, []*tensor.Tensor{smooth(rng, -1, 1, 2, 3)}, one(graph.Affine{Scale: -1.5, Shift: 3}))
	})
}

// TestGradientsAtKinks fixes the convention where finite differences say nothing.
func TestGradientsAtKinks(t *testing.T) {
	for _, c := range []struct {
		op   graph.Unary
		x    float32
		want float32
	}{
		{graph.Unary{Fn: graph.Relu}, 0, 0},
		{graph.Unary{Fn: graph.LeakyRelu, A: 0.25}, 0, 0.25},
		{graph.Unary{Fn: graph.Clip, A: -1, B: 6}, -1, 0},
		{graph.Unary{Fn: graph.Clip, A: -1, B: 6}, 6, 0},
		{graph.Unary{Fn: graph.Abs}, 0, 0},
		{graph.Unary{Fn: graph.HardSigmoid}, 3, 0},
		{graph.Unary{Fn: graph.HardSigmoid}, -3, 0},
	} {
		g := &graph.Graph{}
		x := g.Scalar(c.x)
		grads, err := g.Gradients(g.Must1(c.op, x), []*graph.Value{x})
		if err != nil {
			t.Fatal(err)
		}
		r, err := ref.Run(g, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Value(grads[0]).Float32s()[0]; got != c.want {
			t.Errorf("the derivative of %v at %g is %g, want %g", c.op.Fn, c.x, got, c.want)
		}
	}
}

// broadcastPair returns two random shapes that broadcast against each other.
func broadcastPair(rng *rand.Rand) (a, b tensor.Shape) {
	for range rng.IntN(5) {
		d := between(rng, 1, 3)
		x, y := d, d
		switch rng.IntN(4) {
		case 0:
			x = 1
		case 1:
			y = 1
		}
		a, b = append(a, x), append(b, y)
	}
	if len(a) > 0 {
		if cut := rng.IntN(len(a) + 1); rng.IntN(2) == 0 {
			a = a[cut:]
		} else {
			b = b[cut:]
		}
	}
	return a, b
}

func TestBinaryGradient(t *testing.T) {
	for fn := graph.Add; fn <= graph.Min; fn++ {
		t.Run(fn.String(), func(t *testing.T) {
			each(t, 25, func(t *testing.T, rng *rand.Rand) {
				a, b := broadcastPair(rng)
				x, y := smooth(rng, -1, 1, a...), smooth(rng, 0.5, 1.5, b...)
				if fn == graph.Max || fn == graph.Min {
					// x on multiples of 1/64 and y between them: no ties.
					x, y = apart(rng, a...), apart(rng, b...)
					for i := range y.Float32s() {
						y.Float32s()[i] += 1.0 / 128
					}
				}
				checkGradient(t, rng, nil, []*tensor.Tensor{x, y}, one(graph.Binary{Fn: fn}))
			})
			t.Run("itself", func(t *testing.T) {
				rng := rand.New(rand.NewPCG(1, 1))
				checkGradient(t, rng, nil, []*tensor.Tensor{smooth(rng, 0.5, 1.5, 2, 3)}, func(g *graph.Graph, in []*graph.Value) *graph.Value {
					return g.Must1(graph.Binary{Fn: fn}, in[0], in[0])
				})
			})
		})
	}
}

func randomWindow(rng *rand.Rand) (w graph.Window, x tensor.Shape) {
	w = graph.Window{KernelH: between(rng, 1, 3), KernelW: between(rng, 1, 4), StrideH: between(rng, 1, 3), StrideW: between(rng, 1, 3), Ceil: rng.IntN(2) == 0}
	w.PadTop, w.PadBottom = rng.IntN(w.KernelH), rng.IntN(w.KernelH)
	w.PadLeft, w.PadRight = rng.IntN(w.KernelW), rng.IntN(w.KernelW)
	h := max(w.KernelH-w.PadTop-w.PadBottom, 1) + between(rng, 0, 4)
	v := max(w.KernelW-w.PadLeft-w.PadRight, 1) + between(rng, 0, 4)
	return w, tensor.Shape{between(rng, 1, 2), between(rng, 1, 3), h, v}
}

func TestPoolGradient(t *testing.T) {
	each(t, 40, func(t *testing.T, rng *rand.Rand) {
		w, x := randomWindow(rng)
		checkGradient(t, rng, nil, []*tensor.Tensor{apart(rng, x...)}, one(graph.MaxPool2d{Window: w}))
		checkGradient(t, rng, nil, []*tensor.Tensor{smooth(rng, -1, 1, x...)}, one(graph.AvgPool2d{Window: w, CountPad: rng.IntN(2) == 0}))
	})
	each(t, 20, func(t *testing.T, rng *rand.Rand) {
		x := smooth(rng, -1, 1, between(rng, 1, 2), between(rng, 1, 2), between(rng, 1, 5), between(rng, 1, 5))
		o := graph.Resize{OH: between(rng, 1, 7), OW: between(rng, 1, 7), Bilinear: rng.IntN(2) == 0}
		checkGradient(t, rng, nil, []*tensor.Tensor{x}, one(o))
	})
	t.Run("second", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 1))
		w, x := randomWindow(rng)
		checkGradient(t, rng, nil, []*tensor.Tensor{smooth(rng, -1, 1, x...)}, inputGradients(one(graph.AvgPool2d{Window: w})))
		checkGradient(t, rng, nil, []*tensor.Tensor{smooth(rng, -1, 1, x...)}, inputGradients(one(graph.Resize{OH: 5, OW: 4, Bilinear: true})))
	})
}

func randomShape(rng *rand.Rand, rank int) tensor.Shape {
	s := tensor.Shape{}
	for range rank {
		s = append(s, between(rng, 1, 4))
	}
	return s
}

func TestReduceGradient(t *testing.T) {
	for fn := graph.Sum; fn <= graph.MaxOf; fn++ {
		each(t, 20, func(t *testing.T, rng *rand.Rand) {
			s := randomShape(rng, rng.IntN(5))
			o := graph.Reduce{Fn: fn, Keep: rng.IntN(2) == 0}
			for a := range s {
				if rng.IntN(2) == 0 {
					o.Axes = append(o.Axes, a)
				}
			}
			checkGradient(t, rng, nil, []*tensor.Tensor{apart(rng, s...)}, one(o))
		})
	}
	each(t, 20, func(t *testing.T, rng *rand.Rand) {
		a, b := broadcastPair(rng)
		to, err := graph.Broadcast(a, b)
		if err != nil {
			t.Fatal(err)
		}
		checkGradient(t, rng, nil, []*tensor.Tensor{smooth(rng, -1, 1, a...)}, one(graph.BroadcastTo{Shape: to}))
	})
	each(t, 8, func(t *testing.T, rng *rand.Rand) {
		x := smooth(rng, -2, 2, randomShape(rng, between(rng, 1, 4))...)
		for _, o := range []graph.Op{graph.Softmax{}, graph.LogSoftmax{}} {
			checkGradient(t, rng, nil, []*tensor.Tensor{x}, one(o))
			checkGradient(t, rng, nil, []*tensor.Tensor{x}, inputGradients(one(o)))
		}
	})
}

func TestShapeGradient(t *testing.T) {
	each(t, 30, func(t *testing.T, rng *rand.Rand) {
		s := randomShape(rng, between(rng, 1, 4))
		axis := rng.IntN(len(s))
		x := []*tensor.Tensor{smooth(rng, -1, 1, s...)}
		checkGradient(t, rng, nil, x, one(graph.Reshape{Shape: tensor.Shape{1, s.Numel(), 1}}))
		checkGradient(t, rng, nil, x, one(graph.Permute{Perm: rng.Perm(len(s))}))
		pad := graph.Pad{Axis: axis, Before: rng.IntN(3), After: rng.IntN(3), Between: rng.IntN(3), Value: 2}
		checkGradient(t, rng, nil, x, one(pad))
		start, stride := rng.IntN(s[axis]), between(rng, 1, 3)
		count := between(rng, 1, (s[axis]-1-start)/stride+1)
		checkGradient(t, rng, nil, x, one(graph.Slice{Axis: axis, Start: start, Count: count, Step: stride}))
		other := s.Clone()
		other[axis] = between(rng, 1, 3)
		checkGradient(t, rng, nil, append(x, smooth(rng, -1, 1, other...)), func(g *graph.Graph, in []*graph.Value) *graph.Value {
			return g.Must1(graph.Concat{Axis: axis}, in[0], in[1], in[0])
		})
	})
}

func TestLossGradient(t *testing.T) {
	each(t, 20, func(t *testing.T, rng *rand.Rand) {
		n, c := between(rng, 1, 4), between(rng, 1, 5)
		o := graph.CrossEntropy{LabelSmoothing: []float32{0, 0.125}[rng.IntN(2)]}
		x := smooth(rng, -2, 2, n, c)
		labels := tensor.NewInt64(n)
		for i := range labels.Int64s() {
			labels.Int64s()[i] = int64(rng.IntN(c))
			if i > 0 && rng.IntN(4) == 0 {
				labels.Int64s()[i] = graph.IgnoreLabel
			}
		}
		soft, weights := smooth(rng, 0, 1, n, c), smooth(rng, 0.5, 1.5, c)
		checkGradient(t, rng, []int{0}, []*tensor.Tensor{x, labels}, one(o))
		checkGradient(t, rng, []int{0}, []*tensor.Tensor{x, labels, weights}, one(o))
		checkGradient(t, rng, []int{0}, []*tensor.Tensor{x, soft}, one(o))
		checkGradient(t, rng, []int{0}, []*tensor.Tensor{x, soft, weights}, one(o))
		checkGradient(t, rng, []int{0}, []*tensor.Tensor{x, soft}, one(graph.BCEWithLogits{}))
		checkGradient(t, rng, []int{0}, []*tensor.Tensor{x, soft, weights}, one(graph.BCEWithLogits{}))
	})
}

func TestDropoutGradient(t *testing.T) {
	each(t, 8, func(t *testing.T, rng *rand.Rand) {
		state := tensor.NewInt64(2)
		state.Int64s()[0], state.Int64s()[1] = int64(rng.Uint64()), int64(rng.Uint64())
		x := smooth(rng, -1, 1, randomShape(rng, between(rng, 1, 4))...)
		o := graph.Dropout{P: rng.Float32(), Key: rng.Uint32(), PerSample: rng.IntN(2) == 0}
		checkGradient(t, rng, nil, []*tensor.Tensor{x, state}, one(o))
	})
}

// TestNetworkGradient checks the accumulation over branches: a residual block
// whose input is read three times.
func TestNetworkGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	conv := graph.Conv2d{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilationH: 1, DilationW: 1, Groups: 1}
	in := []*tensor.Tensor{smooth(rng, -1, 1, 2, 3, 3, 3), smooth(rng, -1, 1, 3, 3, 3, 3), smooth(rng, 0.5, 1, 3), smooth(rng, -1, 1, 3)}
	checkGradient(t, rng, nil, in, func(g *graph.Graph, in []*graph.Value) *graph.Value {
		mean, variance := g.Const(tensor.New(3)), g.Const(tensor.New(3))
		y := g.Must(graph.BatchNormTrain{Eps: 0.1}, g.Must1(conv, in[0], in[1]), in[2], in[3], mean, variance)[0]
		y = g.Must1(graph.Unary{Fn: graph.Silu}, y)
		y = g.Must1(conv, y, in[1]) // the weight again
		y = g.Must1(graph.Binary{Fn: graph.Add}, y, in[0])
		return g.Must1(graph.Binary{Fn: graph.Mul}, y, in[0])
	})
}
