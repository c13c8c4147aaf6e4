package engine_test

import (
	"math"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/enginetest"
	"github.com/resnet-go/resnet/tensor"
)

// TestRowsOfPixels runs a block of ConvNeXt as other programs write it, with channels last:
// layer norm, two products with a bias and GELU between. Pixels lie in memory so
// already: no step moves them, and the products add their bias.
func TestRowsOfPixels(t *testing.T) {
	const n, c, h, w, wide = 2, 5, 3, 4, 7
	g := &graph.Graph{}
	fixed := func(seed int, shape ...int) *graph.Value {
		x := tensor.New(shape...)
		for i := range x.Float32s() {
			x.Float32s()[i] = float32(math.Sin(float64(seed + 3*i)))
		}
		return g.Const(x)
	}
	x, err := g.Input("x", graph.F32(n, c, h, w))
	if err != nil {
		t.Fatal(err)
	}
	reshape := func(v *graph.Value, shape ...int) *graph.Value {
		return g.Must1(graph.Reshape{Shape: shape}, v)
	}
	add := func(a, b *graph.Value) *graph.Value { return g.Must1(graph.Binary{Fn: graph.Add}, a, b) }
	v := g.Must1(graph.Permute{Perm: []int{0, 2, 3, 1}}, g.Must1(graph.Unary{Fn: graph.Tanh}, x))
	v = reshape(v, n*h*w, c)
	v = g.Must(graph.GroupNorm{Groups: 1, Eps: 1e-5}, v, fixed(1, c), fixed(2, c))[0]
	v = reshape(g.Must1(graph.MatMul{}, v, fixed(3, c, wide)), n, h, w, wide)
	v = g.Must1(graph.Unary{Fn: graph.Gelu}, add(fixed(4, wide), v))
	v = reshape(g.Must1(graph.MatMul{TransB: true}, reshape(v, n*h*w, wide), fixed(5, c, wide)), n, h, w, c)
	v = add(v, fixed(6, 1, 1, 1, c))
	v = g.Must1(graph.Binary{Fn: graph.Mul}, v, fixed(7, c))
	v = g.Must1(graph.Permute{Perm: []int{0, 3, 1, 2}}, v)
	g.Output("y", add(v, x))

	in := tensor.New(n, c, h, w)
	for i := range in.Float32s() {
		in.Float32s()[i] = float32(math.Cos(float64(i)))
	}
	var m machine
	block := enginetest.Case{Name: "a block of ConvNeXt", Graph: g, Inputs: map[string]*tensor.Tensor{"x": in}, Steps: 1, Tol: 1e-5}
	for _, err := range block.Check(
		func(g *graph.Graph, vars map[string]*tensor.Tensor) (enginetest.Machine, error) {
			got, err := compiler(2, false)(g, vars)
			if err == nil {
				m = got.(machine)
			}
			return got, err
		}) {
		t.Error(err)
	}
	for _, s := range m.plan.Steps() {
		if strings.Contains(s.Name, "layout") && s.Op != "Input" || s.Op == "Permute" {
			t.Errorf("a step moves pixels: %s (%s)", s.Name, s.Op)
		}
	}
}
