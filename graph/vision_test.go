package graph_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// TestVisionShapeRules is TestShapeRules for the operators of detectors, with indices and
// of normalization by groups.
func TestVisionShapeRules(t *testing.T) {
	roi := graph.RoIAlign{OH: 7, OW: 5, Scale: 0.25, SamplingRatio: 2}
	for _, q := range []struct {
		op   graph.Op
		in   []graph.Type
		want string // the outputs, or a part of the error
	}{
		{roi, []graph.Type{f32(2, 256, 50, 60), f32(1000, 5)}, "float32[1000 256 7 5]"},
		{roi, []graph.Type{f32(2, 256, 50), f32(1000, 5)}, "want an input [N C H W]"},
		{roi, []graph.Type{f32(2, 256, 50, 60), f32(1000, 4)}, "want boxes [K 5] of image index, x1, y1, x2, y2, got [1000 4]"},
		{graph.RoIAlign{OW: 5, Scale: 1}, []graph.Type{f32(2, 3, 5, 6), f32(9, 5)}, "the output is 0x5 bins"},
		{graph.RoIAlign{OH: 1, OW: 5}, []graph.Type{f32(2, 3, 5, 6), f32(9, 5)}, "the scale is 0, must be positive"},
		{graph.RoIAlign{OH: 1, OW: 5, Scale: 1, SamplingRatio: 1000}, []graph.Type{f32(2, 3, 5, 6), f32(9, 5)}, "the sampling ratio is 1000"},
		{graph.RoIAlignGrad{Of: roi, X: tensor.Shape{2, 3, 9, 9}}, []graph.Type{f32(4, 3, 7, 5), f32(4, 5)}, "float32[2 3 9 9]"},
		{graph.RoIAlignGrad{Of: roi, X: tensor.Shape{2, 3, 9, 9}}, []graph.Type{f32(4, 3, 7, 7), f32(4, 5)}, "want a gradient [4 3 7 5], got [4 3 7 7]"},
		{graph.Detach{}, []graph.Type{i64(3)}, "int64[3]"},
		{graph.GroupNorm{Groups: 32}, []graph.Type{f32(2, 64, 3, 3), f32(64), f32(64)}, "float32[2 64 3 3] float32[2 32] float32[2 32]"},
		{graph.GroupNorm{Groups: 3}, []graph.Type{f32(2, 64, 3, 3), f32(64), f32(64)}, "64 channels do not divide into 3 groups"},
		{graph.GroupNorm{}, []graph.Type{f32(2, 64), f32(64), f32(64)}, "into 0 groups"},
		{graph.GroupNorm{Groups: 1, Eps: -1}, []graph.Type{f32(2, 64), f32(64), f32(64)}, "eps is -1"},
		{graph.GroupNormGrad{Groups: 2}, []graph.Type{f32(2, 4), f32(2, 4), f32(4), f32(2, 2), f32(2, 2)}, "float32[2 4] float32[4] float32[4]"},
		{graph.GroupNormGrad{Groups: 2}, []graph.Type{f32(2, 4), f32(2, 4), f32(4), f32(2, 4), f32(2, 2)}, "want statistics [2 2]"},
		{graph.Resize{OH: 3, OW: 4, ScaleH: -1}, []graph.Type{f32(1, 2, 3, 4)}, "the scale is -1"},
		{graph.CrossEntropy{}, []graph.Type{f32(2, 21, 8, 9), i64(2, 8, 9), f32(21)}, "float32[]"},
		{graph.CrossEntropy{}, []graph.Type{f32(2, 21, 8, 9), i64(2, 9, 8)}, "want targets int64[2 8 9] or float32[2 21 8 9], got int64[2 9 8]"},
		{graph.SigmoidFocal{Alpha: 0.25, Gamma: 2}, []graph.Type{f32(9, 4), i64(9), f32(9)}, "float32[]"},
		{graph.SigmoidFocal{}, []graph.Type{f32(9, 4), i64(9, 4)}, "want targets int64[9] or float32[9 4], got int64[9 4]"},
		{graph.SigmoidFocal{}, []graph.Type{f32(9, 4), i64(9), f32(4)}, "want weights float32[9]"},
		{graph.SigmoidFocal{Gamma: -1}, []graph.Type{f32(9, 4), i64(9)}, "gamma is -1"},
		{graph.SigmoidFocalGrad{}, []graph.Type{f32(), f32(9, 4), i64(9)}, "float32[9 4]"},
		{graph.OneHot{Classes: 5}, []graph.Type{i64(2, 3)}, "float32[2 3 5]"},
		{graph.OneHot{Classes: 5}, []graph.Type{f32(2, 3)}, "want int64 labels, got float32[2 3]"},
		{graph.OneHot{}, []graph.Type{i64(2)}, "the number of classes is 0"},
		{graph.Compare{Fn: graph.Less}, []graph.Type{f32(3, 1), f32(4)}, "float32[3 4]"},
		{graph.Compare{Fn: graph.Equal}, []graph.Type{i64(3), i64()}, "float32[3]"},
		{graph.Compare{}, []graph.Type{i64(3), f32(3)}, "int64 and float32 cannot be compared"},
		{graph.Compare{Fn: 9}, []graph.Type{f32(3), f32(3)}, "the comparison CompareFn(9) is unknown"},
		{graph.Where{}, []graph.Type{f32(3, 1), f32(4), f32()}, "float32[3 4]"},
		{graph.Where{}, []graph.Type{f32(3), f32(4), f32()}, "do not broadcast"},
		{graph.ToFloat{}, []graph.Type{i64(3)}, "float32[3]"},
		{graph.ToFloat{}, []graph.Type{f32(3)}, "want int64 numbers"},
		{graph.ToInt{}, []graph.Type{f32(3)}, "int64[3]"},
		{graph.ToInt{}, []graph.Type{i64(3)}, "must be float32"},
		{graph.Gather{Axis: 1}, []graph.Type{f32(2, 5, 3), i64(4, 6)}, "float32[2 4 6 3]"},
		{graph.Gather{Axis: 3}, []graph.Type{f32(2, 5, 3), i64(4)}, "[2 5 3] has no axis 3"},
		{graph.Gather{}, []graph.Type{f32(2, 5, 3), f32(4)}, "want a float32 input and int64 indices"},
		{graph.GatherGrad{Axis: 0, X: tensor.Shape{7, 3}}, []graph.Type{f32(4, 3), i64(4)}, "float32[7 3]"},
		{graph.GatherGrad{Axis: 0, X: tensor.Shape{7, 3}}, []graph.Type{f32(4, 2), i64(4)}, "want a gradient [4 3], got [4 2]"},
		{graph.GatherElements{Axis: 1}, []graph.Type{f32(2, 5), i64(1, 9)}, "float32[1 9]"},
		{graph.GatherElements{Axis: 1}, []graph.Type{f32(2, 5), i64(3, 9)}, "the indices [3 9] reach beyond axis 0 of [2 5]"},
		{graph.GatherElements{}, []graph.Type{f32(2, 5), i64(3)}, "the ranks of the input [2 5] and the indices [3] differ"},
		{graph.GatherElementsGrad{Axis: 1, X: tensor.Shape{2, 5}}, []graph.Type{f32(1, 9), i64(1, 9)}, "float32[2 5]"},
		{graph.TopK{K: 3, Axis: 1}, []graph.Type{f32(2, 5)}, "float32[2 3] int64[2 3]"},
		{graph.TopK{K: 6, Axis: 1}, []graph.Type{f32(2, 5)}, "want a K from 1 to the 5 elements of axis 1 of [2 5], got 6"},
		{graph.TopK{K: 1}, []graph.Type{f32()}, "[] has no axis 0"},
		{graph.ArgMax{Axis: 1}, []graph.Type{f32(2, 5, 3)}, "int64[2 3]"},
		{graph.ArgMax{Axis: 1, Keep: true}, []graph.Type{f32(2, 5, 3)}, "int64[2 1 3]"},
		{graph.ArgMax{}, []graph.Type{i64(2)}, "must be float32"},
	} {
		out, err := q.op.Infer(q.in)
		got := ""
		for _, o := range out {
			got += " " + o.String()
		}
		if err != nil {
			got = err.Error()
		}
		if err == nil && strings.TrimSpace(got) != q.want || err != nil && !strings.Contains(got, q.want) {
			t.Errorf("%s of %v gives %q, want %q", q.op.Name(), q.in, got, q.want)
		}
	}
}

