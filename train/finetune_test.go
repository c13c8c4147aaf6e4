package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

func TestPlateauEqualsPyTorch(t *testing.T) {
	var want map[string]struct{ Losses, Rates []float64 }
	readJSON(t, "plateau.json", &want)
	for name, lr := range map[string]Schedule{
		"patience-2":      {Patience: 2},
		"patience-1-half": {Patience: 1, Gamma: 0.5, Final: 0.2},
		"default":         {},
	} {
		lr.Kind, lr.Peak = Plateau, 0.1
		if err := lr.valid(); err != nil {
			t.Fatal(err)
		}
		s := &session{job: job{rec: &Recipe{LR: lr}}}
		s.clock = clock{total: 100, unit: 1}
		for i, loss := range want[name].Losses {
			if got := s.lr(); math.Abs(got-want[name].Rates[i]) > 1e-12 {
				t.Errorf("%s: evaluation %d: rate %v, want %v", name, i, got, want[name].Rates[i])
			}
			s.state.plateau(&s.rec.LR, loss)
		}
	}
}

// lossCase is a loss of logits [4 3] that PyTorch has computed.
type lossCase struct {
	Weight, Temperature    float64 // of distillation
	Gamma, Smoothing, Loss float64
	Weights                []float64
	Logits, Teacher, Grad  []float32
	Labels                 []int64
}

