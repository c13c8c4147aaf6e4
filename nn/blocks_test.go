package nn_test

import (
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// pair has parts, so that it is a block where it is in a Sequential.
type pair struct{ A, B *nn.Linear }

func (p *pair) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Call(p.B, c.Call(p.A, x))
}

type blocky struct {
	Stem   *nn.Linear
	Layers nn.Sequential // of pairs, one of them one level down
	Lone   *pair         // in no Sequential
}

func (b *blocky) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Call(b.Lone, c.Call(b.Layers, c.Call(b.Stem, x)))
}

func TestBlocks(t *testing.T) {
	linear := func() *nn.Linear { return nn.NewLinear(2, 2) }
	two := func() *pair { return &pair{linear(), linear()} }
	m := &blocky{linear(), nn.Sequential{two(), linear(), nn.Sequential{two()}}, two()}
	tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(3, 2)})
	if err != nil {
		t.Fatal(err)
	}
	block, err := tr.Blocks()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"": "", "stem": "", "layers": "", "layers.0": "layers.0", "layers.0.a": "layers.0", "layers.1": "",
		"layers.2": "", "layers.2.0": "layers.2.0", "layers.2.0.b": "layers.2.0", "lone": "", "lone.a": "",
	} {
		if got := block(path); got != want {
			t.Errorf("%q is in block %q, want %q", path, got, want)
		}
	}
	tr, err = nn.Trace(linear(), nn.TraceOptions{Input: graph.F32(3, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Blocks(); err == nil {
		t.Error("a single layer has blocks")
	}
}
