package nn_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// block calls its parts in either style.
type block struct {
	Conv1, Conv2 *nn.Conv2d
	BN           *nn.BatchNorm
	Direct       bool
}

func newBlock(direct bool) *block {
	return &block{nn.NewConv2d(4, 4, 3, nn.Padding(1)), nn.NewConv2d(4, 4, 3, nn.Padding(1)), nn.NewBatchNorm2d(4), direct}
}

func (b *block) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	if b.Direct {
		return c.Add(b.BN.Forward(c, b.Conv2.Forward(c, c.ReLU(b.Conv1.Forward(c, x)))), x)
	}
	y := c.ReLU(c.Call(b.Conv1, x))
	return c.Add(c.Call(b.BN, c.Call(b.Conv2, y)), x)
}

func TestPathsInBothStyles(t *testing.T) {
	for _, direct := range []bool{false, true} {
		m := nn.Sequential{newBlock(direct), nn.Sequential{newBlock(direct)}, nn.NewGlobalAvgPool(), nn.NewIdentity()}
		tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(2, 4, 8, 8)})
		if err != nil {
			t.Fatal(err)
		}
		at := map[string][]string{}
		for _, n := range tr.Graph.Nodes {
			if _, ok := n.Op.(graph.Variable); !ok {
				at[n.Path] = append(at[n.Path], n.Op.Name())
			}
		}
		for path, want := range map[string][]string{
			"":          {"Input"},
			"0":         {"Relu", "Add"},
			"0.conv1":   {"Conv2d"},
			"0.conv2":   {"Conv2d"},
			"0.bn":      {"BatchNorm"},
			"1.0":       {"Relu", "Add"},
			"1.0.conv1": {"Conv2d"},
			"2":         {"ReduceMean"},
		} {
			if !slices.Equal(at[path], want) {
				t.Errorf("direct %v: at %q are %v, want %v", direct, path, at[path], want)
			}
		}
		v, err := tr.At("1")
		if err != nil || v.Node.Op.Name() != "Add" {
			t.Errorf("direct %v: At(1) = %v, %v", direct, v, err)
		}
		if pooled, err := tr.At("2"); err != nil || pooled != tr.Output {
			t.Errorf("direct %v: At(2) = %v, %v", direct, pooled, err)
		}
		seen := map[string]int{}
		for _, c := range tr.Calls {
			seen[c.Path]++
		}
		for path, n := range seen {
			if n != 1 {
				t.Errorf("direct %v: %d calls of %q recorded", direct, n, path)
			}
		}
		if _, err := tr.At("0.conv3"); err == nil || !strings.Contains(err.Error(), `"0.conv`) {
			t.Errorf("At of an unknown path gives %v, want the nearest", err)
		}
	}
}

func TestShapeErrorNamesTheModule(t *testing.T) {
	bad := newBlock(false)
	bad.Conv2 = nn.NewConv2d(5, 4, 3, nn.Padding(1))
	narrow := newBlock(false)
	narrow.Conv2 = nn.NewConv2d(4, 4, 3)
	for _, c := range []struct {
		m    nn.Module
		want []string
	}{
		{nn.Sequential{newBlock(false), bad}, []string{"1.conv2: Conv2d of float32[2 4 8 8], float32[4 5 3 3]"}},
		{nn.Sequential{newBlock(false), narrow}, []string{"1: Add of float32[2 4 6 6], float32[2 4 8 8]"}},
		{nn.Sequential{nn.NewConv2d(4, 6, 3, nn.Groups(4))}, []string{"0: Conv2d", "groups"}},
		{nn.Sequential{nn.NewConv2d(4, 6, 3, nn.Groups(0))}, []string{"0: Conv2d", "at least 1"}},
		{nn.Sequential{nn.NewLinear(4, 2)}, []string{"0: Linear", "flatten"}},
		{nn.Sequential{nn.NewReLU(), nn.NewBatchNorm1d(4)}, []string{"1: BatchNorm1d", "rank 2"}},
		{nn.Sequential{nn.NewReLU(), nil}, []string{"module 1 is nil"}},
		{nn.Sequential{nn.NewAdaptiveAvgPool2d(3, 3)}, []string{"0: AdaptiveAvgPool2d", "3x3"}},
		{nn.Sequential{nn.NewGlobalAvgPool(), nn.NewGlobalAvgPool()}, []string{"1: GlobalAvgPool", "[2 4]"}},
		{nn.Sequential{nn.NewDropout(1)}, []string{"0: Dropout", "[0, 1)"}},
		{&foreign{}, []string{"no exported field"}},
	} {
		_, err := nn.Trace(c.m, nn.TraceOptions{Input: graph.F32(2, 4, 8, 8), Training: true})
		var ge *graph.Error
		if !errors.As(err, &ge) {
			t.Errorf("%v: %v is no *graph.Error", c.want, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error %q does not say %q", err, w)
			}
		}
	}
}

type foreign struct{}

