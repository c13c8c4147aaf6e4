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
	wake    []chan struct{}
	done    sync.WaitGroup

	// The current run; written by its owner before the helpers are woken.
	n    int
	next atomic.Int64
	task func(task, worker int)
}

// NewPool starts a pool of the given number of workers; 0 or less means
// runtime.GOMAXPROCS(0). Call [Pool.Close] to end its goroutines.
func NewPool(workers int) *Pool {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	p := &Pool{workers: workers, wake: make([]chan struct{}, workers-1)}
	for i := range p.wake {
		p.wake[i] = make(chan struct{}, 1)
		go p.helper(i+1, p.wake[i])
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
	helpers := min(len(p.wake), n-1)
	p.done.Add(helpers)
	for i := 0; i < helpers; i++ {
		p.wake[i] <- struct{}{}
	}
	p.drain(0)
	p.done.Wait()
	p.task = nil
}

// Close ends the worker goroutines. No Run may be in progress or follow.
func (p *Pool) Close() {
	for _, c := range p.wake {
		close(c)
	}
	p.wake = nil
	p.workers = 1
}

func (p *Pool) helper(worker int, wake <-chan struct{}) {
	for range wake {
		p.drain(worker)
		p.done.Done()
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
