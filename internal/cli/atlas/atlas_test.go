package atlas_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/cli/atlas"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/tensor"
)

// sample is a map of n pictures in three groups. Picture 1 is picture 0 smaller, picture
// 2 stands apart, and picture 6 is labeled as another class than its neighbors.
func sample(t *testing.T, n int, classes []string) *atlas.Map {
	t.Helper()
	m, err := atlas.Make(t.Context(), pictures(n, classes), vectors(t, n), options(classes))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func options(classes []string) atlas.Options {
	return atlas.Options{Title: "Pictures </script><b>", About: "A test", Classes: classes, Clusters: 3}
}

func groupOf(i int) int {
	if i == 1 {
		return 0
	}
	return i % 3
}

func vectors(t *testing.T, n int) *tensor.Tensor {
	t.Helper()
	x := tensor.New(n, 8)
	r := philox.New(2, 2)
	for i := range n {
		row := x.Float32s()[8*i : 8*i+8]
		for j := range row {
			row[j] = 1 + float32(0.1*r.Norm())
		}
		if i != 2 {
			row[groupOf(i)] += 2
		} else {
			row[7] += 3
		}
	}
	copy(x.Float32s()[8:16], x.Float32s()[:8])
	return x
}

func pictures(n int, classes []string) []atlas.Picture {
	var ps []atlas.Picture
	for i := range n {
		w, h := 40+i%5*10, 40
		m := imaging.New(w, h, 3)
		r := philox.New(9, uint64(i))
		cx, cy := r.IntN(w), r.IntN(h)
		for y := range h {
			for x := range w {
				d := math.Hypot(float64(x-cx), float64(y-cy))
				m.Row(y)[3*x+groupOf(i)] = uint8(255 * math.Exp(-d/12))
				m.Row(y)[3*x+(i+1)%3] = uint8(x * 2)
			}
		}
		if i == 1 {
			small := new(imaging.Image)
			imaging.Resize(small, ps[0].Thumb, 30, 30, imaging.Bilinear)
			m = small
		}
		p := atlas.Picture{Name: fmt.Sprintf("photos/%03d <i>.jpg", i), Label: -1, Thumb: atlas.Thumbnail(m, 48)}
		if classes != nil {
			p.Label = groupOf(i)
			if i == 6 {
				p.Label = 1
			}
		}
		ps = append(ps, p)
	}
	return ps
}

// TestMap: groups, near-duplicates, outliers and wrong classes are found; the same for
// any number of threads.
func TestMap(t *testing.T) {
	classes := []string{"red", "green", "blue"}
	m := sample(t, 120, classes)
	if len(m.Clusters) != 3 {
		t.Fatalf("%d groups", len(m.Clusters))
	}
	for i := 3; i < 120; i++ {
		if c := m.Clusters[m.Of[i]]; c.Class != groupOf(i) || c.Share < 0.9 || m.Of[i] != m.Of[i%3+3] {
			t.Errorf("picture %d is in a group of class %d (%v)", i, c.Class, c.Share)
		}
	}
	if !slices.Contains(m.Outliers, 2) || m.Outliers[0] != 2 || len(m.Outliers) != 6 {
		t.Errorf("outliers %v", m.Outliers)
	}
	if len(m.Mislabeled) != 1 || m.Mislabeled[0].Picture != 6 || m.Mislabeled[0].Instead != 0 {
		t.Errorf("perhaps of another class: %+v", m.Mislabeled)
	}
	if !slices.ContainsFunc(m.Duplicates, func(g []int) bool { return slices.Equal(g, []int{0, 1}) }) || len(m.Duplicates) > 6 {
		t.Errorf("near-duplicates %v", m.Duplicates)
	}
	if m.Near[0][0].Row != 1 {
		t.Errorf("next to picture 0: %v", m.Near[0])
	}
	for i, p := range m.Places {
		if !(p[0] >= 0 && p[0] <= 1 && p[1] >= 0 && p[1] <= 1) {
			t.Errorf("picture %d is at %v", i, p)
		}
	}
	opt := options(classes)
	opt.Threads = 3
	again, err := atlas.Make(t.Context(), pictures(120, classes), vectors(t, 120), opt)
	if err != nil || !reflect.DeepEqual(again.Places, m.Places) || !reflect.DeepEqual(again.Of, m.Of) {
		t.Errorf("three threads give another map: %v", err)
	}
	if _, err := atlas.Make(t.Context(), pictures(1, nil), vectors(t, 2), opt); err == nil {
		t.Error("a map of one picture is no error")
	}
}

// TestPage: the page has its data, loads nothing, and cannot be broken by names; its
// sheets are JPEGs with all pictures.
func TestPage(t *testing.T) {
	for _, n := range []int{2, 5, 300} {
		m := sample(t, n, []string{"a", "b", "c"})
		var b bytes.Buffer
		if err := m.HTML(&b); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		if strings.Count(page, "</script>") != 2 || strings.Contains(page, "<i>.jpg") || strings.Contains(page, "<b>") {
			t.Error("a name or the title is markup")
		}
		if found := regexp.MustCompile(`(src|href)="[^#"]+"|url\(|https?://`).FindAllString(page, -1); found != nil {
			t.Errorf("the page refers to %v", found)
		}
		text := regexp.MustCompile(`(?s)id="data">(.*?)</script>`).FindStringSubmatch(page)
		var c struct {
			Cell, Columns int
			Sheets        [][]byte
			Sizes, X      []int
			Near          []int
			Names         []string
		}
		if err := json.Unmarshal([]byte(text[1]), &c); err != nil {
			t.Fatal(err)
		}
		if len(c.Names) != n || len(c.Sizes) != 2*n || len(c.X) != n || len(c.Near) != 12*n || c.Names[1] != "photos/001 <i>.jpg" {
			t.Errorf("%d pictures: %d names, %d sizes, %d near", n, len(c.Names), len(c.Sizes), len(c.Near))
		}
		squares := 0
		for _, s := range c.Sheets {
			im, err := jpeg.DecodeConfig(bytes.NewReader(s))
			if err != nil {
				t.Fatal(err)
			}
			squares += im.Width / c.Cell * (im.Height / c.Cell)
		}
		if squares < n || squares > n+c.Columns {
			t.Errorf("%d pictures: the sheets have %d squares", n, squares)
		}
	}
}

// TestSide: pages stay small.
func TestSide(t *testing.T) {
	for _, n := range []int{2, 2000, 4500, 8000, atlas.MaxPictures} {
		// A pixel of a photograph takes about 0.27 bytes of JPEG, and 4/3 of that in base64.
		if size := float64(n) * float64(atlas.Side(n)*atlas.Side(n)) * 0.27 * 4 / 3; size > 20e6 {
			t.Errorf("%d pictures: %.0f bytes", n, size)
		}
	}
	small := atlas.Thumbnail(imaging.New(300, 3, 1), 96)
	if small.W != 96 || small.H != 1 || small.C != 3 {
		t.Errorf("thumbnail of a line: %dx%dx%d", small.W, small.H, small.C)
	}
}
