// Package parallel runs numbered tasks on a fixed set of goroutines.
//
// Callers cut their work into pieces whose number and bounds do not depend on
// the number of workers. That is what makes results the same bits at any
// thread count: a pool only decides who runs a piece, never what a piece is.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Pool is a set of worker goroutines started once. The goroutine that calls
// [Pool.Run] is worker 0 of its own run, so a Pool of one worker starts none.
// A Pool may be used by many goroutines at once.
type Pool struct {
	workers int
	busy    sync.Mutex // held by the run that has the helpers
	helpers []*helper

	// The current run; n and task are written by its owner before run changes.
	n      int
	task   func(task, worker int)
	next   atomic.Int64  // the first task nobody has taken
	run    atomic.Uint64 // counts the runs; closed ends the helpers
	active atomic.Int32  // helpers that have not finished the current run

	waiting atomic.Bool // the owner sleeps on done
	done    chan struct{}
}

type helper struct {
	asleep atomic.Bool // waits on wake
	wake   chan struct{}
}

const closed = ^uint64(0)

// spins is how often a worker looks for the next run, or for the end of this
// one, before it sleeps: some 20 microseconds. A plan is a chain of short runs,
// and waking a sleeping goroutine costs more than the gap between two of them.
const spins = 20_000

// NewPool starts a pool of the given number of workers; 0 or less means
// runtime.GOMAXPROCS(0). Call [Pool.Close] to end its goroutines.
func NewPool(workers int) *Pool {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	p := &Pool{workers: workers, done: make(chan struct{}, 1)}
	for i := 1; i < workers; i++ {
		h := &helper{wake: make(chan struct{}, 1)}
		p.helpers = append(p.helpers, h)
		go p.help(h, i)
	}
	return p
}

// Workers returns how many workers may run tasks of one call at the same time;
// the worker number passed to a task is below it.
func (p *Pool) Workers() int { return p.workers }

// Run calls task(0..n-1) and returns when all have ended. Each call gets the
// number of the worker that runs it, for scratch memory: two tasks of one Run
// never run at once under the same number. When the helpers are busy with
// another Run, the caller runs all its tasks itself as worker 0.
// It allocates nothing.
func (p *Pool) Run(n int, task func(task, worker int)) {
	if n <= 1 || p.workers == 1 || !p.busy.TryLock() {
		for i := 0; i < n; i++ {
			task(i, 0)
		}
		return
	}
	defer p.busy.Unlock()
	p.n, p.task = n, task
	p.next.Store(0)
	p.active.Store(int32(len(p.helpers)))
	p.run.Add(1)
	for _, h := range p.helpers {
		if h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
	p.drain(0)
	p.wait()
	p.task = nil
}

// Close ends the worker goroutines. No Run may be in progress or follow.
func (p *Pool) Close() {
	p.run.Store(closed)
	for _, h := range p.helpers {
		if h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}

// wait returns when every helper has finished the current run.
func (p *Pool) wait() {
	for i := 0; i < spins; i++ {
		if p.active.Load() == 0 {
			return
		}
	}
	p.waiting.Store(true)
	if p.active.Load() == 0 && p.waiting.CompareAndSwap(true, false) {
		return
	}
	<-p.done
}

func (p *Pool) help(h *helper, worker int) {
	seen := uint64(0)
	for {
		run := p.await(h, seen)
		if run == closed {
			return
		}
		seen = run
		p.drain(worker)
		if p.active.Add(-1) == 0 && p.waiting.CompareAndSwap(true, false) {
			p.done <- struct{}{}
		}
	}
}

// await returns the number of a run other than seen, sleeping if none comes soon.
func (p *Pool) await(h *helper, seen uint64) uint64 {
	for {
		for i := 0; i < spins; i++ {
			if run := p.run.Load(); run != seen {
				return run
			}
		}
		h.asleep.Store(true)
		if p.run.Load() != seen && h.asleep.CompareAndSwap(true, false) {
			continue
		}
		<-h.wake
	}
}

func (p *Pool) drain(worker int) {
	for {
		i := int(p.next.Add(1)) - 1
		if i >= p.n {
			return
		}
		p.task(i, worker)
	}
}
