package models

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// TestFamiliesAgainstPyTorch compares logits, activations, gradients and
// running statistics with those of timm and of PyTorch code after the papers:
// testdata/gen/families.py.
//
// Gradients are those of internal/ref, which is in float64 as the goldens are: in
// float32 an activation next to 0 can fall on the other side of ReLU's kink,
// which moves gradients by up to a percent, differently on each kind of
// processor. TestVariantsByEngineAndReference compares the engine with ref.
func TestFamiliesAgainstPyTorch(t *testing.T) {
	tiny := func(block BlockKind, layers ...int) []Option { return []Option{Blocks(block, layers...)} }
	for _, c := range []struct {
		file, name string
		opts       []Option
	}{
		{"preact_basic", "preresnet14-cifar", nil},
		{"preact_bottleneck", "preresnet164-cifar", tiny(BlockBottleneck, 2, 1, 1)},
		{"wide", "wrn-10-2", nil},
		{"speedrun", "resnet11-speedrun", []Option{Width(16), StemWidth(8)}},
		{"highway", "highway8-cifar", nil},
		{"highway_no_norm", "highway8-cifar", []Option{NoNorm()}},
		{"join_scale", "resnet8-cifar+scale", nil},
		{"join_half", "resnet8-cifar+half", nil},
		{"join_exclusive_gate", "resnet8-cifar+exclusive-gate", nil},
		{"join_shortcut_gate", "resnet8-cifar+shortcut-gate", nil},
		{"shortcut_c", "resnet8-cifar+shortcut-c", nil},
		{"resnet_d", "resnet18d", tiny(BlockBasic, 2, 1, 1, 1)},
		{"se", "seresnet50", tiny(BlockBottleneck, 1, 1, 1, 1)},
		{"eca", "resnet18+eca", tiny(BlockBasic, 1, 1, 1, 1)},
		{"cbam", "resnet18+cbam", tiny(BlockBasic, 1, 1, 1, 1)},
		{"blur_basic", "resnetblur18", tiny(BlockBasic, 1, 1, 1, 1)},
		{"blur_bottleneck", "resnetblur50", tiny(BlockBottleneck, 1, 1, 1, 1)},
	} {
		t.Run(c.file, func(t *testing.T) {
			w := openWhole(t, "families/"+c.file, c.name, slices.Clone(c.opts)...)
			if keys := trainable(w.model); !slices.Equal(slices.Sorted(slices.Values(keys)), slices.Sorted(slices.Values(w.params))) {
				t.Fatalf("parameters are %v, the golden has %v", keys, w.params)
			}
			w.testEval()
			w.testTraining()
			w.testRefGradients()
		})
	}
}

// testTraining compares the engine's forward pass of training.
func (w *whole) testTraining() {
	w.t.Helper()
	tr, vars := w.trace(true), w.vars()
	w.loss(tr)
	r := w.run(tr.Graph, vars, 1, map[string]*tensor.Tensor{"labels": w.want["labels"]})[0]
	golden.Close(w.t, "loss", r["loss"], first(w.want["losses"]), 1e-5, 0)
	w.near("train.logits", r["logits"], w.want["train.logits"], 1e-5)
	w.digests("train.acts", w.stages, output(r), w.want["train.acts"], 1e-5)
	w.digests("running.digest", w.buffers, w.variable(vars), w.want["running.digest"], 1e-5)
}

// testRefGradients compares the gradients that internal/ref computes.
func (w *whole) testRefGradients() {
	w.t.Helper()
	tr, vars := w.trace(true), map[string]*tensor.Tensor{}
	w.loss(tr)
	filled := w.variable(w.vars())
	for _, v := range tr.Params {
		vars[v.Name] = filled(v.Name)
	}
	var wrt []*graph.Value
	for _, v := range tr.Trainable() {
		wrt = append(wrt, v.Value)
	}
	loss := tr.Graph.Outputs[len(tr.Graph.Outputs)-1].Value
	grads, err := tr.Graph.Gradients(loss, wrt)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := ref.Run(tr.Graph, vars, map[string]*tensor.Tensor{nn.ImageInput: w.input, "labels": w.want["labels"]})
	if err != nil {
		w.t.Fatal(err)
	}
	byKey := map[string]*tensor.Tensor{}
	for i, v := range tr.Trainable() {
		byKey[v.Name] = r.Value(grads[i])
	}
	w.digests("grad.digest", w.params, func(name string) *tensor.Tensor { return byKey[name] }, w.want["grad.digest"], 1e-5)
}

