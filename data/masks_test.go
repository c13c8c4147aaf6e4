package data_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
)

// marked is a dataset whose pictures are 60 times their masks, so that both can be
// compared after they have been varied together.
type marked struct {
	sizes [][2]int
	bad   int // sample whose mask has another size; -1 for none
}

func (d *marked) Len() int           { return len(d.sizes) }
func (d *marked) Classes() []string  { return []string{"a", "b", "c", "d"} }
func (d *marked) MultiLabel() bool   { return true }
func (d *marked) Name(i int) string  { return fmt.Sprintf("marked %d", i) }
func (d *marked) Labels(i int) []int { return nil }

func (d *marked) mask(i int, dst *imaging.Image) {
	dst.Reset(d.sizes[i][0], d.sizes[i][1], 1)
	for at := range dst.Pix {
		dst.Pix[at] = uint8((at%dst.W/3 + at/dst.W/5 + i) % 4)
	}
}

func (d *marked) Decode(i int, dst *imaging.Image) error {
	var m imaging.Image
	d.mask(i, &m)
	for at, v := range m.Pix {
		m.Pix[at] = 1 + 60*v // black stands for outside
	}
	imaging.Convert(dst, &m, 3)
	return nil
}

func (d *marked) DecodeMask(i int, dst *imaging.Image) error {
	d.mask(i, dst)
	if i == d.bad {
		imaging.Crop(dst, dst.Clone(), imaging.Rect{W: dst.W - 1, H: dst.H})
	}
	for x := range dst.W { // the first row does not count
		dst.Pix[x] = data.IgnoredClass
	}
	return nil
}

