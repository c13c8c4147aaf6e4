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
	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// The modes of a configuration.
const (
	Infer = "infer" // a forward pass, batch norm folded
	Train = "train" // forward, cross entropy, backward, SGD with momentum
)

// Config is what to measure.
type Config struct {
	Model   string `json:"model"`
	Mode    string `json:"mode"`
	Batch   int    `json:"batch"`
	Threads int    `json:"threads"`
	Size    int    `json:"size"`            // height and width of the input; 0 means the network's own
	Exact   bool   `json:"exact,omitempty"` // ours: direct convolutions only
	BF16    string `json:"bf16,omitempty"`  // ours: native or emulate, see engine.BF16
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

// newStep builds a network with the weights of a file, or with random ones if
// there is none, and a fixed random batch.
func newStep(cfg Config, file string, pool *parallel.Pool) (*step, error) {
	net, input, err := network(cfg)
	if err != nil {
		return nil, err
	}
	if file == "" {
		err = nn.Init(net, seed)
	} else {
		var f *weights.File
		if f, _, err = weights.LoadFrom(file, weights.LoadOptions{Deferred: true}); err == nil {
			_, err = nn.Adopt(net, f.Tensors, true)
		}
	}
	if err != nil {
		return nil, err
	}
	vars := engine.NewVars()
	for _, e := range nn.StateDict(net) {
		if err := vars.Adopt(e.Name, e.Param.Value); err != nil {
			return nil, err
		}
		e.Param.Value = nil
	}
	t, err := nn.Trace(net, nn.TraceOptions{Input: input, Training: cfg.Mode == Train})
	if err != nil {
		return nil, err
	}
	inputs := map[string]*tensor.Tensor{"input": random(input)}
	if cfg.Mode == Train {
		err = training(t, vars, inputs)
	} else {
		t.Graph.Output("logits", t.Output)
	}
	if err != nil {
		return nil, err
	}
	bf16, err := engine.ParseBF16(cfg.BF16)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	s := new(step)
	if s.plan, err = engine.Compile(t.Graph, vars, engine.Options{Pool: pool, ChannelsLast: []string{"input"}, Fast: !cfg.Exact, BF16: bf16}); err != nil {
		return nil, err
	}
	for _, port := range s.plan.Inputs() {
		s.in = append(s.in, inputs[port.Name])
	}
	for _, port := range s.plan.Outputs() {
		s.out = append(s.out, tensor.New(port.Shape...))
	}
	return s, nil
}

// network returns the network of a configuration and its input.
func network(cfg Config) (*models.Model, graph.Type, error) {
	if cfg.Mode != Infer && cfg.Mode != Train {
		return nil, graph.Type{}, fmt.Errorf("bench: unknown mode %q", cfg.Mode)
	}
	if cfg.Batch < 1 || cfg.Threads < 1 || cfg.Size < 0 {
		return nil, graph.Type{}, fmt.Errorf("bench: batch %d, threads %d, size %d", cfg.Batch, cfg.Threads, cfg.Size)
	}
	net, err := models.New(cfg.Model)
	if err != nil {
		return nil, graph.Type{}, err
	}
	chw := net.Input()
	if cfg.Size > 0 {
		chw = tensor.Shape{chw[0], cfg.Size, cfg.Size}
	}
	return net, graph.F32(cfg.Batch, chw[0], chw[1], chw[2]), nil
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

func random(t graph.Type) *tensor.Tensor {
	x := tensor.New(t.Shape...)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(r.NormFloat64())
	}
	return x
}

// FLOPs returns the floating-point operations of one step: two for each
// multiply-accumulate of the forward pass, three times that in training, whose
// backward pass has two products for each of the forward pass.
func FLOPs(cfg Config) (int64, error) {
	net, input, err := network(cfg)
	if err != nil {
		return 0, err
	}
	rows, err := nn.Summarize(net, input)
	if err != nil {
		return 0, err
	}
	n := 2 * rows[0].MACs
	if cfg.Mode == Train {
		n *= 3
	}
	return n, nil
}
