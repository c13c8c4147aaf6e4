package engine

import "sort"

// bufKind is where a buffer's memory comes from.
type bufKind uint8

const (
	temporary bufKind = iota // the run's arena
	constant                 // the plan: weights, packed weights, constants
	stored                   // Vars: updated in place
	fed                      // the caller's input tensor
	part                     // a part of another buffer
)

// buf is a flat array of float32 that steps read and write.
type buf struct {
	id   int
	size int
	kind bufKind
	data []float32 // for constant and stored
	port int       // for fed: which input
	of   *buf      // for part, which begins at at
	at   int

	source source // of a constant in the public order

	// Set by planMemory for temporaries.
	first, last int  // the steps that write it first and use it last
	host        *buf // the buffer whose memory this one continues to use, or nil
	offset      int  // in the arena
}

// alignment of buffers in the arena, in floats: a cache line.
const alignment = 16

// planMemory gives each temporary a place in one arena, so that two share
// memory only if their lifetimes do not overlap, and returns the arena's size
// in floats. Steps that can work in place do so.
//
// Large buffers are placed first, each at the lowest offset that is free for
// its whole lifetime; it is the usual greedy heuristic and comes within a few
// percent of the lower bound on these networks.
func planMemory(bufs []*buf, steps []*step) int {
	for _, b := range bufs {
		b.first, b.last = len(steps), -1
	}
	for i, s := range steps {
		for _, b := range s.reads {
			b = b.whole()
			b.last = max(b.last, i)
		}
		for _, b := range s.writes {
			b = b.whole()
			b.first = min(b.first, i)
			b.last = max(b.last, i)
		}
	}
	for i, s := range steps {
		if s.inPlace.out == nil {
			continue
		}
		out, in := s.inPlace.out, s.inPlace.in.root()
		if in.kind == temporary && in.last == i && out.first == i && in.size == out.size && out.host == nil && in != out && s.readsOnce(in) {
			out.host = in
			in.last = max(in.last, out.last)
		}
	}

	var live []*buf
	for _, b := range bufs {
		if b.kind == temporary && b.host == nil && b.last >= 0 {
			live = append(live, b)
		}
	}
	sort.SliceStable(live, func(i, j int) bool {
		if live[i].size != live[j].size {
			return live[i].size > live[j].size
		}
		return live[i].first < live[j].first
	})
	others := newLifetimes(live, len(steps))
	total := 0
	for _, b := range live {
		at := 0
		for _, p := range others.overlapping(b) {
			if p.last < b.first || b.last < p.first {
				continue
			}
			if p.offset >= at+b.size {
				break
			}
			at = max(at, (p.offset+p.size+alignment-1)/alignment*alignment)
		}
		b.offset = at
		total = max(total, at+b.size)
		others.place(b)
	}
	return total
}

// readsOnce reports whether exactly one of the step's inputs lies in the
// memory of b: a convolution whose input is also its residual cannot write
// over it.
func (s *step) readsOnce(b *buf) bool {
	n := 0
	for _, x := range s.reads {
		if x.whole().root() == b {
			n++
		}
	}
	return n == 1
}

// root follows in-place sharing to the buffer that owns the memory.
func (b *buf) root() *buf {
	for b.host != nil {
		b = b.host
	}
	return b
}
