package engine

import (
	"math"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/internal/memory"
	"github.com/resnet-go/resnet/tensor"
)

// What an arena holds when a run begins, such as what another plan left there,
// changes no bit.
func TestArenasOfAnyContent(t *testing.T) {
	for _, train := range []bool{false, true} {
		for _, fast := range []bool{false, true} {
			var want []float32
			for _, dirty := range []bool{false, true} {
				g, vars := cifarNet(t, 1, 4, train)
				p, err := Compile(g, vars, Options{Fast: fast})
				if err != nil {
					t.Fatal(err)
				}
				if dirty {
					f, b := memory.Floats(p.runFloats() + 4096)
					for i := range f {
						f[i] = float32(math.NaN())
					}
					vars.arenas.give(arena{f, b}, 1)
				}
				var got []float32
				for range 2 { // also over what the first run left
					outs := make([]*tensor.Tensor, len(p.Outputs()))
					for i, o := range p.Outputs() {
						outs[i] = tensor.New(o.Shape...)
					}
					if err := p.Run(cifarInputs(p), outs); err != nil {
						t.Fatal(err)
					}
					got = append(got, outs[0].Float32s()...)
				}
				w, err := vars.Get("conv1.weight")
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, w.Float32s()...); !dirty {
					want = got
				} else if !slices.Equal(got, want) {
					t.Errorf("train %v, fast %v: an arena of NaN gives %v, a new one %v", train, fast, got[:5], want[:5])
				}
			}
		}
	}
}

// Plans over one Vars share an arena, that of the largest; arenas of runs at the
// same time are kept as far as there are workers.
func TestArenasAreShared(t *testing.T) {
	_, vars := cifarNet(t, 1, 2, false)
	vars = adopt(t, vars)
	for _, c := range []struct{ batch, largest int }{{2, 2}, {8, 8}, {4, 8}} {
		forward(t, vars, c.batch)
		g, _ := cifarNet(t, 1, c.largest, false)
		p, err := Compile(g, vars, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(vars.arenas.idle); n != 1 || len(vars.arenas.idle[0].floats) != p.runFloats() {
			t.Errorf("after batch %d: %d arenas, want that of batch %d alone", c.batch, n, c.largest)
		}
	}

	var a arenas
	for _, n := range []int{100, 300, 200} {
		f, b := memory.Floats(n)
		a.give(arena{f, b}, 2)
	}
	sizes := func() (s []int) {
		for _, x := range a.idle {
			s = append(s, len(x.floats))
		}
		slices.Sort(s)
		return s
	}
	if s := sizes(); !slices.Equal(s, []int{200, 300}) {
		t.Errorf("of 100, 300 and 200, %v are kept", s)
	}
	if x := a.take(150); len(x.floats) != 200 {
		t.Errorf("150 floats are taken of %d", len(x.floats))
	}
	if x := a.take(400); len(x.floats) != 400 || len(a.idle) != 0 {
		t.Errorf("400 floats are taken of %d, %v are left", len(x.floats), sizes())
	}
}