func loader(t *testing.T, ds data.Dataset, change func(*data.LoaderConfig)) *data.Loader {
	t.Helper()
	cfg := data.LoaderConfig{BatchSize: 2, Shuffle: true, Seed: 3, Last: data.Drop, Workers: 3,
		Preprocess: data.Preprocess{Channels: 3, Width: 24, Height: 20, Resize: 22, Interpolation: imaging.Nearest, Mean: make([]float32, 3), Std: []float32{1. / 255, 1. / 255, 1. / 255}},
		Augment:    &data.Augment{RandomScale: &data.RandomScale{Min: 0.5, Max: 2}, HFlip: 0.5, VFlip: 0.5}}
	if change != nil {
		change(&cfg)
	}
	l, err := data.NewLoader(ds, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestMasksMoveWithPictures: a pixel and its class stay together whatever the
// augmentation does, padding has no class, and nothing depends on the workers.
func TestMasksMoveWithPictures(t *testing.T) {
	ds := &marked{bad: -1}
	for i := range 10 {
		ds.sizes = append(ds.sizes, [2]int{20 + 3*i, 40 - 2*i})
	}
	type made struct {
		x      []float32
		labels []int64
	}
	collect := func(l *data.Loader) (all []made) {
		for epoch := range 4 {
			for b, err := range l.Epoch(t.Context(), epoch, 0) {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, made{slices.Clone(b.X), slices.Clone(b.Labels)})
			}
		}
		return all
	}
	all := collect(loader(t, ds, nil))
	classes, padding, ignored := map[int64]int{}, 0, 0
	for _, b := range all {
		if len(b.labels) != 2*24*20 || len(b.x) != 3*len(b.labels) {
			t.Fatalf("%d labels, %d numbers", len(b.labels), len(b.x))
		}
		for i, label := range b.labels {
			v := int64(b.x[3*i] + 0.5)
			switch {
			case v == 0 && label != data.IgnoredLabel:
				t.Fatalf("pixel %d is outside the picture and has class %d", i, label)
			case v == 0:
				padding++
			case label == data.IgnoredLabel:
				ignored++
			case (v-1)/60 != label:
				t.Fatalf("pixel %d of class %d has class %d", i, (v-1)/60, label)
			default:
				classes[label]++
			}
		}
	}
	if len(classes) != 4 || padding == 0 || ignored == 0 {
		t.Errorf("classes %v, %d pixels of padding, %d that do not count", classes, padding, ignored)
	}
	again := collect(loader(t, ds, func(c *data.LoaderConfig) { c.Workers, c.Prefetch = 1, 1 }))
	for i := range all {
		if !slices.Equal(all[i].x, again[i].x) || !slices.Equal(all[i].labels, again[i].labels) {
			t.Fatalf("batch %d depends on the workers", i)
		}
	}
	train, val := data.HoldOut(ds, 0.3, 1)
	if data.Masks(train) == nil || data.Masks(val) == nil || val.Len() != 3 {
		t.Errorf("a part of data with masks has none, or %d samples", val.Len())
	}
	collect(loader(t, train, nil))
}

// TestBadMasks: a mask that does not fit its picture is a bad sample.
func TestBadMasks(t *testing.T) {
	ds := &marked{sizes: [][2]int{{30, 30}, {30, 30}, {30, 30}, {30, 30}}, bad: 2}
	var failed error
	for _, err := range loader(t, ds, nil).Epoch(t.Context(), 0, 0) {
		if err != nil {
			failed = err
		}
	}
	if failed == nil || !strings.Contains(failed.Error(), "marked 2") || !strings.Contains(failed.Error(), "29 x 30") {
		t.Errorf("a mask of another size: %v", failed)
	}
	l := loader(t, ds, func(c *data.LoaderConfig) { c.SkipBad = true })
	n := 0
	for b, err := range l.Epoch(t.Context(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if n += b.Real; slices.Contains(b.Index, 2) {
			t.Error("the bad sample is in a batch")
		}
	}
	if n != 4 || len(l.Bad()) != 1 {
		t.Errorf("%d rows, bad %v", n, l.Bad())
	}
	// Without shuffling the batch has fewer rows, and the labels follow.
	l = loader(t, ds, func(c *data.LoaderConfig) { c.SkipBad, c.Shuffle, c.Augment, c.Last = true, false, nil, data.Pad })
	for b, err := range l.Epoch(t.Context(), 0, 1) {
		if err != nil {
			t.Fatal(err)
		}
		if b.Real != 1 || b.N != 2 || b.Index[0] != 3 || b.Labels[24*20+5] != data.IgnoredLabel || len(b.Labels) != 2*24*20 {
			t.Errorf("%d of %d rows, index %v", b.Real, b.N, b.Index)
		}
	}
}

// TestAugmentOfMasks: an augmentation that cannot move a mask is an error that names
// it, and so is one of masks for pictures with labels.
func TestAugmentOfMasks(t *testing.T) {
	ds := &marked{sizes: [][2]int{{30, 30}, {30, 30}}, bad: -1}
	pictures, err := data.NewImages([]string{"a", "b"}, []*imaging.Image{imaging.New(9, 9, 3), imaging.New(9, 9, 3)}, []int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	prep := data.Preprocess{Channels: 3, Width: 8, Height: 8, Interpolation: imaging.Bilinear, Mean: make([]float32, 3), Std: []float32{1, 1, 1}}
	for want, c := range map[string]struct {
		ds data.Dataset
		a  data.Augment
	}{
		"random_resized_crop": {ds, data.Augment{RandomResizedCrop: &data.RandomResizedCrop{Scale: [2]float64{0.1, 1}, Ratio: [2]float64{1, 1}}}},
		"pad_crop":            {ds, data.Augment{PadCrop: 2}},
		"mixup":               {ds, data.Augment{MixUp: 1}},
		"random_scale":        {pictures, data.Augment{RandomScale: &data.RandomScale{Min: 0.5, Max: 2}}},
		"rising":              {ds, data.Augment{RandomScale: &data.RandomScale{Min: 2, Max: 1}}},
	} {
		if _, err := data.NewLoader(c.ds, data.LoaderConfig{BatchSize: 1, Preprocess: prep, Augment: &c.a}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
