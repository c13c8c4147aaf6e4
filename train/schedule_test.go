package train

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func TestSchedulesEqualPyTorch(t *testing.T) {
	var want map[string][]float64
	readJSON(t, "schedules.json", &want)
	for name, s := range map[string]Schedule{
		"step":          {Kind: StepDecay, Every: 7, Gamma: 0.2},
		"multistep":     {Kind: MultiStep, Milestones: []float64{5, 20}, Gamma: 0.1},
		"cosine":        {Kind: Cosine},
		"cosine-final":  {Kind: Cosine, Final: 0.1},
		"polynomial":    {Kind: Polynomial, Power: 2},
		"one-cycle":     {Kind: OneCycle},
		"one-cycle-own": {Kind: OneCycle, Rise: 0.45, Div: 10, FinalDiv: 100},
	} {
		s.Peak = 0.1
		if err := s.valid(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for step, w := range want[name] {
			if got := s.at(step, clock{total: len(want[name]), unit: 1}); math.Abs(got-w) > 1e-9 {
				t.Errorf("%s: step %d: %v, want %v", name, step, got, w)
			}
		}
	}
	fast, err := LoadRecipe("cifar-fast")
	if err != nil {
		t.Fatal(err)
	}
	if fast.Epochs != 40 || fast.BatchSize != 128 {
		t.Errorf("cifar-fast: %d epochs of batches of %d", fast.Epochs, fast.BatchSize)
	}
	for i, w := range want["cifar-fast"] {
		if got := fast.LR.at(65*i, clock{total: 15600, unit: 390, batch: 128}); math.Abs(got-w) > 1e-12 {
			t.Errorf("cifar-fast: step %d: %v, want %v", 65*i, got, w)
		}
	}
}

func TestWarmupAndScaling(t *testing.T) {
	s := Schedule{Kind: Constant, Peak: 1, PeakBatch: 256, Warmup: 2, WarmupFrom: 0.1}
	c := clock{total: 100, unit: 10, batch: 64}
	for step, want := range map[int]float64{0: 0.25 * (0.1 + 0.9/20), 9: 0.25 * (0.1 + 0.9/2), 19: 0.25, 20: 0.25, 99: 0.25} {
		if got := s.at(step, c); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d: %v, want %v", step, got, want)
		}
	}
	// Milestones in epochs fall on the first step of the epoch.
	m := Schedule{Kind: MultiStep, Peak: 1, Milestones: []float64{3}, Gamma: 0.5}
	if a, b := m.at(29, c), m.at(30, c); a != 1 || b != 0.5 {
		t.Errorf("around a milestone: %v, %v", a, b)
	}
}

// He et al.: the 110-layer net begins at 0.01, shallower ones do not.
func TestGateIsForDeepNets(t *testing.T) {
	r, err := LoadRecipe("cifar")
	if err != nil {
		t.Fatal(err)
	}
	if r.Iterations != 64000 || r.LR.Gate == nil {
		t.Fatalf("cifar: %+v", r)
	}
	for depth, want := range map[int]float64{56: 0.1, 110: 0.01} {
		s := &session{job: job{rec: r, depth: depth}, output: output{log: newLogger(Log{})}}
		s.train = labelFeed{loaderOf(t, r.BatchSize)}
		s.step = &Step{accumulate: 1}
		if err := s.schedule(); err != nil {
			t.Fatal(err)
		}
		if got := s.lr(); math.Abs(got-want) > 1e-12 {
			t.Errorf("depth %d begins at %v, want %v", depth, got, want)
		}
		// Chance keeps it shut; 21 % right over the window opens it.
		for range 2 * gateWindow {
			s.gate(r.BatchSize / 10)
		}
		if got := s.lr(); math.Abs(got-want) > 1e-12 {
			t.Errorf("depth %d: %v at 10 %% right", depth, got)
		}
		for range gateWindow {
			s.gate(r.BatchSize * 21 / 100)
		}
		if got := s.lr(); math.Abs(got-0.1) > 1e-12 {
			t.Errorf("depth %d: %v at 21 %% right", depth, got)
		}
	}
}
