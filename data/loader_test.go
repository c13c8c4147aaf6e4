package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
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

func TestSharedCIFAR(t *testing.T) {
	s, err := Open("cifar10:"+shared(t, "cifar10-lossless"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Train.Len() != 2000 || s.Test.Len() != 1000 || len(s.Classes()) != 10 {
		t.Errorf("%d and %d samples of %d classes, want 2000, 1000 and 10", s.Train.Len(), s.Test.Len(), len(s.Classes()))
	}
}

func TestSharedZip(t *testing.T) {
	s, err := Open("folder:"+shared(t, "cifar10-jpeg.zip"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Train.Len() != 50000 || s.Test.Len() != 10000 || len(s.Classes()) != 10 {
		t.Errorf("%d and %d samples of %d classes, want 50000, 10000 and 10", s.Train.Len(), s.Test.Len(), len(s.Classes()))
	}
}
