package enginetest

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// places is an operator of the test's own, as a user writes one: the position of each
// channel's largest element, and that element times the factor of its label.
type places struct{ Scale float32 }

func (places) Name() string { return "Places" }

func (places) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 2 || len(in[0].Shape) != 4 || in[1].DType != tensor.Int64 {
		return nil, fmt.Errorf("want an image and labels, got %v", in)
	}
	of := in[0].Shape[:2].Clone()
	return []graph.Type{{DType: tensor.Int64, Shape: of}, graph.F32(of...)}, nil
}

func (o places) Compute(in, out []*tensor.Tensor) error {
	x, labels := in[0].Float32s(), in[1].Int64s()
	at, value := out[0].Int64s(), out[1].Float32s()
	each := in[0].Shape()[2:].Numel()
	for i := range at {
		at[i] = 0
		for k, v := range x[i*each : (i+1)*each] {
			if v > x[i*each+int(at[i])] {
				at[i] = int64(k)
			}
		}
		value[i] = x[i*each+int(at[i])] * o.Scale * float32(labels[i%len(labels)])
	}
	return nil
}

// Grad is another operator of the test's own.
func (o places) Grad(g *graph.Graph, n *graph.Node, dout []*graph.Value, _ []bool) []*graph.Value {
	return []*graph.Value{g.Must1(placesGrad{o, n.In[0].Shape}, n.Out[0], n.In[1], dout[1]), nil}
}

type placesGrad struct {
	of places
	x  tensor.Shape
}

func (placesGrad) Name() string { return "PlacesGrad" }

func (o placesGrad) Infer([]graph.Type) ([]graph.Type, error) {
	return []graph.Type{graph.F32(o.x...)}, nil
}

func (o placesGrad) Compute(in, out []*tensor.Tensor) error {
	at, labels, dy, dx := in[0].Int64s(), in[1].Int64s(), in[2].Float32s(), out[0].Float32s()
	clear(dx)
	each := o.x[2:].Numel()
	for i, k := range at {
		dx[i*each+int(k)] = dy[i] * o.of.Scale * float32(labels[i%len(labels)])
	}
	return nil
}

func (t *table) hosts() {
	t.add("host/alone", func(b *builder) {
		x, labels := b.in("x", 2, 5, 3, 4), b.labels("labels", 3, 4)
		out := b.g.Must(places{0.5}, x, labels)
		b.out("places", out[0])
		b.grads(out[1], x)
	})
	t.add("host/among_kernels", func(b *builder) {
		b.tol(1e-4)
		n := &net{builder: b}
		x, labels := b.in("x", 2, 3, 8, 8), b.labels("labels", 1, 4)
		y := n.convNorm("a", x, 16, 3, 1)
		out := b.g.Must(places{2}, y, labels)
		again := b.g.Must(places{3}, b.op(graph.Unary{Fn: graph.Tanh}, y), out[0])
		b.grads(n.linear("fc", b.add(out[1], again[1]), 5), append(n.params, x)...)
	})
	t.add("host/detached", func(b *builder) {
		x, labels := b.in("x", 2, 5, 3, 4), b.labels("labels", 3, 4)
		out := b.g.Must(places{1}, b.relu(x), labels)
		hot := b.op(graph.OneHot{Classes: 12}, out[0])
		b.grads(b.add(b.op(graph.Reshape{Shape: []int{2, 5, 12}}, x), b.mul(hot, b.op(graph.Reshape{Shape: []int{2, 5, 1}}, b.op(graph.Detach{}, out[1])))), x)
	})
	t.add("host/trained", func(b *builder) {
		b.steps(3)
		w, v, lr := b.variable("w", 1, 0, 2, 5, 3, 3), b.zeros("v", 2, 5, 3, 3), b.g.Scalar(0.1)
		out := b.g.Must(places{1}, w, b.labels("labels", 2, 4))
		grads, err := b.g.Gradients(b.op(graph.Reduce{Fn: graph.Sum}, out[1]), []*graph.Value{w})
		if err != nil {
			panic(err)
		}
		next := b.g.Must(graph.SGD{Momentum: 0.9}, w, grads[0], v, lr)
		b.assign(w, next[0])
		b.assign(v, next[1])
		b.out("places", out[0])
	})
}
