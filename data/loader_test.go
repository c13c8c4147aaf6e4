package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/philox"
)

// noise returns a dataset of n random pictures of w by h pixels in 3 classes,
// sample i of class i%3.
func noise(n, w, h, c int) *Images {
	rng := philox.New(1, 1)
	pictures := make([]*imaging.Image, n)
	labels := make([]int, n)
	for i := range pictures {
		m := imaging.New(w, h, c)
		for j := range m.Pix {
			m.Pix[j] = uint8(rng.Uint32())
		}
		pictures[i], labels[i] = m, i%3
	}
	ds, err := NewImages([]string{"a", "b", "c"}, pictures, labels)
	if err != nil {
		panic(err)
	}
	return ds
}

func hashBatch(h hash.Hash, b *Batch) {
	fmt.Fprintln(h, b.Epoch, b.Step, b.N, b.Real, b.H, b.W, b.C, b.Labels, b.Index)
	for _, xs := range [][]float32{b.X, b.Targets} {
		buf := make([]byte, 0, 4*len(xs))
		for _, x := range xs {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
		}
		h.Write(buf)
	}
}

// epochHashes returns a hash of each batch of an epoch from a step on.
func epochHashes(t *testing.T, ds Dataset, cfg LoaderConfig, epoch, step int) []string {
	t.Helper()
	l, err := NewLoader(ds, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for b, err := range l.Epoch(context.Background(), epoch, step) {
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		hashBatch(h, b)
		all = append(all, fmt.Sprintf("%x", h.Sum(nil)))
	}
	return all
}

func fullConfig() LoaderConfig {
	p, err := Preset("cifar10")
	if err != nil {
		panic(err)
	}
	return LoaderConfig{
		BatchSize: 16, Preprocess: p, Shuffle: true, Seed: 7,
		Augment: &Augment{
			PadCrop: 4, HFlip: 0.5, VFlip: 0.3,
			RandomErasing: &RandomErasing{P: 0.5, Scale: [2]float64{0.02, 0.33}, Ratio: [2]float64{0.3, 3.3}, Noise: true},
			MixUp:         0.2, CutMix: 1,
		},
	}
}

func TestSameBatchesAtAnyWorkerCount(t *testing.T) {
	ds := noise(100, 32, 32, 3)
	for _, balanced := range []bool{false, true} {
		var want []string
		for _, workers := range []int{1, 2, 8} {
			cfg := fullConfig()
			cfg.Workers, cfg.Balanced, cfg.Prefetch = workers, balanced, workers
			got := epochHashes(t, ds, cfg, 3, 0)
			if len(got) != 6 {
				t.Fatalf("%d batches of 16 from 100 samples, want 6", len(got))
			}
			if want == nil {
				want = got
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("balanced %v: %d workers make other batches than 1", balanced, workers)
			}
			for step := range want {
				if rest := epochHashes(t, ds, cfg, 3, step); fmt.Sprint(rest) != fmt.Sprint(want[step:]) {
					t.Errorf("balanced %v: epoch taken up at step %d differs from the unbroken one", balanced, step)
				}
			}
		}
		if fmt.Sprint(epochHashes(t, ds, fullConfig(), 4, 0)) == fmt.Sprint(want) {
			t.Error("epochs 3 and 4 have the same batches")
		}
	}
}

// collect returns copies of what the batches of epoch 0 hold.
func collect(t *testing.T, ds Dataset, cfg LoaderConfig) (batches []Batch, l *Loader) {
	t.Helper()
	l, err := NewLoader(ds, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range l.Epoch(context.Background(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, Batch{
			Step: b.Step, N: b.N, Real: b.Real, X: slices.Clone(b.X), Labels: slices.Clone(b.Labels),
			Targets: slices.Clone(b.Targets), Index: slices.Clone(b.Index),
		})
	}
	return batches, l
}

func TestLastBatch(t *testing.T) {
	ds := noise(10, 2, 2, 1)
	for _, c := range []struct {
		last       LastBatch
		steps      int
		n, real    int // of the last batch
		wantLabels []int64
	}{
		{Drop, 2, 4, 4, []int64{1, 2, 0, 1}},
		{Pad, 3, 4, 2, []int64{2, 0, -1, -1}},
		{Keep, 3, 2, 2, []int64{2, 0}},
	} {
		got, l := collect(t, ds, LoaderConfig{BatchSize: 4, Preprocess: plain(2, 2, 1), Last: c.last})
		if len(got) != c.steps || l.Steps() != c.steps {
			t.Fatalf("%v: %d batches, Steps %d, want %d", c.last, len(got), l.Steps(), c.steps)
		}
		b := got[len(got)-1]
		if b.N != c.n || b.Real != c.real || !slices.Equal(b.Labels, c.wantLabels) {
			t.Errorf("%v: last batch N %d, Real %d, labels %v", c.last, b.N, b.Real, b.Labels)
		}
		if len(b.X) != b.N*4 || slices.ContainsFunc(b.X[b.Real*4:], func(v float32) bool { return v != 0 }) {
			t.Errorf("%v: padding is not zero: %v", c.last, b.X)
		}
		next := 0
		for _, b := range got {
			for row, i := range b.Index[:b.Real] {
				if i != next {
					t.Fatalf("%v: sample %d, want %d", c.last, i, next)
				}
				for k, v := range ds.Pictures[i].Pix {
					if math.Abs(float64(b.X[row*4+k])-float64(v)) > 1e-4 {
						t.Fatalf("%v: sample %d is not its picture", c.last, i)
					}
				}
				next++
			}
		}
	}
}

func TestShuffleAndBalance(t *testing.T) {
	ds := noise(90, 2, 2, 1)
	for i := range ds.Targets { // 80 of class a, 10 of class b, none of c
		ds.Targets[i] = []int{i / 80}
	}
	got, _ := collect(t, ds, LoaderConfig{BatchSize: 9, Preprocess: plain(2, 2, 1), Shuffle: true, Seed: 1})
	var order []int
	for _, b := range got {
		order = append(order, b.Index...)
	}
	if sorted := slices.Sorted(slices.Values(order)); sorted[0] != 0 || len(slices.Compact(sorted)) != 90 {
		t.Errorf("a shuffled epoch is not every sample once: %v", order)
	}
	if slices.IsSorted(order) {
		t.Error("not shuffled")
	}
	got, _ = collect(t, ds, LoaderConfig{BatchSize: 9, Preprocess: plain(2, 2, 1), Balanced: true, Seed: 1})
	times := map[int]int{}
	var classes [2]int
	for _, b := range got {
		for row, i := range b.Index {
			times[i]++
			classes[b.Labels[row]]++
		}
	}
	if classes[0] < 30 || classes[0] > 60 {
		t.Errorf("balanced epoch has %v of the classes", classes)
	}
	for i := 80; i < 90; i++ {
		if times[i] < 3 || times[i] > 6 {
			t.Errorf("rare sample %d came %d times of %d draws from its class", i, times[i], classes[1])
		}
	}
	got, _ = collect(t, ds, LoaderConfig{BatchSize: 9, Preprocess: plain(2, 2, 1), Shuffle: true, Repeat: 3, Seed: 1})
	var distinct []int
	for _, b := range got {
		for r := 0; r < 9; r += 3 {
			if b.Index[r] != b.Index[r+1] || b.Index[r] != b.Index[r+2] {
				t.Fatalf("Repeat 3: order %v", b.Index)
			}
			distinct = append(distinct, b.Index[r])
		}
	}
	slices.Sort(distinct)
	if len(distinct) != 30 || len(slices.Compact(distinct)) != 30 || order[0] != got[0].Index[0] {
		t.Errorf("Repeat 3: %d distinct samples", len(distinct))
	}
}

// Copies of a sample in an epoch must be varied differently.
func TestRepeatVaries(t *testing.T) {
	ds := noise(8, 32, 32, 3)
	cfg := fullConfig()
	cfg.BatchSize, cfg.Repeat = 8, 4
	cfg.Augment = &Augment{PadCrop: 4}
	got, _ := collect(t, ds, cfg)
	size := 32 * 32 * 3
	same := 0
	for r := 1; r < 4; r++ {
		if slices.Equal(got[0].X[:size], got[0].X[r*size:(r+1)*size]) {
			same++
		}
	}
	if same > 1 { // of 81 places, chance makes one equal now and then
		t.Errorf("%d of 3 copies are varied like the first", same)
	}
}

// MixUp and CutMix are undone by hand: from the targets follow the share, and
// from the unmixed batch what the inputs must be.
func TestMix(t *testing.T) {
	ds := noise(40, 8, 6, 3)
	base := LoaderConfig{BatchSize: 8, Preprocess: plain(8, 6, 3), Shuffle: true, Seed: 2}
	pure, _ := collect(t, ds, base)
	size := 8 * 6 * 3
	for name, a := range map[string]*Augment{"mixup": {MixUp: 1}, "cutmix": {CutMix: 1}} {
		cfg := base
		cfg.Augment = a
		mixed, _ := collect(t, ds, cfg)
		var shares []float64
		for s, b := range mixed {
			p := pure[s]
			share := -1.0
			for n := range 8 {
				before := (n + 7) % 8
				if !slices.Equal(b.Labels, p.Labels) {
					t.Fatalf("%s: labels changed", name)
				}
				var sum float32
				for k, v := range b.Targets[n*3 : n*3+3] {
					sum += v
					if v != 0 && int64(k) != p.Labels[n] && int64(k) != p.Labels[before] {
						t.Fatalf("%s: row %d has a share of class %d", name, n, k)
					}
				}
				if math.Abs(float64(sum)-1) > 1e-6 {
					t.Fatalf("%s: targets add up to %v", name, sum)
				}
				if p.Labels[n] != p.Labels[before] {
					own := float64(b.Targets[n*3+int(p.Labels[n])])
					if share >= 0 && math.Abs(own-share) > 1e-6 {
						t.Fatalf("%s: shares %v and %v in one batch", name, share, own)
					}
					share = own
				}
			}
			if share < 0 {
				continue
			}
			shares = append(shares, share)
			for n := range 8 {
				own, other, got := p.X[n*size:], p.X[(n+7)%8*size:], b.X[n*size:]
				replaced := 0
				for i := range size {
					if name == "mixup" {
						want := share*float64(own[i]) + (1-share)*float64(other[i])
						if math.Abs(float64(got[i])-want) > 1e-2 {
							t.Fatalf("mixup: value %v, want %v", got[i], want)
						}
						continue
					}
					switch got[i] {
					case own[i]:
					case other[i]:
						replaced++
					default:
						t.Fatalf("cutmix: value %v is of neither picture", got[i])
					}
				}
				// Values that happen to be equal in both are not counted.
				if want := (1 - share) * float64(size); name == "cutmix" && (float64(replaced) > want+0.5 || float64(replaced) < want*0.95-1) {
					t.Fatalf("cutmix: %d values are of the other picture, targets say %v", replaced, want)
				}
			}
		}
		if len(shares) < 4 || slices.Max(shares)-slices.Min(shares) < 0.05 {
			t.Errorf("%s: shares %v do not vary", name, shares)
		}
	}
}

func TestMixWithPadding(t *testing.T) {
	ds := noise(5, 4, 4, 1)
	got, _ := collect(t, ds, LoaderConfig{BatchSize: 4, Preprocess: plain(4, 4, 1), Last: Pad, Augment: &Augment{MixUp: 1}})
	b := got[1]
	// One real row has nothing to be mixed with.
	if b.Real != 1 || b.Targets[ds.Targets[4][0]] != 1 || slices.Max(b.X[16:]) != 0 || slices.Max(b.Targets[3:]) != 0 {
		t.Errorf("padding takes part in the mix: %+v", b)
	}
}

func TestMultiLabelTargets(t *testing.T) {
	ds := noise(4, 2, 2, 1)
	ds.Multi = true
	ds.Targets = [][]int{{0, 2}, {}, {1}, {0, 1, 2}}
	got, _ := collect(t, ds, LoaderConfig{BatchSize: 4, Preprocess: plain(2, 2, 1)})
	if want := []float32{1, 0, 1, 0, 0, 0, 0, 1, 0, 1, 1, 1}; !slices.Equal(got[0].Targets, want) || got[0].Labels != nil {
		t.Errorf("targets %v, labels %v", got[0].Targets, got[0].Labels)
	}
	_, err := NewLoader(ds, LoaderConfig{BatchSize: 1, Preprocess: plain(2, 2, 1), Balanced: true})
	checkError(t, err, "balanced", "multi-label")
}

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

// counted counts how often samples are decoded.
type counted struct {
	*Images
	n atomic.Int64
}

func (c *counted) Decode(i int, dst *imaging.Image) error {
	c.n.Add(1)
	return c.Images.Decode(i, dst)
}
func (c *counted) inMemory() bool { return false }

func TestCache(t *testing.T) {
	for _, c := range []struct {
		bytes, want int64 // decoded in three epochs, not counting the few of the estimate
	}{{0, 100}, {-1, 300}, {100 * 12, 100}, {99 * 12, 300}} {
		ds := &counted{Images: noise(100, 2, 2, 3)}
		l, err := NewLoader(ds, LoaderConfig{BatchSize: 10, Preprocess: plain(2, 2, 3), CacheBytes: c.bytes})
		if err != nil {
			t.Fatal(err)
		}
		ds.n.Store(0)
		var want []float32
		for epoch := range 3 {
			var got []float32
			for b, err := range l.Epoch(context.Background(), epoch, 0) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, b.X...)
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("cache of %d: epoch %d has other values", c.bytes, epoch)
			}
		}
		if n := ds.n.Load(); n != c.want {
			t.Errorf("cache of %d: decoded %d times, want %d", c.bytes, n, c.want)
		}
	}
}

