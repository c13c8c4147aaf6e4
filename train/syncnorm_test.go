package train

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

// TestSyncBatchNorm checks that ranks with synchronized batch norm train as one process
// does on whole batches, up to rounding, and without it otherwise; all ranks have the same
// weights, which the run itself checks.
func TestSyncBatchNorm(t *testing.T) {
	length := []string{"epochs=2", "lr.peak=0.01"}
	whole := mustRun(t, toyConfig(t, t.TempDir(), length...))
	far := func(n int, set ...string) float64 {
		t.Helper()
		got, errs := ranks(t, n, func(rank int) Config {
			cfg := toyConfig(t, filepath.Join(t.TempDir(), "out"), append(set, length...)...)
			cfg.Threads = rank + 1 // pools of their own: in one process, ranks that wait would block each other
			return cfg
		}, nil)
		for r, err := range errs {
			if err != nil {
				t.Fatalf("rank %d of %d: %v", r, n, err)
			}
		}
		worst := 0.0
		for i, e := range got[0].History {
			worst = max(worst, math.Abs(e.Train.Loss-whole.History[i].Train.Loss), math.Abs(e.Val.Loss-whole.History[i].Val.Loss))
		}
		return worst
	}
	for _, n := range []int{1, 2, 4} {
		if d := far(n, "sync_batch_norm=true"); !(d < 1e-4) {
			t.Errorf("%d ranks with the statistics of all have losses that differ by %.2g from one process's", n, d)
		} else {
			t.Logf("%d ranks: the losses differ by %.2g", n, d)
		}
	}
	if d := far(2, "shards=2"); d < 1e-3 {
		t.Errorf("without synchronized batch norm, the losses differ by only %.2g: the test cannot fail", d)
	}
}

// TestSyncWithoutLabels checks that ranks with synchronized batch norm learn without labels
// as one process does, up to rounding: what losses compare are the rows of all ranks.
func TestSyncWithoutLabels(t *testing.T) {
	for _, method := range SSLMethods() {
		t.Run(method, func(t *testing.T) {
			length := []string{"iterations=3", "lr.peak=0.01", "lr.warmup=0"} // rounding grows in more
			whole := mustRun(t, viewsConfig(t, method, t.TempDir(), length...))
			far := func(n int, set ...string) (loss, gauge float64) {
				t.Helper()
				got, errs := ranks(t, n, func(rank int) Config {
					cfg := viewsConfig(t, method, filepath.Join(t.TempDir(), "out"), append(set, length...)...)
					cfg.Threads = rank + 1
					return cfg
				}, nil)
				for r, err := range errs {
					if err != nil {
						t.Fatalf("rank %d of %d: %v", r, n, err)
					}
				}
				for i, e := range got[0].History {
					is, want := e.Train, whole.History[i].Train
					loss = max(loss, math.Abs(is.Loss-want.Loss)/math.Abs(want.Loss))
					gauge = max(gauge, math.Abs(is.Gauge.Spread-want.Gauge.Spread)/want.Gauge.Spread, math.Abs(is.Gauge.Dimensions-want.Gauge.Dimensions)/want.Gauge.Dimensions)
				}
				return loss, gauge
			}
			for _, n := range []int{1, 2, 4} {
				loss, gauge := far(n, "sync_batch_norm=true")
				if !(loss < 5e-6) || !(gauge < 5e-6) {
					t.Errorf("%d ranks have losses that differ by %.2g from one process's, and gauges by %.2g", n, loss, gauge)
				} else {
					t.Logf("%d ranks: the losses differ by %.2g, the gauges by %.2g", n, loss, gauge)
				}
			}
			if loss, _ := far(2, "shards=2"); loss < 1e-5 {
				t.Errorf("without synchronized batch norm, the losses differ by only %.2g: the test cannot fail", loss)
			}
		})
	}
}

// TestSyncBatchNormFails checks what cannot be, and that a rank that loses its pictures
// ends the others, too, which would wait for its statistics.
func TestSyncBatchNormFails(t *testing.T) {
	for want, set := range map[string][]string{
		"give --shards 2":               {"sync_batch_norm=true", "shards=4"},
		"exchange the statistics twice": {"sync_batch_norm=true", "recompute=true"},
	} {
		_, errs := ranks(t, 2, func(int) Config { return toyConfig(t, filepath.Join(t.TempDir(), "out"), set...) }, nil)
		for _, err := range errs {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v", set, err)
			}
		}
	}
	boxes := objectScenes(t, 4, 1, 2)
	_, errs := ranks(t, 2, func(int) Config { return objectConfig(t, boxes, "", "sync_batch_norm=true") }, nil)
	for _, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "sync_batch_norm: it is not for detectors") {
			t.Error(err)
		}
	}
	cfg := toyConfig(t, t.TempDir(), "sync_batch_norm=true")
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "start the training by mpirun") {
		t.Error(err)
	}
	_, errs = ranks(t, 2, func(rank int) Config {
		cfg := toyConfig(t, filepath.Join(t.TempDir(), "out"), "sync_batch_norm=true")
		cfg.Threads, cfg.SkipCheck, cfg.SkipHash = rank+1, true, true
		if rank == 1 {
			cfg.Splits.Train = broken{cfg.Splits.Train}
		}
		return cfg
	}, nil)
	for r, want := range []string{"rank 1: ", "no picture"} {
		if errs[r] == nil || !strings.Contains(errs[r].Error(), want) {
			t.Errorf("rank %d: %v, want %s", r, errs[r], want)
		}
	}
}
