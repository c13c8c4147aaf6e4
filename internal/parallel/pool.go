// Package parallel runs numbered tasks on a fixed set of goroutines.
//
// Callers cut their work into pieces whose number and bounds do not depend on
// the number of workers. Therefore results are the same bits at any thread count:
// a pool only decides which worker runs a piece, never what a piece is.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Pool is a set of worker goroutines started once. The goroutine that calls
// [Pool.Run] is worker 0 of its own run, so a Pool of one worker starts none.
// A Pool may be used by many goroutines at once.
type Pool struct {
	workers int
	busy    sync.Mutex // held by the run that has the helpers
	helpers []*helper
	done    chan struct{}
	waiting atomic.Bool // the owner sleeps on done

	// The current run; task and the ends of the shares are written by its owner
	// before it opens.
	task func(task, worker int)

	// Fields that workers write or read all the time have separate cache lines.
	_   [64]byte
	run atomic.Uint64 // the number of the run, whether it is open, who is in it
	_   [64]byte

	shares []share // by worker
}

// share is the part of a run's tasks that one worker takes first: neighbors, in
// order. Neighboring tasks read and write neighboring memory, and a worker has the
// same part in the next run, so it finds much of its data in its core's cache. A
// worker that finishes its share steals from the others.
type share struct {
	next atomic.Int64 // the first task that is not taken
	end  int
	_    [64 - 16]byte
}

type helper struct {
	asleep atomic.Bool // waits on wake
	wake   chan struct{}
	_      [64]byte
}

// The parts of Pool.run. A helper joins a run while it is open. The owner closes
// the run when no task is left, and then waits only for helpers that have joined:
// a helper without a processor delays nobody.
const (
	joined = 1<<16 - 1 // how many helpers are in the run
	open   = 1 << 16
	ended  = 1 << 17 // the pool is closed
	number = 1 << 18 // from this bit on
)

// How long a worker spins for the next run, or for the end of this one, before it
// sleeps. A plan is a chain of short runs, whose last task may take about as long,
// while waking a sleeping helper takes some 50 microseconds, on a virtual machine
// more. A spinning helper yields the processor to other goroutines.
const (
	spinTime = 200 * time.Microsecond
	spins    = 1000 // between two readings of the clock
)

// NewPool starts a pool of the given number of workers; 0 or less means
// runtime.GOMAXPROCS(0). Call [Pool.Close] to end its goroutines.
func NewPool(workers int) *Pool {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = min(workers, joined)
	p := &Pool{workers: workers, done: make(chan struct{}, 1), shares: make([]share, workers)}
	for i := 1; i < workers; i++ {
		h := &helper{wake: make(chan struct{}, 1)}
		p.helpers = append(p.helpers, h)
		go p.help(h, i)
	}
	return p
}

var shared struct {
	sync.Mutex
	pools map[int]*Pool
}

// Shared returns the process's pool of the given number of workers; 0 or less
// means runtime.GOMAXPROCS(0). It is started when it is first asked for and must
// not be closed: its sleeping goroutines cost little, and there are only as many
// as the different sizes ask for.
func Shared(workers int) *Pool {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	shared.Lock()
	defer shared.Unlock()
	p := shared.pools[workers]
	if p == nil {
		p = NewPool(workers)
		if shared.pools == nil {
			shared.pools = map[int]*Pool{}
		}
		shared.pools[workers] = p
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
	p.task = task
	for w := range p.shares {
		s := &p.shares[w]
		s.next.Store(int64(n * w / p.workers))
		s.end = n * (w + 1) / p.workers
	}
	p.run.Store(p.run.Load()&^joined + number | open)
	for _, h := range p.helpers[:min(len(p.helpers), n-1)] {
		h.rouse()
	}
	p.drain(0)
	p.wait()
	p.task = nil
}

// Close ends the worker goroutines. No Run may be in progress or follow.
func (p *Pool) Close() {
	p.run.Or(ended)
	for _, h := range p.helpers {
		h.rouse()
	}
}

// rouse wakes the helper if it sleeps.
func (h *helper) rouse() {
	if h.asleep.Load() && h.asleep.CompareAndSwap(true, false) {
		h.wake <- struct{}{}
	}
}

// wait closes the run and returns when every helper in it has finished.
func (p *Pool) wait() {
	if p.run.And(^uint64(open))&joined == 0 {
		return
	}
	for start := time.Now(); time.Since(start) < spinTime; {
		for range spins {
			if p.run.Load()&joined == 0 {
				return
			}
		}
	}
	p.waiting.Store(true)
	if p.run.Load()&joined == 0 && p.waiting.CompareAndSwap(true, false) {
		return
	}
	<-p.done
}

func (p *Pool) help(h *helper, worker int) {
	seen := uint64(0)
	for {
		run := p.await(h, seen)
		if run&ended != 0 {
			return
		}
		seen = run / number
		for run/number == seen && run&open != 0 {
			if !p.run.CompareAndSwap(run, run+1) {
				run = p.run.Load()
				continue
			}
			p.drain(worker)
			if p.run.Add(^uint64(0))&(joined|open) == 0 && p.waiting.CompareAndSwap(true, false) {
				p.done <- struct{}{}
			}
			break
		}
	}
}

// await returns the state of a run other than number seen, sleeping if none
// comes soon.
func (p *Pool) await(h *helper, seen uint64) uint64 {
	fresh := func(run uint64) bool { return run/number != seen || run&ended != 0 }
	for {
		for start := time.Now(); time.Since(start) < spinTime; runtime.Gosched() {
			for range spins {
				if run := p.run.Load(); fresh(run) {
					return run
				}
			}
		}
		h.asleep.Store(true)
		if fresh(p.run.Load()) && h.asleep.CompareAndSwap(true, false) {
			continue
		}
		<-h.wake
	}
}

// drain runs tasks until all are taken: first the worker's own, then tasks that
// others have not started.
func (p *Pool) drain(worker int) {
	for i := range p.shares {
		s := &p.shares[(worker+i)%p.workers]
		for {
			task := int(s.next.Add(1)) - 1
			if task >= s.end {
				break
			}
			p.task(task, worker)
		}
	}
}
