package engine_test

import (
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/cpu"
	"github.com/resnet-go/resnet/internal/enginetest"
	"github.com/resnet-go/resnet/tensor"
)

func TestParseBF16(t *testing.T) {
	for _, b := range []engine.BF16{engine.BF16Off, engine.BF16Native, engine.BF16Emulated} {
		if got, err := engine.ParseBF16(b.String()); err != nil || got != b {
			t.Errorf("ParseBF16(%q) = %v, %v", b, got, err)
		}
	}
	if b, err := engine.ParseBF16(""); err != nil || b != engine.BF16Off {
		t.Errorf("ParseBF16 of nothing = %v, %v", b, err)
	}
	if _, err := engine.ParseBF16("true"); err == nil || !strings.Contains(err.Error(), "native, emulate or off") {
		t.Errorf("ParseBF16(true): %v", err)
	}
}

// Without the instructions, native bfloat16 is an error that names them, and
// never something else instead.
func TestBF16NeedsTheProcessor(t *testing.T) {
	_, err := engine.Compile(&graph.Graph{}, engine.NewVars(), engine.Options{BF16: engine.BF16Native})
	if cpu.AVX512BF16 && engine.BF16Native.Check() == nil {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), "AVX512-BF16") || !strings.Contains(err.Error(), "bf16=emulate") {
		t.Errorf("got %v", err)
	}
}

func TestBF16SameBitsAtAnyWorkers(t *testing.T) {
	opt := engine.Options{BF16: engine.BF16Emulated}
	enginetest.SameBits(t, compilerWith(opt, 1, false), compilerWith(opt, 3, true))
}

// Where Winograd's algorithm of float32 products takes less time than the sum of
// bfloat16 products, it is chosen, unless answers must be exact.
func TestBF16Algorithms(t *testing.T) {
	conv := func(opt engine.Options) (algorithms []string) {
		g := &graph.Graph{}
		x, err := g.Input("x", graph.F32(1, 64, 28, 28))
		if err != nil {
			t.Fatal(err)
		}
		op := graph.Conv2d{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilationH: 1, DilationW: 1, Groups: 1}
		w := g.Const(tensor.New(64, 64, 3, 3))
		g.Output("y", g.Must1(op, x, w))
		g.Output("x.grad", g.Must1(graph.Conv2dInputGrad{Conv: op, X: x.Shape}, x, w))
		g.Output("w.grad", g.Must1(graph.Conv2dWeightGrad{Conv: op, W: w.Shape}, x, x))
		p, err := engine.Compile(g, engine.NewVars(), opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Steps() {
			if s.Algorithm != "" {
				algorithms = append(algorithms, s.Algorithm)
			}
		}
		return algorithms
	}
	if a := strings.Join(conv(engine.Options{Fast: true}), ", "); strings.Count(a, "winograd") != 3 {
		t.Errorf("float32: %s", a)
	}
	if a := strings.Join(conv(engine.Options{Fast: true, BF16: engine.BF16Emulated}), ", "); strings.Count(a, "winograd") != 3 {
		t.Errorf("bfloat16: %s", a)
	}
	if a := strings.Join(conv(engine.Options{BF16: engine.BF16Emulated}), ", "); a != "direct bf16, direct bf16, direct bf16" {
		t.Errorf("exact bfloat16: %s", a)
	}
}
