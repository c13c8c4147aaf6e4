package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/weights"
)

const viewsRecipe = `
name: views
model: resnet8-cifar
epochs: 2
batch_size: 16
optimizer: {name: sgd, momentum: 0.9, weight_decay: 5e-4}
lr: {schedule: cosine, peak: 0.05, warmup: 1}
loss: {}
preprocess: {channels: 1, width: 12, height: 12, interpolation: bilinear, mean: [0.3], std: [0.25]}
augment: {pad_crop: 2, hflip: 0.5, solarize: {p: 0.1, threshold: 128}}
`

// viewsConfig is a run without labels of a small network.
func viewsConfig(t testing.TB, method, out string, set ...string) Config {
	t.Helper()
	base := []string{"ssl.method=" + method}
	if method != "rotation" {
		base = append(base, "ssl.hidden=32", "ssl.dim=24")
	}
	if method == "simsiam" || method == "byol" {
		base = append(base, "ssl.predictor=16", "ssl.fix_predictor_lr=true")
	}
	r, err := ParseRecipe("views.yaml", []byte(viewsRecipe), append(base, set...)...)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Splits: toySplits(t), Recipe: r, Out: out, Seed: 7, Threads: 2, Command: []string{"resnet", "train"}}
}

// TestWithoutLabels: every method trains; the files are those of a backbone.
func TestWithoutLabels(t *testing.T) {
	for _, method := range SSLMethods() {
		t.Run(method, func(t *testing.T) {
			out := t.TempDir()
			cfg := viewsConfig(t, method, out)
			var log strings.Builder
			cfg.Log.W = &log
			r := mustRun(t, cfg)
			last := r.Last
			if last.Train.Gauge == nil || !(last.Train.Gauge.Spread > 0 && last.Train.Gauge.Dimensions > 0) || last.Val == nil || last.Val.KNN == nil || r.Best == nil || last.Train.Samples != 96 {
				t.Fatalf("%+v", last)
			}
			if r.LinearProbe == nil || *r.LinearProbe < 0.3 {
				t.Errorf("linear probe %v of four classes", r.LinearProbe)
			}
			if !strings.Contains(log.String(), "spread") || !strings.Contains(log.String(), "kNN") || strings.Contains(log.String(), "val loss") {
				t.Errorf("the log is\n%s", log.String())
			}
			for _, name := range []string{BestFile, LastFile} {
				f, err := weights.Load(filepath.Join(out, name))
				if err != nil {
					t.Fatal(err)
				}
				for key := range f.Tensors {
					if strings.HasPrefix(key, "fc.") || strings.HasPrefix(key, weights.PretextPrefix) {
						t.Errorf("%s has the tensor %s", name, key)
					}
				}
				if (len(f.State) > 0) != (name == LastFile) || len(f.Classes) > 0 {
					t.Errorf("%s has %d tensors of state, classes %v", name, len(f.State), f.Classes)
				}
			}
		})
	}
}

// TestWithoutLabelsSameBits: neither threads nor an interruption change a run, BYOL's
// target and batches that are added up included.
func TestWithoutLabelsSameBits(t *testing.T) {
	for method, set := range map[string][]string{
		"byol":   {"accumulate=2", "checkpoint.every_steps=2", "ema.decay=0.9"},
		"barlow": {"checkpoint.every_steps=2", "optimizer.name=lars", "optimizer.weights_only=true"},
	} {
		t.Run(method, func(t *testing.T) {
			whole, cut := t.TempDir(), t.TempDir()
			cfg := viewsConfig(t, method, whole, set...)
			cfg.Threads = 1
			mustRun(t, cfg)
			cfg = viewsConfig(t, method, cut, set...)
			cfg.Threads = 3
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			cfg.Log.Event = func(e Event) {
				if e.Kind == "step" && e.Step.Step == 4 {
					cancel()
				}
			}
			if _, err := Run(ctx, cfg); !errors.As(err, new(*Interrupted)) {
				t.Fatal(err)
			}
			if _, err := resume(t, cut); err != nil {
				t.Fatal(err)
			}
			sameFiles(t, whole, cut, LastFile, BestFile)
		})
	}
}

