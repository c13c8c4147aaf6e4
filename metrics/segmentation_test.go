package metrics

import (
	"math"
	"testing"
)

// TestPixelConfusion: the figures of torchvision's reference evaluation
// (references/segmentation/utils.py, ConfusionMatrix, torch 2.15.0) on
//
//	truth = [0 0 1 1 2 2 2 255 0 1], found = [0 1 1 1 2 0 2 0 0 2], 4 classes
//
// whose compute() returns acc_global 0.6666667, acc [0.6667 0.6667 0.6667 nan] and
// iu [0.5 0.5 0.5 nan], here without the float32 rounding.
func TestPixelConfusion(t *testing.T) {
	c := NewPixelConfusion(4)
	truth := []uint8{0, 0, 1, 1, 2, 2, 2, 255, 0, 1}
	found := []uint8{0, 1, 1, 1, 2, 0, 2, 0, 0, 2}
	c.Add(truth[:4], found[:4])
	c.Add(truth[4:], found[4:])
	r, err := c.Report([]string{"a", "b", "c", "d"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Pixels != 9 || r.Ignored != 1 || math.Abs(r.PixelAccuracy-6./9) > 1e-15 || math.Abs(r.MeanIoU-0.5) > 1e-15 || math.Abs(r.MeanAccuracy-2./3) > 1e-15 {
		t.Errorf("%+v", r)
	}
	for i, row := range r.PerClass {
		if i == 3 {
			if row.IoU != nil || row.Accuracy != nil || row.Dice != nil {
				t.Errorf("a class that does not occur has figures: %+v", row)
			}
			continue
		}
		if math.Abs(*row.IoU-0.5) > 1e-15 || math.Abs(*row.Accuracy-2./3) > 1e-15 || math.Abs(*row.Dice-2./3) > 1e-15 || row.Pixels != 3 {
			t.Errorf("class %d: IoU %v, accuracy %v, Dice %v, pixels %d", i, *row.IoU, *row.Accuracy, *row.Dice, row.Pixels)
		}
	}
	if _, err := NewPixelConfusion(2).Report([]string{"a", "b"}); err == nil {
		t.Error("no pixels: no error")
	}
}
