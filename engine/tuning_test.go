package engine

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/resnet-go/resnet/tensor"
)

// told is a tuning that knows one table for all geometries and notes what it
// is asked.
type told struct {
	times map[string]float64
	mu    sync.Mutex
	asked []string
}

func (o *told) Times(geometry string, threads int) map[string]float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, geometry)
	if threads != 2 {
		return nil
	}
	return o.times
}

func TestFastest(t *testing.T) {
	names := Algorithms()
	if len(names) != 6 || names[0] != Direct {
		t.Fatalf("algorithms %q", names)
	}
	names = names[:3]
	of := func(ms ...float64) map[string]float64 {
		m := map[string]float64{"another": 0.001}
		for i, v := range ms {
			m[names[i]] = v
		}
		return m
	}
	for _, c := range []struct {
		times       map[string]float64
		model, want int
	}{
		{nil, 1, 1},
		{of(3, 2, 1), 0, 2},
		{of(3, 2, 1), 2, 2},
		{of(1, 2, 3), 2, 0},
		{of(100, 99, 98), 0, 0},   // too near
		{of(100, 99, 96.9), 0, 2}, // 3.1 %
		{of(3, 2), 0, 0},          // one was not measured
		{of(3, -2, 1), 1, 1},      // no time
	} {
		if got := Fastest(c.times, names, names[c.model]); got != names[c.want] {
			t.Errorf("times %v, model %s: %s, want %s", c.times, names[c.model], got, names[c.want])
		}
	}
}

// Plans choose by the times they are given, in inference alone, and compute the
// same within rounding.
func TestTuning(t *testing.T) {
	compile := func(fast, train bool, workers int, by Tuning) (*Plan, []float32) {
		g, vars := cifarNet(t, 1, 6, train)
		p, err := Compile(g, vars, Options{Threads: workers, Fast: fast, Tuning: by})
		if err != nil {
			t.Fatal(err)
		}
		if train {
			return p, nil
		}
		var out []*tensor.Tensor
		for _, port := range p.Outputs() {
			out = append(out, tensor.New(port.Shape...))
		}
		if err := p.Run(cifarInputs(p), out); err != nil {
			t.Fatal(err)
		}
		return p, out[0].Float32s()
	}
	_, exact := compile(false, false, 2, nil)
	for i, name := range Algorithms() {
		by := &told{times: map[string]float64{}}
		for k, other := range Algorithms() {
			by.times[other] = float64(2 + (k-i)*(k-i))
		}
		p, got := compile(true, false, 2, by)
		tuned := 0
		for _, s := range p.Steps() {
			switch {
			case len(s.Candidates) < 2 && s.Algorithm != "" && s.Algorithm != Direct:
				t.Errorf("%s is not tunable and computed by %q", s.Name, s.Algorithm)
			case len(s.Candidates) > 1 && s.Algorithm != "":
				tuned++
				if slices.Contains(s.Candidates, name) && s.Algorithm != name {
					t.Errorf("%s is computed by %q, not %q", s.Name, s.Algorithm, name)
				}
				if !slices.Contains(by.asked, s.Geometry) || !strings.Contains(s.Geometry, " 3x3 k") {
					t.Errorf("%s: geometry %q was not asked for", s.Name, s.Geometry)
				}
			}
		}
		if tuned < 5 {
			t.Errorf("only %d convolutions can be computed in several ways", tuned)
		}
		if name == Direct && !slices.Equal(got, exact) {
			t.Error("direct convolutions give other bits than an exact plan")
		}
		for k, v := range got {
			if d := v - exact[k]; d > 1e-4 || d < -1e-4 {
				t.Errorf("%s: logit %d is %g, exactly %g", name, k, v, exact[k])
			}
		}
		one, _ := compile(true, false, 1, by)
		if model, _ := compile(true, false, 1, nil); !slices.Equal(algorithms(one), algorithms(model)) {
			t.Error("times of two threads choose on one")
		}
	}
	for _, c := range []struct{ fast, train bool }{{false, false}, {true, true}} {
		by := &told{times: map[string]float64{Direct: 3, "winograd 4x4": 2, "winograd 2x2": 1}}
		p, _ := compile(c.fast, c.train, 2, by)
		if plain, _ := compile(c.fast, c.train, 2, nil); len(by.asked) > 0 || !slices.Equal(algorithms(p), algorithms(plain)) {
			t.Errorf("fast %v, training %v: tuning was asked", c.fast, c.train)
		}
	}
}
