package parallel

import (
	"sync"
	"sync/atomic"
	"testing"
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
