package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRunCallsEachTaskOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 8} {
		p := NewPool(workers)
		for n := 0; n < 40; n++ {
			seen := make([]atomic.Int32, n)
			p.Run(n, func(task, worker int) {
				if worker < 0 || worker >= workers {
					t.Errorf("worker %d of %d", worker, workers)
				}
				seen[task].Add(1)
			})
			for i := range seen {
				if c := seen[i].Load(); c != 1 {
					t.Fatalf("%d workers, %d tasks: task %d ran %d times", workers, n, i, c)
				}
			}
		}
		p.Close()
	}
}

func TestConcurrentRuns(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	var wg sync.WaitGroup
	for g := 0; g < 8; g++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for r := 0; r < 200; r++ {
				var sum atomic.Int64
				p.Run(17, func(task, _ int) { sum.Add(int64(task)) })
				if s := sum.Load(); s != 17*16/2 {
					t.Errorf("sum of tasks is %d", s)
				}
			}
		}()
	}
	wg.Wait()
}

func TestRunAllocatesNothing(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	f := func(task, worker int) {}
	if a := testing.AllocsPerRun(100, func() { p.Run(8, f) }); a != 0 {
		t.Errorf("%v allocations per Run", a)
	}
}

// A helper that comes late, or never gets a processor, does not hold up a run.
func TestRunDoesNotWaitForLateHelpers(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	for r := range 300 {
		if r%100 == 99 {
			time.Sleep(2 * spinTime) // all helpers go to sleep
		}
		var sum atomic.Int64
		p.Run(2+r%7, func(task, _ int) {
			if r%50 == 0 && task == 0 {
				time.Sleep(2 * spinTime) // the owner sleeps, or a helper does
			}
			sum.Add(int64(task) + 1)
		})
		n := int64(2 + r%7)
		if s := sum.Load(); s != n*(n+1)/2 {
			t.Fatalf("run %d: sum of tasks is %d, want %d", r, s, n*(n+1)/2)
		}
	}
}

func TestRunOnOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p := NewPool(4)
	defer p.Close()
	for range 200 {
		var sum atomic.Int64
		p.Run(9, func(task, _ int) { sum.Add(int64(task)) })
		if s := sum.Load(); s != 36 {
			t.Fatalf("sum of tasks is %d", s)
		}
	}
}

func TestCloseEndsHelpers(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := range 20 {
		p := NewPool(3)
		if i%2 == 1 {
			p.Run(5, func(int, int) {})
		}
		if i%5 == 4 {
			time.Sleep(2 * spinTime)
		}
		p.Close()
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before the pools", runtime.NumGoroutine(), before)
		}
	}
}

// BenchmarkRun is a chain of short runs, as the steps of a plan are.
func BenchmarkRun(b *testing.B) {
	p := NewPool(2)
	defer p.Close()
	f := func(task, worker int) {}
	for b.Loop() {
		p.Run(8, f)
	}
}

// Each worker begins with a share of neighboring tasks and helps with those of
// the others after it.
func TestRunSharesNeighbors(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for _, n := range []int{2, 3, 8, 13} {
		var both sync.WaitGroup // both workers are in the run
		both.Add(2)
		var first [2]sync.Once
		var order [2][]int
		p.Run(n, func(task, worker int) {
			order[worker] = append(order[worker], task)
			first[worker].Do(func() { both.Done(); both.Wait() })
		})
		if order[0][0] != 0 || order[1][0] != n/2 {
			t.Errorf("%d tasks: the workers begin with %d and %d", n, order[0][0], order[1][0])
		}
		for w, list := range order {
			for i := 1; i < len(list); i++ {
				if list[i] != list[i-1]+1 && (list[i-1]+1 < n/2 && w == 0 || list[i-1]+1 < n && w == 1) {
					t.Errorf("%d tasks: worker %d ran %v", n, w, list)
				}
			}
		}
	}
}
