package engine_test

import (
	"slices"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// The caller has an output, in the public order, while the plan computes later ones, and
// the plan does not keep its memory for it.
func TestStream(t *testing.T) {
	const n = 6
	g := &graph.Graph{}
	v, err := g.Input("x", graph.F32(2, 3, 4, 4))
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.New(2, 3, 4, 4)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(i)
	}
	var given []int
	checks := true
	out := make([]*tensor.Tensor, n)
	want := func(i int) []float32 { // of output i, x and the doublings after it
		y := slices.Clone(x.Float32s())
		for j := range y {
			for range n - i {
				y[j] *= 2
			}
		}
		return y
	}
	values := make([]*graph.Value, n)
	for i := n - 1; i >= 0; i-- { // the last output is computed first
		later := hostFunc(func(x, y []float32) error {
			copy(y, x)
			if !checks {
				return nil
			}
			for k, o := range given {
				if o != n-1-k || !slices.Equal(out[o].Float32s(), want(o)) {
					t.Errorf("output %d, the %d-th to be ready, is %v", o, k, out[o].Float32s())
				}
			}
			if len(given) != n-1-i {
				t.Errorf("%d outputs are ready before output %d is computed", len(given), i)
			}
			return nil
		})
		v = g.Must1(graph.Affine{Scale: 2}, g.Must1(later, v))
		values[i] = v
	}
	for i, v := range values {
		g.Output(string(rune('a'+i)), v)
		out[i] = tensor.New(2, 3, 4, 4)
	}
	p, err := engine.Compile(g, engine.NewVars(), engine.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	in := []*tensor.Tensor{x}
	if err := p.Stream(in, out, func(i int) { given = append(given, i) }); err != nil {
		t.Fatal(err)
	}
	if len(given) != n || !slices.Equal(out[0].Float32s(), want(0)) {
		t.Errorf("%d outputs of %d are ready, the last is %v", len(given), n, out[0].Float32s())
	}
	if all := 4 * n * x.Numel(); p.ArenaBytes() >= all {
		t.Errorf("the plan needs %d bytes, its outputs together have %d", p.ArenaBytes(), all)
	}

	// Nothing is copied that the caller does not want.
	checks = false
	only := make([]*tensor.Tensor, n)
	only[2] = tensor.New(2, 3, 4, 4)

	if err := p.Run(in, only); err != nil || !slices.Equal(only[2].Float32s(), want(2)) {
		t.Errorf("output 2 alone is %v (%v)", only[2].Float32s(), err)
	}
}
