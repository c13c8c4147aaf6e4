package graph

// recomputation gives gradients the values of a segment computed again, from
// the point on at which the walk back reaches the segment.
type recomputation struct {
	g       *Graph
	forward []*Node
	segment []string // by Node.ID; "" where a node is not computed again
	kept    []bool   // by Value.ID
	done    map[string]bool
	now     map[*Value]*Value // a value's second computation
}

// newRecomputation returns nil, which computes nothing again, for no segments.
func newRecomputation(g *Graph, forward []*Node, segment func(path string) string) *recomputation {
	if segment == nil {
		return nil
	}
	r := &recomputation{
		g: g, forward: forward, segment: make([]string, len(forward)), kept: make([]bool, g.values),
		done: map[string]bool{}, now: map[*Value]*Value{},
	}
	last := ""
	for i, n := range forward {
		switch n.Op.(type) {
		case Input, Variable, Const:
			continue
		}
		if r.segment[i] = segment(n.Path); r.segment[i] != "" {
			last = r.segment[i]
		}
		for _, v := range n.Out {
			r.kept[v.ID] = len(v.Shape) < 2
		}
	}
	for i, n := range forward {
		if r.segment[i] == last {
			r.segment[i] = ""
		}
		for _, v := range n.In {
			if r.segment[v.Node.ID] != r.segment[i] {
				r.kept[v.ID] = true
			}
		}
	}
	for _, o := range g.Outputs {
		r.kept[o.Value.ID] = true
	}
	for _, u := range g.Updates {
		r.kept[u.New.ID] = true
	}
	return r
}

// node returns n as its gradient is to see it: with the second computation of
// the values that are not kept.
func (r *recomputation) node(n *Node) *Node {
	if r == nil {
		return n
	}
	if s := r.segment[n.ID]; s != "" && !r.done[s] {
		r.done[s] = true
		r.compute(s)
	}
	seen := *n
	seen.In, seen.Out = r.values(n.In), r.values(n.Out)
	return &seen
}

// compute adds the nodes of a segment once more. Those that nothing reads, the
// engine leaves out.
func (r *recomputation) compute(segment string) {
	defer r.g.SetPath(r.g.SetPath(""))
	for i, n := range r.forward {
		if r.segment[i] != segment {
			continue
		}
		r.g.SetPath(n.Path)
		op, in := n.Op, r.values(n.In)
		if _, ok := op.(BatchNormTrain); ok {
			op, in = BatchNormRecomputed{}, append(in[:3], n.Out[1], n.Out[2])
		}
		for j, v := range r.g.Must(op, in...) {
			if !r.kept[n.Out[j].ID] {
				r.now[n.Out[j]] = v
			}
		}
	}
}

func (r *recomputation) values(old []*Value) []*Value {
	list := make([]*Value, len(old))
	for i, v := range old {
		list[i] = v
		if again, ok := r.now[v]; ok {
			list[i] = again
		}
	}
	return list
}
