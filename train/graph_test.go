package train

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// tiny has every kind of parameter: see testdata/gen/train.py.
type tiny struct {
	Conv *nn.Conv2d
	BN   *nn.BatchNorm
	FC   *nn.Linear
}

func newTiny() *tiny {
	return &tiny{nn.NewConv2d(2, 3, 3, nn.Padding(1)), nn.NewBatchNorm2d(3), nn.NewLinear(3, 4)}
}

func (m *tiny) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Call(m.FC, c.GlobalAvgPool(c.ReLU(c.Call(m.BN, c.Call(m.Conv, x)))))
}

func loaderOf(t *testing.T, batch int) *data.Loader {
	t.Helper()
	l, err := data.NewLoader(toy(t, 64, 1), data.LoaderConfig{BatchSize: batch, Preprocess: *recipe(t).Preprocess.Custom})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

type stepGoldens struct {
	Start  map[string][]float32
	X      [][]float32
	Labels [][]int64
	Soft   [][]float32
	Hot    [][]float32
	LRs    []float64
	Cases  map[string]struct {
		Losses []float64
		State  map[string][]float64
	}
}

// Five steps of each optimizer, with its options, against PyTorch.
func TestStepsEqualPyTorch(t *testing.T) {
	var g stepGoldens
	readJSON(t, "steps.json", &g)
	sgd := OptimizerRecipe{Kind: "sgd", Momentum: 0.9, WeightDecay: 0.05}
	with := func(change func(o *OptimizerRecipe, l *LossRecipe, p *StepOptions)) StepOptions {
		o, l := sgd, LossRecipe{}
		p := StepOptions{}
		change(&o, &l, &p)
		p.Optimizer, p.Loss = o, l
		return p
	}
	for name, p := range map[string]StepOptions{
		"sgd": with(func(o *OptimizerRecipe, _ *LossRecipe, _ *StepOptions) { o.DecayNorm, o.DecayBias = true, true }),
		"nesterov, weights decay only, smoothing": with(func(o *OptimizerRecipe, l *LossRecipe, _ *StepOptions) {
			o.Nesterov = true
			l.LabelSmoothing = 0.1
		}),
		"norms decay, clip, ema": with(func(o *OptimizerRecipe, _ *LossRecipe, p *StepOptions) {
			o.DecayNorm, o.ClipNorm = true, 0.3
			p.EMA = true
		}),
		"biases decay, class weights": with(func(o *OptimizerRecipe, l *LossRecipe, _ *StepOptions) {
			o.DecayBias = true
			l.ClassWeights.Weights = []float64{1, 2, 0.5, 1.5}
		}),
		"adamw": with(func(o *OptimizerRecipe, _ *LossRecipe, _ *StepOptions) {
			*o = OptimizerRecipe{Kind: "adamw", WeightDecay: 0.05, Beta1: 0.8, Beta2: 0.95, Eps: 1e-6}
		}),
		"lars":       with(func(o *OptimizerRecipe, _ *LossRecipe, _ *StepOptions) { o.Kind, o.Trust = "lars", 0.02 }),
		"accumulate": with(func(_ *OptimizerRecipe, _ *LossRecipe, p *StepOptions) { p.Accumulate = 2 }),
		"soft":       with(func(_ *OptimizerRecipe, _ *LossRecipe, p *StepOptions) { p.SoftTargets = true }),
		"bce":        with(func(_ *OptimizerRecipe, l *LossRecipe, _ *StepOptions) { l.Kind = "bce" }),
	} {
		t.Run(name, func(t *testing.T) {
			want, ok := g.Cases[name]
			if !ok {
				t.Fatal("no such case in the goldens")
			}
			m := newTiny()
			if err := nn.Init(m, 1); err != nil {
				t.Fatal(err)
			}
			for _, e := range nn.Params(m) {
				if x, ok := g.Start[e.Name]; ok {
					copy(e.Param.Value.Float32s(), x)
				}
			}
			p.Compute.Threads, p.Classes, p.Input = 2, 4, tensor.Shape{6, 2, 5, 5}
			s, err := NewStep(m, p)
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			for u, lr := range g.LRs {
				if s.opt.Kind == "adamw" {
					lr *= 0.1
				}
				for a := range s.accumulate {
					b := &data.Batch{N: 6, Real: 6, X: g.X[at], Labels: g.Labels[at]}
					if s.soft {
						b.Targets = g.Soft[at]
					}
					if s.loss.bce() {
						b.Targets = g.Hot[at]
					}
					r, err := s.Run(StepInput{Batch: b, LR: lr, EMADecay: 0.8, Seed: 1, Draw: at, Update: u + 1, Add: a < s.accumulate-1})
					if err != nil {
						t.Fatal(err)
					}
					near(t, "loss", r.Loss, want.Losses[at])
					at++
				}
			}
			for key, w := range want.State {
				// Batch norm takes the mean away, so the true gradient of the
				// bias before it is 0, and these two blow rounding errors up.
				if (s.opt.Kind == "adamw" || s.opt.Kind == "lars") && (key == "conv.bias" || key == "bn.running_mean") {
					continue
				}
				v, err := s.Vars().Get(key)
				if err != nil {
					t.Fatal(err)
				}
				for i, x := range v.Float32s() {
					near(t, key, float64(x), w[i])
				}
			}
		})
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 2e-5+1e-4*math.Abs(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestFineTuning(t *testing.T) {
	first := t.TempDir()
	mustRun(t, toyConfig(t, first, "epochs=2"))
	model := first + "/" + BestFile

	// The same classes keep the last layer; frozen tensors do not change.
	cfg := toyConfig(t, t.TempDir(), "epochs=1", "finetune.freeze=[backbone]", "finetune.backbone_lr=0.5")
	var log strings.Builder
	cfg.Model, cfg.Log.W = model, &log
	s, err := prepare(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	before, err := s.fileOf()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	after, err := s.fileOf()
	if err != nil {
		t.Fatal(err)
	}
	for key, x := range before.Tensors {
		if x.DType() == tensor.Int64 {
			continue
		}
		same := true
		for i, v := range x.Float32s() {
			same = same && v == after.Tensors[key].Float32s()[i]
		}
		if free := strings.HasPrefix(key, "fc."); same == free {
			t.Errorf("%s: unchanged %v", key, same)
		}
	}
	for key := range after.State {
		if !strings.Contains(key, ".fc.") {
			t.Errorf("a slot for the frozen %s", key)
		}
	}
	if text := log.String(); !strings.Contains(text, "frozen: backbone") || !strings.Contains(text, "batch norms use their running statistics") {
		t.Errorf("the log does not tell what is frozen:\n%s", text)
	}

	// Other classes need the recipe for it, and get a new last layer.
	other := toySplits(t)
	for _, ds := range []data.Dataset{other.Train, other.Val} {
		ds.(*data.Images).ClassNames = []string{"a", "b", "c", "d"}
	}
	cfg = toyConfig(t, "", "epochs=1")
	cfg.Model, cfg.Splits = model, other
	if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "--recipe finetune") {
		t.Errorf("other classes: error %v", err)
	}
	log.Reset()
	cfg = toyConfig(t, "", "epochs=1", "finetune={}")
	cfg.Model, cfg.Splits, cfg.Log.W = model, other, &log
	mustRun(t, cfg)
	if !strings.Contains(log.String(), "new last layer (fc) for 4 classes") {
		t.Errorf("the log:\n%s", log.String())
	}
}

func TestMultiLabelAndOneHotBCE(t *testing.T) {
	multi := toySplits(t)
	for _, ds := range []data.Dataset{multi.Train, multi.Val} {
		im := ds.(*data.Images)
		im.Multi = true
		for i, l := range im.Targets {
			if l[0] == 3 {
				im.Targets[i] = []int{1, 2}
			}
		}
	}
	cfg := toyConfig(t, t.TempDir(), "epochs=5", "loss={}", "loss.class_weights=balanced")
	cfg.Splits = multi
	r := mustRun(t, cfg)
	if r.Best.Val.MAP < 0.8 || r.Best.Val.Top1 != 0 {
		t.Errorf("best %+v", r.Best.Val)
	}
	cfg = toyConfig(t, "", "epochs=1", "loss={name: cross-entropy}")
	cfg.Splits = multi
	if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "needs bce") {
		t.Errorf("cross entropy on several labels: error %v", err)
	}
	if r := mustRun(t, toyConfig(t, "", "epochs=5", "loss={name: bce}")); r.Best.Val.Top1 < 0.8 {
		t.Errorf("bce on single labels: %+v", r.Best.Val)
	}
}
