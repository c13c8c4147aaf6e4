package train

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// hall is an exchange between goroutines.
type hall struct {
	mu      sync.Mutex
	all     *sync.Cond
	size    int
	waiting int
	round   int
	left    bool // a rank has ended
	bytes   [][]byte
	floats  [][][]float32
}

func newHall(size int) *hall {
	h := &hall{size: size, bytes: make([][]byte, size), floats: make([][][]float32, size)}
	h.all = sync.NewCond(&h.mu)
	return h
}

var errLeft = errors.New("a rank has ended")

// meet waits until all ranks have called it.
func (h *hall) meet(before func()) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	before()
	round := h.round
	if h.waiting++; h.waiting == h.size {
		h.waiting = 0
		h.round++
		h.all.Broadcast()
	}
	for h.round == round && !h.left {
		h.all.Wait()
	}
	if h.round == round {
		return errLeft
	}
	return nil
}

// leave ends the exchange for all.
func (h *hall) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left = true
	h.all.Broadcast()
}

type seat struct {
	*hall
	rank int
	// fail, if not nil, is called before each exchange; its error ends the rank.
	fail func() error
}

func (s *seat) Rank() int { return s.rank }
func (s *seat) Size() int { return s.size }

func (s *seat) Share(own []byte) ([][]byte, error) {
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return nil, err
		}
	}
	if err := s.meet(func() { s.bytes[s.rank] = own }); err != nil {
		return nil, err
	}
	got := append([][]byte(nil), s.bytes...)
	return got, s.meet(func() {})
}

func (s *seat) AllToAll(send, recv [][]float32) error {
	if err := s.meet(func() { s.floats[s.rank] = send }); err != nil {
		return err
	}
	// What is received may be part of what others still send.
	copies := make([][]float32, s.size)
	for r := range recv {
		copies[r] = append([]float32(nil), s.floats[r][s.rank]...)
		if len(copies[r]) != len(recv[r]) {
			panic("lengths differ")
		}
	}
	if err := s.meet(func() {}); err != nil {
		return err
	}
	for r := range recv {
		copy(recv[r], copies[r])
	}
	return nil
}

// ranks trains with a number of ranks and returns their results and errors.
func ranks(t testing.TB, n int, config func(rank int) Config, prepare func(*seat)) ([]*Result, []error) {
	t.Helper()
	h := newHall(n)
	results, errs := make([]*Result, n), make([]error, n)
	var wg sync.WaitGroup
	for r := range n {
		cfg := config(r)
		x := &seat{hall: h, rank: r}
		if prepare != nil {
			prepare(x)
		}
		cfg.Exchange = x
		wg.Go(func() {
			defer h.leave()
			results[r], errs[r] = Run(context.Background(), cfg)
		})
	}
	wg.Wait()
	return results, errs
}

var shardSet = []string{"shards=8", "epochs=2"}

// Any number of ranks trains to the bits of one process.
func TestRanksAgree(t *testing.T) {
	one := filepath.Join(t.TempDir(), "one")
	want := mustRun(t, toyConfig(t, one, shardSet...))
	for _, n := range []int{1, 2, 3, 4} {
		out := filepath.Join(t.TempDir(), "ranks")
		got, errs := ranks(t, n, func(int) Config {
			cfg := toyConfig(t, out, shardSet...)
			cfg.Threads = 1
			return cfg
		}, nil)
		for r, err := range errs {
			if err != nil {
				t.Fatalf("rank %d of %d: %v", r, n, err)
			}
			if got[r].Last.Train != want.Last.Train || *got[r].Last.Val != *want.Last.Val {
				t.Errorf("rank %d of %d: %+v, want %+v", r, n, got[r].Last, want.Last)
			}
		}
		sameFiles(t, one, out, LastFile, BestFile, RecipeFile)
	}
}

