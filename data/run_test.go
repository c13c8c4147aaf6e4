package data

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
)

// What is prepared ahead must be what comes without, whatever was going on, and
// Prepare must neither block nor lose a batch's memory.
func TestPrepare(t *testing.T) {
	ds := noise(50, 9, 8, 3)
	cfg := fullConfig()
	want := map[int][]string{}
	for e := range 4 {
		want[e] = epochHashes(t, ds, cfg, e, 0)
	}
	ctx := context.Background()
	for _, workers := range []int{1, 3} {
		for _, at := range []int{0, 1, len(want[0]) - 1} {
			cfg.Workers = workers
			l, err := NewLoader(ds, cfg)
			if err != nil {
				t.Fatal(err)
			}
			for e := range 3 {
				var got []string
				for b, err := range l.Epoch(ctx, e, 0) {
					if err != nil {
						t.Fatal(err)
					}
					h := sha256.New()
					hashBatch(h, b)
					got = append(got, fmt.Sprintf("%x", h.Sum(nil)))
					if b.Step == at {
						l.Prepare(ctx, e+1, 0)
					}
				}
				if fmt.Sprint(got) != fmt.Sprint(want[e]) {
					t.Errorf("%d workers, prepared at step %d: epoch %d is another", workers, at, e)
				}
			}
			// Something else than what was prepared, and the prepared one while
			// another is open.
			for range l.Epoch(ctx, 0, 1) {
				l.Prepare(ctx, 2, 0)
				n := 0
				for _, err := range l.Epoch(ctx, 2, 0) {
					if err != nil {
						t.Fatal(err)
					}
					n++
				}
				if n != len(want[2]) {
					t.Errorf("%d batches within another epoch", n)
				}
				break
			}
			l.Prepare(ctx, 3, 0)
			l.Close()
			ending, cancel := context.WithCancel(ctx)
			l.Prepare(ending, 3, 0)
			cancel()
			for _, err := range l.Epoch(ctx, 3, 0) {
				if err == nil {
					continue // what was made before the end
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
			}
			l.mu.Lock()
			if n := len(l.free); n > 2*(l.cfg.Prefetch+1) {
				t.Errorf("%d batches kept", n)
			}
			l.mu.Unlock()
		}
	}
}
