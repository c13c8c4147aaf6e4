package bench

import (
	"runtime"
	"strings"
	"time"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// The phases of a training step.
const (
	Forward  = "forward"
	Backward = "backward"
	Update   = "update"
)

// StepProfile is one step of a plan and its time.
type StepProfile struct {
	Name      string  `json:"name"`
	Phase     string  `json:"phase"`
	Geometry  string  `json:"geometry"` // of a convolution, see engine.Step
	Algorithm string  `json:"algorithm"`
	MS        float64 `json:"ms"`     // median
	Share     float64 `json:"share"`  // of the time of all steps
	GFLOPS    float64 `json:"gflops"` // a second, of the direct algorithm
	Bytes     int64   `json:"bytes"`  // read and written
	GBPS      float64 `json:"gb_per_s"`
}

// NetworkProfile is where the time of a configuration goes.
type NetworkProfile struct {
	Config
	ISA        string        `json:"isa"`
	Runs       int           `json:"runs"`
	MS         float64       `json:"ms"` // sum of the steps' medians
	GFLOPS     float64       `json:"gflops"`
	PeakGFLOPS float64       `json:"peak_gflops"` // FMA peak of a core; 0 if unknown
	ArenaBytes int           `json:"arena_bytes"`
	Steps      []StepProfile `json:"steps"`
}

// Profile runs a configuration in this process for about so long after a
// warm-up, at least five times, and returns the time of each step of its plan,
// in the plan's order.
func Profile(cfg Config, seconds float64) (*NetworkProfile, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cfg.Threads))
	s, err := newStep(cfg, "")
	if err != nil {
		return nil, err
	}
	if _, err := timed(s.Run, Request{Steps: 2}); err != nil {
		return nil, err
	}
	p := &NetworkProfile{Config: cfg, ISA: isa.ISA(), ArenaBytes: s.Plan().ArenaBytes(), PeakGFLOPS: isa.PeakGFLOPS()}
	steps := s.Plan().Steps()
	ms := make([][]float64, len(steps))
	for start := time.Now(); p.Runs < 5 || time.Since(start).Seconds() < seconds; p.Runs++ {
		times, err := s.Profile()
		if err != nil {
			return nil, err
		}
		for i, t := range times {
			ms[i] = append(ms[i], t.Time.Seconds()*1e3)
		}
	}
	var flops int64
	for i, st := range steps {
		t := Median(ms[i])
		flops += st.FLOPs
		p.MS += t
		p.Steps = append(p.Steps, StepProfile{
			Name: st.Name, Phase: phase(st), Geometry: st.Geometry, Algorithm: st.Algorithm, MS: t, Bytes: st.Bytes,
			GFLOPS: perMS(st.FLOPs, t), GBPS: perMS(st.Bytes, t),
		})
	}
	for i := range p.Steps {
		p.Steps[i].Share = p.Steps[i].MS / p.MS
	}
	p.GFLOPS = perMS(flops, p.MS)
	return p, nil
}

// perMS returns billions a second.
func perMS(n int64, ms float64) float64 {
	if ms <= 0 {
		return 0
	}
	return float64(n) / ms / 1e6
}

// phase returns the part of a training step by the operator, whose names end in
// Grad in the backward pass.
func phase(s engine.Step) string {
	switch s.Op {
	case "SGD", "Adam", "AdamW", "LAMB", "LARS", "RMSprop", "EMA", "GlobalNorm":
		return Update
	}
	if strings.Contains(s.Op, "Grad") {
		return Backward
	}
	return Forward
}
