package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// edit is what a pass wants changed in a graph: nodes left out, and nodes put
// instead of others. A pass only matches; apply does the rebuilding.
type edit struct {
	skip map[*graph.Node]bool
	put  map[*graph.Node]replacement
	err  error // why the pass could not match
}

func newEdit() edit {
	return edit{skip: map[*graph.Node]bool{}, put: map[*graph.Node]replacement{}}
}

// replacement is a node to stand where another stood. out lists, for each of
// its outputs, the old value whose place it takes (nil for none).
type replacement struct {
	op  graph.Op
	in  []operand
	out []*graph.Value
}

// operand is an old value, a new constant, or what an operator without inputs
// makes.
type operand struct {
	value *graph.Value
	fixed *tensor.Tensor
	made  graph.Op
}

func operands(vs ...*graph.Value) []operand {
	out := make([]operand, len(vs))
	for i, v := range vs {
		out[i].value = v
	}
	return out
}

// touched reports whether the edit already uses the node.
func (e edit) touched(n *graph.Node) bool {
	_, put := e.put[n]
	return put || e.skip[n]
}

// apply builds the edited graph, leaving out nodes that nothing needs.
func apply(g *graph.Graph, e edit) (*graph.Graph, error) {
	if e.err != nil {
		return nil, e.err
	}
	inputsOf := func(n *graph.Node) []*graph.Value {
		r, ok := e.put[n]
		if !ok {
			return n.In
		}
		var in []*graph.Value
		for _, o := range r.in {
			if o.value != nil {
				in = append(in, o.value)
			}
		}
		return in
	}
	makes := map[*graph.Value]*graph.Node{} // where a value is made after the edit
	for _, n := range g.Nodes {
		if r, ok := e.put[n]; ok {
			for _, v := range r.out {
				makes[v] = n
			}
		} else if !e.skip[n] {
			for _, v := range n.Out {
				makes[v] = n
			}
		}
	}
	needed := map[*graph.Node]bool{}
	var want func(v *graph.Value)
	want = func(v *graph.Value) {
		n := makes[v]
		if n == nil || needed[n] {
			return
		}
		needed[n] = true
		for _, in := range inputsOf(n) {
			want(in)
		}
	}
	for _, o := range g.Outputs {
		want(o.Value)
	}
	for _, u := range g.Updates {
		want(u.Variable)
		want(u.New)
	}

	out := &graph.Graph{}
	now := map[*graph.Value]*graph.Value{}
	for _, n := range g.Nodes {
		// Inputs stay, used or not: callers feed them by position.
		_, input := n.Op.(graph.Input)
		if !needed[n] && !input {
			continue
		}
		out.SetPath(n.Path)
		op, olds := n.Op, n.Out
		in := make([]*graph.Value, 0, len(n.In))
		if r, ok := e.put[n]; ok {
			op, olds = r.op, r.out
			for _, o := range r.in {
				switch {
				case o.fixed != nil:
					in = append(in, out.Const(o.fixed))
				case o.made != nil:
					v, err := out.Apply(o.made)
					if err != nil {
						return nil, fmt.Errorf("engine: rewriting the graph: %w", err)
					}
					in = append(in, v[0])
				default:
					in = append(in, now[o.value])
				}
			}
		} else {
			for _, v := range n.In {
				in = append(in, now[v])
			}
		}
		news, err := reapply(out, op, in)
		if err != nil {
			return nil, fmt.Errorf("engine: rewriting the graph: %w", err)
		}
		for i, v := range olds {
			if v != nil {
				now[v] = news[i]
			}
		}
	}
	for _, o := range g.Outputs {
		out.Output(o.Name, now[o.Value])
	}
	for _, u := range g.Updates {
		if err := out.Assign(now[u.Variable], now[u.New]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func reapply(g *graph.Graph, op graph.Op, in []*graph.Value) ([]*graph.Value, error) {
	var v *graph.Value
	var err error
	switch op := op.(type) {
	case graph.Input:
		v, err = g.InputAs(op.Label, op.Type, op.Layout)
	case graph.Variable:
		v, err = g.Variable(op.Label, op.Type)
	default:
		return g.Apply(op, in...)
	}
	return []*graph.Value{v}, err
}

// readers lists for each value the nodes that read it, in order; a node that
// reads it twice is listed twice. Outputs and updates count as a nil user.
type readers map[*graph.Value][]*graph.Node

// only reports whether n reads v, once, and nothing else does.
func (u readers) only(v *graph.Value, n *graph.Node) bool { return len(u[v]) == 1 && u[v][0] == n }

// users returns the readers of all values of a graph.
func users(g *graph.Graph) readers {
	u := readers{}
	for _, n := range g.Nodes {
		for _, v := range n.In {
			u[v] = append(u[v], n)
		}
	}
	for _, o := range g.Outputs {
		u[o.Value] = append(u[o.Value], nil)
	}
	for _, up := range g.Updates {
		u[up.New] = append(u[up.New], nil)
	}
	return u
}
