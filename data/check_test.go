package data

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

func TestCheck(t *testing.T) {
	fsys := folderFS("train/a/1.png", "train/a/2.png", "train/b/1.png", "train/c/x.txt", "val/a/1.png", "val/b/1.png")
	fsys["val/a/leak.png"] = fsys["train/a/2.png"]
	fsys["train/b/conflict.png"] = fsys["train/a/1.png"]
	fsys["train/b/bad.png"] = file([]byte("no picture"))
	fsys["train/b/cut.png"] = file(pngBytes(6, 5, 77)[:50])
	s, err := OpenFolder(fsys, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Check(context.Background(), s, 2)
	if err != nil {
		t.Fatal(err)
	}
	train := r.Parts[0]
	if train.Name != "train" || train.Images != 6 || !slices.Equal(train.PerClass, []int{2, 4, 0}) {
		t.Errorf("train: %+v", train)
	}
	if len(train.Bad) != 2 || train.Bad[0].Name != "train/b/bad.png" || train.Bad[1].Name != "train/b/cut.png" {
		t.Errorf("bad samples %+v", train.Bad)
	}
	if train.MinW != 6 || train.MaxH != 5 {
		t.Errorf("sizes %+v", train)
	}
	if len(r.Duplicates) != 2 {
		t.Fatalf("duplicates %+v", r.Duplicates)
	}
	if d := r.Duplicates[0]; d.Between || !d.Conflict || len(d.Samples) != 2 {
		t.Errorf("first duplicate %+v, want train/a/1 and train/b/conflict", d)
	}
	if d := r.Duplicates[1]; !d.Between || d.Conflict || d.Samples[1] != (PartSample{"val", "val/a/leak.png"}) {
		t.Errorf("second duplicate %+v, want train/a/2 and val/a/leak", d)
	}
	text := strings.Join(r.Warnings(), "\n")
	for _, want := range []string{"train: pictures that cannot be decoded: 2 of 6", "more than one part", "different labels",
		"train: classes without pictures: c", "val: classes without pictures: c"} {
		if !strings.Contains(text, want) {
			t.Errorf("warnings lack %q:\n%s", want, text)
		}
	}
	if len(r.Hash) != 64 {
		t.Errorf("hash %q", r.Hash)
	}
	again, err := Check(context.Background(), s, 7)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(r)
	b, _ := json.Marshal(again)
	if !bytes.Equal(a, b) {
		t.Errorf("the report depends on the number of workers:\n%s\n%s", a, b)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Check(ctx, s, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled check gives %v", err)
	}
}

func TestCheckCleanData(t *testing.T) {
	s, err := OpenFolder(folderFS("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Check(context.Background(), s, 0)
	if err != nil {
		t.Fatal(err)
	}
	if w := r.Warnings(); len(w) > 0 {
		t.Errorf("warnings %q about clean data", w)
	}
}

func TestImbalanceWarning(t *testing.T) {
	r := Report{Classes: []string{"a", "b"}, Parts: []PartReport{{Name: "train", PerClass: []int{100, 10}}}}
	if w := r.Warnings(); len(w) != 1 || !strings.Contains(w[0], "100 pictures and the smallest 10") {
		t.Errorf("warnings %q", w)
	}
}

func TestHash(t *testing.T) {
	ctx := context.Background()
	sum := func(change func(map[string][]byte)) string {
		files := map[string][]byte{}
		for name, f := range folderFS("train/a/0.png", "train/a/1.png", "train/b/2.png", "test/a/1.png", "test/b/1.png") {
			files[name] = f.Data
		}
		change(files)
		fsys := folderFS()
		for name, b := range files {
			fsys[name] = file(b)
		}
		s, err := OpenFolder(fsys, Options{})
		if err != nil {
			t.Fatal(err)
		}
		h, err := s.Hash(ctx, 3)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	same := sum(func(map[string][]byte) {})
	if again := sum(func(map[string][]byte) {}); again != same {
		t.Error("the same data has two hashes")
	}
	for what, change := range map[string]func(map[string][]byte){
		"a byte":  func(f map[string][]byte) { f["train/a/1.png"] = append(f["train/a/1.png"], 0) },
		"a name":  func(f map[string][]byte) { f["train/a/3.png"] = f["train/a/1.png"]; delete(f, "train/a/1.png") },
		"a label": func(f map[string][]byte) { f["train/b/1.png"] = f["train/a/1.png"]; delete(f, "train/a/1.png") },
		"a part":  func(f map[string][]byte) { f["val/a/1.png"] = f["test/a/1.png"]; delete(f, "test/a/1.png") },
	} {
		if sum(change) == same {
			t.Errorf("changing %s does not change the hash", what)
		}
	}
	ds := noise(10, 3, 3, 1)
	a, err := Hash(ctx, ds, 1)
	if err != nil {
		t.Fatal(err)
	}
	reversed := Subset(ds, []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0})
	if b, err := Hash(ctx, reversed, 4); err != nil || b != a {
		t.Errorf("the hash depends on the order: %s and %s (%v)", a, b, err)
	}
	ds.Pictures[3], ds.Pictures[7] = nil, nil
	_, err = Hash(ctx, ds, 4)
	checkError(t, err, "image 3")
}

// The hash of CIFAR and IDX data counts pixels and labels.
func TestHashOfRecords(t *testing.T) {
	ctx := context.Background()
	var cifar, idx []string
	for change := range 3 {
		records := cifarBytes(1, 1, 2, 3)
		images, labels := idxBytes(3, 2, 2), idxBytes(3)
		switch change {
		case 1:
			records[3073+500]++
			images[16+5]++
		case 2:
			records[3073]++
			labels[8+1] = 2
		}
		c, err := OpenCIFAR10(fstest.MapFS{"test_batch.bin": file(records)}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := OpenIDX(fstest.MapFS{"t10k-images-idx3-ubyte": file(images), "t10k-labels-idx1-ubyte": file(labels)}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Hash(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		b, err := d.Hash(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(cifar, a) || slices.Contains(idx, b) {
			t.Errorf("change %d does not change the hash", change)
		}
		cifar, idx = append(cifar, a), append(idx, b)
	}
}

func TestMeanStd(t *testing.T) {
	ds := noise(20, 8, 6, 3)
	p := Preprocess{Channels: 3, Width: 4, Height: 6, Interpolation: "bilinear"}
	mean, std, err := MeanStd(context.Background(), ds, p, false, 3)
	if err != nil {
		t.Fatal(err)
	}
	for c := range 3 {
		var sum, squares, n float64
		for _, m := range ds.Pictures {
			for y := range 6 {
				for x := 2; x < 6; x++ {
					v := float64(m.Pix[(y*8+x)*3+c]) / 255
					sum, squares, n = sum+v, squares+v*v, n+1
				}
			}
		}
		m := sum / n
		s := math.Sqrt(squares/n - m*m)
		if math.Abs(float64(mean[c])-m) > 1e-6 || math.Abs(float64(std[c])-s) > 1e-6 {
			t.Errorf("channel %d: %v and %v, want %v and %v", c, mean[c], std[c], m, s)
		}
	}
	ds.Pictures[5] = nil
	_, _, err = MeanStd(context.Background(), ds, p, false, 3)
	checkError(t, err, "image 5")
	if _, _, err = MeanStd(context.Background(), ds, p, true, 3); err != nil {
		t.Errorf("with skipBad: %v", err)
	}
	_, _, err = MeanStd(context.Background(), ds, Preprocess{Channels: 2}, true, 3)
	checkError(t, err, "channels")
}

func TestClassWeights(t *testing.T) {
	ds := noise(12, 2, 2, 1)
	ds.ClassNames = []string{"a", "b", "c", "none"}
	for i := range 12 {
		ds.Targets[i] = [][]int{{0}, {0}, {0}, {0}, {0}, {0}, {1}, {1}, {1}, {1}, {2}, {2}}[i]
	}
	// scikit-learn: compute_class_weight("balanced", classes=[0, 1, 2], y=…) gives
	// 12/(3*6), 12/(3*4), 12/(3*2).
	want := []float32{12.0 / 18, 1, 2, 0}
	if got := ClassWeights(ds); !slices.Equal(got, want) {
		t.Errorf("weights %v, want %v", got, want)
	}
}

// countingFS counts how often each file is opened.
type countingFS struct {
	fstest.MapFS
	mu    sync.Mutex
	opens map[string]int
}

func (c *countingFS) Open(name string) (fs.File, error) {
	c.mu.Lock()
	c.opens[name]++
	c.mu.Unlock()
	return c.MapFS.Open(name)
}

func TestCheckReadsOnceAndHashesAsHash(t *testing.T) {
	ctx := context.Background()
	for name, opt := range map[string]Options{"parts": {}, "split off": {ValFraction: 0.5}} {
		fsys := &countingFS{MapFS: folderFS("train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png")}
		fsys.opens = map[string]int{}
		s, err := OpenFolder(fsys, opt)
		if err != nil {
			t.Fatal(err)
		}
		clear(fsys.opens)
		r, err := Check(ctx, s, 2)
		if err != nil {
			t.Fatal(err)
		}
		for file, n := range fsys.opens {
			if n != 1 && strings.HasSuffix(file, ".png") {
				t.Errorf("%s: %s was read %d times", name, file, n)
			}
		}
		whole, parts, err := s.Hashes(ctx, 2)
		if err != nil || whole != r.Hash || len(whole) != 64 {
			t.Errorf("%s: hash %q, of the check %q, %v", name, whole, r.Hash, err)
		}
		for _, p := range r.Parts {
			if parts[p.Name] != p.Hash || len(p.Hash) != 64 {
				t.Errorf("%s: hash of %s is %q, of the check %q", name, p.Name, parts[p.Name], p.Hash)
			}
		}
	}
}
