package engine

import (
	"sync"

	"github.com/resnet-go/resnet/internal/memory"
)

// arena is the memory that one run needs for its values and its workers'
// scratch.
type arena struct {
	floats []float32
	block  *memory.Block
}

// arenas are those that no run uses. The plans over one Vars share them: of
// plans for several batch sizes, mostly one runs at a time.
type arenas struct {
	mu   sync.Mutex
	idle []arena
}

// take returns an arena of at least n floats, of any content. It is the smallest
// idle one that will do; a new one takes the place of the largest that will not.
func (a *arenas) take(n int) arena {
	a.mu.Lock()
	defer a.mu.Unlock()
	best, largest := -1, -1
	for i, x := range a.idle {
		if size := len(x.floats); size >= n && (best < 0 || size < len(a.idle[best].floats)) {
			best = i
		}
		if largest < 0 || len(x.floats) > len(a.idle[largest].floats) {
			largest = i
		}
	}
	if best >= 0 {
		return a.remove(best)
	}
	if largest >= 0 {
		a.remove(largest).block.Free()
	}
	f, b := memory.Floats(n)
	return arena{f, b}
}

// give puts an arena back. Of more than most that are idle, the smallest goes:
// it would only be the memory of a past burst.
func (a *arenas) give(x arena, most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.idle = append(a.idle, x)
	if len(a.idle) <= most {
		return
	}
	smallest := 0
	for i := range a.idle {
		if len(a.idle[i].floats) < len(a.idle[smallest].floats) {
			smallest = i
		}
	}
	a.remove(smallest).block.Free()
}

func (a *arenas) remove(i int) arena {
	x := a.idle[i]
	last := len(a.idle) - 1
	a.idle[i], a.idle[last] = a.idle[last], arena{}
	a.idle = a.idle[:last]
	return x
}

// page is what scratch areas are apart in an arena at least, in floats.
const page = 1024

// Memory returns the bytes that a run needs besides the weights and the tensors
// of its inputs and outputs. It is 0 on a [Device], which does not tell.
func (p *Plan) Memory() int64 {
	if p.remote != nil {
		return 0
	}
	n := 4 * int64(p.runFloats())
	for _, w := range p.winners {
		n += 2 * int64(w)
	}
	return n
}

// runFloats returns the size of the arena that a run needs.
func (p *Plan) runFloats() int {
	return roundUp(p.arena, page) + p.pool.Workers()*roundUp(p.scratch, page)
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// use puts the run's temporaries and scratch into an arena.
func (r *run) use(x arena) {
	p := r.plan
	r.arena = x
	for _, b := range p.bufs {
		if b.kind == temporary {
			at := b.root().offset
			r.b[b.id] = x.floats[at : at+b.size : at+b.size]
		}
	}
	at := roundUp(p.arena, page)
	for i := range r.scratch {
		r.scratch[i] = x.floats[at : at+p.scratch : at+p.scratch]
		r.workers[i].Scratch = r.scratch[i]
		at += roundUp(p.scratch, page)
	}
}
