package bench

import (
	"fmt"
	"slices"
	"time"

	"github.com/resnet-go/resnet/internal/parallel"
)

// Layer is the time of one step of a plan.
type Layer struct {
	Name      string  `json:"name"`                // module path and operator
	Algorithm string  `json:"algorithm,omitempty"` // of a convolution
	Ms        float64 `json:"ms"`                  // median
	Share     float64 `json:"share"`               // of the sum of all steps
	GFLOPs    float64 `json:"gflops"`              // a second, counted as the direct algorithm's; 0 without products
	GBs       float64 `json:"gbs"`                 // of values read and written, a second
	Bytes     int64   `json:"bytes"`               // values read and written
}

// Profile measures every step of a configuration for about the given time and
// returns them in the order in which they run.
func Profile(cfg Config, seconds float64) ([]Layer, error) {
	pool := parallel.NewPool(cfg.Threads)
	defer pool.Close()
	s, err := newStep(cfg, pool)
	if err != nil {
		return nil, err
	}
	for range 2 { // warm up
		if err := s.run(); err != nil {
			return nil, err
		}
	}
	var layers []Layer
	var flops []int64
	times := [][]float64{}
	for start, n := time.Now(), 0; n < 5 || time.Since(start).Seconds() < seconds; n++ {
		steps, err := s.plan.Profile(s.in, s.out)
		if err != nil {
			return nil, err
		}
		if layers == nil {
			layers, times, flops = make([]Layer, len(steps)), make([][]float64, len(steps)), make([]int64, len(steps))
			for i, st := range steps {
				layers[i] = Layer{Name: st.Name, Algorithm: st.Algorithm, Bytes: st.Bytes}
				flops[i] = st.FLOPs
			}
		}
		if len(steps) != len(layers) {
			return nil, fmt.Errorf("bench: a plan of %d steps became one of %d", len(layers), len(steps))
		}
		for i, st := range steps {
			times[i] = append(times[i], 1e3*st.Time.Seconds())
		}
	}
	total := 0.0
	for i := range layers {
		slices.Sort(times[i])
		l := &layers[i]
		l.Ms = times[i][len(times[i])/2]
		total += l.Ms
		if l.Ms > 0 {
			l.GFLOPs, l.GBs = float64(flops[i])/l.Ms/1e6, float64(l.Bytes)/l.Ms/1e6
		}
	}
	for i := range layers {
		layers[i].Share = layers[i].Ms / total
	}
	return layers, nil
}
