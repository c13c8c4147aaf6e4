package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"slices"
	"sync/atomic"
	"testing"

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
