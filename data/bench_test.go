package data

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/resnet-go/resnet/data/imaging"
)

// benchEpochs reports images a second of a loader with one worker.
func benchEpochs(b *testing.B, ds Dataset, cfg LoaderConfig) {
	b.Helper()
	cfg.Workers = 1
	l, err := NewLoader(ds, cfg)
	if err != nil {
		b.Fatal(err)
	}
	images, epoch := 0, 0
	for b.Loop() {
		for batch, err := range l.Epoch(context.Background(), epoch, 0) {
			if err != nil {
				b.Fatal(err)
			}
			images += batch.Real
		}
		epoch++
	}
	b.ReportMetric(float64(images)/b.Elapsed().Seconds(), "images/s")
}

func BenchmarkCIFAR(b *testing.B) {
	p, err := Preset("cifar10")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		a    *Augment
	}{
		{"eval", nil},
		{"pad-crop-flip", &Augment{PadCrop: 4, HFlip: 0.5}},
		{"trivial", &Augment{PadCrop: 4, HFlip: 0.5, TrivialAugment: true}},
		{"mixup-cutmix", &Augment{PadCrop: 4, HFlip: 0.5, MixUp: 0.2, CutMix: 1}},
	} {
		b.Run(c.name, func(b *testing.B) {
			benchEpochs(b, noise(4096, 32, 32, 3), LoaderConfig{BatchSize: 128, Preprocess: p, Augment: c.a, Shuffle: true})
		})
	}
}

// BenchmarkPhotos prepares the shared photographs, or the pictures of the folder
// RESNET_PHOTOS.
func BenchmarkPhotos(b *testing.B) {
	folder := os.Getenv("RESNET_PHOTOS")
	if folder == "" {
		folder = photoFolder(b)
	}
	s, err := Open("folder:"+folder, Options{ValFraction: -1})
	if err != nil {
		b.Fatal(err)
	}
	p, err := Preset("imagenet")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		views int
		a     *Augment
	}{
		{"eval", 1, nil},
		{"two-views", 2, &Augment{HFlip: 0.5, RandomResizedCrop: &RandomResizedCrop{Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3.0 / 4, 4.0 / 3}}}},
		{"train", 1, &Augment{HFlip: 0.5, RandomResizedCrop: &RandomResizedCrop{Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3.0 / 4, 4.0 / 3}}}},
		{"train-full-decode", 1, &Augment{HFlip: 0.5, RandomResizedCrop: &RandomResizedCrop{Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3.0 / 4, 4.0 / 3}, FullDecode: true}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			benchEpochs(b, s.Train, LoaderConfig{BatchSize: 10, Preprocess: p, Augment: c.a, CacheBytes: -1, Views: c.views, Last: Drop})
		})
	}
}

func BenchmarkResize(b *testing.B) {
	m := noise(1, 500, 375, 3).Pictures[0]
	var out imaging.Image
	for b.Loop() {
		imaging.Resize(&out, m, 341, 256, imaging.Bilinear)
	}
}

// BenchmarkFiles decodes the JPEG files of the folder RESNET_PHOTOS, and decodes and
// prepares them for a network with an input of 224 x 224, on one thread: the mean of the
// least microseconds of each file, and with -v those themselves.
func BenchmarkFiles(b *testing.B) {
	folder := os.Getenv("RESNET_PHOTOS")
	if folder == "" {
		b.Skip("set RESNET_PHOTOS to a folder of JPEG files")
	}
	names, err := filepath.Glob(filepath.Join(folder, "*.[jJ][pP]*[gG]"))
	if err != nil || len(names) == 0 {
		b.Fatalf("no JPEG files in %s (%v)", folder, err)
	}
	p, err := Preset("imagenet")
	if err != nil {
		b.Fatal(err)
	}
	var files [][]byte
	for _, name := range names {
		f, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, f)
	}
	var r imaging.Reader
	var m imaging.Image
	dst := make([]float32, 3*p.Width*p.Height)
	for name, run := range map[string]func() error{
		"decode":  func() error { return r.Decode(&m) },
		"prepare": func() error { return p.ReadNHWC(dst, &r) },
	} {
		b.Run(name, func(b *testing.B) {
			least := make([]time.Duration, len(files))
			for b.Loop() {
				for i, f := range files {
					start := time.Now()
					if err := r.Open(f, imaging.DecodeOptions{}); err != nil {
						b.Fatal(err)
					}
					if err := run(); err != nil {
						b.Fatal(err)
					}
					if d := time.Since(start); least[i] == 0 || d < least[i] {
						least[i] = d
					}
				}
			}
			sum := time.Duration(0)
			for i, d := range least {
				sum += d
				if testing.Verbose() {
					b.Logf("%s: %d µs", filepath.Base(names[i]), d.Microseconds())
				}
			}
			b.ReportMetric(float64(sum.Microseconds())/float64(len(files)), "µs/picture")
		})
	}
}
