// Package enginetest checks that an engine computes what the reference
// interpreter computes: a table of graphs that covers every operator and the
// compositions that compilers rewrite, and a comparison. It is for tests only.
package enginetest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/tensor"
)

// Case is a graph with the values to run it on.
type Case struct {
	Name   string // family/what
	Graph  *graph.Graph
	Vars   map[string]*tensor.Tensor // the variables before the first run
	Inputs map[string]*tensor.Tensor
	Steps  int // how many runs in a row; updates carry over
	// Tol is the allowed difference of an element, as a share of the sum of its
	// size, the largest size in its tensor and 0.01.
	Tol float64
}

// Machine is a graph compiled by an engine, with its own copy of the variables.
type Machine interface {
	// Run takes the inputs by name, in N, C, H, W order, and returns the
	// outputs in the order of the graph's Outputs.
	Run(in map[string]*tensor.Tensor) ([]*tensor.Tensor, error)
	// Variable returns a variable's present value.
	Variable(name string) (*tensor.Tensor, error)
}

// Compile makes a Machine of a graph. It must not keep or change vars.
type Compile func(g *graph.Graph, vars map[string]*tensor.Tensor) (Machine, error)

// Compare runs every case on the engine and on the reference interpreter, and
// reports outputs and variables that differ by more than the case's tolerance.
func Compare(t *testing.T, compile Compile) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			for _, err := range c.Check(compile) {
				t.Error(err)
			}
		})
	}
}

// CompareRandom compares n random graphs of the seed, made by [RandomCase], and as many
// by [RandomMoves]. Graphs with infinite or undefined values are left out: there the
// order of sums matters, and whether a padded zero is multiplied or skipped. What the
// reference refuses, such as a label out of range, the engine only must survive; it need
// not compute what no output needs.
func CompareRandom(t *testing.T, compile Compile, seed uint64, n int) {
	compareRandom(t, compile, seed, n, func(bytes []byte) Case { return RandomCase(bytes, 20) })
	compareRandom(t, compile, seed, n, func(bytes []byte) Case { return RandomMoves(bytes, 12) })
}

func compareRandom(t *testing.T, compile Compile, seed uint64, n int, random func(bytes []byte) Case) {
	rng := philox.New(seed, 0)
	bytes := make([]byte, 8192)
	compared := 0
	for i := range n {
		for j := range bytes {
			bytes[j] = byte(rng.Uint32())
		}
		c := random(bytes)
		want, err := ref.Run(c.Graph, c.Vars, c.Inputs)
		if err != nil {
			if m, err := compile(c.Graph, clone(c.Vars)); err == nil {
				_, _ = m.Run(clone(c.Inputs))
			}
			continue
		}
		if !finite(c.Graph, want) {
			continue
		}
		compared++
		for _, err := range c.Check(compile) {
			t.Errorf("random graph %q %d of seed %d: %v", c.Name, i, seed, err)
		}
	}
	if compared < n/2 {
		t.Errorf("only %d of %d random graphs could be run", compared, n)
	}
}

func finite(g *graph.Graph, r *ref.Result) bool {
	for _, n := range g.Nodes {
		for _, v := range n.Out {
			for _, x := range r.Float64s(v) {
				if x-x != 0 {
					return false
				}
			}
		}
	}
	return true
}

// SameBits runs every case on both engines, which may differ in their workers,
// and reports outputs and variables that are not the same bits.
func SameBits(t *testing.T, one, other Compile) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			for _, err := range c.CheckBits(one, other) {
				t.Error(err)
			}
		})
	}
}

