package engine

import (
	"slices"
	"testing"

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
