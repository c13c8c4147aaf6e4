package detect

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/internal/scenes"
	"github.com/resnet-go/resnet/tensor"
)

// oracle finds the true objects of one picture, with the classes of a detector.
type oracle struct {
	ds    *detection.Dataset
	w, h  int   // of the picture
	class []int // of each class of the dataset
}

func (o *oracle) find(_ context.Context, _ *tensor.Tensor, h, w int) ([]found, error) {
	var all []found
	for _, obj := range o.ds.Pictures[0].Objects {
		b := boxes.Box{X1: float32(obj.Box[0]), Y1: float32(obj.Box[1]), X2: float32(obj.Box[0] + obj.Box[2]), Y2: float32(obj.Box[1] + obj.Box[3])}
		b = b.Scale(float32(w)/float32(o.w), float32(h)/float32(o.h))
		all = append(all, found{Object: Object{Box: b, Class: o.class[obj.Class], Score: 0.9}})
	}
	return all, nil
}

// TestEvaluate: who finds the true boxes has a precision of 1, whatever the order of
// its classes; with the classes mixed up it has none.
func TestEvaluate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "scenes")
	clothes, err := scenes.Clothes("Bag", "Trouser")
	if err != nil {
		t.Fatal(err)
	}
	if err := scenes.Write(dir, scenes.Options{Train: 1, Val: 1, MinSide: 64, MaxSide: 64, MaxObjects: 3, Objects: clothes}); err != nil {
		t.Fatal(err)
	}
	s, err := detection.Open("coco:"+dir, detection.Options{Options: data.Options{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ds := s.Train
	w, h, err := ds.Size(0)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"background", ds.Classes()[1], "other", ds.Classes()[0]}
	for _, c := range []struct {
		class []int
		right bool
	}{{[]int{3, 1}, true}, {[]int{1, 3}, false}, {[]int{2, 2}, false}} {
		p := detection.Standard()
		p.MinSize, p.MaxSize = 100, 200
		d := &Detector{prep: p, finder: &oracle{ds, w, h, c.class}}
		done := 0
		e, err := d.Evaluate(t.Context(), ds, names, EvaluateOptions{Progress: func(n int) { done += n }})
		if err != nil {
			t.Fatal(err)
		}
		if right := math.Abs(e.Boxes.AP-1) < 1e-9; right != c.right || done != 1 || e.Objects != len(ds.Pictures[0].Objects) || len(e.Missing) != 0 {
			t.Errorf("classes %v: AP %g, %+v", c.class, e.Boxes.AP, e)
		}
	}
	d := &Detector{prep: detection.Standard(), finder: &oracle{ds, w, h, []int{0, 1}}}
	if _, err := d.Evaluate(t.Context(), ds, []string{"0", "1", "2"}, EvaluateOptions{}); err == nil || !strings.Contains(err.Error(), "only numbers") {
		t.Errorf("classes without names: %v", err)
	}
	if _, err := d.Evaluate(t.Context(), ds, []string{"a", "b"}, EvaluateOptions{}); err == nil {
		t.Error("a detector without any of the classes is no error")
	}
}