// Check compares one case on the engine with the reference interpreter and
// returns what differs. The reference starts each step from the engine's own
// variables, so that differences do not add up.
func (c Case) Check(compile Compile) (wrong []error) {
	report := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	m, err := compile(c.Graph, clone(c.Vars))
	if err != nil {
		return []error{fmt.Errorf("compile: %w", err)}
	}
	vars := clone(c.Vars)
	for step := range c.Steps {
		got, err := m.Run(clone(c.Inputs))
		if err != nil {
			return append(wrong, fmt.Errorf("run %d: %w", step, err))
		}
		want, err := ref.Run(c.Graph, vars, c.Inputs)
		if err != nil {
			return append(wrong, err)
		}
		if len(got) != len(c.Graph.Outputs) {
			return append(wrong, fmt.Errorf("run %d: %d outputs, want %d", step, len(got), len(c.Graph.Outputs)))
		}
		for i, o := range c.Graph.Outputs {
			if err := close(got[i], want.Value(o.Value), c.Tol); err != nil {
				report("run %d: output %q of %v: %w", step, o.Name, o.Value.Node, err)
			}
		}
		next := map[string]*tensor.Tensor{}
		for _, u := range c.Graph.Updates {
			next[u.Variable.Node.Op.(graph.Variable).Label] = want.Value(u.New)
		}
		for _, name := range slices.Sorted(maps.Keys(vars)) {
			old := vars[name]
			v, err := m.Variable(name)
			if err != nil {
				return append(wrong, fmt.Errorf("run %d: variable %q: %w", step, name, err))
			}
			if to, ok := next[name]; ok {
				if err := close(v, to, c.Tol); err != nil {
					report("run %d: variable %q: %w", step, name, err)
				}
			} else if !same(v, old) {
				report("run %d: variable %q, which nothing updates, was changed", step, name)
			}
			vars[name] = v
		}
	}
	return wrong
}

// CheckBits compares one case on two engines and returns what is not the same
// bits.
func (c Case) CheckBits(one, other Compile) (wrong []error) {
	var m [2]Machine
	for i, compile := range []Compile{one, other} {
		var err error
		if m[i], err = compile(c.Graph, clone(c.Vars)); err != nil {
			return []error{fmt.Errorf("compile: %w", err)}
		}
	}
	for step := range c.Steps {
		var out [2][]*tensor.Tensor
		for i := range m {
			var err error
			if out[i], err = m[i].Run(clone(c.Inputs)); err != nil {
				return append(wrong, fmt.Errorf("run %d: %w", step, err))
			}
		}
		for i, o := range c.Graph.Outputs {
			if !same(out[0][i], out[1][i]) {
				wrong = append(wrong, fmt.Errorf("run %d: output %q of %v is not the same bits", step, o.Name, o.Value.Node))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(c.Vars)) {
			x, errX := m[0].Variable(name)
			y, errY := m[1].Variable(name)
			if errX != nil || errY != nil || !same(x, y) {
				wrong = append(wrong, fmt.Errorf("run %d: variable %q is not the same bits (%v, %v)", step, name, errX, errY))
			}
		}
	}
	return wrong
}

func clone(m map[string]*tensor.Tensor) map[string]*tensor.Tensor {
	c := make(map[string]*tensor.Tensor, len(m))
	for name, t := range m {
		c[name] = t.Clone()
	}
	return c
}

// same reports whether both tensors have the same type, shape and bits.
func same(a, b *tensor.Tensor) bool {
	if a.DType() != b.DType() || !a.Shape().Equal(b.Shape()) {
		return false
	}
	if a.DType() == tensor.Int64 {
		return slices.Equal(a.Int64s(), b.Int64s())
	}
	return slices.EqualFunc(a.Float32s(), b.Float32s(), func(x, y float32) bool {
		return math.Float32bits(x) == math.Float32bits(y)
	})
}

// close returns an error that names the worst element unless got is like want.
func close(got, want *tensor.Tensor, tol float64) error {
	if got.DType() != want.DType() || !got.Shape().Equal(want.Shape()) {
		return fmt.Errorf("is %v, want %v", got, want)
	}
	if want.DType() == tensor.Int64 {
		if !same(got, want) {
			return fmt.Errorf("integers differ")
		}
		return nil
	}
	// Inputs are of size 1: differences of such numbers, as in 1-tanh², are only
	// known to their rounding however small they come out.
	largest := 1e-2
	for _, w := range want.Float32s() {
		if a := math.Abs(float64(w)); a > largest && !math.IsInf(a, 0) {
			largest = a
		}
	}
	worst, at, bad := 0.0, 0, 0
	for i, w := range want.Float32s() {
		g := got.Float32s()[i]
		if g == w || (g != g && w != w) {
			continue
		}
		excess := math.Abs(float64(g)-float64(w)) / (tol * (math.Abs(float64(w)) + largest))
		if excess <= 1 {
			continue
		}
		if math.IsNaN(excess) {
			excess = math.Inf(1)
		}
		if bad++; excess > worst {
			worst, at = excess, i
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d elements differ, by up to %.3g times the tolerance %g; element %d of %v is %g, want %g",
			bad, want.Numel(), worst, tol, at, want.Shape(), got.Float32s()[at], want.Float32s()[at])
	}
	return nil
}
