package nn_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

func small() nn.Module {
	return &smallNet{
		Conv1: nn.NewConv2d(3, 4, 3, nn.NoBias()), BN1: nn.NewBatchNorm2d(4),
		Layer1: nn.Sequential{nn.NewConv2d(4, 4, 1), nn.NewBatchNorm2d(4)}, FC: nn.NewLinear(4, 2),
	}
}

type smallNet struct {
	Conv1  *nn.Conv2d
	BN1    *nn.BatchNorm
	Layer1 nn.Sequential
	FC     *nn.Linear
	nn.Identity
}

// Values has the keys of Params that have a value, and shares the values.
func TestValues(t *testing.T) {
	m := small()
	if s := nn.Values(m); len(s) != 0 {
		t.Errorf("a network without values has the state %v", s)
	}
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	s, with := nn.Values(m), 0
	for _, e := range nn.Params(m) {
		if v, ok := s[e.Name]; v != e.Param.Value || ok != (v != nil) {
			t.Errorf("%s is %v, want %v", e.Name, v, e.Param.Value)
		} else if ok {
			with++
		}
	}
	if with == 0 || with != len(s) {
		t.Errorf("%d values, of which %d are the network's", len(s), with)
	}
}

// TestInitDependsOnNameAlone: the same key and seed give the same numbers in
// another model, another key or seed others.
func TestInitDependsOnNameAlone(t *testing.T) {
	a, b := small(), nn.Sequential{nn.NewLinear(2, 2)}
	c := &smallNet{FC: nn.NewLinear(4, 2), Layer1: nn.Sequential{nn.NewConv2d(4, 4, 1)}}
	for _, m := range []nn.Module{a, b, c} {
		if err := nn.Init(m, 7); err != nil {
			t.Fatal(err)
		}
	}
	sa, sc := nn.Values(a), nn.Values(c)
	for _, k := range []string{"fc.weight", "fc.bias", "layer1.0.weight"} {
		if !slices.Equal(sa[k].Float32s(), sc[k].Float32s()) {
			t.Errorf("%s differs between models of one seed", k)
		}
	}
	if slices.Equal(sa["conv1.weight"].Float32s()[:16], sa["layer1.0.weight"].Float32s()) {
		t.Error("two parameters have the same numbers")
	}
	if err := nn.Init(a, 8); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(nn.Values(a)["fc.weight"].Float32s(), sc["fc.weight"].Float32s()) {
		t.Error("two seeds give the same numbers")
	}
	if v := sa["bn1.running_var"].Float32s(); !slices.Equal(v, []float32{1, 1, 1, 1}) {
		t.Errorf("running_var starts at %v", v)
	}
	if n := sa["bn1.num_batches_tracked"]; n.DType() != tensor.Int64 || len(n.Shape()) != 0 {
		t.Errorf("num_batches_tracked is %v", n)
	}
}

// TestInitializers checks mean, deviation and bounds on 36,864 numbers.
func TestInitializers(t *testing.T) {
	const k, c, r = 128, 32, 3 // fan in 288, fan out 1152
	for _, test := range []struct {
		name      string
		init      nn.Initializer
		mean, std float64
		bound     float64 // 0 for none
	}{
		{"HeNormal in", nn.HeNormal(nn.FanIn), 0, math.Sqrt(2. / 288), 0},
		{"HeNormal out", nn.HeNormal(nn.FanOut), 0, math.Sqrt(2. / 1152), 0},
		{"HeUniform in", nn.HeUniform(nn.FanIn), 0, math.Sqrt(2. / 288), math.Sqrt(6. / 288)},
		{"XavierNormal", nn.XavierNormal(), 0, math.Sqrt(2. / 1440), 0},
		{"XavierUniform", nn.XavierUniform(), 0, math.Sqrt(2. / 1440), math.Sqrt(6. / 1440)},
		{"Normal", nn.Normal(3, 0.5), 3, 0.5, 0},
		{"Constant", nn.Constant(2), 2, 0, 2},
		{"TorchWeight", nn.TorchWeight(), 0, math.Sqrt(1. / 3 / 288), math.Sqrt(1. / 288)},
		{"TorchBias", nn.TorchBias(16), 0, math.Sqrt(1. / 3 / 16), 0.25},
	} {
		m := &one{nn.NewParam(test.init, k, c, r, r)}
		if err := nn.Init(m, 3); err != nil {
			t.Fatal(err)
		}
		v := m.W.Value.Float32s()
		var sum, squares, largest float64
		for _, x := range v {
			sum += float64(x)
			squares += float64(x) * float64(x)
			largest = max(largest, math.Abs(float64(x)))
		}
		n := float64(len(v))
		mean := sum / n
		std := math.Sqrt(max(squares/n-mean*mean, 0))
		if math.Abs(mean-test.mean) > 4*test.std/math.Sqrt(n) || math.Abs(std-test.std) > 0.02*test.std {
			t.Errorf("%s: mean %g, deviation %g, want %g, %g", test.name, mean, std, test.mean, test.std)
		}
		if test.bound > 0 && (largest > test.bound || largest < 0.99*test.bound) {
			t.Errorf("%s: largest is %g, want just below %g", test.name, largest, test.bound)
		}
	}
}

