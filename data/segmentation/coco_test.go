package segmentation

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/scenes"
	"github.com/resnet-go/resnet/models"
)

// TestCOCOAndVOC: the same scenes have the same classes of pixels in both layouts.
func TestCOCOAndVOC(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "scenes")
	if err := scenes.Write(dir, scenes.Options{Train: 4, Val: 3, MinSide: 60, MaxSide: 90, MaxObjects: 5, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), "coco:"+dir, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := Open(t.Context(), "voc:"+dir, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if !slices.Equal(a.Classes(), b.Classes()) || parts(a) != "train 4 val 3" || parts(b) != "train 4 val 3" {
		t.Fatalf("%q, %s; %q, %s", a.Classes(), parts(a), b.Classes(), parts(b))
	}
	for i := range a.Val.Len() {
		var p, x, y imaging.Image
		if err := data.DecodeMasked(data.Masks(a.Val), i, &p, &x); err != nil {
			t.Fatal(err)
		}
		if err := data.DecodeMasked(data.Masks(b.Val), i, &p, &y); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(x.Pix, y.Pix) || slices.Max(x.Pix) == 0 {
			t.Errorf("%s has other classes than %s", a.Val.Name(i), b.Val.Name(i))
		}
	}
	if _, err := Open(t.Context(), "coco-voc:"+dir, data.Options{}); err == nil || !strings.Contains(err.Error(), "use coco") {
		t.Errorf("clothes as Pascal VOC's classes: %v", err)
	}
}

// TestCOCOAsTorchvision: overlaps do not count, categories that Pascal VOC lacks are
// background, and pictures with few pixels are not trained on.
func TestCOCOAsTorchvision(t *testing.T) {
	dir := write(t, map[string][]byte{
		"images/a.jpg": pic(t, 40, 40, 1), "images/b.jpg": pic(t, 40, 40, 2),
		"annotations/instances_train.json": []byte(`{"images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 40}, {"id": 2, "file_name": "b.jpg", "width": 40, "height": 40}],
 "categories": [{"id": 1, "name": "person"}, {"id": 13, "name": "stop sign"}, {"id": 72, "name": "tv"}],
 "annotations": [
  {"id": 1, "image_id": 1, "category_id": 72, "iscrowd": 0, "area": 900, "bbox": [0, 0, 30, 30], "segmentation": [[0, 0, 30, 0, 30, 30, 0, 30]]},
  {"id": 2, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 400, "bbox": [20, 20, 20, 20], "segmentation": [[20, 20, 40, 20, 40, 40, 20, 40]]},
  {"id": 3, "image_id": 1, "category_id": 13, "iscrowd": 0, "area": 25, "bbox": [0, 35, 5, 5], "segmentation": [[0, 35, 5, 35, 5, 40, 0, 40]]},
  {"id": 4, "image_id": 2, "category_id": 1, "iscrowd": 0, "area": 100, "bbox": [0, 0, 10, 10], "segmentation": [[0, 0, 10, 0, 10, 10, 0, 10]]}]}`),
	})
	s, err := Open(t.Context(), "coco-voc:"+dir, data.Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !slices.Equal(s.Classes(), models.VOCNames()) || s.Train.Len() != 1 || !strings.Contains(strings.Join(s.Notes, "\n"), "1 of 2") {
		t.Errorf("classes %q, %d pictures, notes %q", s.Classes(), s.Train.Len(), s.Notes)
	}
	var p, m imaging.Image
	if err := data.DecodeMasked(data.Masks(s.Train), 0, &p, &m); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[[2]int]uint8{{5, 5}: 20, {35, 35}: 15, {25, 25}: data.IgnoredClass, {2, 37}: 0, {38, 2}: 0} {
		if got := m.Pix[at[1]*40+at[0]]; got != want {
			t.Errorf("pixel %v has class %d, want %d", at, got, want)
		}
	}
}
