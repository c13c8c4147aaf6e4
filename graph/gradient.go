package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// Gradients adds to the graph the gradient of the scalar loss with respect to
// each value of wrt, by reverse accumulation: one walk over the nodes backward
// from the loss, in which each node adds the operators of its gradient. A value
// that does not influence the loss has a gradient of zeros.
func (g *Graph) Gradients(loss *Value, wrt []*Value) (grads []*Value, err error) {
	return g.checkedGradients(loss, wrt, nil)
}

// RecomputedGradients is Gradients for less memory and more time, with the same
// numbers to the last bit: values inside a segment of the network are not kept
// for the backward pass but computed a second time right before their gradients
// (Chen et al. 2016, arXiv 1604.06174, section 4.1). segment returns the name of
// the segment of a node by the node's Path, "" for none. Values that other
// segments read are kept, and so are vectors, such as a batch norm's statistics,
// and the whole last segment, whose recomputation would come at once. Updates are
// not repeated.
func (g *Graph) RecomputedGradients(loss *Value, wrt []*Value, segment func(path string) string) (grads []*Value, err error) {
	return g.checkedGradients(loss, wrt, segment)
}

// checkedGradients is RecomputedGradients; a nil segment keeps every value.
func (g *Graph) checkedGradients(loss *Value, wrt []*Value, segment func(path string) string) (grads []*Value, err error) {
	if loss == nil {
		return nil, &Error{Op: "Gradients", Err: fmt.Errorf("the loss is nil")}
	}
	if !g.owns(loss) {
		return nil, &Error{Op: "Gradients", Err: fmt.Errorf("the loss belongs to another graph")}
	}
	for i, v := range wrt {
		if v == nil || v.DType != tensor.Float32 {
			return nil, &Error{Op: "Gradients", Err: fmt.Errorf("value %d is nil or not float32: it has no gradient", i)}
		}
		if !g.owns(v) {
			return nil, &Error{Op: "Gradients", Err: fmt.Errorf("value %d, %v, belongs to another graph", i, v)}
		}
	}
	if loss.DType != tensor.Float32 || loss.Shape.Numel() != 1 {
		return nil, &Error{Op: "Gradients", In: []Type{loss.Type}, Err: fmt.Errorf("the loss is no float32 scalar; reduce it first")}
	}
	err = Try(func() { grads = g.gradients(loss, wrt, segment) })
	return grads, err
}

func (g *Graph) gradients(loss *Value, wrt []*Value, segment func(path string) string) []*Value {
	forward := g.Nodes[:loss.Node.ID+1]
	needs := make([]bool, g.values) // does the value depend on one of wrt?
	for _, v := range wrt {
		needs[v.ID] = true
	}
	for _, n := range forward {
		switch n.Op.(type) {
		case Detach, Compare:
			continue
		}
		for _, in := range n.In {
			if needs[in.ID] {
				for _, out := range n.Out {
					// Integers, such as indices, have no gradient.
					needs[out.ID] = needs[out.ID] || out.DType == tensor.Float32
				}
				break
			}
		}
	}

	recomputed := newRecomputation(g, forward, segment)
	d := make([]*Value, g.values)
	one := g.Scalar(1)
	d[loss.ID] = g.Must1(BroadcastTo{loss.Shape}, one)
	defer g.SetPath(g.SetPath(""))
	for i := len(forward) - 1; i >= 0; i-- {
		n := forward[i]
		dout := make([]*Value, len(n.Out))
		live := false
		for j, out := range n.Out {
			dout[j] = d[out.ID]
			live = live || dout[j] != nil
		}
		need := make([]bool, len(n.In))
		wanted := false
		for j, in := range n.In {
			need[j] = needs[in.ID]
			wanted = wanted || need[j]
		}
		if !live || !wanted {
			continue
		}
		g.SetPath(n.Path)
		op, ok := n.Op.(Differentiable)
		if !ok {
			panic(&Error{Path: n.Path, Op: n.Op.Name(), Err: fmt.Errorf("the operator has no gradient")})
		}
		for j, dv := range op.Grad(g, recomputed.node(n), dout, need) {
			in := n.In[j]
			switch {
			case dv == nil || !needs[in.ID]:
			case d[in.ID] == nil:
				d[in.ID] = dv
			default:
				d[in.ID] = g.Must1(Binary{Fn: Add}, d[in.ID], dv)
			}
		}
	}

	grads := make([]*Value, len(wrt))
	for i, v := range wrt {
		grads[i] = d[v.ID]
		if grads[i] == nil {
			grads[i] = g.Must1(BroadcastTo{v.Shape}, g.Scalar(0))
		}
	}
	return grads
}
