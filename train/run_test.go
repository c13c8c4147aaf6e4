package train

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/weights"
)

func TestRunLearnsAndLeavesItsFiles(t *testing.T) {
	out := filepath.Join(t.TempDir(), "new", "folder")
	var log strings.Builder
	var kinds []string
	cfg := toyConfig(t, out, "epochs=6")
	cfg.Log = Log{W: &log, Event: func(e Event) { kinds = append(kinds, e.Kind) }}
	r := mustRun(t, cfg)
	if r.Epochs != 6 || r.Steps != 36 || r.Best == nil || r.Best.Val.Top1 < 0.9 || len(r.History) != 6 {
		t.Errorf("result %+v, best %+v", r, r.Best)
	}
	f, err := weights.Load(filepath.Join(out, BestFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.State) != 0 || len(f.Training) != 0 {
		t.Error("the best model has training state")
	}
	if f.Metrics["val.top1"] != r.Best.Val.Top1 || f.Seed != 7 || f.Data.Spec != "toy:1" || len(f.Data.Hash) != 64 ||
		!slices.Equal(f.Command, []string{"resnet", "train"}) || f.Classes[1] != "north-east" {
		t.Errorf("metadata %+v", f.Meta)
	}
	conf, err := models.ParseConfig(f.Architecture)
	if err != nil || conf.Classes != 4 || conf.InChannels != 1 || conf.InputSize != 12 {
		t.Errorf("architecture %+v, %v", conf, err)
	}
	var p data.Preprocess
	if err := json.Unmarshal(f.Preprocess, &p); err != nil || p.Valid() != nil || p.Width != 12 {
		t.Errorf("preprocess %+v, %v", p, err)
	}
	if again, err := ParseRecipe("file", []byte(f.Recipe)); err != nil || again.Epochs != 6 || again.EMA.Every != 2 {
		t.Errorf("recipe %+v, %v", again, err)
	}
	if n := f.Tensors["bn1.num_batches_tracked"]; n == nil || n.Int64s()[0] != int64(r.Best.Step) {
		t.Errorf("num_batches_tracked is %v after %d steps", n.Int64s(), r.Best.Step)
	}
	last, err := weights.Load(filepath.Join(out, LastFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"optim.momentum.fc.weight", "ema.fc.weight", "ema.bn1.running_var"} {
		if last.State[name] == nil {
			t.Errorf("no %s in the state", name)
		}
	}
	rows := readCSV(t, filepath.Join(out, ResultsFile))
	if len(rows) != 7 || rows[6][0] != "6" || rows[6][1] != "36" {
		t.Errorf("results.csv: %v", rows)
	}
	for _, name := range []string{RecipeFile, CurvesPNG, CurvesSVG} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text := log.String(); strings.Count(text, "\n") != 7 || !strings.Contains(text, "epoch 6/6: train loss") || strings.Contains(text, "\r") {
		t.Errorf("the log:\n%s", text)
	}
	if kinds[0] != "start" || kinds[1] != "step" || kinds[len(kinds)-1] != "epoch" {
		t.Errorf("events: %v", kinds)
	}
}

func readCSV(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestSameBitsAtAnyThreadCount(t *testing.T) {
	one := t.TempDir()
	cfg := toyConfig(t, one)
	cfg.Threads = 1
	mustRun(t, cfg)
	for _, threads := range []int{2, 8} {
		out := t.TempDir()
		cfg := toyConfig(t, out)
		cfg.Threads = threads
		mustRun(t, cfg)
		sameFiles(t, one, out, LastFile, BestFile)
	}
	other := t.TempDir()
	cfg = toyConfig(t, other)
	cfg.Seed = 8
	mustRun(t, cfg)
	a, _ := os.ReadFile(filepath.Join(one, BestFile))
	b, _ := os.ReadFile(filepath.Join(other, BestFile))
	if string(a) == string(b) {
		t.Error("another seed gave the same model")
	}
}

// A run that is interrupted and resumed again and again must end as an
// unbroken one.
func TestInterruptAndResume(t *testing.T) {
	for name, set := range map[string][]string{
		"sgd":        {},
		"accumulate": {"accumulate=2", "batch_size=8"},
		"adamw":      {"optimizer={name: adamw, weight_decay: 0.05}", "lr.peak=0.003"},
		"lars":       {"optimizer={name: lars, momentum: 0.9, trust: 0.02}", "lr={schedule: one-cycle, peak: 1}"},
		"mixed":      {"augment={mixup: 0.2, cutmix: 1}", "iterations=13"},
		"gate":       {"lr.gate={lr: 0.001, until_error: 0.8, from_depth: 8}"},
	} {
		t.Run(name, func(t *testing.T) {
			whole, broken := t.TempDir(), t.TempDir()
			want := mustRun(t, toyConfig(t, whole, set...))
			cfg := toyConfig(t, broken, set...)
			stops := 0
			for {
				ctx, cancel := context.WithCancel(context.Background())
				steps := 0
				cfg.Log.Event = func(e Event) {
					if e.Kind == "step" {
						if steps++; steps == 4 {
							cancel()
						}
					}
				}
				got, err := Run(ctx, cfg)
				cancel()
				if err == nil {
					if got.Steps != want.Steps || got.Epochs != want.Epochs {
						t.Errorf("%d steps, want %d", got.Steps, want.Steps)
					}
					break
				}
				var in *Interrupted
				if !errors.As(err, &in) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "--resume") {
					t.Fatalf("error %v", err)
				}
				stops++
				cfg.Resume, cfg.Recipe, cfg.Model, cfg.Seed, cfg.Command = true, nil, "", 0, nil
			}
			if stops < 3 {
				t.Errorf("stopped only %d times", stops)
			}
			sameFiles(t, whole, broken, LastFile, BestFile, RecipeFile)
			a, b := readCSV(t, filepath.Join(whole, ResultsFile)), readCSV(t, filepath.Join(broken, ResultsFile))
			if len(a) != len(b) {
				t.Fatalf("results.csv has %d rows, want %d", len(b), len(a))
			}
			for i := range a {
				if n := len(csvHead) - csvTimes; !slices.Equal(a[i][:n], b[i][:n]) {
					t.Errorf("row %d is %v, want %v", i, b[i], a[i])
				}
			}
		})
	}
}

func TestNaNStopsAndKeepsTheLastGoodState(t *testing.T) {
	out := t.TempDir()
	cfg := toyConfig(t, out, "epochs=4", "optimizer.clip_norm=0", "optimizer.momentum=0.9", "lr.schedule=multistep", "lr.milestones=[2]",
		"lr.gamma=1", "checkpoint.every_steps=1")
	mid := ""
	calls := 0
	cfg.Log.Event = func(e Event) {
		if e.Kind == "step" {
			if calls++; calls == 8 {
				b, err := os.ReadFile(filepath.Join(out, LastFile))
				if err != nil {
					t.Error(err)
				}
				mid = string(b)
			}
		}
	}
	// A rate that is beyond float32 ruins the weights at the next update.
	s, err := prepare(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	event := s.log.Event
	s.log.Event = func(e Event) {
		event(e)
		if calls == 8 {
			s.rec.LR.Peak = math.MaxFloat32
		}
	}
	_, err = s.run(context.Background())
	var d *Diverged
	if !errors.As(err, &d) {
		t.Fatalf("error %v", err)
	}
	if d.Epoch != 2 || d.Step < 9 || d.Step > 11 || !strings.Contains(err.Error(), LastFile) || !strings.Contains(err.Error(), "learning rate") {
		t.Errorf("error %v", err)
	}
	f, err := weights.Load(filepath.Join(out, LastFile))
	if err != nil {
		t.Fatal(err)
	}
	var st state
	if err := json.Unmarshal(f.Training, &st); err != nil {
		t.Fatal(err)
	}
	if st.Update < 7 || st.Update >= d.Step || mid == "" {
		t.Errorf("the kept state is of update %d, the numbers failed in %d", st.Update, d.Step)
	}
	for name, x := range f.Tensors {
		if name == "bn1.num_batches_tracked" || x.DType() != 0 {
			continue
		}
		for _, v := range x.Float32s() {
			if notFinite(name, float64(v)) != "" {
				t.Fatalf("%s has %v", name, v)
			}
		}
	}
}

func TestEarlyStop(t *testing.T) {
	cfg := toyConfig(t, "", "epochs=50", "early_stop.patience=3")
	r := mustRun(t, cfg)
	if !strings.Contains(r.Stopped, "early stop") || r.Epochs >= 50 || r.Epochs != r.Best.Epoch+3 {
		t.Errorf("stopped %q after %d epochs, best %d", r.Stopped, r.Epochs, r.Best.Epoch)
	}
}

func TestIterationsEndInMidEpoch(t *testing.T) {
	r := mustRun(t, toyConfig(t, "", "iterations=8", "lr.warmup=2"))
	if r.Steps != 8 || r.Epochs != 2 || r.History[1].Train.Samples != 2*16 || r.History[1].Val == nil {
		t.Errorf("%+v", r)
	}
}

func TestMistakesInConfig(t *testing.T) {
	used := t.TempDir()
	mustRun(t, toyConfig(t, used, "epochs=1"))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	oneClass := toySplits(t)
	oneClass.Train = &data.Images{ClassNames: []string{"only"}, Pictures: toy(t, 4, 1).Pictures, Names: toy(t, 4, 1).Names, Targets: make([][]int, 16)}
	oneClass.Val = nil
	fewer := toySplits(t)
	fewer.Val = &data.Images{ClassNames: []string{"a", "b"}, Pictures: toy(t, 4, 1).Pictures, Names: toy(t, 4, 1).Names, Targets: make([][]int, 16)}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"used folder":   {func(c *Config) { c.Out = used }, "already holds a run: continue it by --resume"},
		"out is a file": {func(c *Config) { c.Out = file }, file},
		"nothing there": {func(c *Config) { c.Resume, c.Recipe, c.Out = true, nil, t.TempDir() }, "no run to resume"},
		"accumulate":    {func(c *Config) { c.Recipe.Accumulate = 7 }, "more than an epoch has, 6 batches"},
		"unknown model": {func(c *Config) { c.Model = "resnet80" }, "resnet"},
		"no such file":  {func(c *Config) { c.Model = "nowhere.safetensors" }, "nowhere.safetensors"},
		"one class":     {func(c *Config) { c.Splits = oneClass }, "one class (only)"},
		"class counts":  {func(c *Config) { c.Splits = fewer }, "4 classes to train on and 2 to evaluate on"},
		"weights":       {func(c *Config) { c.Recipe.Loss.ClassWeights.Weights = []float64{1, 2} }, "2 weights"},
		"no data":       {func(c *Config) { c.Splits = nil }, "KIND:PATH"},
		"other data": {func(c *Config) {
			c.Resume, c.Recipe, c.Out = true, nil, used
			c.Splits = toySplits(t)
			c.Splits.Train = toy(t, 24, 99)
		}, "has changed since the run began"},
		"resume with recipe": {func(c *Config) { c.Resume, c.Out = true, used }, "leave out --model and --recipe"},
		"finetune a name":    {func(c *Config) { c.Recipe.Finetune = &Finetune{} }, "give its file"},
	} {
		cfg := toyConfig(t, "")
		c.change(&cfg)
		_, err := Run(context.Background(), cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error has several lines: %v", name, err)
		}
	}
}

// damaged is a dataset in which a picture cannot be decoded.
type damaged struct {
	data.Dataset
	bad int
}

func (d damaged) Decode(i int, dst *imaging.Image) error {
	if i == d.bad {
		return errors.New("cut off after 12 bytes")
	}
	return d.Dataset.Decode(i, dst)
}

func TestBadPictures(t *testing.T) {
	cfg := toyConfig(t, "", "epochs=1")
	cfg.Splits.Train, cfg.SkipHash = damaged{cfg.Splits.Train, 5}, true
	if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "1 of 96, such as image 5: cut off") || !strings.Contains(err.Error(), "--skip-bad") {
		t.Errorf("the check before training: %v", err)
	}
	cfg.SkipCheck = true
	_, err := Run(context.Background(), cfg)
	var bad *data.SampleError
	if !errors.As(err, &bad) || bad.Index != 5 || !strings.Contains(err.Error(), "image 5: cut off") {
		t.Errorf("error %v", err)
	}
	whole, broken := t.TempDir(), t.TempDir()
	cfg.SkipBad, cfg.Out = true, whole
	if r := mustRun(t, cfg); r.Skipped != 1 || r.Last.Train.Samples != 96 {
		t.Errorf("%+v", r)
	}
	// A resumed run still skips it, without the option.
	ctx, cancel := context.WithCancel(context.Background())
	cfg.Out = broken
	cfg.Log.Event = func(e Event) {
		if e.Kind == "step" {
			cancel()
		}
	}
	if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	cfg.Log.Event, cfg.SkipBad, cfg.Resume, cfg.Recipe = nil, false, true, nil
	mustRun(t, cfg)
	sameFiles(t, whole, broken, LastFile, BestFile)
	var log strings.Builder
	cfg.Log.W = &log
	if r := mustRun(t, cfg); r.Steps != 6 || !strings.Contains(log.String(), "nothing left to do") {
		t.Errorf("resuming what is complete: %+v\n%s", r, log.String())
	}
}

// Weights that are no longer finite must not reach a file, even when no loss
// has shown it yet.
func TestRuinedWeightsAreNotSaved(t *testing.T) {
	out := t.TempDir()
	s, err := prepare(context.Background(), toyConfig(t, out))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(out, LastFile))
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.vars.Get("fc.weight")
	if err != nil {
		t.Fatal(err)
	}
	w.Float32s()[3] = float32(math.Inf(1))
	if err := s.vars.Set("fc.weight", w); err != nil {
		t.Fatal(err)
	}
	var d *Diverged
	if err := s.save(); !errors.As(err, &d) || !strings.Contains(err.Error(), "fc.weight is infinite") {
		t.Errorf("error %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(out, LastFile)); string(before) != string(after) {
		t.Error("the good file was replaced")
	}
}
