package keras

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// run computes a network with its values.
func run(t testing.TB, net nn.Module, x *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	tr, err := nn.Trace(net, nn.TraceOptions{Input: graph.F32(x.Shape()...)})
	if err != nil {
		t.Fatal(err)
	}
	vars := engine.NewVars()
	for _, e := range nn.Params(net) {
		if err := vars.Set(e.Name, e.Param.Value); err != nil {
			t.Fatal(err)
		}
	}
	tr.Graph.Output("y", tr.Output)
	p, err := engine.Compile(tr.Graph, vars, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	y := tensor.New(tr.Output.Shape...)
	if err := p.Run([]*tensor.Tensor{x}, []*tensor.Tensor{y}); err != nil {
		t.Fatal(err)
	}
	return y
}

// difference returns the largest difference relative to the range of want.
func difference(t testing.TB, got, want *tensor.Tensor) float64 {
	t.Helper()
	if !got.Shape().Equal(want.Shape()) {
		t.Fatalf("output %v, want %v", got.Shape(), want.Shape())
	}
	lo, hi, worst := math.Inf(1), math.Inf(-1), 0.0
	for i, w := range want.Float32s() {
		lo, hi = min(lo, float64(w)), max(hi, float64(w))
		if d := math.Abs(float64(got.Float32s()[i]) - float64(w)); !(d <= worst) {
			worst = d
		}
	}
	return worst / (hi - lo)
}

// tolerance is relative to the range of the logits.
const tolerance = 1e-4

// unpacked returns a file of testdata that is compressed there.
func unpacked(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func golden1(t testing.TB, name string) *Model {
	t.Helper()
	b := unpacked(t, name)
	m, err := Read(bytes.NewReader(b), int64(len(b)), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func load1(t testing.TB, path string) *Model {
	t.Helper()
	m, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sameState fails the test unless two models have the same keys and bits.
func sameState(t testing.TB, got, want nn.Module) {
	t.Helper()
	a, b := nn.Params(got), nn.Params(want)
	values := map[string]*tensor.Tensor{}
	for _, e := range a {
		values[e.Name] = e.Param.Value
	}
	if len(a) != len(b) {
		t.Errorf("%d parameters, want %d", len(a), len(b))
	}
	for _, e := range b {
		v := values[e.Name]
		if v == nil || !v.Shape().Equal(e.Param.Value.Shape()) || v.DType() != e.Param.Value.DType() {
			t.Fatalf("%s is %v, want %v", e.Name, v, e.Param.Value)
		}
		if v.DType() == tensor.Int64 {
			continue
		}
		for i, w := range e.Param.Value.Float32s() {
			if math.Float32bits(v.Float32s()[i]) != math.Float32bits(w) {
				t.Fatalf("%s[%d] is %g, want %g", e.Name, i, v.Float32s()[i], w)
			}
		}
	}
}

var small = []struct {
	name    string
	formats []string
	final   string
}{
	{"every_layer", []string{".keras", ".h5"}, "softmax"},
	{"residual", []string{".keras", ".h5", "_keras2.h5"}, "softmax"},
	{"nested", []string{".keras", ".h5"}, "sigmoid"},
	{"shared", []string{".keras"}, ""},
}

// TestGoldens compares with what Keras computed, for each file, and for the
// same model after a way through each of our own formats.
func TestGoldens(t *testing.T) {
	for _, c := range small {
		want, _ := golden.Load(t, "testdata/"+c.name+".safetensors")
		for _, format := range c.formats {
			t.Run(c.name+format, func(t *testing.T) {
				m := golden1(t, c.name+format)
				if m.Final != c.final {
					t.Errorf("final %q, want %q", m.Final, c.final)
				}
				if d := difference(t, run(t, m, want["x"]), want["z"]); !(d <= tolerance) {
					t.Errorf("logits differ by %g of their range", d)
				}
				m.Probabilities = true
				if d := difference(t, run(t, m, want["x"]), want["y"]); !(d <= tolerance) {
					t.Errorf("probabilities differ by %g of their range", d)
				}
				for i, out := range []string{"a.keras", "a.h5", "a.weights.h5"} {
					path := filepath.Join(t.TempDir(), out)
					if err := Save(path, m); err != nil {
						t.Fatal(err)
					}
					again := load1(t, path)
					sameState(t, again, m)
					if again.Final != c.final {
						t.Errorf("%s: final %q, want %q", out, again.Final, c.final)
					}
					if d := difference(t, run(t, again, want["x"]), want["z"]); i == 0 && !(d <= tolerance) {
						t.Errorf("%s: logits differ by %g of their range", out, d)
					}
				}
			})
		}
	}
}

// TestLoadAs reads weights of Keras 3 into a network that is given.
func TestLoadAs(t *testing.T) {
	whole := golden1(t, "residual.keras")
	config, err := whole.Config()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "residual.weights.h5")
	if err := os.WriteFile(path, unpacked(t, "residual.weights.h5"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := LoadAs(path, config)
	if err != nil {
		t.Fatal(err)
	}
	sameState(t, m, whole)
	if _, err := Load(path); !errors.Is(err, ErrArchitecture) {
		t.Errorf("weights without a network: %v", err)
	}
}