func trainable(m nn.Module) []string {
	var keys []string
	for _, e := range nn.Params(m) {
		if e.Param.Trainable() {
			keys = append(keys, e.Name)
		}
	}
	return keys
}

// TestHighwayGates: a highway layer is a plain layer and a gate of the same size
// with a bias.
func TestHighwayGates(t *testing.T) {
	plain, gated := rowsOf(t, "plain20-cifar"), rowsOf(t, "highway20-cifar")
	extra := gated[""].Params - plain[""].Params
	conv := func(in, out int) int { return 9*in*out + out }
	want := 6*conv(16, 16) + conv(16, 32) + 5*conv(32, 32) + conv(32, 64) + 5*conv(64, 64)
	if extra != want {
		t.Errorf("highway gates have %d parameters, want %d", extra, want)
	}
}

func rowsOf(t *testing.T, name string, opts ...Option) map[string]nn.Row {
	t.Helper()
	m, err := New(name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return summary(t, m, m.Config.Input(1))
}

func TestDepth(t *testing.T) {
	for name, want := range map[string]int{
		"resnet18": 18, "resnet50": 50, "resnet50d": 50, "resnet110-cifar": 110, "preresnet164-cifar": 164,
		"preresnet1001-cifar": 1001, "highway56-cifar": 56, "preresnet200": 200,
		"wrn-28-10": 26, // the name counts three projections and not the last layer
	} {
		cfg, err := Lookup(name)
		if err != nil {
			t.Error(err)
		} else if got := cfg.Depth(); got != want {
			t.Errorf("%s has depth %d, want %d", name, got, want)
		}
	}
}

func TestFamilyNames(t *testing.T) {
	for name, want := range map[string]string{
		"preresnet21-cifar":        "6n+2",
		"highway9-cifar":           "6n+2",
		"wrn-27-10":                "6n+4, such as 22 or 28",
		"wrn-28":                   "wrn-DEPTH-WIDTH",
		"wrn-28-0":                 "0 times as wide",
		"preresnet111":             `did you mean "preresnet101"`,
		"seresnt50":                `did you mean "seresnet50"`,
		"resnet20":                 `did you mean "resnet20-cifar"`,
		"highway20":                `did you mean "highway20-cifar"`,
		"resnet50+sse":             `unknown variant "sse"; did you mean "se"`,
		"resnet50+":                "unknown variant",
		"resnet5O+se":              `did you mean "resnet50"`,
		"resnet20-cifar+avg-down":  "avg_down is for the projections",
		"highway20-cifar+preact":   "pre_act is for residual blocks",
		"highway20-cifar+scale":    "join is for residual blocks",
		"plain20-cifar+half":       `join "half" needs a shortcut`,
		"preresnet164-cifar+blur":  "v1",
		"highway20-cifar+plain":    "shortcut none is for residual blocks",
		"resnet50+plain+avg-down":  "avg_down is for the projections",
		"highway20-cifar+blur":     "blur is for residual blocks",
		"wrn-16-4+stochasticdepth": `did you mean "stochastic-depth"`,
	} {
		if _, err := New(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%q): %v, want it to say %q", name, err, want)
		}
	}
	for _, v := range Variants() {
		if _, err := New("resnet50+" + v.Name); err != nil || v.About == "" {
			t.Errorf("%+v: %v", v, err)
		}
	}
	cfg, err := Lookup("wrn-28-10+block-dropout+se+shortcut-gate")
	if err != nil || cfg.BlockDropout != 0.3 || cfg.Attention != AttentionSE || cfg.Join != JoinGate || cfg.GateBias != -6 {
		t.Errorf("variants give %+v, %v", cfg, err)
	}
}

func TestFamilyConfigErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  Option
		want string
	}{
		{"resnet50", Attention("sea"), `did you mean "se"`},
		{"resnet50", Attention("transformer"), "unknown attention"},
		{"resnet50", Join("quarter"), "unknown join"},
		{"resnet50", Reduction(8), "reduction is for"},
		{"seresnet50", Reduction(-1), "reduction is -1"},
		{"resnet50", GateBias(-2), "gate_bias is for"},
		{"highway20-cifar", GateBias(float32(math.NaN())), "gate_bias is NaN"},
		{"highway20-cifar", BlockDropout(0.1), "block_dropout is for residual"},
		{"highway20-cifar", ZeroInit(), "zero_init is for residual"},
		{"highway20-cifar", DropPath(0.1), "drop_path is for residual"},
		{"highway20-cifar", V1(), "for bottleneck"},
		{"resnet50", BlockDropout(1), "block_dropout is 1"},
		{"resnet50", StemWidth(-1), "stem_width is -1"},
		{"resnet50d", StemWidth(1), "deep stem"},
	} {
		if _, err := New(c.name, c.opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one about %q", c.name, err, c.want)
		}
	}
	// Blocks used by themselves report the same when traced.
	for _, c := range []struct {
		m    nn.Module
		want string
	}{
		{&VariantBlock{Block: NewBasicBlock(4, 4, BlockOptions{}), Join: "quarter"}, "unknown join"},
		{NewPreActBasicBlock(4, 4, BlockOptions{Groups: 2}), "bottleneck"},
		{NewVariantBlock(NewBasicBlock(4, 4, BlockOptions{Groups: 2})), "bottleneck"},
		{NewHighwayBlock(4, 4, 0, BlockOptions{Groups: 2}), "highway layer"},
		{NewHighwayBlock(4, 4, 0, BlockOptions{V1: true}), "highway layer"},
		{nn.NewBlurPool2d(2), "2x2 pixels"},
	} {
		if _, err := nn.Trace(c.m, nn.TraceOptions{Input: graph.F32(1, 4, 1, 1)}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T: error %v, want one about %q", c.m, err, c.want)
		}
	}
}

// TestGatesStartAtTheirBias checks the first values of gates.
func TestGatesStartAtTheirBias(t *testing.T) {
	for name, want := range map[string]float32{
		"highway8-cifar": -2, "resnet8-cifar+exclusive-gate": -6, "resnet8-cifar+shortcut-gate": -6,
	} {
		m, err := New(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := nn.Init(m, 1); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, e := range nn.Params(m) {
			if strings.HasSuffix(e.Name, "gate.bias") {
				seen++
				for _, b := range e.Param.Value.Float32s() {
					if b != want {
						t.Fatalf("%s: %s starts at %g, want %g", name, e.Name, b, want)
					}
				}
			}
		}
		if blocks := m.Config.Layers[0] * 3; seen != blocks {
			t.Errorf("%s has %d gates, want %d", name, seen, blocks)
		}
	}
}

// TestDropoutPlaces: block dropout and the dropout of shortcuts are one random
// operator a block each, in training only, and drop elements, not samples.
func TestDropoutPlaces(t *testing.T) {
	for name, want := range map[string]float32{
		"wrn-10-1+block-dropout": 0.3, "resnet8-cifar+block-dropout": 0.3, "resnet8-cifar+shortcut-dropout": 0.5,
	} {
		m, err := New(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, training := range []bool{false, true} {
			tr, err := nn.Trace(m, nn.TraceOptions{Input: m.Config.Input(2), Training: training})
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, node := range tr.Graph.Nodes {
				if d, ok := node.Op.(graph.Dropout); ok {
					n++
					if d.P != want || d.PerSample {
						t.Errorf("%s: %+v, want probability %g", name, d, want)
					}
					// Before the last convolution, or on the block's identity.
					if user := usersOf(tr.Graph, node.Out[0]); len(user) != 1 ||
						(want == 0.3) != strings.HasSuffix(user[0].Path, ".conv2") {
						t.Errorf("%s: the dropout at %s goes to %v", name, node.Path, user)
					}
				}
			}
			if (n == 3) != training || (n == 0) == training {
				t.Errorf("%s, training %v: %d dropouts", name, training, n)
			}
		}
	}
}

func usersOf(g *graph.Graph, v *graph.Value) []*graph.Node {
	var users []*graph.Node
	for _, n := range g.Nodes {
		if slices.Contains(n.In, v) {
			users = append(users, n)
		}
	}
	return users
}
