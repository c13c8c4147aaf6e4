package tuning

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/resnet-go/resnet/engine"
)

// Plan is a compiled network with an input of its own.
type Plan interface {
	Steps() []engine.Step
	// Profile runs the network once and returns the time of each of its steps.
	Profile() ([]engine.StepTime, error)
}

// Layer is the convolutions of a network that have one geometry.
type Layer struct {
	Names    []string           `json:"names"` // of their steps
	Geometry string             `json:"geometry"`
	MS       map[string]float64 `json:"ms"` // of one of them, by algorithm
	// Candidates are the algorithms that can compute it.
	Candidates []string `json:"candidates"`
	Model      string   `json:"model"`    // the algorithm that is chosen without times
	Measured   string   `json:"measured"` // the one chosen with these times
}

// Gain returns the share of the layer's time that the measured choice saves.
func (l Layer) Gain() float64 { return 1 - l.MS[l.Measured]/l.MS[l.Model] }

// A burst is a number of runs of one plan after another, so that its values and
// weights are in the cache as when it runs alone; the first is not counted.
const (
	burst     = 4
	minBursts = 3
)

// Measure times the convolutions of a network by every algorithm, each where it
// will run: inside the network, with the caches as the layers before leave them.
// It compiles the network once for each algorithm that can compute one of them and runs
// these plans in turns for about the given number of seconds, so that a machine whose
// speed drifts is alike for all. A layer's time is the lower quartile of its runs, since other programs
// only ever add to it. Layers come in the network's order; those which only one
// algorithm can compute are left out.
func Measure(ctx context.Context, compile func(engine.Tuning) (Plan, error), seconds float64) ([]Layer, error) {
	chosen, err := compile(nil)
	if err != nil {
		return nil, err
	}
	layers := layersOf(chosen.Steps())
	if len(layers) == 0 {
		return nil, nil
	}
	names := slices.DeleteFunc(engine.Algorithms(), func(name string) bool {
		return !slices.ContainsFunc(layers, func(l Layer) bool { return slices.Contains(l.Candidates, name) })
	})
	runs := make([][][]engine.StepTime, len(names))
	plans := make([]Plan, len(names))
	for i, name := range names {
		if plans[i], err = compile(only(name)); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	for n := 0; n < minBursts || time.Since(start).Seconds() < seconds; n++ {
		for i, p := range plans {
			for k := range burst {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				times, err := p.Profile()
				if err != nil {
					return nil, err
				}
				if k > 0 {
					runs[i] = append(runs[i], times)
				}
			}
		}
	}
	for i, name := range names {
		if err := timeLayers(layers, name, runs[i]); err != nil {
			return nil, err
		}
	}
	for i := range layers {
		l := &layers[i]
		l.Measured = engine.Fastest(l.MS, l.Candidates, l.Model)
	}
	return layers, nil
}

// layersOf lists the geometries that can be computed in several ways.
func layersOf(steps []engine.Step) []Layer {
	var layers []Layer
	at := map[string]int{}
	for _, s := range steps {
		if len(s.Candidates) < 2 || s.Algorithm == "" {
			continue
		}
		i, ok := at[s.Geometry]
		if !ok {
			i = len(layers)
			at[s.Geometry] = i
			layers = append(layers, Layer{Geometry: s.Geometry, Candidates: s.Candidates, Model: s.Algorithm, MS: map[string]float64{}})
		}
		layers[i].Names = append(layers[i].Names, s.Name)
	}
	return layers
}

// timeLayers adds the time by one algorithm to each layer.
func timeLayers(layers []Layer, name string, runs [][]engine.StepTime) error {
	for i := range layers {
		l := &layers[i]
		if !slices.Contains(l.Candidates, name) {
			continue
		}
		ms := make([]float64, len(runs))
		for r, steps := range runs {
			for _, s := range steps {
				if len(s.Candidates) < 2 || s.Geometry != l.Geometry {
					continue
				}
				if s.Algorithm != "" && s.Algorithm != name {
					return fmt.Errorf("tuning: %s was computed by %q in place of %q", s.Name, s.Algorithm, name)
				}
				ms[r] += s.Time.Seconds() * 1e3
			}
		}
		slices.Sort(ms)
		l.MS[name] = max(1, math.Round(1e5*ms[len(ms)/4]/float64(len(l.Names)))) / 1e5 // to 10 ns
	}
	return nil
}

// only is a tuning by which one algorithm is always the fastest.
type only string

func (o only) Times(string, int) map[string]float64 {
	times := map[string]float64{}
	for _, name := range engine.Algorithms() {
		times[name] = 2
	}
	times[string(o)] = 1
	return times
}
