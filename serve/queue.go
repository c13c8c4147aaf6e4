package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// job is something that waits for a model's turn to compute.
type job struct {
	ctx context.Context
	// rows are inputs, [n H W C], that may be computed together with the rows of other
	// jobs; nil if run is set, which is computed alone.
	rows []float32
	n    int
	// priority orders the jobs that wait: lower numbers first.
	priority int
	run      func(ctx context.Context) error

	logits, features []float32 // the result, n rows each
	err              error
	added            time.Time
	queued, computed time.Duration
	batch            int // rows that were computed together
	done             chan struct{}
}

// errRetired is the error of a queue that takes no more jobs.
var errRetired = errors.New("the model is being unloaded")

// queue hands jobs to a model, as many together as wait.
type queue struct {
	largest int           // rows of a batch
	delay   time.Duration // for which a batch that is not full waits for more
	compute func(rows []float32, n int) (logits, features []float32, err error)
	stats   *stats

	mu      sync.Mutex
	waiting []*job
	closed  bool
	wake    chan struct{} // holds a value after waiting or closed changed
	ended   chan struct{}
	input   []float32 // of a batch of several jobs
}

func newQueue(largest int, delay time.Duration, st *stats, compute func(rows []float32, n int) (logits, features []float32, err error)) *queue {
	q := &queue{largest: largest, delay: delay, compute: compute, stats: st, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go q.loop()
	return q
}

// do waits until a job is computed. When the job's context ends it returns at once, and
// the job is not computed unless that has begun.
func (q *queue) do(j *job) error {
	j.added, j.done = time.Now(), make(chan struct{})
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return errRetired
	}
	at := len(q.waiting)
	for ; at > 0 && q.waiting[at-1].priority > j.priority; at-- {
	}
	q.waiting = slices.Insert(q.waiting, at, j)
	q.mu.Unlock()
	q.signal()
	select {
	case <-j.done:
		return j.err
	case <-j.ctx.Done():
		q.signal() // so that the job does not stay in the queue
		return j.ctx.Err()
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// length returns the number of jobs that wait.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// close ends the queue after the jobs that wait, and waits for its end.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
	<-q.ended
}

func (q *queue) loop() {
	defer close(q.ended)
	for {
		jobs, rows := q.next()
		if jobs == nil {
			return
		}
		q.batch(jobs, rows)
	}
}

// next waits for jobs to compute together; nil means that the queue has ended.
func (q *queue) next() (jobs []*job, rows int) {
	for {
		wait := time.Duration(-1)
		q.mu.Lock()
		dropped := len(q.waiting)
		q.waiting = slices.DeleteFunc(q.waiting, func(j *job) bool { return j.ctx.Err() != nil })
		q.stats.drop(dropped - len(q.waiting))
		if len(q.waiting) > 0 {
			n, full := 0, false
			if n, rows, full = q.take(); !full && q.delay > 0 && !q.closed {
				first := q.waiting[0].added
				for _, j := range q.waiting[:n] {
					if j.added.Before(first) {
						first = j.added
					}
				}
				wait = q.delay - time.Since(first)
			}
			if wait <= 0 {
				jobs = slices.Clone(q.waiting[:n])
				q.waiting = slices.Delete(q.waiting, 0, n)
				q.mu.Unlock()
				return jobs, rows
			}
		} else if q.closed {
			q.mu.Unlock()
			return nil, 0
		}
		q.mu.Unlock()
		if wait < 0 {
			<-q.wake
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-q.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// take returns how many of the first jobs are computed together, their rows, and
// whether no other job could join them.
func (q *queue) take() (n, rows int, full bool) {
	for _, j := range q.waiting {
		if j.run != nil {
			if n == 0 {
				return 1, 1, true
			}
			return n, rows, true
		}
		if n > 0 && rows+j.n > q.largest {
			return n, rows, true
		}
		n, rows = n+1, rows+j.n
	}
	return n, rows, rows >= q.largest
}

// batch computes jobs and wakes those that wait for them.
func (q *queue) batch(jobs []*job, rows int) {
	began := time.Now()
	for _, j := range jobs {
		j.queued, j.batch = began.Sub(j.added), rows
	}
	err := q.guard(jobs, rows)
	took := time.Since(began)
	q.stats.batch(rows, took)
	for _, j := range jobs {
		if err != nil {
			j.err = err
		}
		j.computed = took
		close(j.done)
	}
}

// guard is the computation. A panic becomes an error of the jobs, because it must not
// end the server.
func (q *queue) guard(jobs []*job, rows int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &apiError{status: http.StatusInternalServerError, text: fmt.Sprintf("the computation failed: %v", p)}
			q.stats.panicked(p, debug.Stack())
		}
	}()
	if j := jobs[0]; j.run != nil {
		return j.run(j.ctx)
	}
	x := jobs[0].rows
	if len(jobs) > 1 {
		q.input = q.input[:0]
		for _, j := range jobs {
			q.input = append(q.input, j.rows...)
		}
		x = q.input
	}
	logits, features, err := q.compute(x, rows)
	if err != nil {
		return err
	}
	k, f, at := len(logits)/rows, len(features)/rows, 0
	for _, j := range jobs {
		j.logits, j.features = logits[at*k:(at+j.n)*k], features[at*f:(at+j.n)*f]
		at += j.n
	}
	return nil
}
