package bench

import (
	"context"
	"runtime"
	"time"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/engine/tuning"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Tuned is what tuning found of one configuration.
type Tuned struct {
	Config
	ISA    string         `json:"isa"`
	Layers []tuning.Layer `json:"layers"`
	// Times of the network with the model's choices and with the measured ones,
	// run in turns; 0 if these are the same.
	ModelMS    float64 `json:"model_ms"`
	MeasuredMS float64 `json:"measured_ms"`
}

// Changed returns the number of layers for which the measured choice is another
// than the model's.
func (t *Tuned) Changed() int {
	n := 0
	for _, l := range t.Layers {
		if l.Measured != l.Model {
			n++
		}
	}
	return n
}

// Worthwhile reports whether the times are worth keeping: the network as a
// whole is faster with them, or no slower since nothing changed.
func (t *Tuned) Worthwhile() bool { return t.Changed() == 0 || t.MeasuredMS < t.ModelMS }

// Tune measures the algorithms of a configuration's convolutions for about so
// many seconds, and then the network with the choices that follow.
func Tune(ctx context.Context, cfg Config, seconds float64) (*Tuned, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cfg.Threads))
	cfg.Exact = false
	net, err := open(cfg, "", true)
	if err != nil {
		return nil, err
	}
	t := &Tuned{Config: cfg, ISA: isa.ISA()}
	t.Layers, err = tuning.Measure(ctx, func(by engine.Tuning) (tuning.Plan, error) { return net.compile(by) }, seconds)
	if err != nil || t.Changed() == 0 {
		return t, err
	}
	measured := make(times)
	for _, l := range t.Layers {
		measured[l.Geometry] = l.MS
	}
	var ms [2][]float64
	var steps [2]*infer.Call
	for i, by := range []engine.Tuning{nil, measured} {
		if steps[i], err = net.compile(by); err != nil {
			return nil, err
		}
	}
	for start := time.Now(); len(ms[0]) == 0 || time.Since(start).Seconds() < seconds/4; {
		for i, s := range steps {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if _, err := timed(s.Run, Request{Steps: 1}); err != nil {
				return nil, err
			}
			more, err := timed(s.Run, Request{Steps: 4})
			if err != nil {
				return nil, err
			}
			ms[i] = append(ms[i], more...)
		}
	}
	t.ModelMS, t.MeasuredMS = Median(ms[0]), Median(ms[1])
	return t, nil
}

// times is the tuning of one number of threads.
type times map[string]map[string]float64

func (t times) Times(geometry string, _ int) map[string]float64 { return t[geometry] }
