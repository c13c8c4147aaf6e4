package engine

import (
	"slices"
	"sort"
)

// lifetimes holds the buffers that have a place in the arena. It finds those that
// are alive at the same time as another without looking at all of them: a chain of
// 20,000 operators has as many buffers, each of which meets two others.
type lifetimes struct {
	placed []*buf // by offset

	steps  int
	within [][]*buf // a segment tree over the steps: the buffers alive in all steps of a node
	begin  [][]*buf // by the step that writes them first
	found  []*buf
}

// everyBuffer makes lifetimes look at all buffers, for tests.
var everyBuffer bool

func newLifetimes(live []*buf, steps int) *lifetimes {
	l := &lifetimes{}
	if len(live) < 256 || everyBuffer {
		return l
	}
	for l.steps = 1; l.steps < steps+1; l.steps *= 2 {
	}
	l.within, l.begin = make([][]*buf, 2*l.steps), make([][]*buf, l.steps)
	return l
}

// place adds a buffer that has its offset.
func (l *lifetimes) place(b *buf) {
	i := sort.Search(len(l.placed), func(i int) bool { return l.placed[i].offset > b.offset })
	l.placed = slices.Insert(l.placed, i, b)
	if l.steps == 0 {
		return
	}
	l.begin[b.first] = append(l.begin[b.first], b)
	for lo, hi := b.first+l.steps, b.last+l.steps+1; lo < hi; lo, hi = lo/2, hi/2 {
		if lo&1 == 1 {
			l.within[lo] = append(l.within[lo], b)
			lo++
		}
		if hi&1 == 1 {
			hi--
			l.within[hi] = append(l.within[hi], b)
		}
	}
}

// overlapping returns the placed buffers that are alive while b is, by offset, and
// perhaps others.
func (l *lifetimes) overlapping(b *buf) []*buf {
	if l.steps == 0 {
		return l.placed
	}
	most := len(l.placed) / 32 // to sort more is slower than to look at all
	if b.last-b.first > most {
		return l.placed
	}
	l.found = l.found[:0]
	for node := b.first + l.steps; node > 0 && len(l.found) <= most; node /= 2 {
		l.found = append(l.found, l.within[node]...)
	}
	for step := b.first + 1; step <= b.last && len(l.found) <= most; step++ {
		l.found = append(l.found, l.begin[step]...)
	}
	if len(l.found) > most {
		return l.placed
	}
	slices.SortFunc(l.found, func(x, y *buf) int { return x.offset - y.offset })
	return l.found
}
