package resnet

import (
	"context"
	"image"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/data/segmentation"
	"github.com/resnet-go/resnet/internal/scenes"
	"github.com/resnet-go/resnet/models"
)

func segmenterModel(t *testing.T, name string) *Model {
	t.Helper()
	p := data.Preprocess{Channels: 3, Width: 32, Height: 32, Interpolation: imaging.Bilinear, Mean: []float32{.5, .5, .5}, Std: []float32{.25, .25, .25}}
	m, err := New(name, 1, Options{Weights: WeightsOnly{Preprocess: &p}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSegment: a picture of any size has a mask of its size and areas that add up;
// a picture that cannot be decoded does not end the others.
func TestSegment(t *testing.T) {
	m := segmenterModel(t, "unet_resnet20-cifar")
	if m.Task() != models.Segmentation {
		t.Errorf("task %q", m.Task())
	}
	picture := image.NewRGBA(image.Rect(0, 0, 45, 31))
	for i := range picture.Pix {
		picture.Pix[i] = uint8(i * 11)
	}
	ps := []Picture{Image(picture), Encoded("broken", []byte("no")), Image(picture.SubImage(image.Rect(0, 0, 20, 20)))}
	var all []*Segmentation
	for s, err := range m.SegmentAll(t.Context(), slices.Values(ps)) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) != 3 || all[1].Err == nil || !strings.Contains(all[1].Err.Error(), "broken") || all[1].Mask != nil {
		t.Fatalf("%d results, the second %+v", len(all), all[1])
	}
	if s := all[0]; s.Mask.W != 45 || s.Mask.H != 31 || s.Picture.Bounds() != picture.Bounds() || s.Overlay(0.5).Bounds() != picture.Bounds() {
		t.Errorf("mask %d x %d", s.Mask.W, s.Mask.H)
	}
	pixels := 0
	for _, a := range all[0].Areas {
		pixels += a.Pixels
		if a.Class == "" || a.Area.Class >= len(m.Classes()) {
			t.Errorf("%+v", a)
		}
	}
	if pixels != 45*31 {
		t.Errorf("areas of %d pixels", pixels)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Segment(ctx, ps[0]); err == nil {
		t.Error("a context that has ended is no error")
	}
}

// TestTasksDoNotMix: the methods of one task refuse a model of another, and name the
// right one.
func TestTasksDoNotMix(t *testing.T) {
	s, c := segmenterModel(t, "fcn_resnet20-cifar"), segmenterModel(t, "resnet20-cifar")
	p := Image(image.NewRGBA(image.Rect(0, 0, 8, 8)))
	_, classify := s.Classify(t.Context(), p)
	_, embed := s.Embed(t.Context(), p)
	_, segment := c.Segment(t.Context(), p)
	for name, err := range map[string]error{"Classify": classify, "Embed": embed, "Segment": segment} {
		if err == nil || !strings.Contains(err.Error(), "is a model for") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSegmenterIsSaved: a saved model gives the same masks.
func TestSegmenterIsSaved(t *testing.T) {
	m := segmenterModel(t, "deeplabv3_resnet20-cifar")
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	picture := image.NewRGBA(image.Rect(0, 0, 33, 40))
	for i := range picture.Pix {
		picture.Pix[i] = uint8(i * 7 % 251)
	}
	a, err := m.Segment(t.Context(), Image(picture))
	if err != nil {
		t.Fatal(err)
	}
	b, err := again.Segment(t.Context(), Image(picture))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.Mask.Pix, b.Mask.Pix) {
		t.Error("the opened model has other masks")
	}
}

// TestEvaluateMasks: classes are matched by name, and unknown ones are an error.
func TestEvaluateMasks(t *testing.T) {
	ds := data.Masks(sceneSplits(t, 3, 1).Train)
	m := segmenterModel(t, "unet_resnet20-cifar") // 21 classes that are numbered
	e, err := m.EvaluateMasks(t.Context(), ds, EvaluateOptions{})
	if err != nil || e.Pictures != 3 || e.Pixels != 3*48*48 || e.PerClass[2].Pixels+e.PerClass[1].Pixels == 0 {
		t.Errorf("%+v, %v", e, err)
	}
	m.classes = slices.Clone(m.classes)
	for i := range m.classes {
		m.classes[i] = "c" + m.classes[i]
	}
	if _, err := m.EvaluateMasks(t.Context(), ds, EvaluateOptions{}); err == nil || !strings.Contains(err.Error(), `"background"`) {
		t.Errorf("other classes: %v", err)
	}
	m.classes[7], m.classes[5], m.classes[3] = "background", "Bag", "Trouser"
	e, err = m.EvaluateMasks(t.Context(), ds, EvaluateOptions{})
	if err != nil || e.PerClass[7].Pixels == 0 || e.PerClass[0].Pixels != 0 {
		t.Errorf("classes in another order: %v", err)
	}
}

// sceneSplits returns scenes of 48 x 48 pixels with bags and trousers, and their masks.
func sceneSplits(t *testing.T, train, val int) *data.Splits {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "scenes")
	clothes, err := scenes.Clothes("Bag", "Trouser")
	if err != nil {
		t.Fatal(err)
	}
	if err := scenes.Write(dir, scenes.Options{Train: train, Val: val, MinSide: 48, MaxSide: 48, MaxObjects: 1, Seed: 2, Objects: clothes}); err != nil {
		t.Fatal(err)
	}
	s, err := segmentation.Open(t.Context(), "voc:"+dir, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
