package nn_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

func keys(m nn.Module) []string {
	var ks []string
	for _, e := range nn.Params(m) {
		ks = append(ks, e.Name)
	}
	return ks
}

// everything has each kind of field that can hold parameters.
type everything struct {
	base
	Head       *nn.Linear
	Scale      *nn.Param
	BN1        *nn.BatchNorm
	FCLayer    nn.Module
	Conv2d1a   *nn.Conv2d
	Branches   []nn.Module
	ByValue    inner
	Values     []inner
	Named      map[string]nn.Module
	Group      *group
	Gains      [2]*nn.Param
	Renamed    nn.Module `key:"other"`
	Hidden     nn.Module `key:"-"`
	Absent     nn.Module
	AbsentSeq  nn.Sequential
	unexported int
}

func (m *everything) Forward(*nn.Context, *graph.Value) *graph.Value { return nil }

type base struct{ Shared *nn.Param }

type inner struct{ W *nn.Param }

func (m *inner) Forward(*nn.Context, *graph.Value) *graph.Value { return nil }

// group has another Forward than Module's.
type group struct{ A, B *nn.Param }

func (g *group) Forward(a, b int) int { return a + b }

func param() *nn.Param { return nn.NewParam(nil, 2) }

func TestKeys(t *testing.T) {
	m := &everything{
		base: base{param()}, Head: nn.NewLinear(2, 2), Scale: param(), BN1: nn.NewBatchNorm2d(2),
		FCLayer: nn.NewLinear(2, 2), Conv2d1a: nn.NewConv2d(1, 1, 1, nn.NoBias()),
		Branches: []nn.Module{nn.Sequential{nn.NewReLU(), &inner{param()}}, nil, &inner{param()}},
		ByValue:  inner{param()}, Values: []inner{{param()}, {nil}},
		Named: map[string]nn.Module{"b": &inner{param()}, "a": &inner{param()}},
		Group: &group{A: param()}, Gains: [2]*nn.Param{nil, param()},
		Renamed: &inner{param()}, Hidden: &inner{param()}, unexported: 1,
	}
	want := []string{
		"shared", "scale", "group.a", "gains.1", // own parameters first
		"head.weight", "head.bias",
		"bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var", "bn1.num_batches_tracked",
		"fc_layer.weight", "fc_layer.bias", "conv2d1a.weight",
		"branches.0.1.w", "branches.2.w", "by_value.w", "values.0.w", "named.a.w", "named.b.w", "other.w",
	}
	if got := keys(m); !slices.Equal(got, want) {
		t.Errorf("keys are\n%v, want\n%v", got, want)
	}
	if err := nn.Check(m); err != nil {
		t.Error(err)
	}
	paths := []string{}
	for p := range nn.Modules(m) {
		paths = append(paths, p)
	}
	wantPaths := []string{
		"", "head", "bn1", "fc_layer", "conv2d1a", "branches.0", "branches.0.0", "branches.0.1", "branches.2",
		"by_value", "values.0", "values.1", "named.a", "named.b", "other",
	}
	if !slices.Equal(paths, wantPaths) {
		t.Errorf("modules are\n%v, want\n%v", paths, wantPaths)
	}
}

type wrapper struct {
	nn.Module
	Note string
}

// TestEmbeddedModule: what a wrapper embeds keeps its keys, and rows of a
// summary are not doubled.
func TestEmbeddedModule(t *testing.T) {
	m := &wrapper{Module: nn.Sequential{nn.NewLinear(3, 2)}}
	if got := keys(m); !slices.Equal(got, []string{"0.weight", "0.bias"}) {
		t.Errorf("keys are %v", got)
	}
	rows, err := nn.Summarize(m, graph.F32(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || rows[0].Params != 8 || rows[0].MACs != 6 {
		t.Errorf("rows are %+v", rows)
	}
}

type clash struct {
	A *nn.Param
	B *nn.Param `key:"a"`
}

func (m *clash) Forward(*nn.Context, *graph.Value) *graph.Value { return nil }

type secret struct{ conv *nn.Conv2d }

func (m *secret) Forward(*nn.Context, *graph.Value) *graph.Value { return nil }

type loop struct{ Next nn.Module }

func (m *loop) Forward(*nn.Context, *graph.Value) *graph.Value { return nil }

func TestCheckNamesTheField(t *testing.T) {
	ring := &loop{}
	ring.Next = nn.Sequential{ring}
	for _, c := range []struct {
		m    nn.Module
		want []string
	}{
		{&clash{param(), param()}, []string{"a: two parameters"}},
		{&secret{nn.NewConv2d(1, 1, 1)}, []string{"conv", "not exported"}},
		{ring, []string{"next.0", "inside itself"}},
		{nn.Sequential{nn.NewLinear(0, 4)}, []string{"0.weight", "[4 0]"}},
		{(*loop)(nil), []string{"nil"}},
		{nil, []string{"nil"}},
	} {
		err := nn.Check(c.m)
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("Check(%T) = %v, want it to say %q", c.m, err, w)
			}
		}
		if initErr := nn.Init(c.m, 1); initErr == nil {
			t.Errorf("Init(%T) accepts what Check refuses", c.m)
		}
		if _, loadErr := nn.Load(c.m, map[string]*tensor.Tensor{}, nn.LoadOptions{Partial: true}); loadErr == nil {
			t.Errorf("Load(%T) accepts what Check refuses", c.m)
		}
		if _, traceErr := nn.Trace(c.m, nn.TraceOptions{Input: graph.F32(1, 4)}); traceErr == nil {
			t.Errorf("Trace(%T) accepts what Check refuses", c.m)
		}
	}
}

// TestTiedParameters: a parameter in two places has two keys, one variable and
// is counted once.
func TestTiedParameters(t *testing.T) {
	a, b := nn.NewLinear(3, 3), nn.NewLinear(3, 3)
	b.Weight = a.Weight
	m := nn.Sequential{a, b}
	if got := keys(m); !slices.Equal(got, []string{"0.weight", "0.bias", "1.weight", "1.bias"}) {
		t.Errorf("keys are %v", got)
	}
	if n := nn.NumParams(m); n != 9+3+3 {
		t.Errorf("%d parameters, want 15", n)
	}
	tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(1, 3)})
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.Params) != 3 || len(tr.Unused) != 0 {
		t.Errorf("params %v, unused %v", tr.Params, tr.Unused)
	}
}
