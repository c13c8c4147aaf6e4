package probe

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Layer is what passes through a convolution or linear layer in one training
// step.
type Layer struct {
	Path string // of the module
	// Response is the standard deviation of the layer's output, after the batch
	// norm that takes it directly, if any, and before all else (He et al. 2015,
	// figure 7).
	Response float64
	// Signal is the norm of the loss's gradient at that output, Gradient that
	// at the weights, and Weight the norm of the weights.
	Signal, Gradient, Weight float64
}

// target is the input of labels in the graph of [Net.Layers].
const target = "target"

// Layers runs the training form once, forwards and back, on the pictures, which
// are one batch. Values do not change.
func (n *Net) Layers(ctx context.Context, p *Pictures) ([]Layer, error) {
	r, err := n.runner()
	if err != nil {
		return nil, err
	}
	x, err := p.batch(0, len(p.Labels))
	if err != nil {
		return nil, err
	}
	y, err := tensor.FromInt64(p.Labels, len(p.Labels))
	if err != nil {
		return nil, err
	}
	var layers []Layer
	q := infer.Query{Name: "layers", Training: true, Build: func(t *nn.Traced) error {
		layers, err = measured(t, len(p.Labels))
		return err
	}}
	out, err := r.Run(ctx, q, infer.Tensors{nn.ImageInput: x, target: y})
	if err != nil {
		return nil, err
	}
	for i := range layers {
		at := func(what string) float64 { return float64(out[fmt.Sprintf("%s %d", what, i)].Float32s()[0]) }
		l, m := &layers[i], at("mean")
		l.Response = math.Sqrt(max(0, at("square")-m*m))
		l.Signal, l.Gradient, l.Weight = math.Sqrt(at("signal")), math.Sqrt(at("gradient")), math.Sqrt(at("weight"))
	}
	return layers, nil
}

// measured adds the loss of k pictures and its gradients to the training form, and
// outputs for each layer that it returns, by what and number.
func measured(t *nn.Traced, k int) ([]Layer, error) {
	if t.RNG != nil {
		return nil, fmt.Errorf("probe: the network has dropout, so its gradient is not one value")
	}
	params := map[string]*graph.Value{}
	for _, v := range t.Params {
		params[v.Name] = v.Value
	}
	var layers []Layer
	var points, weights []*graph.Value
	for i, c := range t.Calls {
		switch c.Module.(type) {
		case *nn.Conv2d, *nn.Linear:
		default:
			continue
		}
		w := params[c.Path+".weight"]
		if w == nil {
			continue
		}
		out := c.Out
		for _, next := range t.Calls[i+1:] {
			if _, ok := next.Module.(*nn.BatchNorm); ok && next.In == c.Out {
				out = next.Out
			}
		}
		layers, points, weights = append(layers, Layer{Path: c.Path}), append(points, out), append(weights, w)
	}
	g := t.Graph
	y, err := g.Input(target, graph.Type{DType: tensor.Int64, Shape: tensor.Shape{k}})
	if err != nil {
		return nil, err
	}
	loss := g.Must1(graph.CrossEntropy{}, t.Output, y)
	grads, err := g.Gradients(loss, append(append([]*graph.Value{}, points...), weights...))
	if err != nil {
		return nil, err
	}
	square := func(v *graph.Value) *graph.Value { return g.Must1(graph.Unary{Fn: graph.Square}, v) }
	sum := func(v *graph.Value) *graph.Value { return g.Must1(graph.Reduce{Fn: graph.Sum}, v) }
	mean := func(v *graph.Value) *graph.Value { return g.Must1(graph.Reduce{Fn: graph.Mean}, v) }
	for i := range layers {
		g.Output(fmt.Sprintf("mean %d", i), mean(points[i]))
		g.Output(fmt.Sprintf("square %d", i), mean(square(points[i])))
		g.Output(fmt.Sprintf("signal %d", i), sum(square(grads[i])))
		g.Output(fmt.Sprintf("gradient %d", i), sum(square(grads[len(layers)+i])))
		g.Output(fmt.Sprintf("weight %d", i), sum(square(weights[i])))
	}
	return layers, nil
}

// Direction is a random direction in the space of the weights, each filter
// scaled to the norm of the network's own, and zero for biases and batch norms
// (Li et al. 2018, section 4). Weights are [out …]; a filter is a row.
func (s State) Direction(seed uint64) State {
	r := rand.New(rand.NewPCG(seed, 0x6c616273))
	d := State{}
	for _, name := range sortedNames(s) {
		w := s[name]
		if w.DType() != tensor.Float32 || len(w.Shape()) < 2 {
			continue
		}
		t := tensor.New(w.Shape()...)
		rows := w.Shape()[0]
		n := w.Numel() / rows
		for i := range rows {
			a, b := w.Float32s()[i*n:(i+1)*n], t.Float32s()[i*n:(i+1)*n]
			var own, drawn float64
			for j := range b {
				b[j] = float32(r.NormFloat64())
				own += float64(a[j]) * float64(a[j])
				drawn += float64(b[j]) * float64(b[j])
			}
			for j := range b {
				b[j] *= float32(math.Sqrt(own / (drawn + 1e-20)))
			}
		}
		d[name] = t
	}
	return d
}

// Plus returns s + a*d + b*e; tensors that d and e do not have are shared.
func (s State) Plus(a float64, d State, b float64, e State) State {
	out := State{}
	for name, t := range s {
		out[name] = t
		if d[name] == nil {
			continue
		}
		sum := tensor.New(t.Shape()...)
		for i, v := range t.Float32s() {
			sum.Float32s()[i] = v + float32(a)*d[name].Float32s()[i] + float32(b)*e[name].Float32s()[i]
		}
		out[name] = sum
	}
	return out
}

// Landscape returns the loss at s + x*d + y*e for each y and x of axis, rows of
// y. A loss that is no number is +Inf.
func (n *Net) Landscape(ctx context.Context, p *Pictures, axis []float64, seed uint64, done func()) ([][]float64, error) {
	d, e := n.State.Direction(2*seed), n.State.Direction(2*seed+1)
	z := make([][]float64, len(axis))
	for i, y := range axis {
		z[i] = make([]float64, len(axis))
		for j, x := range axis {
			moved := *n
			moved.State = n.State.Plus(x, d, y, e)
			loss, _, err := moved.Evaluate(ctx, p)
			if err != nil {
				return nil, err
			}
			z[i][j] = loss
			if done != nil {
				done()
			}
		}
	}
	return z, nil
}