// check compares a loss and its gradient with PyTorch's.
func (c *lossCase) check(t *testing.T, add func(g *graph.Graph, z, y *graph.Value) (*graph.Value, error)) {
	t.Helper()
	g := &graph.Graph{}
	z, err := g.Input("z", graph.F32(4, 3))
	if err != nil {
		t.Fatal(err)
	}
	y, err := g.Input("y", graph.Type{DType: tensor.Int64, Shape: tensor.Shape{4}})
	if err != nil {
		t.Fatal(err)
	}
	loss, err := add(g, z, y)
	if err != nil {
		t.Fatal(err)
	}
	grads, err := g.Gradients(loss, []*graph.Value{z})
	if err != nil {
		t.Fatal(err)
	}
	g.Output("loss", loss)
	g.Output("grad", grads[0])
	plan, err := engine.Compile(g, engine.NewVars(), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	feed := map[string]*tensor.Tensor{}
	feed["z"], _ = tensor.FromFloat32(c.Logits, 4, 3)
	feed["y"], _ = tensor.FromInt64(c.Labels, 4)
	if c.Teacher != nil {
		feed[inTeacher], _ = tensor.FromFloat32(c.Teacher, 4, 3)
	}
	var ins []*tensor.Tensor
	for _, p := range plan.Inputs() {
		ins = append(ins, feed[p.Name])
	}
	out := []*tensor.Tensor{tensor.New(), tensor.New(4, 3)}
	if err := plan.Run(ins, out); err != nil {
		t.Fatal(err)
	}
	if got := float64(out[0].Float32s()[0]); math.Abs(got-c.Loss) > 1e-5*(1+c.Loss) {
		t.Errorf("%+v: loss %v", c, got)
	}
	for i, want := range c.Grad {
		if got := out[1].Float32s()[i]; math.Abs(float64(got-want)) > 3e-6 {
			t.Errorf("%+v: gradient %d is %v, want %v", c, i, got, want)
		}
	}
}

func TestDistillEqualsPyTorch(t *testing.T) {
	var cases []lossCase
	readJSON(t, "distill.json", &cases)
	for _, c := range cases {
		s := &Step{teacher: &Teaching{Weight: c.Weight, Temperature: c.Temperature}}
		c.check(t, func(g *graph.Graph, z, y *graph.Value) (*graph.Value, error) {
			return s.distill(g, z, g.Must1(graph.CrossEntropy{}, z, y))
		})
	}
}

func TestFocalEqualsPyTorch(t *testing.T) {
	var cases []lossCase
	readJSON(t, "focal.json", &cases)
	for _, c := range cases {
		l := Focal{Gamma: c.Gamma}.recipe()
		if l.LabelSmoothing = c.Smoothing; c.Gamma == 0 {
			l.Gamma = -1
		}
		c.check(t, func(g *graph.Graph, z, y *graph.Value) (*graph.Value, error) {
			in := []*graph.Value{z, y}
			if c.Weights != nil {
				w := tensor.New(3)
				for i, x := range c.Weights {
					w.Float32s()[i] = float32(x)
				}
				in = append(in, g.Const(w))
			}
			return l.add(g, in)
		})
	}
}

func TestFocalTrains(t *testing.T) {
	if r := mustRun(t, toyConfig(t, "", "loss.name=focal", "ema=null")); r.Best.Val.Top1 < 0.7 {
		t.Errorf("with focal loss: top-1 %v", r.Best.Val.Top1)
	}
}

// trained returns the file of a model that was trained on the toy pictures.
func trained(t *testing.T) string {
	t.Helper()
	out := t.TempDir()
	mustRun(t, toyConfig(t, out, "epochs=2", "ema=null"))
	return filepath.Join(out, BestFile)
}

func loaded(t *testing.T, path string) *weights.File {
	t.Helper()
	f, err := weights.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// changed returns the tensors that differ between two files.
func changed(t *testing.T, a, b *weights.File) map[string]bool {
	t.Helper()
	diff := map[string]bool{}
	for key, x := range a.Tensors {
		y := b.Tensors[key]
		if x.DType() == tensor.Int64 {
			diff[key] = x.Int64s()[0] != y.Int64s()[0]
			continue
		}
		for i, v := range x.Float32s() {
			diff[key] = diff[key] || v != y.Float32s()[i]
		}
	}
	return diff
}

func TestWarmHead(t *testing.T) {
	model := trained(t)
	before := loaded(t, model)
	run := func(out string, change func(*Config), set ...string) *weights.File {
		cfg := toyConfig(t, out, append(set, "ema=null", "finetune={warm_head: 1}")...)
		cfg.Model = model
		change(&cfg)
		mustRun(t, cfg)
		return loaded(t, filepath.Join(out, LastFile))
	}
	none := func(*Config) {}
	for key, differs := range changed(t, before, run(t.TempDir(), none, "epochs=1")) {
		if head := strings.HasPrefix(key, "fc."); differs != head {
			t.Errorf("after the first epoch, %s has changed: %v", key, differs)
		}
	}
	whole := t.TempDir()
	after := run(whole, none, "epochs=3")
	for key, differs := range changed(t, before, after) {
		if !differs {
			t.Errorf("after three epochs, %s has not changed", key)
		}
		if weights.IsCounter(key) {
			if got := after.Tensors[key].Int64s()[0] - before.Tensors[key].Int64s()[0]; got != 12 {
				t.Errorf("%s counted %d batches in the two epochs of 6 that train everything", key, got)
			}
		}
	}
	// Stopped within the first epoch, and after it, the run ends with the same bits.
	for _, at := range []int{3, 6, 8} {
		out := t.TempDir()
		ctx, cancel := context.WithCancel(context.Background())
		cfg := toyConfig(t, out, "epochs=3", "ema=null", "finetune={warm_head: 1}")
		cfg.Model = model
		cfg.Log.Event = func(e Event) {
			if e.Step != nil && e.Step.Step == at {
				cancel()
			}
		}
		if _, err := Run(ctx, cfg); !errors.As(err, new(*Interrupted)) {
			t.Fatalf("not interrupted: %v", err)
		}
		mustRun(t, Config{Resume: true, Out: out, Splits: toySplits(t), Threads: 1})
		sameFiles(t, whole, out, LastFile, BestFile)
	}
}

func TestFreezeNorm(t *testing.T) {
	model, out := trained(t), t.TempDir()
	cfg := toyConfig(t, out, "epochs=1", "ema=null", "finetune={freeze_norm: true}")
	cfg.Model = model
	mustRun(t, cfg)
	for key, differs := range changed(t, loaded(t, model), loaded(t, filepath.Join(out, LastFile))) {
		if norm := strings.Contains(key, "running_") || weights.IsCounter(key); differs == norm {
			t.Errorf("%s has changed: %v", key, differs)
		}
	}
}

func TestSWAIsTheMeanOfEpochs(t *testing.T) {
	plain, mean := t.TempDir(), t.TempDir()
	mustRun(t, toyConfig(t, plain, "epochs=4", "ema=null", "checkpoint.every_epochs=1"))
	mustRun(t, toyConfig(t, mean, "epochs=4", "ema=null", "swa={start: 0.5}"))
	three, four := loaded(t, filepath.Join(plain, EpochFile(3))), loaded(t, filepath.Join(plain, EpochFile(4)))
	got := loaded(t, filepath.Join(mean, LastFile))
	for key, x := range three.Tensors {
		if x.DType() != tensor.Float32 {
			continue
		}
		for i, a := range x.Float32s() {
			want := (a + four.Tensors[key].Float32s()[i]) / 2
			if e := got.State[weights.EMAPrefix+key].Float32s()[i]; math.Abs(float64(e-want)) > 1e-5*(1+math.Abs(float64(want))) {
				t.Fatalf("%s[%d]: %v, want the mean %v", key, i, e, want)
			}
		}
	}
	if diff := changed(t, loaded(t, filepath.Join(plain, LastFile)), got); diff["conv1.weight"] {
		t.Error("the averages changed the training")
	}
}

func TestBatchFitsTheData(t *testing.T) {
	var log strings.Builder
	cfg := toyConfig(t, t.TempDir())
	r, err := ParseRecipe("toy.yaml", []byte(strings.Replace(toyRecipe, "batch_size: 16", "batch_size: 128", 1)),
		"epochs=1", "lr.warmup=0", "lr.schedule=constant", "ema=null")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Recipe, cfg.Log.W = r, &log
	if r := mustRun(t, cfg); r.Steps != 6 || math.Abs(r.Last.LR-0.05/8) > 1e-9 {
		t.Errorf("%d steps, rate %v", r.Steps, r.Last.LR)
	}
	if !strings.Contains(log.String(), "the batch size of 128 is above the number of training pictures, 96: batches of 16 are used") {
		t.Errorf("the log:\n%s", log.String())
	}
	// A batch size that the user has set changes no rate.
	cfg = toyConfig(t, "", "epochs=1", "batch_size=128", "lr.warmup=0", "lr.schedule=constant")
	if r := mustRun(t, cfg); r.Last.LR != 0.05 {
		t.Errorf("rate %v", r.Last.LR)
	}
	log.Reset()
	cfg = toyConfig(t, "", "epochs=1", "batch_size=60")
	cfg.Log.W = &log
	mustRun(t, cfg)
	if !strings.Contains(log.String(), "each epoch leaves out 36 of the 96 training pictures") {
		t.Errorf("the log:\n%s", log.String())
	}
	for n := 1; n < 3000; n = n*5/4 + 1 {
		if b := smallBatch(n, 256); b < 1 || b > n || n >= 32 && n/b < 4 || b > 256 {
			t.Errorf("%d pictures, batches of %d", n, b)
		}
	}
}

func TestEndedRunContinues(t *testing.T) {
	out := t.TempDir()
	mustRun(t, toyConfig(t, out, "epochs=2"))
	again := Config{Resume: true, Out: out, Splits: toySplits(t), Epochs: 2}
	if _, err := Run(context.Background(), again); err == nil || !strings.Contains(err.Error(), "give more than that, not 2") {
		t.Errorf("no longer than it is: %v", err)
	}
	again.Epochs = 4
	r := mustRun(t, again)
	if r.Epochs != 4 || r.Steps != 24 || len(r.History) != 4 {
		t.Errorf("%+v", r)
	}
	// Its new length is in its files.
	if s, err := ReadStatus(out); err != nil || s.Recipe.Epochs != 4 || !s.Finished {
		t.Errorf("%+v, %v", s, err)
	}
	if b, err := os.ReadFile(filepath.Join(out, RecipeFile)); err != nil || !strings.Contains(string(b), "epochs: 4") {
		t.Errorf("%s, %v", b, err)
	}
}

// An epoch that the limit of time breaks off is not counted as trained, also if it is
// the last, and a run that is continued ends with the bits of one that was not stopped.
func TestMaxTime(t *testing.T) {
	whole := toyConfig(t, t.TempDir())
	whole.Recipe.Epochs = 2
	want := mustRun(t, whole)
	perEpoch := want.Steps / 2

	out := t.TempDir()
	cfg := toyConfig(t, out)
	cfg.Recipe.Epochs, cfg.MaxTime = 2, time.Nanosecond
	r := mustRun(t, cfg)
	if r.Steps != 1 || r.Epochs != 0 || r.Last.Step != 1 || r.Last.Val == nil || r.Best == nil || r.BestFile == "" ||
		!strings.Contains(r.Stopped, "the limit of time, in epoch 1 of 2 after step 1 of 6; continue with --resume --out ") {
		t.Errorf("%+v", r)
	}
	meta, _, err := weights.LoadMeta(r.LastFile)
	if err != nil || meta.Metrics["val.loss"] != r.Last.Val.Loss {
		t.Errorf("%v has the metrics %v, not the evaluation's, %v", err, meta.Metrics, r.Last.Val)
	}
	best := r.Best // of 1 step: it may stay the best
	for step := 2; step <= 2*perEpoch; step++ {
		r = mustRun(t, Config{Resume: true, Out: out, Splits: toySplits(t), MaxTime: time.Nanosecond})
		if r.Steps != step || r.Epochs != step/perEpoch || len(r.History) != r.Epochs || r.Last.Step != step {
			t.Fatalf("step %d: %+v", step, r)
		}
		if s, err := ReadStatus(out); err != nil || s.Finished != (step == 2*perEpoch) || (r.Stopped == "") != s.Finished {
			t.Errorf("step %d: %+v, %v, %q", step, s, err, r.Stopped)
		}
		if better(r.Best.Val, best, 0) {
			best = r.Best
		}
	}
	if !reflect.DeepEqual(r.Best, best) {
		t.Errorf("the best is %+v, not %+v", r.Best, best)
	}
	if !reflect.DeepEqual(r.History, want.History) {
		t.Errorf("in parts:\n%+v\nat once:\n%+v", r.History, want.History)
	}
	parts, err := weights.Load(r.LastFile)
	if err != nil {
		t.Fatal(err)
	}
	atOnce, err := weights.Load(want.LastFile)
	if err != nil {
		t.Fatal(err)
	}
	sameState(t, "in parts and at once", parts.Tensors, atOnce.Tensors)
}

func TestDoubt(t *testing.T) {
	ds := toy(t, 25, 1) // 100 pictures of 4 classes
	for _, c := range []struct {
		top1    float64
		samples int
		want    string
	}{
		{0.25, 100, "is not reliably better than always answering"},
		{0.1, 100, "is not reliably better"},
		{0.3, 100, "is not reliably better"},
		{0.4, 100, ""},
		{1, 4, ""},
		{0.5, 4, "may be chance"},
	} {
		got := doubt(&Metrics{Top1: c.top1, Samples: c.samples}, ds)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%v of %d: %q, want %q", c.top1, c.samples, got, c.want)
		}
	}
	// Twelve or more of 20 heads: 0.2517.
	if p := tail(20, 12, 0.5); math.Abs(p-0.251722) > 1e-6 {
		t.Errorf("tail %v", p)
	}
	cfg := toyConfig(t, "", "epochs=1", "lr.peak=1e-9", "lr.warmup=0", "ema=null")
	if r := mustRun(t, cfg); len(r.Warnings) != 1 {
		t.Errorf("a run that learns nothing has the warnings %q", r.Warnings)
	}
}

func TestFindLR(t *testing.T) {
	s, err := FindLR(context.Background(), toyConfig(t, "", "ema=null"))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Points) < 50 || s.Suggestion < 1e-3 || s.Suggestion > 2 || s.Current != 0.05 {
		t.Errorf("suggestion %v of %d points", s.Suggestion, len(s.Points))
	}
	if path, err := s.Chart(t.TempDir()); err != nil || !strings.HasSuffix(path, ".png") {
		t.Errorf("%s, %v", path, err)
	}
	again, err := FindLR(context.Background(), toyConfig(t, "", "ema=null"))
	if err != nil || again.Suggestion != s.Suggestion {
		t.Errorf("the second search: %+v, %v", again, err)
	}
}

