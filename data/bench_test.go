package data

import (
	"context"
	"os"
	"testing"

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
		name string
		a    *Augment
	}{
		{"eval", nil},
		{"train", &Augment{HFlip: 0.5, RandomResizedCrop: &RandomResizedCrop{Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3.0 / 4, 4.0 / 3}}}},
		{"train-full-decode", &Augment{HFlip: 0.5, RandomResizedCrop: &RandomResizedCrop{Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3.0 / 4, 4.0 / 3}, FullDecode: true}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			benchEpochs(b, s.Train, LoaderConfig{BatchSize: 10, Preprocess: p, Augment: c.a, CacheBytes: -1})
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