// Networks of any size are cut into buckets that cover what a shard contributes, in the
// order of the graph: statistics come before gradients, those of the last layer first.
// Ranks agree for many buckets, too.
func TestBuckets(t *testing.T) {
	defer func(n int) { leastBucket = n }(leastBucket)
	leastBucket = 1
	one := filepath.Join(t.TempDir(), "one")
	mustRun(t, toyConfig(t, one, shardSet...))
	for _, n := range []int{2, 3} {
		out := filepath.Join(t.TempDir(), "ranks")
		_, errs := ranks(t, n, func(int) Config { return toyConfig(t, out, shardSet...) }, nil)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		sameFiles(t, one, out, LastFile, BestFile)
	}

	net, err := models.New("resnet8-cifar")
	if err == nil {
		err = nn.Init(net, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	step, err := newStep(net, StepOptions{Input: tensor.Shape{2, 3, 32, 32}, Loss: CrossEntropy{}, Optimizer: SGD{}, shards: 2})
	if err == nil {
		step.shard, err = step.build(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, b := range step.buckets {
		if b.lo != at || b.hi <= b.lo {
			t.Errorf("a bucket is %v, must begin at %d", b, at)
		}
		at = b.hi
	}
	if at != step.shared || len(step.buckets) < 3 || len(step.buckets) > mostBuckets {
		t.Errorf("%d buckets end at %d, the vector has %d", len(step.buckets), at, step.shared)
	}
	var grads []string
	for i, p := range step.parts {
		if i > 0 && p.at != step.parts[i-1].at+step.parts[i-1].shape.Numel() {
			t.Errorf("%s lies at %d", p.name, p.at)
		}
		if name, ok := strings.CutPrefix(p.name, outGrad); ok {
			grads = append(grads, name)
		} else if len(grads) > 0 {
			t.Errorf("%s comes after gradients", p.name)
		}
	}
	if first, last := grads[0], grads[len(grads)-1]; !strings.HasPrefix(first, "fc.") || first == last || last != "conv1.weight" {
		t.Errorf("the first gradient is that of %s, the last of %s", first, last)
	}
}

// tensorsOf returns the tensors of a model file but for running statistics and counters.
func learned(t testing.TB, out string) map[string][]float32 {
	t.Helper()
	f, err := weights.Load(filepath.Join(out, LastFile))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]float32{}
	for name, v := range f.Tensors {
		if !strings.Contains(name, "running_") && !weights.IsCounter(name) {
			all[name] = v.Float32s()
		}
	}
	return all
}

// The mean over shards is the mean of accumulated gradients, and one shard is the whole
// batch.
func TestShardsAreAccumulatedBatches(t *testing.T) {
	for _, c := range [][2][]string{
		{{"shards=2"}, {"accumulate=2", "batch_size=8"}},
		{{"shards=1"}, {}},
	} {
		a, b := t.TempDir(), t.TempDir()
		mustRun(t, toyConfig(t, a, append(c[0], "epochs=2")...))
		mustRun(t, toyConfig(t, b, append(c[1], "epochs=2")...))
		x, y := learned(t, a), learned(t, b)
		if len(x) == 0 || !maps.EqualFunc(x, y, slices.Equal) {
			t.Errorf("%v and %v differ", c[0], c[1])
		}
	}
	boxes := objectScenes(t, 6, 1, 2)
	for name, config := range map[string]func(out string, set ...string) Config{
		"byol": func(out string, set ...string) Config { return viewsConfig(t, "byol", out, set...) },
		"retinanet": func(out string, set ...string) Config {
			return objectConfig(t, boxes, out, append(set, "detect.kind=retinanet")...)
		},
	} {
		a, b := t.TempDir(), t.TempDir()
		mustRun(t, config(a, "shards=1"))
		mustRun(t, config(b))
		x, y := learned(t, a), learned(t, b)
		if len(x) == 0 || !maps.EqualFunc(x, y, slices.Equal) {
			t.Errorf("%s: one shard is not the whole batch", name)
		}
	}
}

// BYOL's target follows as far in each shard, so that it does in their mean, but only in
// the first of the batches that are accumulated.
func TestTargetOfShards(t *testing.T) {
	for _, c := range []struct {
		set   string
		moves bool
	}{{"shards=2", true}, {"accumulate=2", false}} {
		s := &session{job: job{rec: viewsConfig(t, "byol", "", c.set).Recipe}, loop: loop{clock: clock{total: 10}}}
		first, second := s.targetDecay(0), s.targetDecay(1)
		if !(first > 0 && first < 1) || c.moves && second != first || !c.moves && second != 1 {
			t.Errorf("%s: decays %v and %v", c.set, first, second)
		}
	}
}

// Networks with all that a step can have train alike on two ranks, also when they are
// stopped and continued by another number of ranks.
func TestRanksStopAndContinue(t *testing.T) {
	for name, set := range map[string][]string{
		"adamw": {"shards=4", "optimizer={name: adamw, weight_decay: 0.05}", "lr.peak=0.003"},
		"lars":  {"shards=4", "optimizer={name: lars, momentum: 0.9, trust: 0.02}", "lr={schedule: one-cycle, peak: 1}", "ema=null", "eval_batch=64"},
		"mixed": {"shards=2", "augment={mixup: 0.2, cutmix: 1}", "iterations=9"},
		"gate":  {"shards=4", "lr.gate={lr: 0.001, until_error: 0.8, from_depth: 8}"},
	} {
		t.Run(name, func(t *testing.T) {
			one, out := t.TempDir(), filepath.Join(t.TempDir(), "ranks")
			mustRun(t, toyConfig(t, one, set...))
			n := 0
			for resume := false; ; resume = true {
				n = n%2 + 1
				ctx, cancel := context.WithCancel(context.Background())
				steps := 0
				var interrupted atomic.Bool
				h := newHall(n)
				var wg sync.WaitGroup
				for r := range n {
					cfg := toyConfig(t, out, set...)
					if cfg.Resume = resume; resume {
						cfg.Recipe = nil
					}
					cfg.Exchange = &seat{hall: h, rank: r}
					own := context.Background()
					if r == n-1 { // a signal that the last rank alone gets
						own = ctx
					}
					if r == 0 {
						cfg.Log.Event = func(e Event) {
							if steps++; e.Kind == "step" && steps > 5 {
								cancel()
							}
						}
					}
					wg.Go(func() {
						_, err := Run(own, cfg)
						if stopped := (*Interrupted)(nil); errors.As(err, &stopped) {
							interrupted.Store(true)
							if (stopped.Checkpoint != "") != (r == 0) {
								t.Errorf("rank %d of %d: checkpoint %q", r, n, stopped.Checkpoint)
							}
						} else if err != nil {
							t.Errorf("rank %d of %d: %v", r, n, err)
						}
					})
				}
				wg.Wait()
				cancel()
				if !interrupted.Load() || t.Failed() {
					break
				}
			}
			sameFiles(t, one, out, LastFile, BestFile)
		})
	}
}

// What ends one rank ends all, with an error that names it.
func TestRankFails(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(folder, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(rank int, cfg *Config)
		want   []string // errors by rank
	}{
		"seed":   {func(rank int, cfg *Config) { cfg.Seed = uint64(rank) }, []string{"rank 1 has another seed", "rank 1 has another seed"}},
		"recipe": {func(rank int, cfg *Config) { cfg.Recipe.EvalEvery = rank + 1 }, []string{"rank 1 has another recipe", "rank 1 has another recipe"}},
		"data": {func(rank int, cfg *Config) { cfg.Splits.Train = toy(t, 24, uint64(rank)) },
			[]string{"rank 1 has other data", "rank 1 has other data"}},
		"no data": {func(rank int, cfg *Config) {
			if rank == 1 {
				cfg.Splits.Train = nil
			}
		}, []string{"rank 1: toy:1 has no training part", "toy:1 has no training part"}},
		"folder": {func(rank int, cfg *Config) { cfg.Out = folder }, []string{"output folder", "rank 0: output folder"}},
		"shards": {func(rank int, cfg *Config) { cfg.Recipe.Shards = 3 }, []string{"16 is not a multiple of the 3 shards", "16 is not a multiple of the 3 shards"}},
		"ranks":  {func(rank int, cfg *Config) { cfg.Recipe.Shards = 1 }, []string{"2 ranks cannot share a batch of 1 shards", "2 ranks cannot share"}},
		"diverges": {func(rank int, cfg *Config) { cfg.Recipe.LR.Peak, cfg.Recipe.LR.Warmup = 1e30, 0 },
			[]string{"in epoch 1, step", "in epoch 1, step"}},
		"picture": {func(rank int, cfg *Config) {
			cfg.SkipCheck, cfg.SkipHash = true, true
			if rank == 1 {
				cfg.Splits.Train = broken{cfg.Splits.Train}
			}
		}, []string{"rank 1: ", "no picture"}},
		"evaluation": {func(rank int, cfg *Config) {
			cfg.SkipCheck, cfg.SkipHash = true, true
			if rank == 1 {
				cfg.Splits.Val = broken{cfg.Splits.Val}
			}
		}, []string{"rank 1: evaluation after epoch 1", "evaluation after epoch 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			_, errs := ranks(t, 2, func(rank int) Config {
				cfg := toyConfig(t, out, "shards=4", "epochs=2")
				c.change(rank, &cfg)
				return cfg
			}, nil)
			for r, err := range errs {
				if err == nil || !strings.Contains(err.Error(), c.want[r]) {
					t.Errorf("rank %d: %v, want %s", r, err, c.want[r])
				}
			}
		})
	}
	t.Run("lost", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "out")
		_, errs := ranks(t, 2, func(rank int) Config { return toyConfig(t, out, "shards=4", "checkpoint.every_steps=2") }, func(s *seat) {
			calls := 0
			if s.rank == 1 {
				s.fail = func() error {
					if calls++; calls > 6 {
						s.leave()
						return errors.New("the cable is out")
					}
					return nil
				}
			}
		})
		for r, err := range errs {
			if err == nil || !strings.Contains(err.Error(), "the connection to the other ranks is lost") {
				t.Errorf("rank %d: %v", r, err)
			}
		}
		cfg := Config{Splits: toySplits(t), Out: out, Resume: true, Threads: 2}
		if r := mustRun(t, cfg); r.Epochs != 3 {
			t.Errorf("the resumed run has %d epochs", r.Epochs)
		}
		one := t.TempDir()
		mustRun(t, toyConfig(t, one, "shards=4", "checkpoint.every_steps=2"))
		sameFiles(t, one, out, LastFile, BestFile)
	})
}

