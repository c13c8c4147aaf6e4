package train

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// SGD with Lookahead and a rate of its own for the biases of batch norms, against
// PyTorch.
func TestLookaheadEqualsPyTorch(t *testing.T) {
	var g struct {
		Start       map[string][]float32
		X           [][]float32
		Labels      [][]int64
		LRs, Decays []float64
		Scale       float64
		Losses      []float64
		State       map[string][]float64
	}
	readJSON(t, "lookahead.json", &g)
	m := newTiny()
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	for _, e := range nn.Params(m) {
		if x, ok := g.Start[e.Name]; ok {
			copy(e.Param.Value.Float32s(), x)
		}
	}
	p := StepOptions{
		Optimizer: OptimizerRecipe{Kind: "sgd", Momentum: 0.9, Nesterov: true, WeightDecay: 0.05}, Loss: LossRecipe{LabelSmoothing: 0.1},
		NormBiasLR: g.Scale, EMA: true, Lookahead: true, Classes: 4, Input: tensor.Shape{6, 2, 5, 5},
	}
	p.Compute.Threads = 2
	s, err := NewStep(m, p)
	if err != nil {
		t.Fatal(err)
	}
	for u, lr := range g.LRs {
		b := &data.Batch{N: 6, Real: 6, X: g.X[u], Labels: g.Labels[u]}
		r, err := s.Run(StepInput{Batch: b, LR: lr, EMADecay: g.Decays[u], Seed: 1, Draw: u, Update: u + 1})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "loss", r.Loss, g.Losses[u])
	}
	for key, w := range g.State {
		v, err := s.Vars().Get(key)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range v.Float32s() {
			near(t, key, float64(x), w[i])
		}
	}
}

// speedrunKeys are what the recipe speedrun has and others do not.
var speedrunKeys = []string{"ema={decay: 0.8, every: 2, power: 3, lookahead: true}", "lr.norm_bias=16", "whiten={pictures: 30}",
	"augment={pad_crop: 1, pad_reflect: true, alternate_flip: true}", "eval_mirror=true", "checkpoint.every_steps=2"}

// A run with all of it that was interrupted and resumed ends with the same bits, on
// another number of threads, too.
func TestResumeOfTheSpeedrunsOptions(t *testing.T) {
	for _, more := range []string{"shards=0", "shards=2"} {
		t.Run(more, func(t *testing.T) { resumeSpeedrun(t, append(slices.Clone(speedrunKeys), more)) })
	}
}

func resumeSpeedrun(t *testing.T, keys []string) {
	whole := t.TempDir()
	mustRun(t, toyConfig(t, whole, keys...))
	out := t.TempDir()
	cfg := toyConfig(t, out, keys...)
	cfg.Threads = 1
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg.Log.Event = func(e Event) {
		if e.Kind == "step" && e.Step.Step == 13 {
			cancel()
		}
	}
	if _, err := Run(ctx, cfg); !errors.As(err, new(*Interrupted)) {
		t.Fatal(err)
	}
	if _, err := resume(t, out); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, whole, out, LastFile, BestFile)
}

