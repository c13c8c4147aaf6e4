// Package bench measures the speed of networks, ours and, in turns with ours,
// that of other programs.
//
// Each configuration runs in a process of its own, whether ours or a peer's, so
// that its peak memory is its own, and all speak the protocol of
// peers/protocol.py: a process says that it is ready, then answers each
// request for a number of steps with their times.
package bench

import (
	"fmt"
	"math/rand/v2"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// The modes of a configuration.
const (
	Infer = "infer" // a forward pass, batch norm folded
	Train = "train" // forward, cross entropy, backward, SGD with momentum
)

// Config is what to measure.
type Config struct {
	Model   string `json:"model"` // name of a network, a file, or NAME@FILE
	Mode    string `json:"mode"`
	Batch   int    `json:"batch"`
	Threads int    `json:"threads"`
	Size    int    `json:"size"`            // height and width of the input; 0 means the network's own
	Exact   bool   `json:"exact,omitempty"` // ours: direct convolutions only
	BF16    string `json:"bf16,omitempty"`  // ours: native or emulate, see engine.BF16
	// Tuning chooses the algorithms of ours; nil leaves that to the model of the
	// machine.
	Tuning engine.Tuning `json:"-"`
}

// String names the configuration.
func (c Config) String() string {
	name := fmt.Sprintf("%s %s batch %d threads %d", c.Model, c.Mode, c.Batch, c.Threads)
	if c.BF16 != "" {
		name += " bf16"
	}
	if c.BF16 == engine.BF16Emulated.String() {
		name += " (emulated)"
	}
	return name
}

// seed makes the random weights; every program gets the same.
const seed = 1

// step is one pass of a network over a fixed batch.
type step struct {
	plan *engine.Plan
	in   []*tensor.Tensor
	out  []*tensor.Tensor
}

func (s *step) run() error { return s.plan.Run(s.in, s.out) }

// Steps and Profile make a step a [tuning.Plan].
func (s *step) Steps() []engine.Step { return s.plan.Steps() }

// Profile runs the step and returns the time of each step of its plan.
func (s *step) Profile() ([]engine.StepTime, error) { return s.plan.Profile(s.in, s.out) }

// newStep opens the network of a configuration, with the state dict in a file if
// state names one, and compiles it.
func newStep(cfg Config, state string) (*step, error) {
	n, err := open(cfg, state, true)
	if err != nil {
		return nil, err
	}
	return n.compile(cfg.Tuning)
}

// training adds the loss, its gradients and SGD with momentum 0.9 and weight
// decay 5e-4 on all parameters, as the peers do, and the inputs of these.
func training(t *nn.Traced, vars *engine.Vars, inputs map[string]*tensor.Tensor) error {
	g, batch, classes := t.Graph, t.Output.Shape[0], t.Output.Shape[1]
	labels, err := g.Input("labels", graph.Type{DType: tensor.Int64, Shape: tensor.Shape{batch}})
	if err != nil {
		return err
	}
	rate, err := g.Input("lr", graph.F32())
	if err != nil {
		return err
	}
	loss, err := g.Apply(graph.CrossEntropy{}, t.Output, labels)
	if err != nil {
		return err
	}
	params := t.Trainable()
	values := make([]*graph.Value, len(params))
	for i, p := range params {
		values[i] = p.Value
	}
	grads, err := g.Gradients(loss[0], values)
	if err != nil {
		return err
	}
	for i, p := range params {
		slot := "momentum." + p.Name
		if err := vars.Set(slot, tensor.New(p.Value.Shape...)); err != nil {
			return err
		}
		v, err := g.Variable(slot, p.Value.Type)
		if err != nil {
			return err
		}
		next, err := g.Apply(graph.SGD{Momentum: 0.9, WeightDecay: 5e-4}, p.Value, grads[i], v, rate)
		if err != nil {
			return err
		}
		if err := g.Assign(p.Value, next[0]); err != nil {
			return err
		}
		if err := g.Assign(v, next[1]); err != nil {
			return err
		}
	}
	g.Output("loss", loss[0])

	y := tensor.NewInt64(batch)
	for i := range y.Int64s() {
		y.Int64s()[i] = int64(i * 7 % classes)
	}
	lr := tensor.New()
	lr.Float32s()[0] = 1e-3
	inputs["labels"], inputs["lr"] = y, lr
	if t.RNG != nil {
		inputs["rng"] = tensor.NewInt64(2)
	}
	return nil
}

// random returns a batch of pictures, NHWC.
func random(t graph.Type) *tensor.Tensor {
	x := tensor.NewNHWC(t.Shape[0], t.Shape[1], t.Shape[2], t.Shape[3])
	r := rand.New(rand.NewPCG(1, 2))
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(r.NormFloat64())
	}
	return x
}
