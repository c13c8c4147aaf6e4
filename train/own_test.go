package train_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/train"
)

// brightness returns pictures of two classes, dark and bright.
func brightness(t *testing.T) data.Dataset {
	t.Helper()
	var pictures []*imaging.Image
	var labels []int
	for i := range 32 {
		m := &imaging.Image{W: 8, H: 8, C: 1, Pix: make([]uint8, 64)}
		for k := range m.Pix {
			m.Pix[k] = uint8(60 + 90*(i%2) + (i*31+k*17)%50)
		}
		pictures, labels = append(pictures, m), append(labels, i%2)
	}
	ds, err := data.NewImages([]string{"dark", "bright"}, pictures, labels)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// weightsAfter trains a network for two epochs and returns its first weights.
func weightsAfter(t *testing.T, loss train.Loss, o train.Optimizer, change func(*train.FitOptions)) []float32 {
	t.Helper()
	net, err := models.New("resnet8-cifar", models.Classes(2), models.InChannels(1), models.InputSize(8))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := train.Compile(net, loss, o)
	if err != nil {
		t.Fatal(err)
	}
	opt := train.FitOptions{Epochs: 2, BatchSize: 8, Threads: 1}
	change(&opt)
	if _, err := tr.Fit(context.Background(), brightness(t), opt); err != nil {
		t.Fatal(err)
	}
	return nn.Values(net)["conv1.weight"].Float32s()
}

func near(t *testing.T, what string, a, b []float32, tolerance float64) {
	t.Helper()
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > tolerance {
			t.Fatalf("%s: weight %d is %v, want %v", what, i, a[i], b[i])
		}
	}
}

// heavyBall is SGD with momentum and decoupled decay of an outsider.
type heavyBall struct{ rate, momentum float32 }

func (h heavyBall) Rate() float64 { return float64(h.rate) }

func (h heavyBall) Update(g *graph.Graph, u *train.Update) (*graph.Value, error) {
	v, err := u.Slot("velocity")
	if err != nil {
		return nil, err
	}
	next := g.Must1(graph.Binary{Fn: graph.Add}, g.Must1(graph.Affine{Scale: h.momentum}, v), u.Grad)
	step := g.Must1(graph.Binary{Fn: graph.Mul}, next, u.LR)
	return g.Must1(graph.Binary{Fn: graph.Sub}, u.Param, step), u.Keep(v, next)
}

// A loss, an optimizer and a schedule of your own do what the built-in ones do.
func TestOwnLossOptimizerAndRate(t *testing.T) {
	none := func(*train.FitOptions) {}
	sgd := train.SGD{LR: 0.05, Momentum: 0.9}
	want := weightsAfter(t, train.CrossEntropy{}, sgd, none)
	own := train.LossFunc(func(g *graph.Graph, logits, targets *graph.Value) (*graph.Value, error) {
		return g.Must1(graph.CrossEntropy{}, logits, targets), nil
	})
	near(t, "loss", weightsAfter(t, own, sgd, none), want, 0)
	near(t, "optimizer", weightsAfter(t, train.CrossEntropy{}, heavyBall{0.05, 0.9}, none), want, 1e-5)
	near(t, "rate", weightsAfter(t, train.CrossEntropy{}, train.SGD{Momentum: 0.9}, func(o *train.FitOptions) {
		o.Rate = func(update, total int) float64 {
			if total != 8 || update >= total {
				t.Errorf("update %d of %d", update, total)
			}
			return 0.05
		}
	}), want, 0)
	near(t, "a method of a loss", weightsAfter(t, train.LossFunc(train.CrossEntropy{}.Loss), sgd, none), want, 0)
}

func TestOwnPartsThatFail(t *testing.T) {
	ctx, ds := context.Background(), brightness(t)
	net := nn.Sequential{&nn.Flatten{}, nn.NewLinear(64, 2)}
	fit := func(loss train.Loss, o train.Optimizer, opt train.FitOptions) error {
		tr, err := train.Compile(net, loss, o)
		if err != nil {
			return err
		}
		opt.Epochs = 3
		_, err = tr.Fit(ctx, ds, opt)
		return err
	}
	vector := train.LossFunc(func(g *graph.Graph, logits, targets *graph.Value) (*graph.Value, error) { return logits, nil })
	if err := fit(vector, train.SGD{LR: 1}, train.FitOptions{}); err == nil || !strings.Contains(err.Error(), "must be a scalar") {
		t.Errorf("a loss that is no scalar: %v", err)
	}
	broken := errors.New("broken")
	bad := train.LossFunc(func(*graph.Graph, *graph.Value, *graph.Value) (*graph.Value, error) { return nil, broken })
	if err := fit(bad, train.SGD{LR: 1}, train.FitOptions{}); !errors.Is(err, broken) {
		t.Errorf("a loss that fails: %v", err)
	}
	if err := fit(train.CrossEntropy{}, onlyRate{}, train.FitOptions{}); err == nil || !strings.Contains(err.Error(), "must be an Updater") {
		t.Errorf("an optimizer without Update: %v", err)
	}
	if err := fit(train.CrossEntropy{}, train.SGD{}, train.FitOptions{Rate: func(int, int) float64 { return math.NaN() }}); err == nil || !strings.Contains(err.Error(), "learning rate is NaN") {
		t.Errorf("a rate that is NaN: %v", err)
	}
	if err := fit(train.CrossEntropy{}, train.SGD{LR: 0.1}, train.FitOptions{OnStep: func(train.StepRecord) error { return broken }}); !errors.Is(err, broken) {
		t.Errorf("a callback that fails: %v", err)
	}
}

type onlyRate struct{}

func (onlyRate) Rate() float64 { return 1 }

func TestCallbacksStop(t *testing.T) {
	steps, epochs := 0, 0
	weightsAfter(t, train.CrossEntropy{}, train.SGD{LR: 0.05}, func(o *train.FitOptions) {
		o.Epochs = 5
		o.OnStep = func(r train.StepRecord) error { steps = r.Step; return nil }
		o.OnEpoch = func(r train.EpochRecord) error {
			if epochs = r.Epoch; epochs == 2 {
				return train.ErrStop
			}
			return nil
		}
	})
	if steps != 8 || epochs != 2 {
		t.Errorf("%d steps, %d epochs", steps, epochs)
	}
}

// The modules of an opened model have its weights, and Compile keeps them.
func TestCompileKeepsTheWeightsOfAnOpenedModel(t *testing.T) {
	m, err := resnet.Open("", resnet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	before := append([]float32{}, nn.Values(m.Network())["conv1.weight"].Float32s()...)
	tr, err := train.Compile(m.Network(), train.CrossEntropy{}, train.SGD{LR: 1e-9})
	if err != nil {
		t.Fatal(err)
	}
	sample, err := data.OpenIDX(embedded.Fashion(), data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	few := data.Subset(sample.Test, []int{0, 1, 2, 3, 4, 5, 6, 7})
	opt := train.FitOptions{Epochs: 1, BatchSize: 8, Preprocess: m.Preprocess()}
	if _, err := tr.Fit(context.Background(), few, opt); err != nil {
		t.Fatal(err)
	}
	near(t, "after a step that changes nothing", nn.Values(m.Network())["conv1.weight"].Float32s(), before, 1e-6)
}
