package scenes

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/data/imaging"
)

// tiny keeps the tests fast.
var tiny = Options{Train: 6, Val: 3, MinSide: 64, MaxSide: 96, MaxObjects: 4, Seed: 5}

func hash(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(os.DirFS(dir), path)
		h.Write([]byte(path))
		h.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Both layouts are read back without findings and have the same boxes and masks, and
// the same options give the same files.
func TestWrite(t *testing.T) {
	dir, again := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, again} {
		if err := Write(d, tiny); err != nil {
			t.Fatal(err)
		}
	}
	if hash(t, dir) != hash(t, again) {
		t.Error("the same options give other files")
	}
	coco, err := detection.Open("coco:"+dir, detection.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer coco.Close()
	voc, err := detection.Open("voc:"+dir, detection.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer voc.Close()
	r, err := detection.Check(t.Context(), coco, 1)
	if err != nil || len(r.Findings) > 0 || len(r.Warnings()) > 2 { // classes without pictures, of so few
		t.Errorf("findings %v, warnings %v, %v", r.Findings, r.Warnings(), err)
	}
	objects := 0
	for _, part := range []string{"train", "val"} {
		c, err := coco.Split(part)
		if err != nil {
			t.Fatal(err)
		}
		v, err := voc.Split(part)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"train": 6, "val": 3}[part]; c.Len() != want || v.Len() != want {
			t.Fatalf("%d and %d pictures, want %d", c.Len(), v.Len(), want)
		}
		for i := range c.Pictures {
			cm, err := c.Masks(i)
			if err != nil {
				t.Fatal(err)
			}
			vm, err := v.Masks(i)
			if err != nil {
				t.Fatal(err)
			}
			if len(cm) != len(vm) {
				t.Fatalf("%d and %d objects", len(cm), len(vm))
			}
			for k := range cm {
				a, b := c.Pictures[i].Objects[k], v.Pictures[i].Objects[k]
				if cm[k].String() != vm[k].String() || a.Box != b.Box || a.Box != cm[k].Box() || c.Classes()[a.Class] != v.Classes()[b.Class] || a.Area != float64(cm[k].Area()) {
					t.Errorf("%s: object %+v and %+v", c.Name(i), a, b)
				}
				objects++
			}
		}
	}
	if objects < 12 {
		t.Errorf("only %d objects", objects)
	}
}

// Objects stand out: their pixels differ from the picture without them.
func TestObjectsAreVisible(t *testing.T) {
	o := tiny
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	differ, all := 0.0, 0.0
	for i := range 10 {
		s, err := o.draw(0, i, o.Objects.Train)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.objects) == 0 {
			t.Errorf("scene %d has no object", i)
		}
		empty, err := o.background(nil, 0, i, s.w, s.h)
		if err != nil {
			t.Fatal(err)
		}
		for _, ob := range s.objects {
			for y := range s.h {
				for x := range s.w {
					if ob.mask.At(y, x) == 1 {
						p := 3 * (y*s.w + x)
						d := 0.0
						for c := range 3 {
							d = max(d, math.Abs(float64(s.m.Pix[p+c])-float64(empty.Pix[p+c])))
						}
						differ += d
						all++
					}
				}
			}
		}
	}
	if differ/all < 40 {
		t.Errorf("objects differ from the background by %v levels", differ/all)
	}
}

func TestObjectsInColor(t *testing.T) {
	pictures := make([]*imaging.Image, 4)
	for i := range pictures {
		pictures[i] = imaging.New(32, 32, 3)
		for k := range pictures[i].Pix {
			pictures[i].Pix[k] = uint8(60 * (i + 1))
		}
	}
	ds, err := data.NewImages([]string{"a", "b"}, pictures, []int{0, 1, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	o := tiny
	o.Objects, o.Backgrounds = &data.Splits{Train: ds}, ds
	dir := t.TempDir()
	if err := Write(dir, o); err != nil {
		t.Fatal(err)
	}
	s, err := detection.Open("coco:"+dir, detection.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if strings.Join(s.Classes(), " ") != "a b" || s.Train.Len() != 6 {
		t.Errorf("classes %v", s.Classes())
	}
}

func TestErrors(t *testing.T) {
	full := t.TempDir()
	if err := Write(full, tiny); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		"MinSide is 20": {MinSide: 20}, "MinSide is 300": {MinSide: 300}, "Train is -1": {Train: -1}, "no training part": {Objects: &data.Splits{}}, "not empty": tiny,
	} {
		if err := Write(full, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if !bytes.Contains([]byte(labelMap([]string{"x"})), []byte("x:128,0,0::")) {
		t.Error(labelMap([]string{"x"}))
	}
}
