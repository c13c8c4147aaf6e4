package bench

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/atomicfile"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/train"
	"github.com/resnet-go/resnet/weights"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// network is the network of a configuration with its values, random or a
// file's, and the type of its input.
type network struct {
	cfg    Config
	ref    modelfile.Ref // cfg.Model
	module nn.Module
	model  *models.Model // module, if it is one of package models
	input  graph.Type
	onnx   string       // the file, if it is an ONNX graph
	vars   *engine.Vars // nil until the engine has the values
}

// open opens the model that cfg.Model names (see [modelfile.Ref]). A name without
// weights gets the state dict in the file state or, if that is empty, random
// weights. Deferred leaves large tensors in their file.
func open(cfg Config, state string, deferred bool) (*network, error) {
	if cfg.Mode != Infer && cfg.Mode != Train {
		return nil, fmt.Errorf("bench: unknown mode %q", cfg.Mode)
	}
	if cfg.Batch < 1 || cfg.Threads < 1 || cfg.Size < 0 {
		return nil, fmt.Errorf("bench: batch %d, threads %d, size %d", cfg.Batch, cfg.Threads, cfg.Size)
	}
	ref, err := modelfile.Parse(cfg.Model)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	n := &network{cfg: cfg, ref: ref}
	var chw tensor.Shape
	if ref.HasWeights() {
		r, err := ref.Open(modelfile.Options{Deferred: deferred})
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		n.module, n.model, chw = r.Module, r.Model, r.Input
		if ref.Name == "" && r.Source.Format == weights.ONNX {
			n.onnx = ref.File
		}
	} else {
		m, err := models.New(ref.Name)
		if err != nil {
			return nil, err
		}
		if state == "" {
			err = nn.Init(m, seed)
		} else {
			var f *weights.File
			if f, _, err = weights.LoadFrom(state, weights.LoadOptions{Deferred: deferred}); err == nil {
				_, err = nn.Load(m, f.Tensors, nn.LoadOptions{Share: true})
			}
		}
		if err != nil {
			return nil, fmt.Errorf("bench: %s: %w", cfg.Model, err)
		}
		n.module, n.model, chw = m, m, m.Input()
	}
	if cfg.Mode == Train && n.model == nil {
		return nil, fmt.Errorf("bench: %s is a graph that cannot be trained: training is measured for the networks of resnet models", cfg.Model)
	}
	if cfg.Size > 0 {
		chw = tensor.Shape{chw[0], cfg.Size, cfg.Size}
	}
	n.input = graph.F32(cfg.Batch, chw[0], chw[1], chw[2])
	t, err := n.trace()
	if err == nil {
		err = engine.CheckSizes(t.Graph) // before there are pictures
	}
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", cfg.Model, err)
	}
	if err := n.checkDetector(); err != nil {
		return nil, err
	}
	if n.detector() && !ref.HasWeights() && state == "" {
		if err := n.spread(); err != nil {
			return nil, fmt.Errorf("bench: %s: %w", cfg.Model, err)
		}
	}
	return n, nil
}

// peerName returns the name by which peers know the network, "" if they do not:
// it is the one that package models makes by that name.
func (n *network) peerName() string {
	if n.model == nil {
		return ""
	}
	if cfg, err := models.Lookup(n.model.Config.Name); err != nil || !reflect.DeepEqual(cfg, n.model.Config) {
		return ""
	}
	return n.model.Config.Name
}

// trace returns the network's graph for the mode.
func (n *network) trace() (*nn.Traced, error) {
	return nn.Trace(n.module, nn.TraceOptions{Input: n.input, Layout: tensor.NHWC, Training: n.cfg.Mode == Train})
}

// quantized reports whether the network computes with integers, which programs
// round differently.
func (n *network) quantized() (bool, error) {
	t, err := n.trace()
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(t.Graph.Nodes, func(n *graph.Node) bool { _, ok := n.Op.(graph.QuantizeLinear); return ok }), nil
}

