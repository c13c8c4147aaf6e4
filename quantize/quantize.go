// Package quantize makes integer networks of trained ones: static quantisation
// after training, as in Krishnamoorthi, "Quantizing deep convolutional networks
// for efficient inference: A whitepaper" (2018, arXiv 1806.08342).
//
// Batch norms are folded into the convolutions. Weights become int8, symmetric,
// with a scale for each output channel; activations become uint8 with a scale
// and zero point each, taken from pictures that [Calibrate] runs through the
// network. Sums and biases keep their precision.
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
// layers take, and what is added to what they give.
func points(g *graph.Graph, opt Options) map[int]*graph.Value {
	found := map[int]*graph.Value{}
	add := func(v *graph.Value) { found[v.Node.ID] = v }
	made := map[*graph.Node]bool{}
	for _, n := range layers(g, opt) {
		made[n] = true
		add(n.In[0])
	}
	for _, n := range g.Nodes {
		b, ok := n.Op.(graph.Binary)
		if !ok || b.Fn != graph.Add || !n.In[0].Shape.Equal(n.In[1].Shape) {
			continue
		}
		// The engine lets the later layer add the other's output.
		x, y := n.In[0], n.In[1]
		if !made[x.Node] || made[y.Node] && y.Node.ID > x.Node.ID {
			x, y = y, x
		}
		if made[x.Node] {
			add(y)
		}
	}
	return found
}

// fold traces the network for n pictures and folds its batch norms.
func fold(m nn.Module, vars *engine.Vars, in graph.Type) (g *graph.Graph, out *graph.Value, err error) {
	t, err := nn.Trace(m, nn.TraceOptions{Input: in})
	if err != nil {
		return nil, nil, err
	}
	t.Graph.Output("logits", t.Output)
	if g, err = engine.FoldBatchNorm(t.Graph, vars); err != nil {
		return nil, nil, err
	}
	return g, g.Outputs[0].Value, nil
}

// Forward adds the network with its roundings.
func (q *Network) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	g, out, err := fold(q.inner, q.vars, x.Type)
	if err != nil {
		c.Failf("quantize: %w", err)
	}
	weight := map[*graph.Value]bool{}
	for _, n := range layers(g, q.opt) {
		weight[n.In[1]] = true
	}
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
			made = to.Must(n.Op, in...)
		}
		for i, v := range n.Out {
			now[v] = made[i]
		}
		if v := n.Out[0]; weight[v] {
			integers, by := weights(now[v].Node.Op.(graph.Const).Tensor)
			now[v] = to.Must1(by, to.Const(integers))
		}
		if by, ok := q.points[n.ID]; ok {
			v := to.Must1(by, now[n.Out[0]])
			now[n.Out[0]] = to.Must1(graph.DequantizeLinear{Scale: by.Scale, Zero: by.Zero}, v)
		}
	}
	return now[out]
}

// weights rounds a layer's weights: symmetric, so that the largest of each
// output channel becomes 127.
func weights(w *tensor.Tensor) (*tensor.Tensor, graph.DequantizeLinear) {
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
		o.Scale[i] = scale(largest / 127)
		for j, v := range row {
			to[j] = float32(min(max(math.RoundToEven(float64(v/o.Scale[i])), -127), 127))
		}
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
