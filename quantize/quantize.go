// Package quantize makes integer networks of trained ones: static quantization
// after training, as in Krishnamoorthi, "Quantizing deep convolutional networks
// for efficient inference: A whitepaper" (2018, arXiv 1806.08342).
//
// Batch norms are folded into the convolutions. Weights become int8, symmetric,
// with a scale for each output channel; activations become uint8 with a scale
// and zero point each, taken from pictures that [Calibrate] runs through the
// network. Sums and biases are int32.
package quantize

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Network is a network whose layers compute with rounded values. It is an
// nn.Module without parameters: its weights are constants of the graph.
type Network struct {
	inner  nn.Module                    `key:"-"`
	vars   *engine.Vars                 `key:"-"`
	opt    Options                      `key:"-"`
	points map[int]graph.QuantizeLinear `key:"-"` // by the number of the node that makes the value
}

// layer reports whether a node of a folded graph is one that integers compute.
func layer(n *graph.Node) bool {
	switch op := n.Op.(type) {
	case graph.Conv2d:
		return op.Groups == 1
	case graph.Linear:
		return true
	}
	return false
}

// layers returns the nodes to compute with integers.
func layers(g *graph.Graph, opt Options) []*graph.Node {
	var list []*graph.Node
	for _, n := range g.Nodes {
		if layer(n) {
			list = append(list, n)
		}
	}
	if opt.FloatFirst && len(list) > 0 {
		list = list[1:]
	}
	if opt.FloatLast && len(list) > 0 {
		list = list[:len(list)-1]
	}
	return list
}

// points returns the values to round, by the number of their node: what the
// layers take, and what is added and the sum, so that the integers of a shortcut
// can be added as such.
func points(g *graph.Graph, opt Options) map[int]*graph.Value {
	found := map[int]*graph.Value{}
	add := func(v *graph.Value) { found[v.Node.ID] = v }
	made := map[*graph.Node]bool{}
	for _, n := range layers(g, opt) {
		made[n] = true
		add(n.In[0])
	}
	read := users(g)
	for _, n := range g.Nodes {
		b, ok := n.Op.(graph.Binary)
		if !ok || b.Fn != graph.Add || !n.In[0].Shape.Equal(n.In[1].Shape) || !made[n.In[0].Node] && !made[n.In[1].Node] {
			continue
		}
		add(n.In[0])
		add(n.In[1])
		sum := n.Out[0]
		if u := read[sum]; len(u) == 1 {
			if fn, ok := u[0].Op.(graph.Unary); ok && fn.Fn == graph.Relu {
				sum = u[0].Out[0]
			}
		}
		add(sum)
	}
	return found
}

// users returns the nodes that read each value.
func users(g *graph.Graph) map[*graph.Value][]*graph.Node {
	read := map[*graph.Value][]*graph.Node{}
	for _, n := range g.Nodes {
		for _, v := range n.In {
			read[v] = append(read[v], n)
		}
	}
	return read
}

// fold returns the graph of a traced network with its batch norms folded, and its
// output there.
func fold(t *nn.Traced, vars *engine.Vars) (g *graph.Graph, out *graph.Value, err error) {
	t.Graph.Output("logits", t.Output)
	if g, err = engine.FoldBatchNorm(t.Graph, vars); err != nil {
		return nil, nil, err
	}
	return g, g.Outputs[0].Value, nil
}

