package conv

import (
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// planned plans c by one algorithm.
func planned(t testing.TB, a algorithm, c Conv, w Want) *Plan {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	k, err := a(c, w)
	if err != nil {
		t.Fatal(err)
	}
	return k.plan()
}

// prepared returns a function that runs all steps of a plan. Scratch and what the
// steps hand on begin as NaN: what a task reads it must have written.
func prepared(p *parallel.Pool, plan *Plan, a Args) func() {
	a.Weights, a.Inputs = isatest.Nans(plan.Floats[ArgWeights]), isatest.Nans(plan.Floats[ArgInputs])
	a.Partial = isatest.Nans(plan.Floats[ArgPartial])
	workers := make([]Worker, p.Workers())
	for i := range workers {
		workers[i].Scratch = isatest.Nans(plan.scratch())
	}
	tasks := make([]func(task, worker int), len(plan.Steps))
	for i := range plan.Steps {
		tasks[i] = func(task, worker int) { plan.Steps[i].Run(&workers[worker], task, a) }
	}
	return func() {
		for i := range plan.Steps {
			for w := range workers {
				workers[w].Begin()
			}
			p.Run(plan.Steps[i].Tasks, tasks[i])
		}
	}
}

func runPlan(p *parallel.Pool, plan *Plan, a Args) { prepared(p, plan, a)() }

// scratch returns the scratch that all steps need.
func (p *Plan) scratch() (n int) {
	for i := range p.Steps {
		n = max(n, p.Steps[i].Scratch)
	}
	return n
}

func packWith(p *parallel.Pool, k *Packing, w []float32) []float32 {
	dst := isatest.Nans(k.Len)
	p.Run(k.Tasks, func(task, _ int) { k.Pack(task, dst, Weights{Data: w}) })
	return dst
}

// taskAllocations fails if the first task of a step allocates.
func taskAllocations(t *testing.T, name string, plan *Plan, a Args) {
	t.Helper()
	a.Weights, a.Inputs = make([]float32, plan.Floats[ArgWeights]), make([]float32, plan.Floats[ArgInputs])
	a.Partial = make([]float32, plan.Floats[ArgPartial])
	w := &Worker{Scratch: make([]float32, plan.scratch())}
	for i := range plan.Steps {
		if n := testing.AllocsPerRun(10, func() {
			w.Begin()
			plan.Steps[i].Run(w, 0, a)
		}); n != 0 {
			t.Errorf("%s %s: %v allocations", name, plan.Steps[i].Name, n)
		}
	}
}
