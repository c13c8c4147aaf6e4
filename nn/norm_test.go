package nn_test

import (
	"math"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

type nnValue = *graph.Value

// runRef traces m and runs it by the reference interpreter; it returns the
// output and the new values of what the graph updates.
func runRef(t *testing.T, m nn.Module, x *tensor.Tensor, training bool) (*tensor.Tensor, map[string]*tensor.Tensor) {
	t.Helper()
	tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(x.Shape()...), Training: training})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ref.Run(tr.Graph, nn.Values(m), map[string]*tensor.Tensor{nn.ImageInput: x})
	if err != nil {
		t.Fatal(err)
	}
	updates := map[string]*tensor.Tensor{}
	for _, u := range tr.Graph.Updates {
		updates[u.Variable.Node.Op.(graph.Variable).Label] = r.Value(u.New)
	}
	return r.Value(tr.Output), updates
}

// TestBatchNormForms checks training, inference, frozen and reused batch norms
// on numbers that are easy to follow: one channel with values 1, 3, 5, 7.
func TestBatchNormForms(t *testing.T) {
	x, err := tensor.FromFloat32([]float32{1, 3, 5, 7}, 2, 1, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got float32, want float64) {
		t.Helper()
		if math.Abs(float64(got)-want) > 1e-5 {
			t.Errorf("%s is %g, want %g", what, got, want)
		}
	}
	fresh := func() *nn.BatchNorm {
		bn := nn.NewBatchNorm2d(1)
		if err := nn.Init(bn, 0); err != nil {
			t.Fatal(err)
		}
		bn.RunningMean.Value.Float32s()[0], bn.RunningVar.Value.Float32s()[0] = 2, 4
		bn.Weight.Value.Float32s()[0], bn.Bias.Value.Float32s()[0] = 3, 10
		return bn
	}

	// Training: mean 4, biased variance 5, unbiased 20/3.
	y, up := runRef(t, fresh(), x, true)
	near("training y[0]", y.Float32s()[0], 10+3*(1-4)/math.Sqrt(5+1e-5))
	near("running_mean", up["running_mean"].Float32s()[0], 0.9*2+0.1*4)
	near("running_var", up["running_var"].Float32s()[0], 0.9*4+0.1*20/3)

	// Inference, and frozen in training: running mean 2, variance 4.
	want := 10 + 3*(1-2)/math.Sqrt(4+1e-5)
	y, up = runRef(t, fresh(), x, false)
	near("inference y[0]", y.Float32s()[0], want)
	if len(up) != 0 {
		t.Errorf("inference updates %v", up)
	}
	frozen := nn.Sequential{fresh(), nn.NewReLU()}
	if _, err := nn.Freeze(frozen, "0"); err != nil {
		t.Fatal(err)
	}
	y, up = runRef(t, frozen, x, true)
	near("frozen y[0]", y.Float32s()[0], want)
	if len(up) != 0 {
		t.Errorf("a frozen batch norm updates %v", up)
	}
	tr, err := nn.Trace(frozen, nn.TraceOptions{Input: graph.F32(2, 1, 1, 2), Training: true})
	if err != nil || len(tr.Trainable()) != 0 || len(tr.Counters) != 0 {
		t.Errorf("a frozen batch norm has %v to train, counts %v (%v)", tr.Trainable(), tr.Counters, err)
	}

	// Used twice in one pass: the second use moves on from the first.
	bn := fresh()
	bn.Weight.Value.Float32s()[0], bn.Bias.Value.Float32s()[0] = 1, 0
	_, up = runRef(t, nn.Sequential{bn, bn}, x, true)
	near("running_mean after two uses", up["0.running_mean"].Float32s()[0], 0.9*(0.9*2+0.1*4))
	second := 5 / (5 + 1e-5) * 4 / 3 // unbiased variance of the normalized values
	near("running_var after two uses", up["0.running_var"].Float32s()[0], 0.9*(0.9*4+0.1*20/3)+0.1*second)
}

// TestModulesCompute checks small modules by hand.
func TestModulesCompute(t *testing.T) {
	x, err := tensor.FromFloat32([]float32{1, -2, 3, -4, 5, -6, 7, -8}, 1, 2, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	leaky, err := nn.NewActivation("leaky_relu")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		m    nn.Module
		want []float32
	}{
		{"relu", nn.NewReLU(), []float32{1, 0, 3, 0, 5, 0, 7, 0}},
		{"leaky relu", leaky, []float32{1, -0.02, 3, -0.04, 5, -0.06, 7, -0.08}},
		{"max pool", nn.NewMaxPool2d(2, 2, 0), []float32{3, 7}},
		{"avg pool", nn.NewAvgPool2d(2, 2, 1), []float32{0.25, -0.5, 0.75, -1, 1.25, -1.5, 1.75, -2}},
		{"global", nn.NewGlobalAvgPool(), []float32{-0.5, -0.5}},
		{"adaptive 1", nn.NewAdaptiveAvgPool2d(1, 1), []float32{-0.5, -0.5}},
		{"adaptive 2x1", nn.NewAdaptiveAvgPool2d(2, 1), []float32{-0.5, -0.5, -0.5, -0.5}},
		{"flatten", nn.NewFlatten(), []float32{1, -2, 3, -4, 5, -6, 7, -8}},
		{"residual", &nn.Residual{Main: nn.NewReLU()}, []float32{2, -2, 6, -4, 10, -6, 14, -8}},
		{"residual with all", &nn.Residual{Main: nn.NewIdentity(), Shortcut: nn.NewReLU(), Activation: nn.NewReLU()},
			[]float32{2, 0, 6, 0, 10, 0, 14, 0}},
	} {
		y, _ := runRef(t, c.m, x, false)
		if len(y.Float32s()) != len(c.want) {
			t.Errorf("%s gives %v", c.name, y)
			continue
		}
		for i, w := range c.want {
			if y.Float32s()[i] != w {
				t.Errorf("%s gives %v, want %v", c.name, y.Float32s(), c.want)
				break
			}
		}
	}
	if _, err := nn.NewActivation("relo"); err == nil {
		t.Error("an unknown activation is accepted")
	}
}
