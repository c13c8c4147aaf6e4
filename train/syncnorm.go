package train

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// meanOfRanks is an operator that gives the mean of a vector over the ranks, each of which
// computes one shard. All come to it in the order of the graph, so that the messages of
// one do not meet those of another.
type meanOfRanks struct{ group group }

func (*meanOfRanks) Name() string { return "MeanOfRanks" }

// Infer keeps the type.
func (*meanOfRanks) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 1 || in[0].DType != tensor.Float32 {
		return nil, fmt.Errorf("want one float32 vector, got %v", in)
	}
	return in, nil
}

// Grad is the operator itself: the loss is the mean of the ranks' losses.
func (o *meanOfRanks) Grad(g *graph.Graph, _ *graph.Node, dout []*graph.Value, _ []bool) []*graph.Value {
	return []*graph.Value{g.Must1(o, dout[0])}
}

// Compute sends the vector to all and adds up theirs in the order of a binary tree over
// the ranks, on each in the same way.
func (o *meanOfRanks) Compute(in, out []*tensor.Tensor) error {
	x, y := in[0].Float32s(), out[0].Float32s()
	n := o.group.size()
	if n == 1 {
		copy(y, x)
		return nil
	}
	send, recv, known := make([][]float32, n), make([][]float32, n), map[span][]float32{}
	for r := range n {
		send[r], recv[r] = x, make([]float32, len(x))
		known[span{r, r + 1}] = recv[r]
	}
	if err := o.group.x.AllToAll(send, recv); err != nil {
		return lost(err)
	}
	for i, sum := range sumOf(known, span{0, n}) {
		y[i] = sum / float32(n)
	}
	return nil
}

// rowsOfRanks is an operator that gives the rows of a matrix [N D] of all ranks, those of
// rank 0 first [ranks*N D].
type rowsOfRanks struct{ group group }

func (*rowsOfRanks) Name() string { return "RowsOfRanks" }

// Infer multiplies the rows.
func (o *rowsOfRanks) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 1 || in[0].DType != tensor.Float32 || len(in[0].Shape) != 2 {
		return nil, fmt.Errorf("want one float32 matrix, got %v", in)
	}
	s := in[0].Shape
	return []graph.Type{graph.F32(o.group.size()*s[0], s[1])}, nil
}

// Grad adds up what the ranks' losses give for the rows of this one.
func (o *rowsOfRanks) Grad(g *graph.Graph, _ *graph.Node, dout []*graph.Value, _ []bool) []*graph.Value {
	return []*graph.Value{g.Must1(&sumOfRows{o.group}, dout[0])}
}

// Compute sends the rows to all.
func (o *rowsOfRanks) Compute(in, out []*tensor.Tensor) error {
	x, y := in[0].Float32s(), out[0].Float32s()
	n := o.group.size()
	if n == 1 {
		copy(y, x)
		return nil
	}
	send, recv := make([][]float32, n), make([][]float32, n)
	for r := range n {
		send[r], recv[r] = x, y[r*len(x):(r+1)*len(x)]
	}
	if err := o.group.x.AllToAll(send, recv); err != nil {
		return lost(err)
	}
	return nil
}

// sumOfRows is the gradient of rowsOfRanks: the sum over the ranks of the rows [ranks*N D]
// that are this rank's [N D].
type sumOfRows struct{ group group }

func (*sumOfRows) Name() string { return "SumOfRows" }

// Infer divides the rows.
func (o *sumOfRows) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 1 || in[0].DType != tensor.Float32 || len(in[0].Shape) != 2 || in[0].Shape[0]%o.group.size() != 0 {
		return nil, fmt.Errorf("want one float32 matrix with rows of %d ranks, got %v", o.group.size(), in)
	}
	s := in[0].Shape
	return []graph.Type{graph.F32(s[0]/o.group.size(), s[1])}, nil
}

// Grad is nil: no second derivative is taken.
func (*sumOfRows) Grad(*graph.Graph, *graph.Node, []*graph.Value, []bool) []*graph.Value {
	return []*graph.Value{nil}
}

// Compute sends each rank its rows and adds up those from all in the order of a binary
// tree over the ranks.
func (o *sumOfRows) Compute(in, out []*tensor.Tensor) error {
	x, y := in[0].Float32s(), out[0].Float32s()
	n := o.group.size()
	if n == 1 {
		copy(y, x)
		return nil
	}
	send, recv, known := make([][]float32, n), make([][]float32, n), map[span][]float32{}
	for r := range n {
		send[r], recv[r] = x[r*len(y):(r+1)*len(y)], make([]float32, len(y))
		known[span{r, r + 1}] = recv[r]
	}
	if err := o.group.x.AllToAll(send, recv); err != nil {
		return lost(err)
	}
	copy(y, sumOf(known, span{0, n}))
	return nil
}

// synchronized is how batch norms get the statistics of all ranks; nil if they do not.
func (s *session) synchronized() *nn.Synchronized {
	if !s.rec.SyncBatchNorm {
		return nil
	}
	return &nn.Synchronized{Mean: &meanOfRanks{s.group}, Rows: &rowsOfRanks{s.group}, Parts: s.group.size()}
}

// checkSynchronized returns an error where statistics cannot be those of all ranks.
func (s *session) checkSynchronized() error {
	switch rec := s.rec; {
	case !rec.SyncBatchNorm:
		return nil
	case rec.Shards != s.group.size():
		return badKey("sync_batch_norm", "each rank must compute one shard, but there are %d shards and %d ranks: give --shards %d; with sync_batch_norm, the number of ranks cannot change within a run", rec.Shards, s.group.size(), s.group.size())
	case rec.Detect != nil:
		return badKey("sync_batch_norm", "it is not for detectors, whose ranks may have inputs of different sizes in a step, so that the mean over the ranks is not that of the pixels: leave it out, and give shards of more pictures, or begin with a trained backbone, whose batch norms are frozen")
	case rec.Recompute:
		return badKey("sync_batch_norm", "recompute would exchange the statistics twice: leave out one of them")
	}
	return nil
}

// ready waits until all ranks have their last shard of a batch, during which they send
// each other gradients: a rank that has failed is not waited for in the middle of that.
func (s *session) ready() error {
	_, err := together(s.group, struct{}{}, nil)
	return err
}
