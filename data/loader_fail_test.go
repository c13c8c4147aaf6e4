package data

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/resnet-go/resnet/data/imaging"
)

func TestBadSample(t *testing.T) {
	ds := noise(40, 2, 2, 1)
	for _, i := range []int{5, 17, 18} {
		ds.Pictures[i] = nil
	}
	for _, workers := range []int{1, 4} {
		l, err := NewLoader(ds, LoaderConfig{BatchSize: 8, Preprocess: plain(2, 2, 1), Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		var last error
		for b, err := range l.Epoch(context.Background(), 0, 1) {
			if last = err; err == nil {
				n += b.N
			}
		}
		var bad *SampleError
		if n != 8 || !errors.As(last, &bad) || bad.Index != 17 {
			t.Errorf("%d workers: %d rows, then %v; want 8, then image 17", workers, n, last)
		}
		checkError(t, last, "image 17", "no picture")
	}

	// Evaluation: the bad ones are left out.
	cfg := LoaderConfig{BatchSize: 8, Preprocess: plain(2, 2, 1), Last: Pad, SkipBad: true}
	got, l := collect(t, ds, cfg)
	var seen []int
	for _, b := range got {
		if b.N != 8 {
			t.Errorf("%d rows", b.N)
		}
		seen = append(seen, b.Index[:b.Real]...)
		for row := range 8 {
			if (row < b.Real) != (b.Labels[row] >= 0) || (row < b.Real) != (b.Index[row] >= 0) {
				t.Errorf("row %d of %d real ones has label %d, sample %d", row, b.Real, b.Labels[row], b.Index[row])
			}
			if row < b.Real && math.Abs(float64(b.X[row*4]-float32(ds.Pictures[b.Index[row]].Pix[0]))) > 1e-4 {
				t.Errorf("row %d is not sample %d", row, b.Index[row])
			}
		}
	}
	if len(seen) != 37 || slices.Contains(seen, 17) {
		t.Errorf("samples %v", seen)
	}
	if bad := l.Bad(); len(bad) != 3 || bad[0].Index != 5 || bad[2].Index != 18 {
		t.Errorf("bad samples %v", bad)
	}

	// Training: others take their places, the same ones for any workers and
	// wherever the epoch is taken up.
	cfg = LoaderConfig{BatchSize: 8, Preprocess: plain(2, 2, 1), Shuffle: true, SkipBad: true, Seed: 3}
	var want []string
	for _, workers := range []int{1, 3, 8} {
		cfg.Workers = workers
		hashes := epochHashes(t, ds, cfg, 0, 0)
		if want == nil {
			want = hashes
		}
		if len(hashes) != 5 || fmt.Sprint(hashes) != fmt.Sprint(want) {
			t.Errorf("%d workers: other batches than with 1", workers)
		}
		if rest := epochHashes(t, ds, cfg, 0, 3); fmt.Sprint(rest) != fmt.Sprint(want[3:]) {
			t.Errorf("%d workers: taking up at step 3 gives other batches", workers)
		}
	}
	for i := range ds.Pictures {
		ds.Pictures[i] = nil
	}
	l, err := NewLoader(ds, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range l.Epoch(context.Background(), 0, 0) {
		checkError(t, err, "bad too")
	}
	cfg.Shuffle = false
	if got, _ := collect(t, ds, cfg); len(got) != 0 {
		t.Errorf("%d batches of nothing", len(got))
	}
}

// slow is a dataset whose samples take until its gate opens.
type slow struct {
	*Images
	gate chan struct{}
}

func (s *slow) Decode(i int, dst *imaging.Image) error {
	<-s.gate
	return s.Images.Decode(i, dst)
}

func TestCancelAndLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	s := &slow{noise(100, 2, 2, 1), make(chan struct{})}
	l, err := NewLoader(s, LoaderConfig{BatchSize: 4, Preprocess: plain(2, 2, 1), Workers: 3, CacheBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		s.gate <- struct{}{}
		cancel()
		close(s.gate)
	}()
	turns := 0
	for b, err := range l.Epoch(ctx, 0, 0) {
		turns++
		if b != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("batch %v, error %v after the context ended", b, err)
		}
	}
	if turns != 1 {
		t.Errorf("%d turns, want one with the error", turns)
	}
	// The loader can be used again, left early, and by several at once.
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for b, err := range l.Epoch(context.Background(), g, 0) {
				if err != nil {
					t.Error(err)
				}
				if b.Step == 3*g {
					break
				}
			}
		})
	}
	wg.Wait()
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

func TestLoaderErrors(t *testing.T) {
	ds := noise(10, 2, 2, 1)
	ok := LoaderConfig{BatchSize: 4, Preprocess: plain(2, 2, 1)}
	for want, change := range map[string]func(*LoaderConfig){
		"batch size 0":  func(c *LoaderConfig) { c.BatchSize = 0 },
		"batch size 11": func(c *LoaderConfig) { c.BatchSize = 11 },
		"channels":      func(c *LoaderConfig) { c.Preprocess.Channels = 5 },
		"last batch":    func(c *LoaderConfig) { c.Last = 7 },
		"repeat":        func(c *LoaderConfig) { c.Repeat = 2 },
	} {
		cfg := ok
		change(&cfg)
		_, err := NewLoader(ds, cfg)
		checkError(t, err, want)
	}
	_, err := NewLoader(noise(0, 2, 2, 1), ok)
	checkError(t, err, "no samples")
	for _, labels := range [][]int{{3}, {-1}, {}, {0, 1}} {
		wrong := noise(10, 2, 2, 1)
		wrong.Targets[7] = labels
		_, err := NewLoader(wrong, ok)
		checkError(t, err, "image 7", "label")
	}
	l, err := NewLoader(ds, ok)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []int{-1, 3} {
		for _, err := range l.Epoch(context.Background(), 0, step) {
			checkError(t, err, "step")
		}
	}
	for range l.Epoch(context.Background(), 0, 2) {
		t.Error("a batch after the last step")
	}
}