func (*foreign) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Mul(x, c.Param(nn.NewParam(nil, 1)))
}

type panics struct{}

func (*panics) Forward(*nn.Context, *graph.Value) *graph.Value { panic("my own") }

func TestOtherPanicsPassThrough(t *testing.T) {
	defer func() {
		if r := recover(); r != "my own" {
			t.Errorf("recovered %v", r)
		}
	}()
	_, err := nn.Trace(&panics{}, nn.TraceOptions{Input: graph.F32(1)})
	t.Errorf("Trace returned %v", err)
}

func TestTraceReports(t *testing.T) {
	spare := nn.NewLinear(4, 4)
	m := &withSpare{Sequential: nn.Sequential{nn.NewConv2d(3, 4, 1), nn.NewBatchNorm2d(4), nn.NewGlobalAvgPool()}, Spare: spare}
	tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(2, 3, 4, 4), Training: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"spare.weight", "spare.bias"}; !slices.Equal(tr.Unused, want) {
		t.Errorf("unused %v, want %v", tr.Unused, want)
	}
	if want := []string{"1.num_batches_tracked"}; !slices.Equal(tr.Counters, want) {
		t.Errorf("counters %v, want %v", tr.Counters, want)
	}
	var names []string
	for _, v := range tr.Trainable() {
		names = append(names, v.Name)
	}
	if want := []string{"0.weight", "0.bias", "1.weight", "1.bias"}; !slices.Equal(names, want) {
		t.Errorf("trainable %v, want %v", names, want)
	}
	if tr.RNG != nil {
		t.Error("random numbers are asked for by a model that has none")
	}
	if len(tr.Graph.Updates) != 2 {
		t.Errorf("%d updates, want the mean and the variance", len(tr.Graph.Updates))
	}
}

type withSpare struct {
	nn.Sequential
	Spare *nn.Linear
}

// TestTraceIntoGraph traces two models one after the other into one graph.
func TestTraceIntoGraph(t *testing.T) {
	g := &graph.Graph{}
	first, err := nn.Trace(nn.Sequential{nn.NewLinear(3, 4)}, nn.TraceOptions{Graph: g, Input: graph.F32(2, 3)})
	if err != nil {
		t.Fatal(err)
	}
	head := &nn.Residual{Main: nn.NewIdentity(), Activation: nn.NewLinear(4, 5)}
	second, err := nn.Trace(head, nn.TraceOptions{Graph: g, X: first.Output})
	if err != nil {
		t.Fatal(err)
	}
	if second.Graph != g || second.Input != first.Output || second.Output.Shape[1] != 5 {
		t.Errorf("the second model is %v of %v", second.Output, second.Input)
	}
	if _, err := nn.Trace(head, nn.TraceOptions{X: first.Output}); err == nil {
		t.Error("an input value without its graph is accepted")
	}
}

// TestDropoutKeys: each dropout has its own key, which stays when the model
// around it changes.
func TestDropoutKeys(t *testing.T) {
	keysOf := func(m nn.Module) map[string]uint32 {
		tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(2, 3), Training: true})
		if err != nil {
			t.Fatal(err)
		}
		if tr.RNG == nil {
			t.Fatal("no random numbers asked for")
		}
		ks := map[string]uint32{}
		for _, n := range tr.Graph.Nodes {
			if d, ok := n.Op.(graph.Dropout); ok {
				ks[n.Path] = d.Key
				if d.PerSample != (n.Path == "1") {
					t.Errorf("%s: per sample is %v", n.Path, d.PerSample)
				}
			}
		}
		return ks
	}
	a := keysOf(nn.Sequential{nn.NewDropout(0.5), nn.NewStochasticDepth(0.2), nn.NewReLU()})
	b := keysOf(nn.Sequential{nn.NewDropout(0.3), nn.NewStochasticDepth(0.2), nn.NewDropout(0.1)})
	if a["0"] == a["1"] || b["2"] == b["0"] || a["0"] != b["0"] || a["1"] != b["1"] {
		t.Errorf("keys are %v and %v", a, b)
	}
	twice := nn.NewDropout(0.5)
	tr, err := nn.Trace(nn.Sequential{twice, twice}, nn.TraceOptions{Input: graph.F32(2, 3), Training: true})
	if err != nil {
		t.Fatal(err)
	}
	var both []uint32
	for _, n := range tr.Graph.Nodes {
		if d, ok := n.Op.(graph.Dropout); ok {
			both = append(both, d.Key)
		}
	}
	if len(both) != 2 || both[0] == both[1] {
		t.Errorf("a dropout used twice has keys %v", both)
	}
	ev, err := nn.Trace(nn.Sequential{nn.NewDropout(0.5)}, nn.TraceOptions{Input: graph.F32(2, 3)})
	if err != nil || ev.Output != ev.Input || ev.RNG != nil {
		t.Errorf("at inference dropout is %v, %v", ev.Output, err)
	}
}