type one struct{ W *nn.Param }

func (m *one) Forward(c *nn.Context, x nnValue) nnValue { return c.Mul(x, c.Param(m.W)) }

func TestLoad(t *testing.T) {
	from, to := small(), small()
	if err := nn.Init(from, 1); err != nil {
		t.Fatal(err)
	}
	s := nn.Values(from)
	if _, err := nn.Load(to, s, nn.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	s["fc.bias"].Float32s()[0] = 42
	if nn.Values(to)["fc.bias"].Float32s()[0] == 42 {
		t.Error("Load shares memory with the state")
	}

	// A checkpoint of DataParallel, with another head.
	bad := map[string]*tensor.Tensor{}
	for k, v := range s {
		bad["module."+k] = v
	}
	bad["fc.weight"] = tensor.New(7, 4)
	_, err := nn.Load(to, bad, nn.LoadOptions{})
	var le *weights.FitError
	if !errors.As(err, &le) {
		t.Fatalf("error is %v", err)
	}
	for _, want := range []string{"missing", "conv1.weight (there is module.conv1.weight)", "more", "fc.weight is float32[7 4], the model has float32[2 4]"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if len(le.Missing) != 12 || len(le.Unexpected) != 15 || len(le.Misshapen) != 1 {
		t.Errorf("%d missing, %d unexpected, %d misshapen", len(le.Missing), len(le.Unexpected), len(le.Misshapen))
	}
	if _, err := nn.Load(to, bad, nn.LoadOptions{Partial: true}); err == nil {
		t.Error("a wrong shape is accepted")
	}

	// A part: fine on a model with values, an error on one without.
	delete(s, "fc.weight")
	delete(s, "fc.bias")
	report, err := nn.Load(to, s, nn.LoadOptions{Partial: true})
	if err != nil || !slices.Equal(report.Missing, []string{"fc.weight", "fc.bias"}) || report.Unexpected != nil {
		t.Errorf("report %+v, error %v", report, err)
	}
	fresh := small()
	if _, err := nn.Load(fresh, s, nn.LoadOptions{Partial: true}); err == nil || !strings.Contains(err.Error(), "fc.weight") {
		t.Errorf("error %v, want one about fc.weight", err)
	}
	if nn.Values(fresh)["conv1.weight"] != nil {
		t.Error("the model was changed in spite of the error")
	}

	// Counters may lack.
	old := nn.Values(from)
	delete(old, "bn1.num_batches_tracked")
	if _, err := nn.Load(fresh, old, nn.LoadOptions{}); err != nil {
		t.Error(err)
	}
	if v := nn.Values(fresh)["bn1.num_batches_tracked"]; v == nil || v.Int64s()[0] != 0 {
		t.Errorf("a missing counter becomes %v", v)
	}
}

func TestFreeze(t *testing.T) {
	m := small()
	n, err := nn.Freeze(m, "layer1.", "bn1.weight")
	if err != nil || n != 8 {
		t.Errorf("Freeze = %d, %v, want 8", n, err)
	}
	if got := nn.FrozenNorms(m); !slices.Equal(got, []string{"layer1.1"}) {
		t.Errorf("frozen norms are %v", got)
	}
	for _, e := range nn.Params(m) {
		want := strings.HasPrefix(e.Name, "layer1.") || e.Name == "bn1.weight"
		if e.Param.Frozen != want {
			t.Errorf("%s: frozen is %v", e.Name, e.Param.Frozen)
		}
	}
	if _, err := nn.Unfreeze(m, ""); err != nil || nn.FrozenNorms(m) != nil {
		t.Errorf("after Unfreeze of all: %v, %v", nn.FrozenNorms(m), err)
	}
	for _, prefix := range []string{"layer", "layer2.0", "conv"} {
		if _, err := nn.Freeze(m, "fc", prefix); err == nil || !strings.Contains(err.Error(), prefix) {
			t.Errorf("Freeze(%q): %v", prefix, err)
		}
	}
	for _, e := range nn.Params(m) {
		if e.Param.Frozen {
			t.Errorf("%s was frozen in spite of the error", e.Name)
		}
	}
}

// TestNoDecay: what recipes exclude from weight decay is what PyTorch users
// select by rank below 2.
func TestNoDecay(t *testing.T) {
	for _, e := range nn.Params(small()) {
		if want := len(e.Param.Shape) < 2; !e.Param.Buffer && e.Param.NoDecay != want {
			t.Errorf("%s: no decay is %v", e.Name, e.Param.NoDecay)
		}
	}
}
