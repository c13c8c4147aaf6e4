package onnx

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// everyVision uses each operator of detectors, with indices and of normalization by
// groups that can be exported.
type everyVision struct {
	Up                 *nn.ConvTranspose2d
	Groups, Pairs      *nn.GroupNorm
	Each               *nn.InstanceNorm2d
	Layer              *nn.LayerNorm
	PReLU              *nn.PReLU
	Attention          *nn.MultiheadAttention
	Half, Near, Uneven *nn.Upsample
	Head               *nn.Linear
}

func newEveryVision(t testing.TB) *everyVision {
	m := &everyVision{
		Up: nn.NewConvTranspose2d(3, 6, 3, 2), Groups: nn.NewGroupNorm(2, 6), Pairs: nn.NewGroupNorm(3, 6), Each: nn.NewInstanceNorm2d(6, true),
		Layer: nn.NewLayerNorm(6), PReLU: nn.NewPReLU(6), Attention: nn.NewMultiheadAttention(6, 2),
		Half: nn.NewUpsample(0.5, true), Near: nn.NewUpsample(1.5, false), Uneven: &nn.Upsample{Height: 5, Width: 7}, Head: nn.NewLinear(6, 4),
	}
	m.Up.Op.PadH, m.Up.Op.OutputPadH, m.Up.Op.PadW = 1, 1, 1
	if err := nn.Init(m, 5); err != nil {
		t.Fatal(err)
	}
	for _, e := range nn.Params(m) { // not the ones and zeros of a start
		for i := range e.Param.Value.Float32s() {
			e.Param.Value.Float32s()[i] += 0.1 * float32(i%5)
		}
	}
	return m
}

func (m *everyVision) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	y := c.Call(m.PReLU, c.Call(m.Each, c.Call(m.Groups, c.Call(m.Up, x))))
	y = c.Call(m.Uneven, c.Call(m.Near, c.Call(m.Half, y)))
	mean := c.Mean(y, 2, 3)
	y = c.Where(c.Compare(graph.Greater, y, mean), y, c.Affine(mean, 0.5, 0))
	y = c.Mul(y, c.Compare(graph.NotEqual, y, mean))
	// The boxes do not follow the batch: they are of its first image.
	boxes := tensor.New(4, 5)
	copy(boxes.Float32s(), []float32{0, 1, 2, 9, 8, 0, -3, 0, 30, 12, 0, 5, 5, 5.5, 5.2, 0, 0, 0, 3, 3})
	for _, op := range []graph.RoIAlign{{OH: 2, OW: 3, Scale: 0.5, SamplingRatio: 2}, {OH: 2, OW: 3, Scale: 0.5, Aligned: true}} {
		roi := c.Mean(c.RoIAlign(y, c.Const(boxes), op), 0, 2, 3)
		y = c.Add(y, c.Detach(roi))
	}
	n, size := y.Shape[0], y.Shape[2]*y.Shape[3]
	rows := c.Call(m.Layer, c.Permute(c.Reshape(y, n, 6, size), 0, 2, 1))
	rows = c.Call(m.Attention, rows)
	best, at := c.TopK(rows, 5, 1)
	best = c.Add(best, c.GatherElements(rows, at, 1))
	best = c.Add(best, c.Affine(c.ToFloat(at), 0.01, 0))
	index := tensor.NewInt64(3)
	copy(index.Int64s(), []int64{4, 0, 2})
	picked := c.Reshape(c.Gather(best, c.Const(index), 1), n*3, 6)
	picked = c.Call(m.Pairs, picked)
	logits := c.Call(m.Head, picked)
	hot := c.OneHot(c.ArgMax(logits, 1), 4)
	whole := c.ToFloat(c.Op1(graph.ToInt{}, c.Affine(logits, 10, 0)))
	logits = c.Add(c.Add(logits, hot), c.Affine(whole, 0.1, 0))
	return c.Reshape(c.Mean(c.Reshape(logits, n, 3, 4), 1), n, 4)
}

func TestEveryVisionOperator(t *testing.T) {
	m := newEveryVision(t)
	x := randomInput(4, 2, 3, 6, 8)
	want := infer(t, m, x)
	for _, batch := range []int{0, 2} {
		var b bytes.Buffer
		if err := Write(&b, m, SaveOptions{Input: tensor.Shape{3, 6, 8}, Batch: batch}); err != nil {
			t.Fatal(err)
		}
		back, err := Decode(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if d := difference(t, infer(t, back, x), want); d > 1e-5 {
			t.Errorf("batch %d: differs by %.2g of the range", batch, d)
		}
	}
}

func TestEveryVisionOnnxruntime(t *testing.T) {
	python := ortPython(t)
	m, x := newEveryVision(t), randomInput(4, 2, 3, 6, 8)
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := Save(path, m, SaveOptions{Input: x.Shape()[1:]}); err != nil {
		t.Fatal(err)
	}
	if d := difference(t, runORT(t, python, path, x), infer(t, m, x)); d > 1e-5 {
		t.Errorf("onnxruntime differs by %.2g of the range", d)
	}
}
