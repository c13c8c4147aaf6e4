package engine

import (
	"errors"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// adopt returns vars with all its values adopted.
func adopt(t *testing.T, vars *Vars) *Vars {
	t.Helper()
	own := NewVars()
	for _, name := range vars.Names() {
		x, err := vars.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := own.Adopt(name, x); err != nil {
			t.Fatal(err)
		}
	}
	return own
}

// forward compiles the CIFAR network for a batch and returns its logits.
func forward(t *testing.T, vars *Vars, batch int) []float32 {
	t.Helper()
	g, _ := cifarNet(t, 1, batch, false)
	p, err := Compile(g, vars, Options{})
	if err != nil {
		t.Fatal(err)
	}
	y := tensor.New(batch, 10)
	if err := p.Run(cifarInputs(p), []*tensor.Tensor{y}); err != nil {
		t.Fatal(err)
	}
	return y.Float32s()
}

// Adopted values give the same bits as copied ones, and plans for two batch
// sizes share the packed weights.
func TestAdopt(t *testing.T) {
	_, vars := cifarNet(t, 1, 2, false)
	own := adopt(t, vars)
	for _, batch := range []int{2, 3} {
		if got, want := forward(t, own, batch), forward(t, vars, batch); !slices.Equal(got, want) {
			t.Errorf("batch %d: adopted values give %v, copied ones %v", batch, got[:10], want[:10])
		}
	}
	if n := len(own.packs); n != 8 { // 7 convolutions and the linear layer
		t.Errorf("%d packed weights, want 8", n)
	}
	if n := len(vars.packs); n != 0 {
		t.Errorf("%d packed weights of variables that may change are kept", n)
	}

	// What is set later is seen by plans that are compiled later.
	x, err := own.Get("conv1.weight")
	if err != nil {
		t.Fatal(err)
	}
	for i := range x.Float32s() {
		x.Float32s()[i] *= 3
	}
	for _, v := range []*Vars{own, vars} {
		if err := v.Set("conv1.weight", x); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := forward(t, own, 2), forward(t, vars, 2); !slices.Equal(got, want) {
		t.Error("a variable that was set after it was adopted keeps its old value")
	}
}

// A plan that updates adopted variables leaves the adopted tensors alone.
func TestAdoptThenTrain(t *testing.T) {
	g, vars := cifarNet(t, 1, 4, true)
	own := NewVars()
	given := map[string]*tensor.Tensor{}
	for _, name := range vars.Names() {
		x, _ := vars.Get(name)
		given[name] = x
		if err := own.Adopt(name, x); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []*Vars{vars, own} {
		p, err := Compile(g, v, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(cifarInputs(p), nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, x := range given {
		a, _ := vars.Get(name)
		b, _ := own.Get(name)
		if !slices.Equal(a.Float32s(), b.Float32s()) {
			t.Errorf("%s: adopted variables train to other values", name)
		}
		if name == "conv1.weight" && slices.Equal(x.Float32s(), b.Float32s()) {
			t.Error("the adopted tensor was trained in place, or not at all")
		}
	}
}

// deferredVars returns vars with deferred values, all of which read fails for
// if it gives an error, and how many were read.
func deferredVars(t *testing.T, vars *Vars, fail *error) (own *Vars, reads map[string]int) {
	t.Helper()
	own, reads = NewVars(), map[string]int{}
	for _, name := range vars.Names() {
		x, err := vars.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if x.DType() == tensor.Float32 && len(x.Shape()) > 1 {
			values := x
			x, err = tensor.Deferred(func(dst []float32) error {
				reads[name]++
				copy(dst, values.Float32s())
				return *fail
			}, values.Shape()...)
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := own.Adopt(name, x); err != nil {
			t.Fatal(err)
		}
	}
	return own, reads
}

// Plans over deferred values give the same bits as over others, read each
// weight once for all batch sizes and keep none of them.
func TestDeferred(t *testing.T) {
	_, vars := cifarNet(t, 1, 2, false)
	var fail error
	own, reads := deferredVars(t, vars, &fail)
	for _, batch := range []int{2, 3} {
		if got, want := forward(t, own, batch), forward(t, vars, batch); !slices.Equal(got, want) {
			t.Errorf("batch %d: deferred values give %v, copied ones %v", batch, got[:10], want[:10])
		}
	}
	if len(reads) != 8 {
		t.Errorf("%d weights were read, want 8", len(reads))
	}
	for name, n := range reads {
		if n != 1 {
			t.Errorf("%s was read %d times", name, n)
		}
		if !own.m[name].own.Deferred() {
			t.Errorf("%s stays in memory beside its panels", name)
		}
	}
	a, err := own.Get("conv1.weight")
	if err != nil || a.Deferred() {
		t.Fatalf("%v, deferred %v", err, a.Deferred())
	}
	if b, _ := vars.Get("conv1.weight"); !slices.Equal(a.Float32s(), b.Float32s()) {
		t.Error("Get gives other values")
	}

	// Steps that read a deferred constant as it is keep it.
	g := &graph.Graph{}
	x, err := g.Input("x", graph.F32(16, 3, 3, 3))
	if err != nil {
		t.Fatal(err)
	}
	w, err := g.Variable("conv1.weight", graph.F32(16, 3, 3, 3))
	if err != nil {
		t.Fatal(err)
	}
	g.Output("sum", g.Must(graph.Binary{Fn: graph.Add}, x, w)[0])
	g.Output("w", w)
	p, err := Compile(g, own, Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := []*tensor.Tensor{tensor.New(16, 3, 3, 3), tensor.New(16, 3, 3, 3)}
	if err := p.Run([]*tensor.Tensor{tensor.New(16, 3, 3, 3)}, out); err != nil {
		t.Fatal(err)
	}
	for i, y := range out {
		if !slices.Equal(y.Float32s(), a.Float32s()) {
			t.Errorf("output %d is not the constant", i)
		}
	}
}

// A deferred value that cannot be read fails the compilation, and only that.
func TestDeferredFails(t *testing.T) {
	g, _ := cifarNet(t, 1, 2, false)
	training, vars := cifarNet(t, 1, 2, true)
	fail := errors.New("the disk is gone")
	own, _ := deferredVars(t, vars, &fail)
	for what, g := range map[string]*graph.Graph{"inference": g, "training": training} {
		if _, err := Compile(g, own, Options{}); !errors.Is(err, fail) {
			t.Errorf("%s: error %v, want %v", what, err, fail)
		}
	}
	if _, err := own.Get("conv1.weight"); !errors.Is(err, fail) {
		t.Errorf("Get: %v", err)
	}
	if _, err := FoldBatchNorm(g, own); !errors.Is(err, fail) {
		t.Errorf("FoldBatchNorm: %v", err)
	}
	fail = nil
	if got, want := forward(t, own, 2), forward(t, vars, 2); !slices.Equal(got, want) {
		t.Error("after a failure the values are others")
	}
}
