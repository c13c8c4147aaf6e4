package data

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Epoch returns the batches of an epoch from a step on; the rest of an epoch is
// the same whether its beginning was made or not. A batch holds until the next
// turn of the loop. On an error (a bad sample without SkipBad: a *SampleError;
// or ctx's end), the batch is nil and it is the last turn. Leaving the loop
// early ends the loader's goroutines. Several epochs may be open at once.
func (l *Loader) Epoch(ctx context.Context, epoch, step int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		if err := l.valid(epoch, step); err != nil {
			yield(nil, err)
			return
		}
		r := l.begin(ctx, epoch, step)
		defer r.stop()
		// What was prepared may end with a context of its own.
		defer context.AfterFunc(ctx, r.cancel)()
		ended := func() error { return cmp.Or(ctx.Err(), r.ctx.Err()) }
		for b := range r.ordered {
			select {
			case <-b.ready:
			case <-r.ctx.Done():
			}
			if err := ended(); err != nil {
				yield(nil, err)
				return
			}
			if err := b.firstError(); err != nil {
				yield(nil, err)
				return
			}
			// A batch of which nothing is left, all its samples being bad, is
			// no batch.
			if b.Real > 0 && !yield(&b.Batch, nil) {
				return
			}
			r.release(b)
		}
		if err := ended(); err != nil {
			yield(nil, err)
		}
	}
}

func (l *Loader) valid(epoch, step int) error {
	if epoch < 0 || int64(epoch) > math.MaxUint32 || step < 0 || step > l.Steps() {
		return fmt.Errorf("data: no step %d of epoch %d: an epoch has %d", step, epoch, l.Steps())
	}
	return nil
}

// Prefetch returns the number of batches that are made ahead: when a batch is
// given out, those of as many further steps have begun.
func (l *Loader) Prefetch() int { return l.cfg.Prefetch }

// Prepare begins to make the batches that [Loader.Epoch] of the same epoch and
// step will give, while something else goes on: the last steps of the epoch
// before, whose memory it takes over, or an evaluation. It changes no batch.
// What was prepared before and is not begun is given up. Call it when the epoch
// in progress has all its batches in the making (see [Loader.Prefetch]), or
// they would be made more slowly. The preparation ends with ctx or [Loader.Close].
func (l *Loader) Prepare(ctx context.Context, epoch, step int) {
	l.Close()
	if l.valid(epoch, step) != nil {
		return // which Epoch tells
	}
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	r := l.start(ctx, epoch, step, open == nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead = r
	switch {
	case open == nil:
	case l.open == open:
		open.next = r
	default: // it ended meanwhile
		for range l.cfg.Prefetch + 1 {
			r.receive(newSlot())
		}
	}
}

// Close gives up what was prepared and is not begun. The loader can be used
// further.
func (l *Loader) Close() {
	l.mu.Lock()
	r := l.ahead
	l.ahead = nil
	if l.open != nil && l.open.next == r {
		l.open.next = nil
	}
	l.mu.Unlock()
	if r != nil {
		r.stop()
	}
}

// begin returns the run of an epoch: the prepared one if it is the right one.
func (l *Loader) begin(ctx context.Context, epoch, step int) *run {
	l.mu.Lock()
	r := l.ahead
	if r != nil && r.epoch == epoch && r.step == step {
		l.ahead = nil
	} else {
		r = nil
	}
	l.mu.Unlock()
	if r == nil {
		l.Close()
		r = l.start(ctx, epoch, step, true)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open != nil && l.open.next == r { // still open: r must not wait for its slots
		l.open.next = nil
		for len(r.batches) < l.cfg.Prefetch+1 {
			r.receive(newSlot())
		}
	}
	l.open = r
	return r
}

func newSlot() *slot { return &slot{ready: make(chan struct{}, 1)} }

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
	given   atomic.Bool // all tasks are given out: the run needs no more slots
	wg      sync.WaitGroup

	// Of the loader's mu:
	batches []*slot // of this run
	next    *run    // gets the slots that this run needs no more
}

// task is some rows of a batch.
type task struct {
	b      *slot
	lo, hi int
}

// taskRows is how many rows a worker takes at a time: few enough to share a
// batch of large pictures out evenly.
const taskRows = 8

// start begins a run, with slots of its own or with those that another will
// hand on.
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

// release takes a batch back that was used: for the next step, or for the next
// run.
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
