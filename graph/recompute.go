package graph

// recomputation replaces the values of a segment, for the gradients, by their
// second computation. It adds that when the backward walk reaches the segment, so
// that only one segment's values are in memory at a time.
type recomputation struct {
	g       *Graph
	forward []*Node
	// segment numbers the segments, by Node.ID; 0 for a node that is not recomputed. A
	// module that the forward pass goes through twice, such as a backbone that sees two
	// views, is two segments: as one, the values of both passes would be in memory at a
	// time.
	segment []int
	kept    []bool // by Value.ID
	done    map[int]bool
	second  map[*Value]*Value // by the value of the forward pass
}

// newRecomputation returns nil, which recomputes nothing, if segment is nil.
func newRecomputation(g *Graph, forward []*Node, segment func(path string) string) *recomputation {
	if segment == nil {
		return nil
	}
	r := &recomputation{
		g: g, forward: forward, segment: make([]int, len(forward)), kept: make([]bool, g.values),
		done: map[int]bool{}, second: map[*Value]*Value{},
	}
	last, before := 0, ""
	for i, n := range forward {
		switch n.Op.(type) {
		case Input, Variable, Const:
			continue
		}
		of := segment(n.Path)
		if of != "" && of != before {
			last++
		}
		if before = of; of != "" {
			r.segment[i] = last
		}
		for _, v := range n.Out {
			r.kept[v.ID] = len(v.Shape) < 2
		}
	}
	for i, n := range forward {
		if r.segment[i] == last {
			r.segment[i] = 0
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

// node returns n for use by its gradient: with the second computation of the
// values that are not kept.
func (r *recomputation) node(n *Node) *Node {
	if r == nil {
		return n
	}
	if s := r.segment[n.ID]; s != 0 && !r.done[s] {
		r.done[s] = true
		r.compute(s)
	}
	seen := *n
	seen.In, seen.Out = r.values(n.In), r.values(n.Out)
	return &seen
}

// compute adds the nodes of a segment a second time. The engine leaves out the
// nodes that nothing reads.
func (r *recomputation) compute(segment int) {
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
				r.second[n.Out[j]] = v
			}
		}
	}
}

func (r *recomputation) values(old []*Value) []*Value {
	list := make([]*Value, len(old))
	for i, v := range old {
		list[i] = v
		if second, ok := r.second[v]; ok {
			list[i] = second
		}
	}
	return list
}
