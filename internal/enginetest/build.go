package enginetest

import (
	"fmt"
	"hash/fnv"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/tensor"
)

// builder makes a case: a graph together with random values that depend on
// nothing but the case's name.
type builder struct {
	c   Case
	g   *graph.Graph
	rng philox.Rand
}

// table collects cases.
type table []Case

// add makes a case. A mistake in it is a mistake of this package: it panics.
func (t *table) add(name string, make func(b *builder)) {
	h := fnv.New64a()
	h.Write([]byte(name))
	b := &builder{rng: philox.New(h.Sum64(), 0), g: &graph.Graph{}}
	b.c = Case{Name: name, Graph: b.g, Steps: 1, Tol: 1e-5, Vars: map[string]*tensor.Tensor{}, Inputs: map[string]*tensor.Tensor{}}
	if err := graph.Try(func() { make(b) }); err != nil {
		panic(fmt.Sprintf("enginetest: case %s: %v", name, err))
	}
	*t = append(*t, b.c)
}

// tol sets the tolerance of a case that is worse conditioned than one operator.
func (b *builder) tol(tol float64) { b.c.Tol = tol }

// steps makes the case run n times.
func (b *builder) steps(n int) { b.c.Steps = n }

// random returns normal numbers of the given scale around shift.
func (b *builder) random(scale, shift float64, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	for i := range t.Float32s() {
		t.Float32s()[i] = float32(shift + scale*b.rng.Norm())
	}
	return t
}

// feed makes t an input.
func (b *builder) feed(name string, t *tensor.Tensor) *graph.Value {
	v, err := b.g.Input(name, graph.Type{DType: t.DType(), Shape: t.Shape()})
	if err != nil {
		panic(err)
	}
	b.c.Inputs[name] = t
	return v
}

// in is an input of standard normal numbers.
func (b *builder) in(name string, shape ...int) *graph.Value {
	return b.feed(name, b.random(1, 0, shape...))
}

// labels is an input of n class labels.
func (b *builder) labels(name string, n, classes int) *graph.Value {
	t := tensor.NewInt64(n)
	for i := range t.Int64s() {
		t.Int64s()[i] = int64(b.rng.IntN(classes))
	}
	return b.feed(name, t)
}

// rngInput is the seed and step of a dropout.
func (b *builder) rngInput(seed, step int64) *graph.Value {
	t := tensor.NewInt64(2)
	t.Int64s()[0], t.Int64s()[1] = seed, step
	return b.feed("rng", t)
}

// keep makes t a variable.
func (b *builder) keep(name string, t *tensor.Tensor) *graph.Value {
	v, err := b.g.Variable(name, graph.F32(t.Shape()...))
	if err != nil {
		panic(err)
	}
	b.c.Vars[name] = t
	return v
}

// variable is a variable of random numbers.
func (b *builder) variable(name string, scale, shift float64, shape ...int) *graph.Value {
	return b.keep(name, b.random(scale, shift, shape...))
}

// positive is a variable of numbers in [0.5, 1.5), such as a variance.
func (b *builder) positive(name string, shape ...int) *graph.Value {
	t := tensor.New(shape...)
	for i := range t.Float32s() {
		t.Float32s()[i] = 0.5 + b.rng.Float32()
	}
	return b.keep(name, t)
}

// zeros is a variable of zeros, such as an optimizer's slot.
func (b *builder) zeros(name string, shape ...int) *graph.Value {
	return b.keep(name, tensor.New(shape...))
}

// out makes v an output and returns it.
func (b *builder) out(name string, v *graph.Value) *graph.Value {
	b.g.Output(name, v)
	return v
}

func (b *builder) assign(variable, v *graph.Value) {
	if err := b.g.Assign(variable, v); err != nil {
		panic(err)
	}
}

// grads outputs y and the gradients of the sum of y's elements, randomly
// weighted, with respect to wrt.
func (b *builder) grads(y *graph.Value, wrt ...*graph.Value) {
	b.out("y", y)
	dy := b.in("dy", y.Shape...)
	b.gradsOf(b.g.Must1(graph.Reduce{Fn: graph.Sum}, b.mul(y, dy)), wrt...)
}

// gradsOf outputs the gradients of a scalar.
func (b *builder) gradsOf(loss *graph.Value, wrt ...*graph.Value) []*graph.Value {
	grads, err := b.g.Gradients(loss, wrt)
	if err != nil {
		panic(err)
	}
	for i, d := range grads {
		b.out(fmt.Sprintf("d%d", i), d)
	}
	return grads
}

func (b *builder) op(op graph.Op, in ...*graph.Value) *graph.Value { return b.g.Must1(op, in...) }

func (b *builder) add(x, y *graph.Value) *graph.Value { return b.op(graph.Binary{Fn: graph.Add}, x, y) }

func (b *builder) mul(x, y *graph.Value) *graph.Value { return b.op(graph.Binary{Fn: graph.Mul}, x, y) }

func (b *builder) relu(x *graph.Value) *graph.Value { return b.op(graph.Unary{Fn: graph.Relu}, x) }

// square is the geometry of a convolution with equal strides, paddings and
// dilation 1.
func square(stride, pad int) graph.Conv2d {
	return graph.Conv2d{StrideH: stride, StrideW: stride, PadTop: pad, PadLeft: pad, PadBottom: pad, PadRight: pad,
		DilationH: 1, DilationW: 1, Groups: 1}
}

// pooling is the geometry of a pooling with equal extents.
func pooling(kernel, stride, pad int) graph.Window {
	return graph.Window{KernelH: kernel, KernelW: kernel, StrideH: stride, StrideW: stride,
		PadTop: pad, PadLeft: pad, PadBottom: pad, PadRight: pad}
}
