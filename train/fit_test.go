package train

import (
	"context"
	"errors"
	"image"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// toyTrainer returns a fresh trainer of a network with batch norm and dropout.
func toyTrainer(t *testing.T, opt Optimizer) *Trainer {
	t.Helper()
	m, err := models.New("resnet8-cifar+block-dropout", models.Classes(4), models.InChannels(1), models.InputSize(12))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	c, err := Compile(m, CrossEntropy{LabelSmoothing: 0.1}, opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func toyFit(t *testing.T, c *Trainer, opt FitOptions) *Result {
	t.Helper()
	opt.BatchSize, opt.Threads, opt.Seed = 16, 2, 3
	opt.Augment.PadCrop = 1
	r, err := c.Fit(context.Background(), toy(t, 24, 1), opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sameState(t *testing.T, what string, a, b map[string]*tensor.Tensor) {
	t.Helper()
	if !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) {
		t.Fatalf("%s: other names", what)
	}
	for name, x := range a {
		y := b[name]
		if x.DType() == tensor.Int64 {
			if !slices.Equal(x.Int64s(), y.Int64s()) {
				t.Errorf("%s: %s is %v, want %v", what, name, y.Int64s(), x.Int64s())
			}
		} else if !slices.Equal(x.Float32s(), y.Float32s()) {
			t.Errorf("%s: %s differs", what, name)
		}
	}
}

// Two Fits leave the bits of a single one: weights, running statistics,
// counters, momenta, step count, averages, losses.
func TestFitContinues(t *testing.T) {
	for name, opt := range map[string]Optimizer{
		"sgd":   SGD{LR: 0.05, Momentum: 0.9, WeightDecay: 5e-4, ClipNorm: 5},
		"adamw": AdamW{LR: 0.003, WeightDecay: 0.05},
		"lars":  LARS{LR: 1, Momentum: 0.9, Trust: 0.02},
	} {
		for _, ema := range []float64{0, 0.9} {
			whole, parts := toyTrainer(t, opt), toyTrainer(t, opt)
			want := toyFit(t, whole, FitOptions{Epochs: 4, EMA: ema})
			toyFit(t, parts, FitOptions{Epochs: 2, EMA: ema})
			got := toyFit(t, parts, FitOptions{Epochs: 2, EMA: ema})
			sameState(t, name, nn.Values(whole.module), nn.Values(parts.module))
			sameState(t, name+", slots", whole.slots, parts.slots)
			if !slices.Equal(want.History, got.History) || got.Epochs != 4 || got.Steps != want.Steps {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
		}
	}
}

func TestFitAfterReset(t *testing.T) {
	opt := AdamW{LR: 0.003}
	c, again := toyTrainer(t, opt), toyTrainer(t, opt)
	toyFit(t, c, FitOptions{Epochs: 1})
	for name, x := range nn.Values(c.module) { // another trainer of the same weights
		for _, e := range nn.Params(again.module) {
			if e.Name == name {
				e.Param.Value = x.Clone()
			}
		}
	}
	c.Reset()
	r := toyFit(t, c, FitOptions{Epochs: 1})
	toyFit(t, again, FitOptions{Epochs: 1})
	sameState(t, "reset", nn.Values(again.module), nn.Values(c.module))
	if r.Epochs != 1 || len(r.History) != 1 {
		t.Errorf("%+v", r)
	}
}

// Weights that the caller puts into the module between two Fits are not
// overwritten by those under the averages.
func TestFitTakesNewWeights(t *testing.T) {
	c := toyTrainer(t, SGD{LR: 1e-30})
	toyFit(t, c, FitOptions{Epochs: 1, EMA: 0.5})
	for _, e := range nn.Params(c.module) {
		if e.Name == "fc.weight" {
			clear(e.Param.Value.Float32s())
		}
	}
	toyFit(t, c, FitOptions{Epochs: 1, EMA: 0.5})
	for name, x := range nn.Values(c.module) {
		if name != "fc.weight" {
			continue
		}
		for _, v := range x.Float32s() {
			if v > 1e-20 || v < -1e-20 {
				t.Fatalf("fc.weight has %v", v)
			}
		}
	}
}

// An interrupted Fit keeps what it learned; one that cannot begin leaves the
// module as it was.
func TestFitInterruptedAndRefused(t *testing.T) {
	c := toyTrainer(t, SGD{LR: 0.05, Momentum: 0.9})
	ctx, cancel := context.WithCancel(context.Background())
	opt := FitOptions{Epochs: 2, BatchSize: 16, Threads: 2}
	opt.Log.Event = func(e Event) {
		if e.Step != nil && e.Step.Step == 8 {
			cancel()
		}
	}
	_, err := c.Fit(ctx, toy(t, 24, 1), opt)
	var stopped *Interrupted
	if !errors.As(err, &stopped) || stopped.Epoch != 2 || stopped.Step != 2 {
		t.Fatalf("error %v", err)
	}
	if r := toyFit(t, c, FitOptions{Epochs: 1}); r.Epochs != 3 || r.Steps != 8+6 {
		t.Errorf("%d epochs, %d steps", r.Epochs, r.Steps)
	}

	before := nn.Values(c.module)
	three := toy(t, 24, 1)
	three.ClassNames = append(slices.Clone(three.ClassNames), "nowhere")
	if _, err := c.Fit(context.Background(), three, FitOptions{Epochs: 1, BatchSize: 16}); err == nil || !strings.Contains(err.Error(), "5 classes") {
		t.Errorf("error %v", err)
	}
	sameState(t, "refused", before, nn.Values(c.module))
}

// The targets of a loss that needs rows come from the loader alone.
func TestBCEOnLabels(t *testing.T) {
	m, err := models.New("resnet8-cifar", models.Classes(4), models.InChannels(1), models.InputSize(12))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Compile(m, BCE{}, SGD{LR: 0.2, Momentum: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	var val data.Dataset = toy(t, 10, 2)
	r := toyFit(t, c, FitOptions{Epochs: 6, Val: val})
	if r.Best.Val.Top1 < 0.8 {
		t.Errorf("%+v", r.Best.Val)
	}
}

// A trained network, of package models or custom, is a model without a detour
// through a file: the same answers as Predict's, and it stays as it was when
// training goes on.
func TestModelOfTrainer(t *testing.T) {
	custom := nn.Sequential{nn.NewConv2d(1, 8, 3, nn.Padding(1)), nn.NewBatchNorm2d(8), nn.NewReLU(), nn.NewGlobalAvgPool(), nn.NewLinear(8, 4)}
	own, err := Compile(custom, BCE{}, SGD{LR: 0.05, Momentum: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own.Model(resnet.Options{}); err == nil {
		t.Error("no error before Fit")
	}
	ctx := context.Background()
	ds := toy(t, 3, 9)
	for name, c := range map[string]*Trainer{"models": toyTrainer(t, SGD{LR: 0.05, Momentum: 0.9}), "custom": own} {
		r := toyFit(t, c, FitOptions{Epochs: 2, EMA: 0.5})
		m, err := c.Model(resnet.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		size := m.Input().Numel()
		in := tensor.New(append(tensor.Shape{ds.Len()}, m.Input()...)...)
		for i, p := range ds.Pictures {
			one, err := c.Preprocess().Apply(p)
			if err != nil {
				t.Fatal(err)
			}
			copy(in.Float32s()[i*size:], one.Float32s())
		}
		want, err := c.Predict(in)
		if err != nil {
			t.Fatal(err)
		}
		logits, _, err := m.Forward(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		check := func(when string, logits []float32) {
			for i, w := range want.Float32s() {
				var p float64
				if row := logits[i/4*4 : i/4*4+4]; name == "custom" {
					p = 1 / (1 + math.Exp(-float64(row[i%4])))
				} else {
					sum := 0.0
					for _, z := range row {
						sum += math.Exp(float64(z))
					}
					p = math.Exp(float64(row[i%4])) / sum
				}
				if math.Abs(p-float64(w)) > 1e-6 {
					t.Errorf("%s, %s: probability %d is %v, Predict's %v", name, when, i, p, w)
				}
			}
		}
		check("at once", logits.Float32s())

		// Evaluate of both.
		e, err := m.Evaluate(ctx, ds, resnet.EvaluateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Evaluate(ctx, ds)
		if err != nil || e.Single.Top1 != v.Top1 || math.Abs(e.Single.Loss-v.Loss) > 1e-6 {
			t.Errorf("%s: %v and %v, %v", name, e.Single.Loss, v.Loss, err)
		}

		// More training does not change the model.
		toyFit(t, c, FitOptions{Epochs: 1})
		logits, _, err = m.Forward(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		check("after another Fit", logits.Float32s())

		gray := ds.Pictures[0]
		p := resnet.Image(&image.Gray{Pix: gray.Pix, Stride: gray.W, Rect: image.Rect(0, 0, gray.W, gray.H)})
		if _, err := m.Embed(ctx, p); err != nil {
			t.Errorf("%s: Embed: %v", name, err)
		}
		if _, err := m.Explain(ctx, p, resnet.ExplainOptions{}); err != nil {
			t.Errorf("%s: Explain: %v", name, err)
		}
		if got := m.Meta().Metrics["epoch"]; got != float64(r.Epochs) || m.Classes()[3] != "south-east" {
			t.Errorf("%s: %+v", name, m.Meta())
		}

		path := filepath.Join(t.TempDir(), "model.safetensors")
		if err := m.Save(path); err != nil {
			t.Fatal(err)
		}
		if name == "custom" {
			continue // the file does not describe the network
		}
		again, err := resnet.Open(path, resnet.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if logits, _, err = again.Forward(ctx, in); err != nil {
			t.Fatal(err)
		}
		check("opened again", logits.Float32s())
	}
}
