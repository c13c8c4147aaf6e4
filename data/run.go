package data

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// run is one pass over an epoch.
type run struct {
	l       *Loader
	ctx     context.Context
	cancel  context.CancelFunc
	epoch   int
	step    int // the first
	order   []entry
	free    chan *slot
	ordered chan *slot
	tasks   chan task
	given   atomic.Bool // set when all tasks are given out and no more slots are needed
	wg      sync.WaitGroup

	// Guarded by the loader's mu:
	batches []*slot // that belong to this run
	next    *run    // takes over the slots that this run no longer needs
}

// task is some rows of a batch.
type task struct {
	b      *slot
	lo, hi int
}

// taskRows is the number of rows that a worker takes at a time: few enough to
// spread a batch of large pictures evenly over the workers.
const taskRows = 8

// start begins a run, with its own slots or with those that another run will hand
// on.
func (l *Loader) start(ctx context.Context, epoch, step int, slots bool) *run {
	r := &run{
		l: l, epoch: epoch, step: step,
		free:    make(chan *slot, l.cfg.Prefetch+1),
		ordered: make(chan *slot, l.cfg.Prefetch+1),
		tasks:   make(chan task, l.cfg.Workers),
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.order = l.order(take(l, &l.ords), epoch)
	for i := 0; slots && i < l.cfg.Prefetch+1; i++ {
		b := take(l, &l.free)
		if b == nil {
			b = newSlot()
		}
		r.batches = append(r.batches, b)
		r.free <- b
	}
	r.wg.Add(1 + l.cfg.Workers)
	go r.dispatch(step)
	for range l.cfg.Workers {
		go r.work()
	}
	return r
}

// release takes back a used batch, for a later step or for the next run.
func (r *run) release(b *slot) {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.next == nil || !r.given.Load() {
		r.free <- b // never blocks: there are not more batches than places
		return
	}
	r.batches = slices.DeleteFunc(r.batches, func(o *slot) bool { return o == b })
	r.next.receive(b)
}

func (r *run) receive(b *slot) {
	r.batches = append(r.batches, b)
	r.free <- b
}

// stop ends the goroutines and keeps the memory for the next run.
func (r *run) stop() {
	r.cancel()
	r.wg.Wait()
	for _, b := range r.batches {
		select { // of a batch that was made and not used
		case <-b.ready:
		default:
		}
	}
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.next != nil {
		for _, b := range r.batches {
			r.next.receive(b)
		}
	} else {
		l.free = append(l.free, r.batches...)
	}
	l.ords = append(l.ords, r.order)
	if l.open == r {
		l.open = nil
	}
}

func take[T any](l *Loader, from *[]T) (v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(*from); n > 0 {
		v = (*from)[n-1]
		*from = (*from)[:n-1]
	}
	return v
}

func (r *run) dispatch(step int) {
	defer r.wg.Done()
	defer close(r.tasks)
	defer close(r.ordered)
	defer r.given.Store(true)
	for ; step < r.l.Steps(); step++ {
		if !r.l.cfg.Part.Has(step) {
			continue
		}
		var b *slot
		select {
		case b = <-r.free:
		case <-r.ctx.Done():
			return
		}
		r.prepare(b, step)
		r.ordered <- b // never blocks: there are not more batches than places
		for lo := 0; lo < len(b.entries); lo += taskRows {
			select {
			case r.tasks <- task{b, lo, min(lo+taskRows, len(b.entries))}:
			case <-r.ctx.Done():
				return
			}
		}
	}
}

// prepare sets a batch up for a step.
func (r *run) prepare(b *slot, step int) {
	cfg, p := &r.l.cfg, &r.l.cfg.Preprocess
	lo := step * cfg.BatchSize
	b.entries = r.order[lo:min(lo+cfg.BatchSize, len(r.order))]
	b.Epoch, b.Step = r.epoch, step
	b.Views = r.l.views()
	b.Real, b.N = len(b.entries)*b.Views, len(b.entries)*b.Views
	if cfg.Last == Pad {
		b.N = cfg.BatchSize
	}
	b.H, b.W, b.C = p.Height, p.Width, p.Channels
	b.X = resized(b.X, b.N*b.H*b.W*b.C)
	b.Index = resized(b.Index, b.N)
	b.errs = resized(b.errs, len(b.entries))
	clear(b.errs)
	multi := r.l.ds.MultiLabel()
	switch {
	case r.l.masks != nil:
		b.Labels = resized(b.Labels, b.N*b.H*b.W)
	case !multi:
		b.Labels = resized(b.Labels, b.N)
	}
	if r.l.masks == nil && (multi || cfg.SoftTargets || cfg.Augment.Mixes()) {
		b.Targets = resized(b.Targets, b.N*len(r.l.ds.Classes()))
		clear(b.Targets)
	}
	b.pending.Store(int32((len(b.entries) + taskRows - 1) / taskRows))
}

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func (r *run) work() {
	defer r.wg.Done()
	ws := take(r.l, &r.l.sets)
	if ws == nil {
		ws = new(workerState)
	}
	defer func() {
		r.l.mu.Lock()
		defer r.l.mu.Unlock()
		r.l.sets = append(r.l.sets, ws)
	}()
	for t := range r.tasks {
		for row := t.lo; row < t.hi && r.ctx.Err() == nil; row++ {
			t.b.errs[row] = r.l.fill(t.b, row, ws)
		}
		if t.b.pending.Add(-1) == 0 {
			r.l.complete(t.b, ws)
			t.b.ready <- struct{}{}
		}
	}
}
