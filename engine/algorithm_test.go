package engine

import (
	"math"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/tensor"
)

// runCifar compiles the inference form of a CIFAR network and runs it.
func runCifar(t *testing.T, workers int, fast bool) (logits []float32, p *Plan) {
	t.Helper()
	g, vars := cifarNet(t, 1, 6, false)
	p, err := Compile(g, vars, Options{Threads: workers, Fast: fast})
	if err != nil {
		t.Fatal(err)
	}
	var out []*tensor.Tensor
	for _, port := range p.Outputs() {
		out = append(out, tensor.New(port.Shape...))
	}
	in := cifarInputs(p)
	if err := p.Run(in, out); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(3, func() {
		if err := p.Run(in, nil); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per run", n)
	}
	return out[0].Float32s(), p
}

func algorithms(p *Plan) (list []string) {
	for _, s := range p.Steps() {
		if s.Algorithm != "" {
			list = append(list, s.Algorithm)
		}
	}
	return list
}

// Fast plans compute some convolutions by Winograd's algorithm, with little
// effect on the result and the same bits at any number of workers; other plans
// compute all the direct way.
func TestFast(t *testing.T) {
	exact, p := runCifar(t, 1, false)
	if a := algorithms(p); len(a) == 0 || slices.ContainsFunc(a, func(s string) bool { return s != "direct" }) {
		t.Errorf("an exact plan has algorithms %q", a)
	}
	fast, p := runCifar(t, 1, true)
	if a := algorithms(p); !slices.Contains(a, "winograd 4x4") {
		t.Errorf("a fast plan has algorithms %q", a)
	}
	size, worst := 0.0, 0.0
	for i, v := range exact {
		size = max(size, math.Abs(float64(v)))
		worst = max(worst, math.Abs(float64(v)-float64(fast[i])))
	}
	if !(worst <= 1e-5*size) || worst == 0 {
		t.Errorf("fast logits differ by %g from exact ones of up to %g", worst, size)
	}
	for _, workers := range []int{2, 8} {
		if got, _ := runCifar(t, workers, true); !slices.Equal(got, fast) {
			t.Errorf("%d workers give other bits than one", workers)
		}
	}
}

// trainCifar runs a training step of a CIFAR network and returns the variables
// after it and the plan.
func trainCifar(t *testing.T, workers int, fast bool) (*Vars, *Plan) {
	t.Helper()
	g, vars := cifarNet(t, 1, 6, true)
	p, err := Compile(g, vars, Options{Threads: workers, Fast: fast})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(cifarInputs(p), nil); err != nil {
		t.Fatal(err)
	}
	return vars, p
}

// Fast plans compute gradients by Winograd's algorithm, too, with little effect
// on what a step does to the variables, and with the same bits at any number of
// workers.
func TestFastTraining(t *testing.T) {
	exact, p := trainCifar(t, 1, false)
	if a := algorithms(p); len(a) == 0 || slices.ContainsFunc(a, func(s string) bool { return s != "direct" }) {
		t.Errorf("an exact plan has algorithms %q", a)
	}
	fast, p := trainCifar(t, 1, true)
	count := map[string]int{}
	for _, s := range p.Steps() {
		if s.Algorithm == "winograd 4x4" {
			count[s.Op]++
		}
	}
	for _, op := range []string{"Conv2d+", "Conv2dInputGrad", "Conv2dInputGrad+", "Conv2dWeightGrad"} {
		if count[op] == 0 {
			t.Errorf("no %s by Winograd's algorithm, but %v", op, count)
		}
	}
	for _, name := range exact.Names() {
		want, got := value(t, exact, name), value(t, fast, name)
		size, worst := 0.0, 0.0
		for i, v := range want {
			size = max(size, math.Abs(float64(v)))
			worst = max(worst, math.Abs(float64(v)-float64(got[i])))
		}
		if !(worst <= 2e-5*size+1e-7) {
			t.Errorf("%s: differs by %g, of values up to %g", name, worst, size)
		}
	}
	for _, workers := range []int{2, 8} {
		many, _ := trainCifar(t, workers, true)
		for _, name := range fast.Names() {
			if !slices.Equal(value(t, many, name), value(t, fast, name)) {
				t.Errorf("%s: %d workers give other bits than one", name, workers)
			}
		}
	}
}

func value(t *testing.T, vars *Vars, name string) []float32 {
	t.Helper()
	x, err := vars.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return x.Float32s()
}
