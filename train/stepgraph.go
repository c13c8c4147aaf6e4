package train

import (
	"errors"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/nn"
)

// StepGraph returns the graph of a [Step], for those that have it run elsewhere, and the
// values of its variables before the first step. Its inputs are "input" [N C H W],
// "target" (int64 [N], or float32 [N classes] with soft targets), "lr" and, of Adam and
// its kin, "step", the number of the update from 1; its outputs "loss" and "logits".
// There is no graph of a step with accumulation.
func StepGraph(m nn.Module, opt StepOptions) (*graph.Graph, *engine.Vars, error) {
	if opt.Accumulate > 1 {
		return nil, nil, errors.New("train: StepGraph: StepOptions.Accumulate must be at most 1")
	}
	s, err := newStep(m, opt)
	if err != nil {
		return nil, nil, err
	}
	g, err := infer.Graph(s.traced(), s.images(), s.query(true))
	if err != nil {
		return nil, nil, err
	}
	return g, s.vars, nil
}
