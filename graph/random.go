package graph

import (
	"fmt"

	"github.com/resnet-go/resnet/tensor"
)

// Dropout sets elements to 0 with probability P and divides the others by 1-P
// (Srivastava et al. 2014, in its inverted form). With PerSample whole samples
// are dropped: stochastic depth (Huang et al. 2016).
//
// The mask depends only on the seed, the step, Key and the element's index, not
// on threads; the gradient draws the same mask instead of keeping it. Element i is kept if
// word i%4 of a Philox4x32-10 block is at least P * 2^32, rounded. The block's
// counter words are i/4, Key with its highest bit set, and the low and the high
// half of step; its key words are the low and the high half of seed. The index i
// counts in memory order: N, H, W, C for x of rank 4, row-major for other ranks;
// with PerSample it is n.
//
// Inputs: x [N ...]; rng int64[2]: seed and step. Output like x.
type Dropout struct {
	P         float32
	Key       uint32 // differs between the dropouts of a model
	PerSample bool
}

func (o Dropout) Name() string { return "Dropout" }

func (o Dropout) Infer(in []Type) ([]Type, error) {
	if err := arity(in, 2, 2); err != nil {
		return nil, err
	}
	if in[1].DType != tensor.Int64 || !in[1].Shape.Equal(tensor.Shape{2}) {
		return nil, fmt.Errorf("want seed and step as int64[2], got %s", in[1])
	}
	if o.PerSample && len(in[0].Shape) == 0 {
		return nil, fmt.Errorf("a scalar has no samples")
	}
	if !(o.P >= 0 && o.P < 1) {
		return nil, fmt.Errorf("the probability %g is not in [0, 1)", o.P)
	}
	return []Type{in[0]}, floats(in[:1])
}

// Grad is the operator itself on dy: it is linear in x.
func (o Dropout) Grad(g *Graph, n *Node, dout []*Value, need []bool) []*Value {
	return []*Value{g.Must1(o, dout[0], n.In[1]), nil}
}
