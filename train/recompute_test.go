package train

import (
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Every number that training leaves, with and without recomputation: weights,
// momenta, running statistics, averages, losses, to the last bit.
func TestRecomputeLeavesTheSameBits(t *testing.T) {
	for _, c := range []struct {
		model      string
		side       int
		accumulate int
		adamw      bool
	}{
		{model: "resnet20-cifar", side: 12},
		{model: "resnet20-cifar", side: 12, accumulate: 2},
		{model: "resnet20-cifar+preact", side: 12},
		{model: "resnet20-cifar+se", side: 12},
		{model: "resnet20-cifar+block-dropout", side: 12},
		{model: "resnet20-cifar+stochastic-depth", side: 12},
		{model: "resnet20-cifar+no-norm", side: 12},
		{model: "resnet20-cifar+blur", side: 12},
		{model: "resnet20-cifar+cbam", side: 12, adamw: true},
	} {
		t.Run(c.model, func(t *testing.T) {
			plain, ours := recomputeRun(t, c.model, c.side, c.accumulate, c.adamw, false)
			again, theirs := recomputeRun(t, c.model, c.side, c.accumulate, c.adamw, true)
			if again >= plain {
				t.Errorf("%d bytes with recomputation, %d without", again, plain)
			}
			if len(ours) != len(theirs) {
				t.Fatalf("%d variables, %d without recomputation", len(theirs), len(ours))
			}
			for name, want := range ours {
				if !slices.Equal(theirs[name], want) {
					t.Errorf("%s differs", name)
				}
			}
		})
	}
}

// recomputeRun trains for three updates and returns the plan's memory and all
// variables, with the losses as one more.
func recomputeRun(t *testing.T, name string, side, accumulate int, adamw, recompute bool) (int, map[string][]float32) {
	t.Helper()
	m, err := models.New(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	const batch = 8
	const classes = 10
	p := &program{
		module: m, threads: 2, vars: engine.NewVars(), input: tensor.Shape{batch, 3, side, side},
		opt: Optimizer{Kind: "sgd", Momentum: 0.9, WeightDecay: 1e-3}, ema: true,
		accumulate: max(1, accumulate), recompute: recompute, classes: classes,
	}
	if adamw {
		p.opt = Optimizer{Kind: "adamw", WeightDecay: 0.01, ClipNorm: 1}
	}
	for _, e := range nn.StateDict(m) {
		if err := p.vars.Set(e.Name, e.Param.Value); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.compile(); err != nil {
		t.Fatal(err)
	}
	b := &data.Batch{N: batch, Real: batch, X: make([]float32, batch*3*side*side), Labels: make([]int64, batch)}
	all := map[string][]float32{}
	for draw := range 3 * p.accumulate {
		for i := range b.X {
			b.X[i] = float32((i*7919+draw*31)%255)/127 - 1
		}
		for i := range b.Labels {
			b.Labels[i] = int64((i + draw) % p.classes)
		}
		plan := p.update
		if draw%p.accumulate < p.accumulate-1 {
			plan = p.add
		}
		if err := plan.run(p, b, 0.01, 0.9, 1, draw, draw/p.accumulate+1); err != nil {
			t.Fatal(err)
		}
		all["losses"] = append(all["losses"], plan.loss.Float32s()[0])
	}
	for _, name := range p.vars.Names() {
		v, err := p.vars.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if v.DType() == tensor.Float32 {
			all[name] = v.Float32s()
		}
	}
	return p.update.plan.ArenaBytes(), all
}

// A network without blocks has nothing to compute again, and says so.
func TestRecomputeNeedsBlocks(t *testing.T) {
	m := newTiny()
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	p := &program{module: m, vars: engine.NewVars(), input: tensor.Shape{2, 2, 5, 5}, classes: 4, accumulate: 1,
		opt: Optimizer{Kind: "sgd"}, recompute: true}
	for _, e := range nn.StateDict(m) {
		if err := p.vars.Set(e.Name, e.Param.Value); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.compile(); err == nil || !strings.Contains(err.Error(), "recompute") {
		t.Errorf("error %v does not name recompute", err)
	}
}