// After an update of the averages, the weights are the averages; in between they differ.
func TestLookaheadSetsTheWeights(t *testing.T) {
	for every, same := range map[string]bool{"6": true, "4": false} { // 18 updates
		cfg := toyConfig(t, t.TempDir(), "ema={decay: 0.8, lookahead: true, every: "+every+"}")
		s, err := prepare(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		weights, err := s.vars.Get("conv1.weight")
		if err != nil {
			t.Fatal(err)
		}
		average, err := s.vars.Get("ema.conv1.weight")
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Equal(weights.Float32s(), average.Float32s()); got != same {
			t.Errorf("every %s of %d steps: weights and averages are equal: %v", every, s.state.Update, got)
		}
		s.close()
	}
}

// The decay of the averages grows with the run.
func TestDecayGrows(t *testing.T) {
	s := &session{}
	s.rec = &Recipe{EMA: &EMARecipe{Decay: 0.8, Every: 5, Power: 3}}
	s.clock = clock{total: 20, unit: 1}
	for update, want := range map[int]float64{4: 0.8 / 64, 9: 0.8 / 8, 19: 0.8, 3: 1, 18: 1} {
		s.state.Update = update
		if got := s.decay(); math.Abs(got-want) > 1e-12 {
			t.Errorf("update %d: decay %v, want %v", update+1, got, want)
		}
	}
}

// The whitened filters stay as they are, give uncorrelated outputs of strength 1, and are
// half the negatives of the others.
func TestWhiten(t *testing.T) {
	cfg := toyConfig(t, t.TempDir(), "whiten={pictures: 96, eps: 1e-6}", "epochs=1")
	var log strings.Builder
	cfg.Log.W = &log
	s, err := prepare(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	filters := func() []float32 {
		v, err := s.vars.Get("conv1.weight")
		if err != nil {
			t.Fatal(err)
		}
		return v.Float32s()
	}
	w := slices.Clone(filters()) // [16 1 3 3]
	for i := range 8 * 9 {
		if w[i] != -w[8*9+i] {
			t.Fatalf("filter %d is not the negative of filter %d", i/9, i/9+8)
		}
	}
	l, err := data.NewLoader(cfg.Splits.Train, data.LoaderConfig{BatchSize: 96, Preprocess: s.prep})
	if err != nil {
		t.Fatal(err)
	}
	var moment [8][8]float64
	n := 0
	for b, err := range l.Epoch(t.Context(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		for row := range b.N {
			for y := range 10 {
				for x := range 10 {
					var out [8]float64
					for k := range out {
						for p := range 9 {
							out[k] += float64(w[k*9+p] * b.X[(row*12+y+p/3)*12+x+p%3])
						}
					}
					for i := range out {
						for k := range out {
							moment[i][k] += out[i] * out[k]
						}
					}
					n++
				}
			}
		}
	}
	for i := range 8 {
		for k := range 8 {
			want := 0.0
			if i == k {
				want = 1
			}
			if got := moment[i][k] / float64(n); math.Abs(got-want) > 1e-3 {
				t.Errorf("the mean product of outputs %d and %d is %v, want %v", i, k, got, want)
			}
		}
	}
	if _, err := s.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(w, filters()) {
		t.Error("the frozen filters have changed")
	}
	if !strings.Contains(log.String(), "whiten") {
		t.Errorf("the log does not tell of the filters:\n%s", log.String())
	}

	free := toyConfig(t, t.TempDir(), "whiten={pictures: 96, eps: 1e-6, train: true}", "epochs=1")
	f, err := prepare(context.Background(), free)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if _, err := f.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	v, err := f.vars.Get("conv1.weight")
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(w, v.Float32s()) {
		t.Error("filters that should learn have not changed")
	}
}

func TestSymmetricEigenEqualsNumpy(t *testing.T) {
	var g struct {
		Matrix, Values []float64
		Vectors        [][]float64
	}
	readJSON(t, "eigen.json", &g)
	n := len(g.Values)
	values, vectors := symmetricEigen(slices.Clone(g.Matrix), n)
	for i := range n {
		if math.Abs(values[i]-g.Values[i]) > 1e-10*g.Values[0] {
			t.Errorf("eigenvalue %d is %v, numpy's %v", i, values[i], g.Values[i])
		}
		dot := 0.0
		for k, x := range vectors[i] {
			dot += x * g.Vectors[i][k]
		}
		if math.Abs(math.Abs(dot)-1) > 1e-8 {
			t.Errorf("eigenvector %d differs: the product of ours and numpy's is %v", i, dot)
		}
	}
}

func TestKeysOfTheSpeedrun(t *testing.T) {
	for set, want := range map[string]string{
		"ema={decay: 0.9, power: -1}":                     "ema.power",
		"lr.norm_bias=-1":                                 "lr.norm_bias",
		"whiten={pictures: -1}":                           "whiten.pictures",
		"whiten={eps: -1}":                                "whiten.eps",
		"augment={alternate_flip: true, hflip: 0.5}":      "alternate_flip and hflip",
		"whiten={filters: 3}":                             "whiten.filters",
		"augment={alternate_flip: true, hflip: 0.000001}": "alternate_flip",
	} {
		if _, err := ParseRecipe("toy.yaml", []byte(toyRecipe), set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that names %s", set, err, want)
		}
	}
	if _, err := ParseRecipe("toy.yaml", []byte(toyRecipe), "finetune={}", "whiten={}"); err == nil || !strings.Contains(err.Error(), "whiten") {
		t.Errorf("whiten in fine-tuning: error %v", err)
	}
	// Filters of more channels than pictures have cannot be whitened.
	cfg := toyConfig(t, "", "whiten={}")
	cfg.Model = "resnet8-cifar"
	if _, err := prepare(context.Background(), cfg); err != nil {
		t.Error(err)
	}
}

// The recipe trains its own network, and what it says is in the network.
func TestSpeedrunRecipe(t *testing.T) {
	r, err := LoadRecipe("speedrun")
	if err != nil {
		t.Fatal(err)
	}
	conf, err := models.Lookup(r.Model)
	if err != nil {
		t.Fatal(err)
	}
	if conf.ConvInit != models.InitDirac || !conf.PoolDown || r.Whiten == nil || !r.EMA.Lookahead || !r.EvalMirror || !r.Augment.AlternateFlip {
		t.Errorf("recipe %+v, network %+v", r, conf)
	}
}

// With eval_mirror the evaluation does not change when all pictures are mirrored.
func TestEvalMirror(t *testing.T) {
	sp := toySplits(t)
	flipped := toy(t, 10, 2)
	for _, m := range flipped.Pictures {
		for y := range m.H {
			slices.Reverse(m.Pix[y*m.W : (y+1)*m.W])
		}
	}
	cfg := toyConfig(t, "", "eval_mirror=true", "epochs=1", "eval_batch=7")
	a := mustRun(t, cfg)
	cfg = toyConfig(t, "", "eval_mirror=true", "epochs=1", "eval_batch=7")
	cfg.Splits = &data.Splits{Spec: sp.Spec, Train: sp.Train, Val: flipped}
	b := mustRun(t, cfg)
	plain := mustRun(t, toyConfig(t, "", "epochs=1", "eval_batch=7"))
	if d := math.Abs(a.Best.Val.Loss - b.Best.Val.Loss); d > 1e-6 {
		t.Errorf("the loss is %v, of mirrored pictures %v", a.Best.Val.Loss, b.Best.Val.Loss)
	}
	if a.Best.Val.Loss == plain.Best.Val.Loss {
		t.Error("eval_mirror changes nothing")
	}
}
