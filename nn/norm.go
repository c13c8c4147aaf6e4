package nn

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// BatchNorm normalizes each channel (Ioffe and Szegedy 2015): in training by the
// batch's statistics, with which it updates the running statistics; at inference,
// and in training if frozen, by the running statistics. See [graph.BatchNormTrain] and
// [graph.BatchNorm].
type BatchNorm struct {
	Rank          int     // of the input: 4 for [N C H W], 2 for [N C]
	Eps, Momentum float32 // as PyTorch's: running = (1-Momentum)*running + Momentum*batch

	Weight            *Param // gamma [C]
	Bias              *Param // beta [C]
	RunningMean       *Param // [C]
	RunningVar        *Param // [C]
	NumBatchesTracked *Param // int64 scalar, counted by the training loop
}

// NewBatchNorm2d normalizes the channels of images [N C H W], with Eps 1e-5
// and Momentum 0.1.
func NewBatchNorm2d(channels int) *BatchNorm { return newBatchNorm(4, channels) }

// NewBatchNorm1d normalizes features [N C], with Eps 1e-5 and Momentum 0.1.
func NewBatchNorm1d(features int) *BatchNorm { return newBatchNorm(2, features) }

func newBatchNorm(rank, channels int) *BatchNorm {
	m := &BatchNorm{
		Rank: rank, Eps: 1e-5, Momentum: 0.1,
		Weight:            NewParam(Constant(1), channels),
		Bias:              NewBias(nil, channels),
		RunningMean:       NewBuffer(nil, channels),
		RunningVar:        NewBuffer(Constant(1), channels),
		NumBatchesTracked: &Param{Shape: tensor.Shape{}, DType: tensor.Int64, Buffer: true},
	}
	m.Weight.NoDecay = true
	return m
}

// Kind names the module in summaries, as PyTorch does.
func (m *BatchNorm) Kind() string {
	if m.Rank == 2 {
		return "BatchNorm1d"
	}
	return "BatchNorm2d"
}

// Frozen reports whether training normalizes by the running statistics and does
// not update them; see [Freeze].
func (m *BatchNorm) Frozen() bool { return m.RunningMean.Frozen && m.RunningVar.Frozen }

// Forward computes (x - mean)/√(variance + Eps)*Weight + Bias for each channel.
func (m *BatchNorm) Forward(c *Context, x *graph.Value) *graph.Value {
	if len(x.Shape) != m.Rank {
		c.Failf("the input must have rank %d, got %v", m.Rank, x.Shape)
	}
	gamma, beta := c.Param(m.Weight), c.Param(m.Bias)
	mean, variance := c.Running(m.RunningMean), c.Running(m.RunningVar)
	if !c.Training || m.Frozen() {
		return c.Op1(graph.BatchNorm{Eps: m.Eps}, x, gamma, beta, mean, variance)
	}
	if c.synchronized != nil {
		return m.acrossParts(c, x, gamma, beta, mean, variance)
	}
	out := c.Op(graph.BatchNormTrain{Eps: m.Eps, Momentum: m.Momentum}, x, gamma, beta, mean, variance)
	c.SetRunning(m.RunningMean, out[3])
	c.SetRunning(m.RunningVar, out[4])
	c.count(m.NumBatchesTracked)
	return out[0]
}
