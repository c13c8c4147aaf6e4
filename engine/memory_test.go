package engine

import (
	"math/rand/v2"
	"testing"
)

func TestPlanMemoryKeepsLiveBuffersApart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for trial := 0; trial < 200; trial++ {
		steps := make([]*step, 1+rng.IntN(30))
		for i := range steps {
			steps[i] = &step{}
		}
		bufs := make([]*buf, rng.IntN(40))
		sum := 0
		for i := range bufs {
			b := &buf{id: i, size: 1 + rng.IntN(1000)}
			first := rng.IntN(len(steps))
			last := first + rng.IntN(len(steps)-first)
			steps[first].writes = append(steps[first].writes, b)
			steps[last].reads = append(steps[last].reads, b)
			bufs[i] = b
			sum += (b.size + alignment - 1) / alignment * alignment
		}
		total := planMemory(bufs, steps)
		if total > sum {
			t.Fatalf("arena of %d floats for buffers of %d", total, sum)
		}
		for i, a := range bufs {
			if a.offset%alignment != 0 || a.offset+a.size > total {
				t.Fatalf("buffer at %d of %d floats in an arena of %d", a.offset, a.size, total)
			}
			for _, b := range bufs[:i] {
				together := a.first <= b.last && b.first <= a.last
				overlap := a.offset < b.offset+b.size && b.offset < a.offset+a.size
				if together && overlap {
					t.Fatalf("buffers %d and %d overlap: [%d+%d] and [%d+%d]", a.id, b.id, a.offset, a.size, b.offset, b.size)
				}
			}
		}
	}
}

func TestPlanMemoryInPlace(t *testing.T) {
	a, b, c := &buf{id: 0, size: 64}, &buf{id: 1, size: 64}, &buf{id: 2, size: 64}
	produce := &step{writes: []*buf{a}}
	relu := &step{reads: []*buf{a}, writes: []*buf{b}}
	relu.inPlace.out, relu.inPlace.in = b, a
	again := &step{reads: []*buf{b}, writes: []*buf{c}}
	again.inPlace.out, again.inPlace.in = c, b
	if total := planMemory([]*buf{a, b, c}, []*step{produce, relu, again, {reads: []*buf{c}}}); total != 64 {
		t.Errorf("a chain in place takes %d floats, want 64", total)
	}

	// The input is needed later: no sharing.
	a, b = &buf{id: 0, size: 64}, &buf{id: 1, size: 64}
	relu = &step{reads: []*buf{a}, writes: []*buf{b}}
	relu.inPlace.out, relu.inPlace.in = b, a
	if total := planMemory([]*buf{a, b}, []*step{{writes: []*buf{a}}, relu, {reads: []*buf{a, b}}}); total != 128 {
		t.Errorf("got %d floats, want 128", total)
	}

	// The input is read twice by the step, as a convolution whose input is
	// also its residual: no sharing.
	a, b = &buf{id: 0, size: 64}, &buf{id: 1, size: 64}
	conv := &step{reads: []*buf{a, a}, writes: []*buf{b}}
	conv.inPlace.out, conv.inPlace.in = b, a
	if total := planMemory([]*buf{a, b}, []*step{{writes: []*buf{a}}, conv, {reads: []*buf{b}}}); total != 128 {
		t.Errorf("got %d floats, want 128", total)
	}
}