// TestCollapse: without the stopped gradient, SimSiam collapses, which is noticed within
// the epoch, once, and told at the end; with it, it does not.
func TestCollapse(t *testing.T) {
	for _, free := range []bool{true, false} {
		cfg := viewsConfig(t, "simsiam", "", "lr.warmup=0", "lr.schedule=constant", "lr.peak=0.1", "epochs=2")
		if free {
			cfg.Recipe.Epochs = 3
		}
		cfg.Recipe.SSL.NoStopGradient = free
		cfg.Splits = &data.Splits{Spec: "toy:1", Train: toy(t, 200, 1)}
		var log strings.Builder
		cfg.Log.W = &log
		r := mustRun(t, cfg)
		warned := strings.Count(log.String(), "warning: the features collapse") == 1 && strings.Contains(log.String(), "remove ssl.no_stop_gradient")
		t.Logf("stop gradient %v: loss %v spread %v", !free, r.Last.Train.Loss, *r.Last.Train.Gauge)
		if warned != free || (len(r.Warnings) > 0) != free {
			t.Errorf("stop gradient %v: warnings %v\n%s", !free, r.Warnings, log.String())
		}
	}
}

// TestBackboneInUse: a backbone's file gives features and no classes, and begins a
// training with a last layer, by any recipe.
func TestBackboneInUse(t *testing.T) {
	out := t.TempDir()
	cfg := viewsConfig(t, "simsiam", out, "epochs=1")
	mustRun(t, cfg)
	file := filepath.Join(out, BestFile)
	m, err := resnet.Open(file, resnet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Task() != models.Features || len(m.Classes()) > 0 {
		t.Errorf("task %s, classes %v", m.Task(), m.Classes())
	}
	picture := resnet.Image(toy(t, 1, 3).Pictures[0].RGBA())
	if f, err := m.Embed(t.Context(), picture); err != nil || len(f) != 64 {
		t.Errorf("%d features, %v", len(f), err)
	}
	if _, err := m.Explain(t.Context(), picture, resnet.ExplainOptions{}); err == nil || !strings.Contains(err.Error(), "has no last layer") {
		t.Errorf("Explain: %v", err)
	}
	if _, err := m.Classify(t.Context(), picture); err == nil || !strings.Contains(err.Error(), "has no last layer") || !strings.Contains(err.Error(), "resnet train --model "+file) {
		t.Errorf("classifying by a backbone: %v", err)
	}
	again := filepath.Join(t.TempDir(), "again.safetensors")
	if err := m.Save(again); err != nil {
		t.Fatal(err)
	}
	if _, err := resnet.Open(again, resnet.Options{}); err != nil {
		t.Errorf("a saved backbone: %v", err)
	}
	for _, set := range [][]string{nil, {"finetune.freeze=backbone"}} {
		tuned := toyConfig(t, t.TempDir(), append([]string{"epochs=1"}, set...)...)
		tuned.Model = file
		r := mustRun(t, tuned)
		c, err := resnet.Open(r.BestFile, resnet.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Classes()) != 4 {
			t.Errorf("%d classes", len(c.Classes()))
		}
	}
	// A classifier begins a training without labels, without its last layer.
	back := viewsConfig(t, "simclr", t.TempDir(), "epochs=1")
	trained := toyConfig(t, t.TempDir(), "epochs=1")
	back.Model = mustRun(t, trained).BestFile
	var log strings.Builder
	back.Log.W = &log
	mustRun(t, back)
	if !strings.Contains(log.String(), "the last layer of "+back.Model+" is left out") {
		t.Errorf("the log is\n%s", log.String())
	}
}

// TestBadViewsRecipes: an error names the key.
func TestBadViewsRecipes(t *testing.T) {
	for set, want := range map[string]string{
		"ssl.method=simsiem":            "did you mean",
		"ssl.temperature=0.2":           "no such setting",
		"augment.mixup=0.2":             "augment",
		"balanced=true":                 "balanced",
		"lr.schedule=plateau":           "lr.schedule",
		"batch_size=1":                  "batch_size",
		"loss.label_smoothing=0.1":      "loss",
		"ssl.second={hflip: 2}":         "ssl.second",
		"ssl.nonsense=1":                "unknown key",
		"distill.from=x":                "distill",
		"optimizer.weights_only=true":   "optimizer.weights_only",
		"ssl.second={mixup: 1}":         "augment",
		"augment.random_scale=[0.5, 2]": "random_scale",
	} {
		_, err := ParseRecipe("views.yaml", []byte(viewsRecipe), "ssl.method=simsiam", set)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", set, err, want)
		}
	}
	if _, err := CrossValidate(t.Context(), viewsConfig(t, "simsiam", ""), 2); err == nil || !strings.Contains(err.Error(), "needs labels") {
		t.Errorf("cross-validation: %v", err)
	}
}

