package nn_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

type block struct {
	Conv1, Conv2 *nn.Conv2d
	BN           *nn.BatchNorm
}

func newBlock() *block {
	return &block{nn.NewConv2d(4, 4, 3, nn.Padding(1)), nn.NewConv2d(4, 4, 3, nn.Padding(1)), nn.NewBatchNorm2d(4)}
}

func (b *block) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	y := c.ReLU(c.Call(b.Conv1, x))
	return c.Add(c.Call(b.BN, c.Call(b.Conv2, y)), x)
}

func TestPaths(t *testing.T) {
	m := nn.Sequential{newBlock(), nn.Sequential{newBlock()}, nn.NewGlobalAvgPool(), nn.NewIdentity()}
	tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(2, 4, 8, 8)})
	if err != nil {
		t.Fatal(err)
	}
	at := pathsOf(tr)
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
			t.Errorf("at %q are %v, want %v", path, at[path], want)
		}
	}
	v, err := tr.At("1")
	if err != nil || v.Node.Op.Name() != "Add" {
		t.Errorf("At(1) = %v, %v", v, err)
	}
	if pooled, err := tr.At("2"); err != nil || pooled != tr.Output {
		t.Errorf("At(2) = %v, %v", pooled, err)
	}
	seen := map[string]int{}
	for _, c := range tr.Calls {
		seen[c.Path]++
	}
	for path, n := range seen {
		if n != 1 {
			t.Errorf("%d calls of %q recorded", n, path)
		}
	}
	if _, err := tr.At("0.conv3"); err == nil || !strings.Contains(err.Error(), `"0.conv`) {
		t.Errorf("At of an unknown path gives %v, want the nearest", err)
	}
}

// pathsOf lists the operators at each path, variables left out.
func pathsOf(tr *nn.Traced) map[string][]string {
	at := map[string][]string{}
	for _, n := range tr.Graph.Nodes {
		if _, ok := n.Op.(graph.Variable); !ok {
			at[n.Path] = append(at[n.Path], n.Op.Name())
		}
	}
	return at
}

// empty has no size: Go may give all variables of the type one address.
type empty struct{}

func (*empty) Forward(c *nn.Context, x *graph.Value) *graph.Value { return c.Tanh(x) }

// number is kept by value, so that it has no address.
type number float32

func (n number) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return c.Affine(x, float32(n), 0)
}

// marked has no fields either, but an address.
type marked struct{ nn.Stateless }

func (*marked) Forward(c *nn.Context, x *graph.Value) *graph.Value { return c.Sigmoid(x) }

// caller calls its parts in order.
type caller struct {
	A, B, C nn.Module
	Group   struct{ D nn.Module }
}

func (m *caller) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	for _, part := range []nn.Module{m.A, m.B, m.C, m.Group.D} {
		if part != nil {
			x = c.Call(part, x)
		}
	}
	return x
}

// TestPathsWithoutAddress: a module without an address has the path of its place. Where two places are possible the trace stops with an error
// instead of taking one for the other.
func TestPathsWithoutAddress(t *testing.T) {
	trace := func(m nn.Module) (*nn.Traced, error) {
		return nn.Trace(m, nn.TraceOptions{Input: graph.F32(2, 4)})
	}
	inGroup := &caller{A: &marked{}, B: &marked{}, C: number(2)}
	inGroup.Group.D = &empty{}
	m := nn.Sequential{&empty{}, &empty{}, &caller{A: &empty{}, B: number(2), C: number(3)}, inGroup}
	tr, err := trace(m)
	if err != nil {
		t.Fatal(err)
	}
	at := pathsOf(tr)
	for path, want := range map[string]string{
		"0": "Tanh", "1": "Tanh", "2.a": "Tanh", "2.b": "Affine", "2.c": "Affine",
		"3.a": "Sigmoid", "3.b": "Sigmoid", "3.c": "Affine", "3.group.d": "Tanh",
	} {
		if !slices.Equal(at[path], []string{want}) {
			t.Errorf("at %q are %v, want %s", path, at[path], want)
		}
		if _, err := tr.At(path); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		m    nn.Module
		want []string
	}{
		{&caller{A: &empty{}, B: &empty{}}, []string{"caller", "*nn_test.empty", "a cannot be told from b", "nn.Stateless"}},
		{nn.Sequential{&caller{B: number(2), C: number(2)}}, []string{"0: ", "nn_test.number", "0.b cannot be told from 0.c"}},
	} {
		_, err := trace(c.m)
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v, want it to say %q", err, w)
			}
		}
	}
	empties := &caller{A: nn.Sequential{}, B: nn.Sequential{}, C: nn.NewLinear(4, 2)} // as PyTorch's identities
	if _, err := trace(empties); err != nil {
		t.Error(err)
	}
}

// sum has two inputs.
type sum struct{ nn.Stateless }

func (*sum) Forward(c *nn.Context, _ *graph.Value) *graph.Value {
	c.Failf("a sum needs two inputs")
	return nil
}

type summing struct {
	Linear *nn.Linear
	Sum    *sum
}

func (m *summing) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	y := c.Call(m.Linear, x)
	return c.CallFunc(m.Sum, x, func() *graph.Value { return c.Add(x, y) })
}

// TestCallFunc: a module of two inputs has its path and its call.
func TestCallFunc(t *testing.T) {
	tr, err := nn.Trace(&summing{nn.NewLinear(4, 4), &sum{}}, nn.TraceOptions{Input: graph.F32(2, 4)})
	if err != nil {
		t.Fatal(err)
	}
	if got := pathsOf(tr)["sum"]; !slices.Equal(got, []string{"Add"}) {
		t.Errorf("at sum are %v", got)
	}
	if v, err := tr.At("sum"); err != nil || v != tr.Output {
		t.Errorf("At(sum) = %v, %v", v, err)
	}
}

func TestShapeErrorNamesTheModule(t *testing.T) {
	bad := newBlock()
	bad.Conv2 = nn.NewConv2d(5, 4, 3, nn.Padding(1))
	narrow := newBlock()
	narrow.Conv2 = nn.NewConv2d(4, 4, 3)
	for _, c := range []struct {
		m    nn.Module
		want []string
	}{
		{nn.Sequential{newBlock(), bad}, []string{"1.conv2: Conv2d of float32[2 4 8 8], float32[4 5 3 3]"}},
		{nn.Sequential{newBlock(), narrow}, []string{"1: Add of float32[2 4 6 6], float32[2 4 8 8]"}},
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
