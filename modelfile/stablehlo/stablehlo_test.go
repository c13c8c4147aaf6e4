package stablehlo

import (
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/enginetest"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/train"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a program with testdata/NAME.mlir. That the text means what the graph
// means is checked by the nested module pjrt, which runs it.
func golden(t *testing.T, name string, text []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".mlir")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(text) {
		t.Errorf("%s differs: run go test ./modelfile/stablehlo -update and look at the change", path)
	}
}

// small is a network with everything that a ResNet has.
func small() nn.Module {
	return nn.Sequential{
		nn.NewConv2d(3, 4, 3, nn.Padding(1), nn.Stride(2), nn.NoBias()), nn.NewBatchNorm2d(4), nn.NewReLU(),
		nn.NewMaxPool2d(3, 2, 1), nn.NewGlobalAvgPool(), nn.NewLinear(4, 5),
	}
}

func TestInferenceText(t *testing.T) {
	g, err := infer.Graph(small(), infer.Input{Shape: tensor.Shape{2, 3, 16, 16}}, infer.Query{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Write(g, Options{Name: `a "name"`})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "inference", p.Text)
	if len(p.Arguments) != 8 || p.Arguments[0].Name != nn.ImageInput || p.Arguments[0].Variable || p.Arguments[1].Name != "0.weight" || !p.Arguments[1].Variable {
		t.Errorf("arguments %+v", p.Arguments)
	}
	if len(p.Results) != 1 || p.Results[0].Variable || !p.Results[0].Type.Shape.Equal(tensor.Shape{2, 5}) {
		t.Errorf("results %+v", p.Results)
	}
}

func TestTrainingText(t *testing.T) {
	net := small()
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	g, vars, err := train.StepGraph(net, train.StepOptions{Input: tensor.Shape{2, 3, 16, 16}, Loss: train.CrossEntropy{}, Optimizer: train.SGD{Momentum: 0.9, WeightDecay: 1e-4}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Write(g, Options{Donate: true})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "training", p.Text)
	updated := map[string]bool{}
	for _, r := range p.Results {
		if r.Variable {
			updated[r.Name] = true
		}
	}
	for _, a := range p.Arguments {
		if v, err := vars.Get(a.Name); a.Variable && (err != nil || !v.Shape().Equal(a.Type.Shape)) {
			t.Errorf("%s: %v, %v", a.Name, v, err)
		}
		if a.Variable && !updated[a.Name] {
			t.Errorf("%s is not updated", a.Name)
		}
	}
	if n := strings.Count(string(p.Text), "tf.aliasing_output"); n != len(updated) {
		t.Errorf("%d arguments are donated, want %d", n, len(updated))
	}
}

func TestConstants(t *testing.T) {
	var g graph.Graph
	x, err := g.Input("x", graph.F32(2))
	if err != nil {
		t.Fatal(err)
	}
	v, err := g.Variable("v", graph.F32(2))
	if err != nil {
		t.Fatal(err)
	}
	g.Output("y", g.Must1(graph.Binary{Fn: graph.Mul}, x, v))
	values, err := tensor.FromFloat32([]float32{1, -2.5}, 2)
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Constants: map[string]*tensor.Tensor{"v": values}}
	p, err := Write(&g, opt)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Arguments) != 1 || !strings.Contains(string(p.Text), `dense<"0x0000803F000020C0"> : tensor<2xf32>`) {
		t.Errorf("%+v\n%s", p.Arguments, p.Text)
	}
	if err := g.Assign(v, x); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(&g, opt); err == nil || !strings.Contains(err.Error(), `"v" is updated`) {
		t.Error(err)
	}
}

func TestLiteral(t *testing.T) {
	for f, want := range map[float32]string{0: "0.0e+00", 1: "1.0e+00", -0.1: "-1e-01", 1.5: "1.5e+00", float32(math.Inf(1)): "0x7F800000", math.SmallestNonzeroFloat32: "1.0e-45"} {
		if got := literal(f); got != want && !(f == -0.1 && got == "-1.0e-01") {
			t.Errorf("%g is %s, want %s", f, got, want)
		}
	}
	if got := quote("a\"\\\n猫"); got != `"a\22\5C\0A\E7\8C\AB"` {
		t.Error(got)
	}
}

// TestEveryNetwork writes the inference and the training of every kind of network, and
// checks that each value is defined once, before it is used.
func TestEveryNetwork(t *testing.T) {
	for _, name := range []string{"resnet18", "resnet50", "resnet20-cifar", "wrn-16-4", "preact-resnet20-cifar"} {
		net, err := models.New(name)
		if err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		g, err := infer.Graph(net, infer.Input{Shape: append(tensor.Shape{2}, net.Input()...)}, infer.Query{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Write(g, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		defined(t, name, string(p.Text))
	}
	for _, c := range enginetest.Cases() {
		p, err := Write(c.Graph, Options{Donate: true})
		if none := (*Unsupported)(nil); errors.As(err, &none) {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		defined(t, c.Name, string(p.Text))
	}
}

// defined checks that the values of a text are defined before they are used.
func defined(t *testing.T, name, text string) {
	t.Helper()
	known := map[string]bool{"%a": true, "%b": true, "%c": true}
	for line := range strings.Lines(text) {
		target, rest, isOp := strings.Cut(strings.TrimSpace(line), " = ")
		if !isOp || !strings.HasPrefix(target, "%") {
			rest = line
		}
		for _, word := range strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune(" ,():[]", r) }) {
			switch {
			case !strings.HasPrefix(word, "%"):
			case strings.Contains(line, "func.func"):
				known[word] = true
			case !known[word]:
				t.Fatalf("%s: %s is used before it is defined: %s", name, word, line)
			}
		}
		if isOp && strings.HasPrefix(target, "%") {
			if known[target] && target != "%c" {
				t.Fatalf("%s: %s is defined twice", name, target)
			}
			known[target] = true
		}
	}
}

// TestUnsupported checks that the error names the operator and the module.
func TestUnsupported(t *testing.T) {
	var g graph.Graph
	x, err := g.Input("x", graph.F32(2))
	if err != nil {
		t.Fatal(err)
	}
	g.Output("y", g.Must1(graph.ArgMax{}, x))
	_, err = Write(&g, Options{})
	if none := (*Unsupported)(nil); !errors.As(err, &none) || !strings.Contains(err.Error(), "ArgMax cannot be written") {
		t.Error(err)
	}
	if _, err := Write(new(graph.Graph), Options{}); err == nil {
		t.Error("an empty graph is written")
	}
}
