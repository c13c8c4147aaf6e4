package onnx

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// every uses each operator that can be exported and that no network of the
// other tests has.
type every struct {
	Up, W *nn.Param
}

func (m *every) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	n := x.Shape[0]
	a := c.Resize(c.Resize(x, 7, 9, false), 12, 10, true)
	b := c.Op1(graph.Unary{Fn: graph.Rsqrt}, c.Affine(c.Square(a), 2, 0.5))
	b = c.Add(c.Max(b, c.Scalar(0.4)), c.Min(a, c.Log(c.Affine(c.Abs(a), 1, 1))))
	b = c.Sub(b, c.Sqrt(c.Softplus(c.Exp(c.Clip(a, -1, 1)))))
	b = c.Mul(b, c.HardSigmoid(c.LeakyReLU(c.Tanh(a), 0.2)))
	b = c.Div(b, c.Affine(c.Sum(c.Square(b), 1), 1, 1))
	b = c.Concat(1, b, c.BroadcastTo(c.MaxOf(b, 2, 3), b.Shape...))
	b = c.Slice(c.Pad(b, 3, 1, 2), 2, 1, 5, 2)
	up := graph.Conv2dInputGrad{
		Conv: graph.Conv2d{StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilationH: 1, DilationW: 1, Groups: 2},
		X:    tensor.Shape{n, 4, 10, 26},
	}
	b = c.Op1(up, b, c.Param(m.Up))
	b = c.AvgPool2d(b, graph.Window{KernelH: 3, KernelW: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1}, true)
	rows := c.Reshape(c.Permute(b, 0, 2, 3, 1), n, b.Shape[2]*b.Shape[3], 4)
	gram := c.Op1(graph.MatMul{TransA: true}, rows, rows)
	att := c.MatMul(rows, c.Softmax(c.Affine(gram, 0.1, 0)))
	y := c.Op1(graph.MatMul{TransB: true}, c.Op1(graph.Reduce{Fn: graph.Sum, Axes: []int{1}}, att), c.Param(m.W))
	return c.LogSoftmax(y)
}

func newEvery(t testing.TB) *every {
	m := &every{Up: nn.NewParam(nn.Normal(0, 0.3), 6, 2, 3, 3), W: nn.NewParam(nn.Normal(0, 0.3), 5, 4)}
	if err := nn.Init(m, 5); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEveryOperator(t *testing.T) {
	m := newEvery(t)
	x := randomInput(4, 3, 3, 6, 8)
	want := infer(t, m, x)
	var b bytes.Buffer
	if err := Write(&b, m, SaveOptions{Input: tensor.Shape{3, 6, 8}}); err != nil {
		t.Fatal(err)
	}
	back, err := Decode(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if d := difference(t, infer(t, back, x), want); d > 1e-5 {
		t.Errorf("differs by %.2g of the range", d)
	}
}

// TestEveryOnnxruntime has onnxruntime run every operator, and what PyTorch
// exported and we wrote again.
func TestEveryOnnxruntime(t *testing.T) {
	python := ortPython(t)
	path := filepath.Join(t.TempDir(), "m.onnx")
	check := func(name string, m nn.Module, x, want *tensor.Tensor, opt SaveOptions) {
		t.Helper()
		opt.Input = x.Shape()[1:]
		if err := Save(path, m, opt); err != nil {
			t.Fatal(err)
		}
		d := difference(t, runORT(t, python, path, x), want)
		t.Logf("%s: %.2g of the range", name, d)
		if d > 1e-5 {
			t.Errorf("%s: onnxruntime differs by %.2g of the range", name, d)
		}
	}
	every, x := newEvery(t), randomInput(4, 3, 3, 6, 8)
	check("every operator", every, x, infer(t, every, x), SaveOptions{})
	paths, _ := filepath.Glob("testdata/torch/*.onnx")
	for _, p := range paths {
		m, err := Load(p)
		if err != nil {
			t.Fatal(err)
		}
		golden := readTensors(t, strings.TrimSuffix(p, "onnx")+"safetensors")
		check(filepath.Base(p), m, golden["x"], golden["torch"], SaveOptions{KeepBatchNorm: true})
	}
}