// Forward adds the network with its roundings.
func (q *Network) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	t, err := nn.Trace(q.inner, nn.TraceOptions{Input: x.Type})
	if err != nil {
		c.Failf("quantize: %w", err)
	}
	g, out, err := fold(t, q.vars)
	if err != nil {
		c.Failf("quantize: %w", err)
	}
	chosen := map[*graph.Node]bool{}
	for _, n := range layers(g, q.opt) {
		chosen[n] = true
	}
	read := users(g)
	to := c.Graph()
	before := to.SetPath("")
	defer to.SetPath(before)
	now := map[*graph.Value]*graph.Value{}
	for _, n := range g.Nodes {
		to.SetPath(n.Path)
		var made []*graph.Value
		switch op := n.Op.(type) {
		case graph.Input:
			made = []*graph.Value{x}
		case graph.Const:
			made = []*graph.Value{to.Const(op.Tensor)}
		case graph.Variable:
			t, err := q.vars.Get(op.Label)
			if err != nil {
				c.Failf("quantize: %w", err)
			}
			if n.Out[0].DType != tensor.Float32 {
				continue
			}
			made = []*graph.Value{to.Const(t)}
		default:
			in := make([]*graph.Value, len(n.In))
			for i, v := range n.In {
				in[i] = now[v]
			}
			if chosen[n] {
				q.roundLayer(to, in, q.points[n.In[0].Node.ID].Scale[0])
			}
			if _, ok := n.Op.(graph.MaxPool2d); ok && len(read[n.In[0]]) == 1 {
				// The largest of rounded values is the rounded largest, and kernels
				// of integers can take it.
				if by, ok := q.points[n.ID]; ok {
					in[0] = to.Must1(graph.DequantizeLinear{Scale: by.Scale, Zero: by.Zero}, to.Must1(by, in[0]))
				}
			}
			made = to.Must(n.Op, in...)
		}
		for i, v := range n.Out {
			now[v] = made[i]
		}
		if by, ok := q.points[n.ID]; ok {
			v := to.Must1(by, now[n.Out[0]])
			now[n.Out[0]] = to.Must1(graph.DequantizeLinear{Scale: by.Scale, Zero: by.Zero}, v)
		}
	}
	return now[out]
}

// mostBias bounds a bias in units of the sums, which leaves the sums of products
// of bytes what they need of an int32.
const mostBias = 1 << 28

// roundLayer rounds the weights and the bias among the inputs of a layer whose
// first input has the scale x.
func (q *Network) roundLayer(to *graph.Graph, in []*graph.Value, x float32) {
	w := in[1].Node.Op.(graph.Const).Tensor
	least := make([]float32, w.Shape()[0])
	var b *tensor.Tensor
	if len(in) == 3 {
		b = in[2].Node.Op.(graph.Const).Tensor
		for k, v := range b.Float32s() {
			// Weights that are nothing beside the bias are rounded more coarsely.
			least[k] = max(v, -v) / mostBias / x
		}
	}
	integers, by := weights(w, least)
	in[1] = to.Must1(by, to.Const(integers))
	if b != nil {
		integers, by := biases(b, x, by.Scale)
		in[2] = to.Must1(by, to.Const(integers))
	}
}

// weights rounds a layer's weights: symmetric, so that the largest of each
// output channel becomes 127, or less where its scale must not be below least.
func weights(w *tensor.Tensor, least []float32) (*tensor.Tensor, graph.DequantizeLinear) {
	k := w.Shape()[0]
	o := graph.DequantizeLinear{Scale: make([]float32, k), Zero: make([]int32, k)}
	integers := tensor.New(w.Shape()...)
	n := w.Numel() / k
	for i := range k {
		row, to := w.Float32s()[i*n:(i+1)*n], integers.Float32s()[i*n:(i+1)*n]
		largest := float32(0)
		for _, v := range row {
			largest = max(largest, v, -v)
		}
		o.Scale[i] = scale(max(largest/127, least[i]))
		for j, v := range row {
			to[j] = float32(min(max(math.RoundToEven(float64(v/o.Scale[i])), -127), 127))
		}
	}
	return integers, o
}

// biases rounds a layer's biases to multiples of the scale of its sums, which
// integer kernels, onnxruntime's too, want.
func biases(b *tensor.Tensor, x float32, w []float32) (*tensor.Tensor, graph.DequantizeLinear) {
	o := graph.DequantizeLinear{Scale: make([]float32, len(w)), Zero: make([]int32, len(w))}
	integers := tensor.New(b.Shape()...)
	for i, v := range b.Float32s() {
		o.Scale[i] = scale(x * w[i])
		integers.Float32s()[i] = float32(math.RoundToEven(float64(v) / float64(o.Scale[i])))
	}
	return integers, o
}

// scale keeps a scale from being 0 or too small to divide by.
func scale(s float32) float32 { return max(s, 1e-30) }

// check returns an error for weights that cannot be rounded.
func check(g *graph.Graph, vars *engine.Vars) error {
	for _, n := range g.Nodes {
		var t *tensor.Tensor
		switch op := n.Op.(type) {
		case graph.Const:
			t = op.Tensor
		case graph.Variable:
			v, err := vars.Get(op.Label)
			if err != nil {
				return err
			}
			t = v
		}
		if t == nil || t.DType() != tensor.Float32 {
			continue
		}
		for _, x := range t.Float32s() {
			if x-x != 0 {
				return fmt.Errorf("quantize: %v holds %g", n, x)
			}
		}
	}
	return nil
}