// broken is a dataset that has lost its pictures.
type broken struct{ data.Dataset }

func (broken) Decode(int, *imaging.Image) error { return errors.New("no picture") }

// Networks without labels, detectors of inputs of two shapes, and segmentation networks
// train alike on two ranks, also when one process has begun and two ranks continue.
func TestRanksOfOtherTasks(t *testing.T) {
	boxes := objectScenes(t, 12, 3, 2)
	for name, config := range map[string]func(out string) Config{
		"simclr": func(out string) Config { return viewsConfig(t, "simclr", out, "shards=4") },
		"byol": func(out string) Config {
			return viewsConfig(t, "byol", out, "shards=2", "ema.decay=0.9", "checkpoint.every_steps=2")
		},
		"detector": func(out string) Config {
			return objectConfig(t, boxes, out, "detect.kind=maskrcnn", "shards=2", "batch_size=4", "ema={decay: 0.5}")
		},
		"pixels": func(out string) Config { return pixelConfig(t, out, "shards=4", "epochs=2", "eval_batch=2") },
	} {
		t.Run(name, func(t *testing.T) {
			one, out := t.TempDir(), filepath.Join(t.TempDir(), "ranks")
			want := mustRun(t, config(one))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			begun := config(out)
			begun.Log.Event = func(e Event) {
				if e.Step == nil {
					return
				}
				if g := e.Step.Gauge; (g != nil) != (begun.Recipe.SSL != nil) || g != nil && !(g.Spread > 0 && g.Dimensions >= 1) {
					t.Errorf("the gauge of step %d is %v", e.Step.Step, g)
				}
				sum := 0.0
				for _, p := range e.Step.Parts {
					sum += p.Value
				}
				if n := len(e.Step.Parts); n > 0 != (begun.Recipe.Detect != nil) || n > 0 && math.Abs(sum-e.Step.Loss) > 1e-4*sum {
					t.Errorf("step %d has the loss %v, parts %v", e.Step.Step, e.Step.Loss, e.Step.Parts)
				}
				if e.Step.Step == 2 {
					cancel()
				}
			}
			if _, err := Run(ctx, begun); !errors.As(err, new(*Interrupted)) {
				t.Fatal(err)
			}
			got, errs := ranks(t, 2, func(int) Config {
				cfg := config(out)
				cfg.Recipe, cfg.Model, cfg.Seed, cfg.Resume, cfg.Threads = nil, "", 0, true, 1
				return cfg
			}, nil)
			for r, err := range errs {
				if err != nil {
					t.Fatalf("rank %d: %v", r, err)
				}
				if !reflect.DeepEqual(got[r].Last, want.Last) || !reflect.DeepEqual(got[r].LinearProbe, want.LinearProbe) {
					t.Errorf("rank %d: %+v, want %+v", r, got[r], want)
				}
			}
			sameFiles(t, one, out, LastFile, BestFile)
		})
	}
}
