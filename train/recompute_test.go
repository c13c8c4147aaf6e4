package train

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
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
	opt := StepOptions{
		Input: tensor.Shape{batch, 3, side, side}, Classes: classes, Loss: CrossEntropy{},
		Optimizer: SGD{Momentum: 0.9, WeightDecay: 1e-3}, EMA: true, Accumulate: accumulate, Recompute: recompute,
		Compute: infer.Options{Threads: 2},
	}
	if adamw {
		opt.Optimizer = AdamW{WeightDecay: 0.01, ClipNorm: 1}
	}
	s, err := NewStep(m, opt)
	if err != nil {
		t.Fatal(err)
	}
	b := &data.Batch{N: batch, Real: batch, X: make([]float32, batch*3*side*side), Labels: make([]int64, batch)}
	all := map[string][]float32{}
	for draw := range 3 * s.accumulate {
		for i := range b.X {
			b.X[i] = float32((i*7919+draw*31)%255)/127 - 1
		}
		for i := range b.Labels {
			b.Labels[i] = int64((i + draw) % classes)
		}
		r, err := s.Run(StepInput{Batch: b, LR: 0.01, EMADecay: 0.9, Seed: 1, Draw: draw, Update: draw/s.accumulate + 1,
			Add: draw%s.accumulate < s.accumulate-1})
		if err != nil {
			t.Fatal(err)
		}
		all["losses"] = append(all["losses"], float32(r.Loss))
	}
	for _, name := range s.Vars().Names() {
		v, err := s.Vars().Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if v.DType() == tensor.Float32 {
			all[name] = v.Float32s()
		}
	}
	return s.update.plan.ArenaBytes(), all
}

// A network without blocks has nothing to recompute, which is an error.
func TestRecomputeNeedsBlocks(t *testing.T) {
	m := newTiny()
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	_, err := NewStep(m, StepOptions{Input: tensor.Shape{2, 2, 5, 5}, Loss: CrossEntropy{}, Optimizer: SGD{}, Recompute: true})
	if err == nil || !strings.Contains(err.Error(), "recompute") {
		t.Errorf("error %v does not name recompute", err)
	}
}

// Learning without labels goes through the backbone once for each view: every file of a
// run is the same to the bit, and each pass is recomputed by itself, so that the memory
// goes down as it does with one.
func TestRecomputeWithoutLabels(t *testing.T) {
	for _, method := range SSLMethods() {
		t.Run(method, func(t *testing.T) {
			var arenas [2]int
			var outs [2]string
			for i := range outs {
				outs[i] = t.TempDir()
				cfg := viewsConfig(t, method, outs[i], "epochs=1", "model=resnet14-cifar")
				cfg.Recipe.Recompute = i == 1
				s, err := prepare(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer s.close()
				arenas[i] = s.step.update.plan.ArenaBytes()
				if _, err := s.run(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			sameTensors(t, outs[0], outs[1], LastFile)
			if share := float64(arenas[1]) / float64(arenas[0]); share > 0.75 {
				t.Errorf("%d bytes with recomputation, %d without", arenas[1], arenas[0])
			} else {
				t.Logf("memory: %.2f", share)
			}
		})
	}
}

// sameTensors compares all tensors of a file of two runs, state included.
func sameTensors(t *testing.T, a, b, name string) {
	t.Helper()
	var files [2]*weights.File
	for i, dir := range []string{a, b} {
		f, err := weights.Load(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[i] = f
	}
	for _, pair := range [][2]map[string]*tensor.Tensor{{files[0].Tensors, files[1].Tensors}, {files[0].State, files[1].State}} {
		if len(pair[0]) != len(pair[1]) {
			t.Errorf("%d tensors, then %d", len(pair[0]), len(pair[1]))
		}
		for key, want := range pair[0] {
			if got := pair[1][key]; got == nil || got.DType() != want.DType() || want.DType() == tensor.Float32 && !slices.Equal(got.Float32s(), want.Float32s()) {
				t.Errorf("%s: %s differs", name, key)
			}
		}
	}
}