// options returns how the network is computed; by chooses the algorithms.
func (n *network) options(by engine.Tuning) (infer.Options, error) {
	bf16, err := engine.ParseBF16(n.cfg.BF16)
	if err != nil {
		return infer.Options{}, fmt.Errorf("bench: %w", err)
	}
	return infer.Options{Threads: n.cfg.Threads, Exact: n.cfg.Exact, BatchInvariant: n.cfg.BatchInvariant, BF16: bf16, Tuning: by, Device: n.cfg.On}, nil
}

// compile makes a step of the network on a fixed random batch; by chooses the
// algorithms. From then on the engine alone has the network's values, so that
// training holds them once.
func (n *network) compile(by engine.Tuning) (*infer.Call, error) {
	if n.vars == nil {
		var err error
		if n.vars, err = infer.Adopt(n.module, nil); err != nil {
			return nil, err
		}
		for _, e := range nn.Params(n.module) {
			e.Param.Value = nil
		}
	}
	opt, err := n.options(by)
	if err != nil {
		return nil, err
	}
	if n.cfg.Mode == Train {
		return n.training(opt)
	}
	r, err := infer.New(n.module, n.vars, opt)
	if err != nil {
		return nil, err
	}
	x, err := n.pictures()
	if err != nil {
		return nil, err
	}
	in := infer.Tensors{nn.ImageInput: x}
	if n.detector() && n.model.Config.Detection.Proposals > 0 {
		sizes, err := tensor.FromFloat32([]float32{float32(n.input.Shape[2]), float32(n.input.Shape[3])}, 1, 2)
		if err != nil {
			return nil, err
		}
		in[models.SizesInput] = sizes
	}
	return r.Bind(context.Background(), infer.Query{}, in)
}

// sgd is what peers train with, too.
var sgd = train.OptimizerRecipe{Kind: "sgd", Momentum: 0.9, WeightDecay: 5e-4, DecayNorm: true, DecayBias: true}

// training makes the step that package train trains with: cross-entropy, and SGD
// with momentum 0.9 and weight decay 5e-4 on all parameters, as the peers do.
func (n *network) training(opt infer.Options) (*infer.Call, error) {
	s, err := train.NewStep(n.module, train.StepOptions{
		Input: n.input.Shape, Loss: train.CrossEntropy{}, Vars: n.vars, Compute: opt, Optimizer: sgd,
	})
	if err != nil {
		return nil, err
	}
	x, err := n.pictures()
	if err != nil {
		return nil, err
	}
	b := &data.Batch{X: x.Float32s(), Labels: make([]int64, s.Labels()), N: n.cfg.Batch, Real: n.cfg.Batch}
	for i := range b.Labels {
		b.Labels[i] = int64(i * 7 % s.Classes())
	}
	return s.Bind(train.StepInput{Batch: b, LR: 1e-3, Update: 1})
}

// pictures returns a random batch, which stays on the device if there is one: a loader
// sends batches there while others are computed.
func (n *network) pictures() (*tensor.Tensor, error) {
	x := random(n.input)
	if n.cfg.On != nil {
		return x, n.cfg.On.Keep(x)
	}
	return x, nil
}

// flops returns the floating-point operations of one step: two for each
// multiply-accumulate of the forward pass, three times that in training, whose
// backward pass has two products for each of the forward pass.
func (n *network) flops() (int64, error) {
	rows, err := nn.Summarize(n.module, n.input)
	if err != nil {
		return 0, err
	}
	ops := 2 * rows[0].MACs
	if n.cfg.Mode == Train {
		ops *= 3
	}
	return ops, nil
}

// save writes the values as a state dict.
func (n *network) save(path string) error {
	var ts []safetensors.Tensor
	for _, e := range nn.Params(n.module) {
		t := e.Param.Value
		if t == nil {
			t = tensor.NewInt64(e.Param.Shape...) // counters start at 0
		}
		ts = append(ts, safetensors.Tensor{Name: e.Name, Tensor: t})
	}
	return atomicfile.Write(path, func(w io.Writer) error { return safetensors.Write(w, ts, nil) })
}
