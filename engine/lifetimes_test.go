package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// randomBufs returns buffers with lifetimes of the given length at most.
func randomBufs(r *rand.Rand, n, longest int) (bufs []*buf, steps []*step) {
	for range n + longest {
		steps = append(steps, &step{})
	}
	for i := range n {
		b := &buf{id: i, size: 1 + r.IntN(100), kind: temporary}
		if r.IntN(4) == 0 {
			b.size = 64 // many are of one size
		}
		first := r.IntN(n)
		last := first + r.IntN(longest)
		steps[first].writes = append(steps[first].writes, b)
		steps[last].reads = append(steps[last].reads, b)
		bufs = append(bufs, b)
	}
	return bufs, steps
}

// Buffers that are alive at the same time do not share memory, and many buffers get
// the places that looking at all of them gives.
func TestPlanMemoryOfManyBuffers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ n, longest int }{{10, 5}, {255, 10}, {256, 3}, {300, 300}, {2000, 5}, {2000, 40}, {1000, 1000}} {
		bufs, steps := randomBufs(r, c.n, c.longest)
		total := planMemory(bufs, steps)
		var got []int
		for _, b := range bufs {
			got = append(got, b.offset)
			if b.offset+b.size > total {
				t.Fatalf("a buffer ends at %d of %d", b.offset+b.size, total)
			}
		}
		for i, a := range bufs {
			for _, b := range bufs[:i] {
				if a.first <= b.last && b.first <= a.last && a.offset < b.offset+b.size && b.offset < a.offset+a.size {
					t.Fatalf("%+v: two buffers share memory at the same time", c)
				}
			}
		}
		everyBuffer = true
		again := planMemory(bufs, steps)
		everyBuffer = false
		if again != total {
			t.Errorf("%+v: the arena has %d floats, by looking at all buffers %d", c, total, again)
		}
		for i, b := range bufs {
			if b.offset != got[i] {
				t.Fatalf("%+v: buffer %d lies at %d, by looking at all buffers at %d", c, i, got[i], b.offset)
			}
		}
	}
}

// A chain of many operators is planned in a time that grows with their number, not
// with its square: by looking at all, 80,000 take minutes.
func TestPlanMemoryOfAChain(t *testing.T) {
	var bufs []*buf
	var steps []*step
	for i := range 80_000 {
		b := &buf{id: i, size: 100, kind: temporary}
		s := &step{writes: []*buf{b}}
		if i > 0 {
			s.reads = []*buf{bufs[i-1]}
		}
		bufs, steps = append(bufs, b), append(steps, s)
	}
	began := time.Now()
	total := planMemory(bufs, steps)
	if total > 300 {
		t.Errorf("the arena has %d floats", total)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Error(fmt.Sprint("it took ", d))
	}
}
