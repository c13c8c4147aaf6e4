package metrics

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/masks"
)

type cocoMask struct {
	Size   [2]int
	Counts string
}

func (m cocoMask) mask(t *testing.T) *masks.RLE {
	t.Helper()
	r, err := masks.Parse(m.Counts, m.Size[0], m.Size[1])
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

type cocoFigures struct {
	Stats                     [12]float64
	Precision, Recall, Scores string
}

type cocoCase struct {
	Images  []struct{ ID int64 }
	Cats    []int64 `json:"categories"`
	Objects []struct {
		ID           int64
		Image        int64 `json:"image_id"`
		Category     int64 `json:"category_id"`
		Box          [4]float64
		BBox         [4]float64
		Area         float64
		Crowd        int `json:"iscrowd"`
		Segmentation cocoMask
	}
	Detections []struct {
		Image        int64 `json:"image_id"`
		Category     int64 `json:"category_id"`
		BBox         [4]float64
		Score        float64
		Segmentation cocoMask
	}
	Max        [3]int
	BBox, Segm cocoFigures
}

func unpackFloats(t *testing.T, s string) []float64 {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	v := make([]float64, len(b)/8)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return v
}

func nearAll(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i, v := range got {
		if !(math.Abs(v-want[i]) <= 1e-12) {
			t.Fatalf("%s: number %d is %v, want %v", what, i, v, want[i])
		}
	}
}

func checkCOCO(t *testing.T, b []byte) {
	var cases []cocoCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 3 {
		t.Fatalf("only %d cases", len(cases))
	}
	for n, c := range cases {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			cfg := COCOConfig{Categories: c.Cats, MaxDetections: c.Max}
			for _, i := range c.Images {
				cfg.Images = append(cfg.Images, i.ID)
			}
			var objects []Object
			for _, o := range c.Objects {
				objects = append(objects, Object{ID: o.ID, Image: o.Image, Category: o.Category, Box: o.BBox, Area: o.Area, Crowd: o.Crowd == 1, Mask: o.Segmentation.mask(t)})
			}
			var detections []Detection
			for _, d := range c.Detections {
				detections = append(detections, Detection{Image: d.Image, Category: d.Category, Box: d.BBox, Score: d.Score, Mask: d.Segmentation.mask(t)})
			}
			for _, kind := range []struct {
				name  string
				masks bool
				want  cocoFigures
			}{{"box", false, c.BBox}, {"mask", true, c.Segm}} {
				cfg.Masks = kind.masks
				r, err := EvaluateCOCO(objects, detections, cfg)
				if err != nil {
					t.Fatal(err)
				}
				stats := r.Stats()
				nearAll(t, kind.name+" stats", stats[:], kind.want.Stats[:])
				nearAll(t, kind.name+" precision", r.Precision, unpackFloats(t, kind.want.Precision))
				nearAll(t, kind.name+" recall", r.Recall, unpackFloats(t, kind.want.Recall))
				nearAll(t, kind.name+" scores", r.Scores, unpackFloats(t, kind.want.Scores))
				// The mean over the classes is the mean of all.
				sum, n := 0.0, 0
				for _, p := range r.PerClass {
					if p.AP > -1 {
						sum, n = sum+p.AP, n+1
					}
				}
				if n > 0 && c.Max[2] == 100 && math.Abs(sum/float64(n)-r.AP) > 1e-12 {
					t.Errorf("%s: AP of the classes %v, of all %v", kind.name, sum/float64(n), r.AP)
				}
			}
		})
	}
}

func TestCOCOGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/coco.json")
	if err != nil {
		t.Fatal(err)
	}
	checkCOCO(t, b)
}

// TestCOCOAgainstPycocotools compares on other random data.
func TestCOCOAgainstPycocotools(t *testing.T) {
	python := peer.Python(t, "pycocotools")
	for seed := range 3 {
		out, err := exec.CommandContext(t.Context(), python, "testdata/gen/coco.py", fmt.Sprint(seed+100), "60").Output()
		if err != nil {
			t.Fatal(err)
		}
		checkCOCO(t, out)
	}
}

type vocCase struct {
	Images, Classes int
	Objects         []struct {
		Image, Class int64
		Box          [4]float64
		Difficult    bool
	}
	Detections []struct {
		Image, Class int64
		Box          [4]float64
		Score        float64
	}
	Area, Eleven []float64
}

func TestVOCGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/voc.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []vocCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 5 {
		t.Fatalf("only %d cases", len(cases))
	}
	fromVOC := func(b [4]float64) [4]float64 { return [4]float64{b[0] - 1, b[1] - 1, b[2] - b[0] + 1, b[3] - b[1] + 1} }
	for n, c := range cases {
		cfg := VOCConfig{IoU: 0.501}
		for i := range c.Images {
			cfg.Images = append(cfg.Images, int64(i))
		}
		var objects []Object
		for i, o := range c.Objects {
			objects = append(objects, Object{ID: int64(i), Image: o.Image, Category: o.Class, Box: fromVOC(o.Box), Difficult: o.Difficult})
		}
		var detections []Detection
		for _, d := range c.Detections {
			detections = append(detections, Detection{Image: d.Image, Category: d.Class, Box: fromVOC(d.Box), Score: d.Score})
		}
		for k := range c.Area { // a class that never occurs is left out at the end
			cfg.Categories = append(cfg.Categories, int64(k))
		}
		for _, kind := range []struct {
			eleven bool
			want   []float64
		}{{false, c.Area}, {true, c.Eleven}} {
			cfg.ElevenPoints = kind.eleven
			r, err := EvaluateVOC(objects, detections, cfg)
			if err != nil {
				t.Fatal(err)
			}
			var got []float64
			sum, with := 0.0, 0
			for _, p := range r.PerClass {
				got = append(got, p.AP)
				if p.AP > -1 {
					sum, with = sum+p.AP, with+1
				}
			}
			nearAll(t, fmt.Sprintf("case %d, eleven points %v", n, kind.eleven), got, kind.want)
			if with > 0 && math.Abs(r.MAP-sum/float64(with)) > 1e-12 {
				t.Errorf("case %d: mAP %v, want %v", n, r.MAP, sum/float64(with))
			}
		}
	}
}

func TestDetectionErrors(t *testing.T) {
	box := [4]float64{0, 0, 5, 5}
	mask := func(h, w int) *masks.RLE {
		r, err := masks.FromBox(box, h, w)
		if err != nil {
			t.Fatal(err)
		}
		return &r
	}
	good := []Object{{ID: 1, Image: 7, Category: 3, Box: box, Area: 25, Mask: mask(9, 9)}}
	cfg := COCOConfig{Images: []int64{7}, Categories: []int64{3}}
	withMasks := cfg
	withMasks.Masks = true
	falling := cfg
	falling.MaxDetections = [3]int{10, 1, 100}
	for want, f := range map[string]func() error{
		"not a number": func() error {
			_, err := EvaluateCOCO(good, []Detection{{Image: 7, Category: 3, Score: math.NaN()}}, cfg)
			return err
		},
		"image 8": func() error {
			_, err := EvaluateCOCO(good, []Detection{{Image: 8, Category: 3, Score: 1}}, cfg)
			return err
		},
		"id 1": func() error { _, err := EvaluateCOCO(slices.Repeat(good, 2), nil, cfg); return err },
		"no categories": func() error {
			_, err := EvaluateVOC(good, nil, VOCConfig{Images: []int64{7}})
			return err
		},
		"object 1 in image 7 has no mask": func() error {
			_, err := EvaluateCOCO([]Object{{ID: 1, Image: 7, Category: 3}}, nil, withMasks)
			return err
		},
		"detection 0 in image 7 has no mask": func() error {
			_, err := EvaluateCOCO(good, []Detection{{Image: 7, Category: 3, Score: 1}}, withMasks)
			return err
		},
		"of one size": func() error {
			_, err := EvaluateCOCO(good, []Detection{{Image: 7, Category: 3, Score: 1, Mask: mask(8, 9)}}, withMasks)
			return err
		},
		"rising": func() error { _, err := EvaluateCOCO(good, nil, falling); return err },
		"IoU is 1": func() error {
			_, err := EvaluateVOC(good, nil, VOCConfig{Images: []int64{7}, Categories: []int64{3}, IoU: 1})
			return err
		},
	} {
		if err := f(); err == nil || !strings.HasPrefix(err.Error(), "metrics: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	// Without objects every number is -1.
	r, err := EvaluateCOCO(nil, []Detection{{Image: 7, Category: 3, Score: 1, Box: box}}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range r.Stats() {
		if v != -1 {
			t.Errorf("number %d is %v", i, v)
		}
	}
}
