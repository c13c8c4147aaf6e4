package tuning

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/resnet-go/resnet/engine"
)

// fake is a plan whose steps take the times of a table, on a simulated clock.
type fake struct {
	algorithm string // of all its convolutions but the last
	took      map[string]map[string]time.Duration
	runs      *int
}

func (f *fake) Steps() []engine.Step {
	able := engine.Algorithms()[:3] // the others can compute no layer
	return []engine.Step{
		{Name: "pool"},
		{Name: "a transform", Geometry: "G", Candidates: able}, {Name: "a conv", Geometry: "G", Candidates: able, Algorithm: f.algorithm},
		{Name: "b conv", Geometry: "H", Candidates: able, Algorithm: f.algorithm},
		{Name: "c transform", Geometry: "G", Candidates: able}, {Name: "c conv", Geometry: "G", Candidates: able, Algorithm: f.algorithm},
		{Name: "d conv", Geometry: "I", Algorithm: engine.Direct, Candidates: []string{engine.Direct}},
	}
}

func (f *fake) Profile() ([]engine.StepTime, error) {
	*f.runs++
	var list []engine.StepTime
	for _, s := range f.Steps() {
		t := time.Hour // steps that are not measured
		if len(s.Candidates) > 1 {
			t = f.took[s.Geometry][f.algorithm]
			if s.Algorithm == "" {
				t = time.Millisecond
			}
			if *f.runs%burst == 1 {
				t *= 50 // the first run of a burst is not counted
			}
		}
		list = append(list, engine.StepTime{Step: s, Time: t})
	}
	return list, nil
}

func TestMeasure(t *testing.T) {
	all := engine.Algorithms()[:3]
	direct, four, two := all[0], all[1], all[2]
	took := map[string]map[string]time.Duration{
		"G": {direct: 9 * time.Millisecond, four: 7 * time.Millisecond, two: 5 * time.Millisecond},
		"H": {direct: 40 * time.Millisecond, four: 41 * time.Millisecond, two: 39 * time.Millisecond}, // 2.5 %: noise
	}
	compiled := []string{}
	compile := func(by engine.Tuning) (Plan, error) {
		name := direct // the model's choice
		if by != nil {
			name = engine.Fastest(by.Times("G", 1), all, direct)
		}
		compiled = append(compiled, name)
		return &fake{name, took, new(int)}, nil
	}
	layers, err := Measure(t.Context(), compile, 1e-9)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(compiled, append([]string{direct}, all...)) {
		t.Errorf("compiled by %q", compiled)
	}
	if len(layers) != 2 || layers[0].Geometry != "G" || layers[1].Geometry != "H" {
		t.Fatalf("layers %+v", layers)
	}
	for i, want := range []struct {
		names    []string
		ms       map[string]float64
		measured string
		gain     float64
	}{
		{[]string{"a conv", "c conv"}, map[string]float64{direct: 10, four: 8, two: 6}, two, 0.4},
		{[]string{"b conv"}, map[string]float64{direct: 40, four: 41, two: 39}, direct, 0},
	} {
		l := layers[i]
		if !slices.Equal(l.Names, want.names) || l.Model != direct || l.Measured != want.measured || math.Abs(l.Gain()-want.gain) > 1e-9 {
			t.Errorf("layer %+v, want %+v", l, want)
		}
		for name, ms := range want.ms {
			if math.Abs(l.MS[name]-ms) > 1e-6 {
				t.Errorf("%s by %s: %g ms, want %g", l.Geometry, name, l.MS[name], ms)
			}
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, compile, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled measurement: %v", err)
	}
	broken := errors.New("no memory")
	if _, err := Measure(t.Context(), func(engine.Tuning) (Plan, error) { return nil, broken }, 1); !errors.Is(err, broken) {
		t.Errorf("a plan that cannot be compiled: %v", err)
	}
	// A network that ignores what it is told would give wrong times.
	if _, err := Measure(t.Context(), func(engine.Tuning) (Plan, error) { return &fake{four, took, new(int)}, nil }, 1e-9); err == nil {
		t.Error("no error for a plan by another algorithm")
	}
}
