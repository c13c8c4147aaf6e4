package train

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// ownNet is a network that package models does not have.
type ownNet struct {
	Conv  *nn.Conv2d
	Norm  *nn.BatchNorm
	Scale *nn.Linear // of another input
	Head  *nn.Linear
	late  bool // something follows the last layer
}

func (n *ownNet) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	y := c.ReLU(c.Call(n.Norm, c.Call(n.Conv, x)))
	y = c.Reshape(c.Call(nn.NewMaxPool2d(3, 3, 0), y), x.Shape[0], 96)
	if n.Scale != nil {
		y = c.Mul(y, c.Call(n.Scale, c.Input("sensor", graph.F32(2))))
	}
	if y = c.Call(n.Head, y); n.late {
		y = c.Mul(y, c.Op1(graph.Unary{Fn: graph.Exp}, c.Op1(graph.Affine{Scale: 0.1}, y)))
	}
	return y
}

// ownFile writes a model file of such a network for toy pictures.
func ownFile(t *testing.T, net *ownNet, classes ...string) string {
	t.Helper()
	if err := nn.Init(net, 3); err != nil {
		t.Fatal(err)
	}
	p := data.Preprocess{Channels: 1, Width: 12, Height: 12, Interpolation: imaging.Bilinear, Mean: []float32{0.3}, Std: []float32{0.25}}
	m, err := resnet.FromModule(net, resnet.Description{Classes: classes, Preprocess: p}, resnet.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "own.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func newOwnNet() *ownNet {
	return &ownNet{Conv: nn.NewConv2d(1, 6, 3, nn.Padding(1), nn.NoBias()), Norm: nn.NewBatchNorm2d(6), Head: nn.NewLinear(96, 4)}
}

// TestOwnGraphTrains: a network that its file describes by its graph learns; a run that
// was interrupted ends in the same files; what is frozen stays; the result opens and is
// trained again.
func TestOwnGraphTrains(t *testing.T) {
	names := toySplits(t).Classes()
	path := ownFile(t, newOwnNet(), names...)
	for what, set := range map[string][]string{
		"all":      nil,
		"finetune": {"finetune={backbone_lr: 0.1, warm_head: 1, freeze_norm: true}"},
		"frozen":   {"finetune={freeze: [backbone]}"},
	} {
		t.Run(what, func(t *testing.T) {
			set := append([]string{"lr.peak=0.02", "checkpoint.every_steps=2"}, set...)
			whole, parts := t.TempDir(), t.TempDir()
			cfg := toyConfig(t, whole, set...)
			cfg.Model = path
			r := mustRun(t, cfg)
			if r.Last.Train.Loss >= r.History[0].Train.Loss || r.Best.Val.Top1 < 0.5 {
				t.Errorf("loss %v, then %v; %v right", r.History[0].Train.Loss, r.Last.Train.Loss, r.Best.Val.Top1)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cfg = toyConfig(t, parts, set...)
			cfg.Model = path
			cfg.Log.Event = func(e Event) {
				if e.Kind == "step" && e.Step.Step == 9 {
					cancel()
				}
			}
			if _, err := Run(ctx, cfg); !errors.As(err, new(*Interrupted)) {
				t.Fatal(err)
			}
			if _, err := resume(t, parts); err != nil {
				t.Fatal(err)
			}
			sameFiles(t, whole, parts, LastFile, BestFile)
			before, after := opened(t, path), opened(t, r.BestFile)
			for key, changes := range map[string]bool{"conv.weight": what != "frozen", "norm.running_mean": what == "all", "head.weight": true} {
				if same := sameValues(nn.Values(before)[key], nn.Values(after)[key]); same == changes {
					t.Errorf("%s is the same: %v", key, same)
				}
			}
			again := toyConfig(t, t.TempDir(), "epochs=1")
			again.Model = r.BestFile
			if r := mustRun(t, again); r.Best.Val.Top1 < 0.5 {
				t.Errorf("trained again, %v are right", r.Best.Val.Top1)
			}
		})
	}
}

func opened(t *testing.T, path string) nn.Module {
	t.Helper()
	m, err := resnet.Open(path, resnet.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return m.Network()
}

// TestOwnGraphRefuses: what a graph cannot be trained on is an error with what to do;
// where the last layer is not shown, all layers learn at once.
func TestOwnGraphRefuses(t *testing.T) {
	names := toySplits(t).Classes()
	five, two, late := newOwnNet(), newOwnNet(), newOwnNet()
	five.Head, two.Scale, late.late = nn.NewLinear(96, 5), nn.NewLinear(2, 96), true
	own := ownFile(t, newOwnNet(), names...)
	for _, c := range []struct {
		model, want string
		set         []string
	}{
		{ownFile(t, five, "a", "b", "c", "d", "e"), "has 5 classes, and toy:1 has 4", nil},
		{ownFile(t, two, names...), `the input "sensor"`, nil},
		{ownFile(t, newOwnNet(), "a", "b", "c", "d"), "--recipe finetune", nil},
		{own, "pictures of 12x12 pixels", []string{"size=24"}},
		{own, "no parameter", []string{"finetune={freeze: [nothing]}"}},
		{ownFile(t, late, names...), "which layer is the last", []string{"finetune={freeze: [backbone]}"}},
	} {
		cfg := toyConfig(t, t.TempDir(), c.set...)
		cfg.Model = c.model
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.set, err, c.want)
		}
	}
	for want, model := range map[string]string{"which layer is the last": ownFile(t, late, names...), "begins with its weights for a, b, c, d": ownFile(t, newOwnNet(), "a", "b", "c", "d")} {
		var log strings.Builder
		cfg := toyConfig(t, t.TempDir(), "epochs=1", "finetune={backbone_lr: 0.1, warm_head: 1}")
		cfg.Model, cfg.Log.W = model, &log
		if mustRun(t, cfg); !strings.Contains(log.String(), want) {
			t.Errorf("no %q in\n%s", want, log.String())
		}
	}
}