// TestViewsUntilTime: a run without labels that ends by time is evaluated and probed like
// one that ends by epochs, from the same features, and tells how to continue; where the
// evaluation is cut off, no features are computed again.
func TestViewsUntilTime(t *testing.T) {
	out := filepath.Join(t.TempDir(), "a run")
	cfg := viewsConfig(t, "simsiam", out, "epochs=50", "eval_every=50")
	cfg.MaxTime = time.Millisecond
	r := mustRun(t, cfg)
	if r.Last.Val == nil || r.Last.Val.KNN == nil || r.LinearProbe == nil || r.BestFile == "" {
		t.Errorf("%+v", r)
	}
	if want := "continue with --resume --out '" + out + "'"; !strings.Contains(r.Stopped, want) {
		t.Errorf("%s, want %s", r.Stopped, want)
	}
	s, err := prepare(t.Context(), viewsConfig(t, "simsiam", "", "epochs=1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := s.eval.(*neighborEvaluator)
	if before := e.probeTime(); s.evaluationTime() < s.meter.evaluated+before || before <= 0 {
		t.Errorf("%v are set aside, an evaluation takes %v and the probe %v", s.evaluationTime(), s.meter.evaluated, before)
	}
	if e.seen == nil || e.seen[0].X.Shape()[0] != s.splits.Train.Len() {
		t.Error("the probe computes the features again")
	}
	var training atomic.Bool
	cfg = viewsConfig(t, "simsiam", "")
	cfg.SkipCheck = true
	cfg.Splits.Val = slowData{cfg.Splits.Val, &training}
	cfg.Threads, cfg.MaxTime = 1, time.Millisecond
	cfg.Log.Event = func(Event) { training.Store(true) }
	began := time.Now()
	if r := mustRun(t, cfg); r.LinearProbe != nil || r.Last.Val != nil || !strings.Contains(r.Stopped, "nothing was saved") {
		t.Errorf("%+v", r)
	}
	if took := time.Since(began); took > graceTime+3*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestFewPictures: batches of fewer pictures than show a collapse warn of none, in any
// method, and one picture is an error that tells what to do.
func TestFewPictures(t *testing.T) {
	for _, method := range SSLMethods() {
		cfg := viewsConfig(t, method, "")
		cfg.Splits = &data.Splits{Spec: "toy:2", Train: data.Subset(toy(t, 1, 1), []int{0, 1})}
		var log strings.Builder
		cfg.Log.W = &log
		if r := mustRun(t, cfg); len(r.Warnings) > 0 || strings.Contains(log.String(), "warning") || !strings.Contains(log.String(), "too small for spread") {
			t.Errorf("%s: %q\n%s", method, r.Warnings, log.String())
		}
		cfg = viewsConfig(t, method, "")
		cfg.Splits = &data.Splits{Spec: "toy:1", Train: data.Subset(toy(t, 1, 1), []int{0})}
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "toy:1 has 1 picture to learn from") {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// TestBrokenPicturesAreNotCounted: what cannot be decoded is not among the pictures to
// train and to evaluate on, at the start and after a resume.
func TestBrokenPicturesAreNotCounted(t *testing.T) {
	for _, ssl := range []bool{true, false} {
		out := t.TempDir()
		cfg := toyConfig(t, out)
		if ssl {
			cfg = viewsConfig(t, "simsiam", out, "epochs=1")
		}
		broken := func() *data.Splits {
			s := toySplits(t)
			s.Train, s.Val = brokenData{s.Train, 3}, brokenData{s.Val, 1}
			return s
		}
		cfg.Splits, cfg.SkipBad, cfg.SkipHash = broken(), true, true
		want := fmt.Sprintf("%d pictures to train on, %d to evaluate on", cfg.Splits.Train.Len()-3, cfg.Splits.Val.Len()-1)
		var log strings.Builder
		cfg.Log.W = &log
		mustRun(t, cfg)
		if !strings.Contains(log.String(), want) {
			t.Errorf("want %s\n%s", want, log.String())
		}
		log.Reset()
		mustRun(t, Config{Resume: true, Out: out, Splits: broken(), Epochs: 9, MaxTime: 1, SkipHash: true, SkipCheck: true, Log: Log{W: &log}})
		if !strings.Contains(log.String(), want) {
			t.Errorf("resumed, want %s\n%s", want, log.String())
		}
	}
}

// brokenData cannot decode its first samples.
type brokenData struct {
	data.Dataset
	n int
}

func (b brokenData) Decode(i int, dst *imaging.Image) error {
	if i < b.n {
		return errors.New("broken")
	}
	return b.Dataset.Decode(i, dst)
}

// TestLabelsOfOthers: data to judge features by need labels on both sides; without, they
// have no effect, as a note tells.
func TestLabelsOfOthers(t *testing.T) {
	bare := func() *data.Splits { return &data.Splits{Spec: "bare", Train: unlabeled{toy(t, 32, 1)}} }
	whole := func() *data.Splits { return &data.Splits{Spec: "whole", Train: toy(t, 64, 2)} }
	for _, c := range []struct {
		train, val func() *data.Splits
		share      float64
		want       string
	}{
		{whole, bare, 0, "the data to evaluate on, val:x, have no effect"},
		{bare, whole, 0, "the data to evaluate on, val:x, have no effect"},
		{bare, nil, 0.2, "validation (--val-split) has no effect"},
		{whole, whole, 0, "they judge its features, on the val part"},
	} {
		cfg := viewsConfig(t, "simsiam", "", "epochs=1")
		cfg.Splits, cfg.Data, cfg.Recipe.Validation = nil, "train:x", c.share
		if c.val != nil {
			cfg.ValData = "val:x"
		}
		cfg.Open = func(spec string, _ data.Options) (*data.Splits, error) {
			if spec == "val:x" {
				return c.val(), nil
			}
			return c.train(), nil
		}
		var log strings.Builder
		cfg.Log.W = &log
		mustRun(t, cfg)
		if !strings.Contains(log.String(), c.want) {
			t.Errorf("want %s\n%s", c.want, log.String())
		}
	}
}

// unlabeled is data without labels.
type unlabeled struct{ data.Dataset }

func (unlabeled) Classes() []string { return nil }
func (unlabeled) MultiLabel() bool  { return true }
func (unlabeled) Labels(int) []int  { return nil }

// TestFindLRWithoutLabels: losses below zero do not end the search, fewer updates are
// tried than with labels, and progress counts pictures, as the speed is of them.
func TestFindLRWithoutLabels(t *testing.T) {
	for _, method := range []string{"simsiam", "simclr"} {
		cfg := viewsConfig(t, method, "")
		cfg.whole = true
		s, err := prepare(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		found, err := s.findLR(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(found.Points); n < 40 || n > 63 || found.Points[0].LR < 1e-4 || s.log.total != 63*16 || s.log.done < 16*n {
			t.Errorf("%s: %d points from %v on, %d of %d pictures", method, n, found.Points[0].LR, s.log.done, s.log.total)
		}
		if text := strconv.FormatFloat(found.Suggestion, 'g', -1, 64); len(text) > 7 {
			t.Errorf("%s: the suggestion is %s", method, text)
		}
	}
}
