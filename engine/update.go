package engine

import (
	"github.com/resnet-go/resnet/graph"
)

// planUpdates finds the updates that may write the variable's memory at once:
// those made from the variable by an operator that can work in place, when
// nothing reads the old value afterwards.
func (c *compiler) planUpdates() {
	lastRead := map[*graph.Value]int{}
	for _, n := range c.g.Nodes {
		for _, v := range n.In {
			lastRead[v] = n.ID
		}
	}
	const never = int(^uint(0) >> 1)
	for _, o := range c.g.Outputs {
		lastRead[o.Value] = never
	}
	times := map[*graph.Value]int{}
	for _, u := range c.g.Updates {
		c.plan.writes = true
		c.updated[u.Variable] = true
		times[u.New]++
		lastRead[u.New] = never
	}
	// What reads the same memory by another name reads the variable.
	for i := len(c.g.Nodes) - 1; i >= 0; i-- {
		switch n := c.g.Nodes[i]; n.Op.(type) {
		case graph.Reshape, graph.Permute, graph.Detach:
			lastRead[n.In[0]] = max(lastRead[n.In[0]], lastRead[n.Out[0]])
		}
	}
	for _, u := range c.g.Updates {
		n := u.New.Node
		from, ok := inPlaceInput(n.Op, u.New.Index)
		if ok && n.In[from] == u.Variable && lastRead[u.Variable] == n.ID && times[u.New] == 1 {
			c.stored[u.New] = c.vars.m[u.Variable.Node.Op.(graph.Variable).Label]
		}
	}
}

// inPlaceInput returns which input the operator can overwrite with the output.
func inPlaceInput(op graph.Op, output int) (input int, ok bool) {
	switch op.(type) {
	case graph.SGD, graph.LARS:
		return []int{0, 2}[output], true
	case graph.Adam, graph.AdamW, graph.LAMB, graph.RMSprop:
		return []int{0, 2, 3}[output], true
	case graph.EMA:
		return 0, true
	case fusedBatchNormTrain:
		if output >= 3 {
			return output, true
		}
	}
	return 0, false
}

// writeUpdates copies the new values that could not be written at once. All
// are read before any is written, so that variables may be exchanged.
func (c *compiler) writeUpdates() {
	type move struct {
		to   *variable
		from *buf
	}
	var moves []move
	for _, u := range c.g.Updates {
		if _, done := c.stored[u.New]; done {
			continue
		}
		to := c.vars.m[u.Variable.Node.Op.(graph.Variable).Label]
		c.node = u.New.Node
		from := c.in(u.New, variableLayout(to.Type))
		if from.kind == stored {
			old := from
			from = c.newBuf(old.size)
			c.copyBuf(from, old)
		}
		moves = append(moves, move{to, from})
	}
	for _, m := range moves {
		dst := c.newBuf(m.from.size)
		dst.kind, dst.data = stored, c.vars.updatable(m.to)
		c.copyBuf(dst, m.from)
	}
}

func (c *compiler) copyBuf(dst, src *buf) *step {
	return c.pieces("copy", src.size, func(r *run, lo, hi int) {
		copy(r.b[dst.id][lo:hi], r.b[src.id][lo:hi])
	}, reads(src), writes(dst))
}
