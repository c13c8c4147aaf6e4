package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// maxFolded is the number of elements up to which foldValues keeps a value: the biases of
// attention by position are smaller, and a network's weights, which plans share, larger.
const maxFolded = 1 << 18

// foldValues computes once what depends on constants alone, such as the biases of
// attention that a network computes from its weights. Only operators that compute are
// worth it: a reshaped weight stays the weight.
func foldValues(g *graph.Graph, vars *Vars, opt Options) edit {
	e := newEdit()
	fixed := map[*graph.Value]bool{}    // depends on constants alone
	computed := map[*graph.Value]bool{} // and on an operator that computes
	updated := updatedBy(g)
	for _, n := range g.Nodes {
		switch n.Op.(type) {
		case graph.Const:
			fixed[n.Out[0]] = true
		case graph.Variable:
			fixed[n.Out[0]] = !updated[n.Out[0]]
		}
		if len(n.In) == 0 {
			continue
		}
		if _, ok := n.Op.(graph.HostOp); ok || len(n.Out) != 1 || n.Out[0].Shape.Numel() > maxFolded {
			continue
		}
		if t := n.Out[0].DType; t != tensor.Float32 && t != tensor.Int64 {
			continue
		}
		_, shaped := n.Op.(graph.Reshape)
		all, any := true, !shaped
		for _, v := range n.In {
			all, any = all && fixed[v], any || computed[v]
		}
		fixed[n.Out[0]], computed[n.Out[0]] = all, all && any
	}
	var ends []*graph.Value // of what is computed, the values that the rest reads
	use := users(g)
	for _, n := range g.Nodes {
		for _, v := range n.Out {
			if !computed[v] {
				continue
			}
			for _, reader := range use[v] {
				if reader == nil || !fixed[reader.Out[0]] {
					ends = append(ends, v)
					break
				}
			}
		}
	}
	if len(ends) == 0 {
		return e
	}
	values, err := compute(g, vars, opt, ends)
	if err != nil {
		e.err = err
		return e
	}
	for i, v := range ends {
		e.put[v.Node] = replacement{op: graph.Const{Tensor: values[i]}, out: v.Node.Out}
	}
	return e
}

// compute runs the part of g that the values need, which does not need inputs.
func compute(g *graph.Graph, vars *Vars, opt Options, values []*graph.Value) ([]*tensor.Tensor, error) {
	part := graph.Graph{}
	for _, n := range g.Nodes {
		if _, input := n.Op.(graph.Input); !input {
			part.Nodes = append(part.Nodes, n)
		}
	}
	for i, v := range values {
		part.Outputs = append(part.Outputs, graph.Output{Name: fmt.Sprint(i), Value: v})
	}
	alone, err := apply(&part, newEdit())
	if err != nil {
		return nil, err
	}
	p, err := compileHere(alone, vars, opt, false)
	if err != nil {
		return nil, err
	}
	out := make([]*tensor.Tensor, len(values))
	for i, port := range p.Outputs() {
		out[i] = port.NewTensor()
	}
	return out, p.Run(nil, out)
}
