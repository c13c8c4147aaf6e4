package nn_test

import (
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// TestSummarize checks the rows of a small network with numbers found by hand.
func TestSummarize(t *testing.T) {
	unused := nn.NewLinear(5, 5)
	m := &withSpare{
		Sequential: nn.Sequential{
			nn.NewConv2d(3, 8, 3, nn.Stride(2), nn.Padding(1), nn.NoBias()),
			nn.Sequential{nn.NewBatchNorm2d(8), nn.NewReLU(), nn.NewConv2d(8, 8, 3, nn.Groups(4))},
			nn.NewFlatten(),
			nn.NewLinear(8*6*6, 10),
		},
		Spare: unused,
	}
	rows, err := nn.Summarize(m, graph.F32(2, 3, 16, 16))
	if err != nil {
		t.Fatal(err)
	}
	const conv0, conv1, fc = 2 * 8 * 8 * 8 * 27, 2 * 8 * 6 * 6 * 18, 2 * 10 * 288
	want := []nn.Row{
		{"", "withSpare", 0, tensor.Shape{2, 10}, 216 + 16 + 152 + 2890 + 30, conv0 + conv1 + fc, 4 * (3*1024 + 576 + 20)},
		{"0", "Conv2d", 1, tensor.Shape{2, 8, 8, 8}, 216, conv0, 4 * 1024},
		{"1", "Sequential", 1, tensor.Shape{2, 8, 6, 6}, 16 + 152, conv1, 4 * (2*1024 + 576)},
		{"1.0", "BatchNorm2d", 2, tensor.Shape{2, 8, 8, 8}, 16, 0, 4 * 1024},
		{"1.1", "ReLU", 2, tensor.Shape{2, 8, 8, 8}, 0, 0, 4 * 1024},
		{"1.2", "Conv2d", 2, tensor.Shape{2, 8, 6, 6}, 152, conv1, 4 * 576},
		{"2", "Flatten", 1, tensor.Shape{2, 288}, 0, 0, 0},
		{"3", "Linear", 1, tensor.Shape{2, 10}, 2890, fc, 4 * 20},
		{"spare", "Linear", 1, nil, 30, 0, 0},
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d: %+v", len(rows), len(want), rows)
	}
	for i, w := range want {
		r := rows[i]
		if r.Path != w.Path || r.Kind != w.Kind || r.Depth != w.Depth || !r.Out.Equal(w.Out) ||
			r.Params != w.Params || r.MACs != w.MACs || r.ActivationBytes != w.ActivationBytes {
			t.Errorf("row %d is %+v, want %+v", i, r, w)
		}
	}
	if _, err := nn.Summarize(m, graph.F32(2, 4, 16, 16)); err == nil {
		t.Error("an input of 4 channels is accepted")
	}
}

func TestMACsOfMatMul(t *testing.T) {
	g := &graph.Graph{}
	a, b := g.Const(tensor.New(5, 2, 3)), g.Const(tensor.New(5, 3, 4))
	if n := nn.MACs(g.Must1(graph.MatMul{}, a, b).Node); n != 5*2*3*4 {
		t.Errorf("%d multiply-adds, want %d", n, 5*2*3*4)
	}
	if n := nn.MACs(g.Must1(graph.MatMul{TransA: true}, a, g.Const(tensor.New(5, 2, 7))).Node); n != 5*3*2*7 {
		t.Errorf("%d multiply-adds, want %d", n, 5*3*2*7)
	}
}

// TestConvOptions checks what each option does to the operator and the weight.
func TestConvOptions(t *testing.T) {
	m := nn.NewConv2d(6, 4, 3, nn.KernelHW(5, 1), nn.StrideHW(2, 1), nn.PaddingSides(1, 2, 3, 0), nn.Dilation(2), nn.Groups(2), nn.NoBias())
	want := graph.Conv2d{StrideH: 2, StrideW: 1, PadTop: 1, PadBottom: 2, PadLeft: 3, PadRight: 0, DilationH: 2, DilationW: 2, Groups: 2}
	if m.Op != want || !m.Weight.Shape.Equal(tensor.Shape{4, 3, 5, 1}) || m.Bias != nil {
		t.Errorf("convolution is %+v, weight %v, bias %v", m.Op, m.Weight.Shape, m.Bias)
	}
	m = nn.NewConv2d(6, 4, 3, nn.Stride(2), nn.Padding(1))
	want = graph.Conv2d{StrideH: 2, StrideW: 2, PadTop: 1, PadBottom: 1, PadLeft: 1, PadRight: 1, DilationH: 1, DilationW: 1, Groups: 1}
	if m.Op != want || !m.Weight.Shape.Equal(tensor.Shape{4, 6, 3, 3}) || !m.Bias.Shape.Equal(tensor.Shape{4}) {
		t.Errorf("convolution is %+v, weight %v, bias %v", m.Op, m.Weight.Shape, m.Bias)
	}
}

// TestKinds: the summary names layers as PyTorch does.
func TestKinds(t *testing.T) {
	softmax := nn.Sequential{nn.NewSoftmax(), nn.NewLeakyReLU(0.1)}
	want := []string{"Softmax", "LeakyReLU"}
	for _, name := range nn.ActivationNames() {
		a, err := nn.NewActivation(name)
		if err != nil {
			t.Fatal(err)
		}
		softmax = append(softmax, a)
	}
	want = append(want, "GELU", "HardSigmoid", "HardSwish", "LeakyReLU", "ReLU", "ReLU6", "Sigmoid", "SiLU", "Softplus", "Tanh")
	rows, err := nn.Summarize(append(softmax, nn.NewBatchNorm1d(3)), graph.F32(2, 3))
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range append(want, "BatchNorm1d") {
		if rows[i+1].Kind != w {
			t.Errorf("row %d is a %s, want %s", i+1, rows[i+1].Kind, w)
		}
	}
}