// TestLossMistakes checks that compositions stop with an error that names them.
func TestLossMistakes(t *testing.T) {
	g := &graph.Graph{}
	value := func(name string, typ graph.Type) *graph.Value {
		v, err := g.Input(name, typ)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	a, b, rows := value("a", f32(6, 4)), value("b", f32(6, 5)), value("rows", f32(6))
	labels, image := value("labels", i64(6)), value("image", f32(2, 3, 4, 4))
	for want, build := range map[string]func(){
		"L1Loss of float32[6 4], float32[6 5]: the input and the target must have one shape":    func() { graph.L1Loss(g, a, b, nil) },
		"SmoothL1Loss: beta is -1, must not be negative":                                        func() { graph.SmoothL1Loss(g, a, a, nil, -1) },
		"BCELoss of float32[6 4], float32[6 5]: the logits and the target must have one shape":  func() { graph.BCELoss(g, a, b, nil) },
		"Mul of float32[6 4], float32[6]: shapes":                                               func() { graph.BCELoss(g, a, a, rows) },
		"GIoULoss of float32[6 5], float32[6 5]: want boxes and targets [R 4]":                  func() { graph.GIoULoss(g, b, b, nil, 1e-7) },
		"DiceLoss of float32[2 3 4 4], int64[6]: want logits [N C H W] and labels int64[N H W]": func() { graph.DiceLoss(g, image, labels, 0) },
		"LayerNorm of float32[6 4], float32[6], float32[6]: gamma [6] and beta [6]":             func() { graph.LayerNorm(g, a, rows, rows, 0) },
		"InstanceNorm of float32[6 4]: want an input [N C L] or [N C H W]":                      func() { graph.InstanceNorm(g, a, rows, rows, 0) },
		"PReLU of float32[6 4], float32[6]: want one slope or one for each channel":             func() { graph.PReLU(g, a, rows) },
		"ConvTranspose2d of float32[2 3 4 4], float32[6 4]: want an input [N C H W]":            func() { graph.ConvTranspose2d{}.Apply(g, image, a, nil) },
	} {
		err := graph.Try(build)
		var e *graph.Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestNoGradientThrough checks where gradients stop, and how a mistake is reported.
func TestNoGradientThrough(t *testing.T) {
	g := &graph.Graph{}
	x, err := g.Input("x", f32(2, 3, 5, 5))
	if err != nil {
		t.Fatal(err)
	}
	boxes := g.Must1(graph.Reshape{Shape: tensor.Shape{30, 5}}, x)
	roi := graph.RoIAlign{OH: 2, OW: 2, Scale: 1}
	sum := func(v *graph.Value) *graph.Value { return g.Must1(graph.Reduce{Fn: graph.Sum}, v) }
	if _, err := g.Gradients(sum(g.Must1(roi, x, boxes)), []*graph.Value{x}); err == nil || !strings.Contains(err.Error(), "RoIAlign: the boxes have no gradient: apply Detach to them") {
		t.Errorf("got %v", err)
	}
	if _, err := g.Gradients(sum(g.Must1(roi, x, g.Must1(graph.Detach{}, boxes))), []*graph.Value{x}); err != nil {
		t.Error(err)
	}
	// Through integers and comparisons flows nothing: the gradient is zeros.
	for _, v := range []*graph.Value{
		g.Must1(graph.ToFloat{}, g.Must1(graph.ArgMax{Axis: 1}, x)), g.Must1(graph.Compare{}, x, g.Scalar(0)), g.Must1(graph.Detach{}, x),
	} {
		d, err := g.Gradients(sum(v), []*graph.Value{x})
		if err != nil {
			t.Error(err)
		} else if _, zeros := d[0].Node.Op.(graph.BroadcastTo); !zeros {
			t.Errorf("the gradient through %v is %v", v.Node, d[0].Node)
		}
	}
}