func TestNoSteadyStateAllocation(t *testing.T) {
	ds := noise(64*12, 32, 32, 3)
	cfg := fullConfig()
	cfg.BatchSize = 64
	l, err := NewLoader(ds, cfg)
	if err != nil {
		t.Fatal(err)
	}
	epoch := func() {
		for _, err := range l.Epoch(context.Background(), 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	epoch()
	// An epoch starts goroutines and channels; none of its 12 batches or 768
	// samples may allocate.
	if n := testing.AllocsPerRun(5, epoch); n > 40 {
		t.Errorf("%v allocations an epoch of 12 batches", n)
	}
}

// The parts of an epoch that several loaders make are the batches that one makes.
func TestParts(t *testing.T) {
	ds := noise(100, 8, 8, 3)
	cfg := fullConfig()
	cfg.BatchSize, cfg.Preprocess.Width, cfg.Preprocess.Height = 8, 8, 8
	whole, l := collect(t, ds, cfg)
	for _, parts := range [][]Part{{{3, 0, 1}, {3, 1, 3}}, {{4, 0, 1}, {4, 1, 2}, {4, 2, 3}, {4, 3, 4}}, {{20, 0, 20}}} {
		made := make([]*Batch, len(whole))
		for _, p := range parts {
			cfg.Part = p
			got, own := collect(t, ds, cfg)
			if own.Steps() != l.Steps() {
				t.Errorf("%+v: %d steps, want %d", p, own.Steps(), l.Steps())
			}
			for i := range got {
				if made[got[i].Step] != nil {
					t.Errorf("%v: step %d is made twice", parts, got[i].Step)
				}
				made[got[i].Step] = &got[i]
			}
		}
		for i, b := range made {
			if b == nil || !slices.Equal(b.X, whole[i].X) || !slices.Equal(b.Targets, whole[i].Targets) {
				t.Errorf("%v: step %d differs", parts, i)
			}
		}
	}
	for _, p := range []Part{{0, 0, 1}, {2, 1, 1}, {2, 0, 3}, {2, -1, 1}} {
		cfg.Part = p
		if _, err := NewLoader(ds, cfg); err == nil {
			t.Errorf("%+v is no error", p)
		}
	}
}
