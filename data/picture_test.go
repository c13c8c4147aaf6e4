package data

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/data/imaging"
)

// jpegBytes returns a smooth picture with some edges.
func jpegBytes(t *testing.T, w, h, seed int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{uint8(200 * x / w), uint8(40*seed + 180*y/h), uint8(127 + 90*math.Sin(float64(x+seed)/19)*math.Cos(float64(y)/23)), 255}
			if (x/40+y/50+seed)%5 == 0 {
				c.R, c.B = 230-c.R, 255-c.B
			}
			m.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 92}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegFolder(t *testing.T, n, w, h int) *Splits {
	t.Helper()
	fsys := folderFS()
	for i := range n {
		fsys[fmt.Sprintf("train/%c/%d.jpg", 'a'+i%2, i)] = file(jpegBytes(t, w+i, h-i, i))
	}
	s, err := OpenFolder(fsys, Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cropConfig(full bool) LoaderConfig {
	return LoaderConfig{
		BatchSize: 4, Shuffle: true, Seed: 3, CacheBytes: -1,
		Preprocess: Preprocess{Channels: 3, Width: 32, Height: 24, Interpolation: imaging.Bilinear, Mean: []float32{0, 0, 0}, Std: []float32{1, 1, 1}},
		Augment: &Augment{HFlip: 0.5, RandomResizedCrop: &RandomResizedCrop{
			Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3.0 / 4, 4.0 / 3}, FullDecode: full,
		}},
	}
}

// Batches of crops are the same at any number of workers and from any step on,
// also when files are decoded in part and at reduced sizes.
func TestCropsOfFilesDoNotDependOnWorkers(t *testing.T) {
	s := jpegFolder(t, 12, 330, 270)
	cfg := cropConfig(false)
	cfg.Workers = 1
	want := epochHashes(t, s.Train, cfg, 2, 0)
	for _, workers := range []int{2, 7} {
		cfg.Workers = workers
		if got := epochHashes(t, s.Train, cfg, 2, 0); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d workers give other batches", workers)
		}
		if got := epochHashes(t, s.Train, cfg, 2, 1); fmt.Sprint(got) != fmt.Sprint(want[1:]) {
			t.Errorf("%d workers give another rest of an epoch", workers)
		}
	}
}

// Decoding in part changes nothing; decoding at a reduced size changes little.
func TestCropsOfFilesEqualThoseOfWholePictures(t *testing.T) {
	s := jpegFolder(t, 12, 330, 270)
	cached := cropConfig(true)
	cached.CacheBytes = 0
	want := epochHashes(t, s.Train, cached, 0, 0)
	if got := epochHashes(t, s.Train, cropConfig(true), 0, 0); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("crops of parts are not those of whole pictures")
	}
	if got := epochHashes(t, Subset(s.Train, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}), cropConfig(true), 0, 0); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("crops of a subset's files are others")
	}
	batches := func(full bool) (all []float32) {
		l, err := NewLoader(s.Train, cropConfig(full))
		if err != nil {
			t.Fatal(err)
		}
		for b, err := range l.Epoch(context.Background(), 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b.X...)
		}
		return all
	}
	full, reduced := batches(true), batches(false)
	var sum, largest, differ float64
	for i := range full {
		d := math.Abs(float64(full[i]-reduced[i])) * 255
		sum, largest = sum+d, max(largest, d)
		if d > 0 {
			differ++
		}
	}
	mean := sum / float64(len(full))
	t.Logf("%.0f%% of the values differ, by %.2f of 255 in the mean and %.0f at most", 100*differ/float64(len(full)), mean, largest)
	if differ == 0 {
		t.Error("nothing was reduced")
	}
	if mean > 3 {
		t.Errorf("the values differ by %.2f of 255 in the mean", mean)
	}
}

// A file that is damaged is bad in every epoch, whatever part of it is needed:
// the samples in its place must not depend on what was seen before.
func TestDamagedFileIsBadForEveryCrop(t *testing.T) {
	fsys := folderFS()
	for i := range 8 {
		b := jpegBytes(t, 200, 160, i)
		if i == 5 {
			b = b[:len(b)-len(b)/20]
		}
		fsys[fmt.Sprintf("train/%c/%d.jpg", 'a'+i%2, i)] = file(b)
	}
	s, err := OpenFolder(fsys, Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	cfg := cropConfig(false)
	cfg.SkipBad = true
	l, err := NewLoader(s.Train, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for epoch := range 4 {
		for b, err := range l.Epoch(context.Background(), epoch, 0) {
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range b.Index {
				if s.Train.Name(i) == "train/b/5.jpg" {
					t.Errorf("epoch %d has the damaged file", epoch)
				}
			}
		}
		if len(l.Bad()) != 1 {
			t.Errorf("%d bad samples", len(l.Bad()))
		}
	}
}

// A picture read from its file is what the decoded one becomes, whatever is cut off.
func TestReadNHWC(t *testing.T) {
	var gray bytes.Buffer
	g := image.NewGray(image.Rect(0, 0, 61, 47))
	for i := range g.Pix {
		g.Pix[i] = uint8(i * 7)
	}
	if err := jpeg.Encode(&gray, g, nil); err != nil {
		t.Fatal(err)
	}
	files := [][]byte{gray.Bytes()}
	for i, size := range [][2]int{{500, 375}, {375, 500}, {64, 64}, {32, 24}, {20, 90}, {300, 17}, {5, 5}} {
		files = append(files, jpegBytes(t, size[0], size[1], i))
	}
	mean, std := []float32{0.4, 0.5, 0.6}, []float32{0.2, 0.25, 0.3}
	for _, p := range []Preprocess{
		{Channels: 3, Width: 32, Height: 24, Resize: 36, Interpolation: imaging.Bilinear, Mean: mean, Std: std},
		{Channels: 3, Width: 56, Height: 56, Resize: 64, Interpolation: imaging.Bicubic, Mean: mean, Std: std},
		{Channels: 1, Width: 28, Height: 28, Resize: 28, Interpolation: imaging.Bilinear, Mean: mean[:1], Std: std[:1]},
		{Channels: 3, Width: 40, Height: 50, Squash: true, Interpolation: imaging.Nearest, Mean: mean, Std: std},
		{Channels: 3, Width: 100, Height: 100, Interpolation: imaging.Bilinear, Mean: mean, Std: std},
	} {
		n := p.Channels * p.Width * p.Height
		for i, f := range files {
			m, err := imaging.Decode(f, imaging.DecodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want, got := make([]float32, n), make([]float32, n)
			if err := p.ApplyNHWC(want, m); err != nil {
				t.Fatal(err)
			}
			var r imaging.Reader
			if err := r.Open(f, imaging.DecodeOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := p.ReadNHWC(got, &r); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v: file %d (%d x %d) is read as other values", p, i, m.W, m.H)
			}
			// A file that is cut off is an error, wherever that is.
			if err := r.Open(f[:len(f)-len(f)/8-3], imaging.DecodeOptions{}); err != nil {
				continue
			}
			if err := p.ReadNHWC(got, &r); err == nil {
				t.Errorf("%v: a file %d that is cut off is read without an error", p, i)
			}
		}
	}
}