func TestCrossValidate(t *testing.T) {
	out := t.TempDir()
	f, err := CrossValidate(context.Background(), toyConfig(t, out, "epochs=2", "lr.warmup=1"), 3)
	if err != nil {
		t.Fatal(err)
	}
	samples := 0
	for i, r := range f.Results {
		samples += r.Best.Val.Samples
		if want := filepath.Join(out, "fold-"+string(rune('1'+i)), BestFile); r.BestFile != want {
			t.Errorf("fold %d: %s", i+1, r.BestFile)
		}
	}
	if len(f.Results) != 3 || samples != 96 || f.Mean <= 0.25 || f.Std < 0 {
		t.Errorf("%d folds, %d samples, %v ± %v", len(f.Results), samples, f.Mean, f.Std)
	}
	if _, err := CrossValidate(context.Background(), toyConfig(t, ""), 97); err == nil || !strings.Contains(err.Error(), "too few") {
		t.Errorf("too many folds: %v", err)
	}
}

func TestDistillation(t *testing.T) {
	teacher := trained(t)
	// The teacher knows the same classes in another order.
	splits := toySplits(t)
	shuffle := func(ds data.Dataset) {
		m := ds.(*data.Images)
		m.ClassNames = []string{"south-east", "north-west", "north-east", "south-west"}
		for i := range m.Targets {
			m.Targets[i] = []int{(m.Targets[i][0] + 1) % 4}
		}
	}
	shuffle(splits.Train)
	shuffle(splits.Val)
	cfg := toyConfig(t, "", "epochs=5", "ema=null", "distill={from: "+teacher+", weight: 1}", "loss.label_smoothing=0")
	cfg.Splits = splits
	r, of := mustRun(t, cfg), loaded(t, teacher).Metrics["val.top1"]
	if r.Best.Val.Top1 < 0.7 {
		t.Errorf("by the teacher's answers alone, the student reaches %v, the teacher %v", r.Best.Val.Top1, of)
	}
	other := toySplits(t)
	for _, ds := range []data.Dataset{other.Train, other.Val} {
		ds.(*data.Images).ClassNames = []string{"a", "b", "c", "d"}
	}
	cfg.Splits = other
	if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "does not know the class a") {
		t.Errorf("a teacher of other classes: %v", err)
	}
}

func TestClassWeightsByName(t *testing.T) {
	r := recipe(t, "loss.class_weights={north-west: 3}")
	l, err := r.Loss.on(toy(t, 2, 1), "toy")
	if err != nil || len(l.ClassWeights.Weights) != 4 || l.ClassWeights.Weights[0] != 3 || l.ClassWeights.Weights[1] != 1 {
		t.Errorf("%+v, %v", l, err)
	}
	r = recipe(t, "loss.class_weights={north-wets: 3}")
	if _, err := r.Loss.on(toy(t, 2, 1), "toy"); err == nil || !strings.Contains(err.Error(), `did you mean "north-west"?`) {
		t.Errorf("an unknown class: %v", err)
	}
}
