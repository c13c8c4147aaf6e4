package masks

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/membound"
	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/internal/philox"
)

type one struct {
	XY   []float64
	XYWH [4]float64
	Bits string
	RLE  string
	Area int
	Box  [4]float64
}

type goldenCase struct {
	H, W                  int
	Polygons, Boxes, Bits []one
	Union                 string
	PolygonUnion          string `json:"polygon_union"`
	Intersection          string
	Crowd                 []int
	IoU                   [][]float64
	DtBoxes               [][4]float64 `json:"dt_boxes"`
	GtBoxes               [][4]float64 `json:"gt_boxes"`
	BoxIoU                [][]float64  `json:"box_iou"`
	Pastes                []struct {
		Size           int
		Mask           []float32
		Box            [4]float32
		Pasted, Target []float32
		Resize         [2]int
		Resized        string
	}
}

func TestGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/masks.json")
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, b)
}

// TestPycocotools compares with pycocotools and torchvision on other random masks.
func TestPycocotools(t *testing.T) {
	python := peer.Python(t, "pycocotools", "torchvision")
	for seed := range 2 {
		out, err := exec.CommandContext(t.Context(), python, "testdata/gen/masks.py", fmt.Sprint(seed+10), "300").Output()
		if err != nil {
			t.Fatal(err)
		}
		checkGolden(t, out)
	}
}

func checkGolden(t *testing.T, b []byte) {
	var cases []goldenCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 10 {
		t.Fatalf("only %d cases", len(cases))
	}
	for n, c := range cases {
		t.Run(fmt.Sprint(n), func(t *testing.T) { c.check(t) })
	}
}

func (c *goldenCase) check(t *testing.T) {
	var all []RLE
	same := func(r RLE, err error, o one) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if s := r.String(); s != o.RLE {
			t.Errorf("%d x %d: mask %s, want %s (of %v %v)", c.H, c.W, s, o.RLE, o.XY, o.XYWH)
			return
		}
		if r.Area() != o.Area || r.Box() != o.Box && o.Area > 0 {
			t.Errorf("area %d, box %v, want %d, %v", r.Area(), r.Box(), o.Area, o.Box)
		}
		p, err := Parse(o.RLE, c.H, c.W)
		if err != nil || !slices.Equal(p.Counts, r.Counts) {
			t.Errorf("Parse: %v, %v, want %v", p.Counts, err, r.Counts)
		}
		if back := r.Bitmap().RLE(); back.String() != o.RLE {
			t.Errorf("bitmap and back: %s, want %s", back, o.RLE)
		}
		if back := NewBitmap(r.Bitmap().Bits(nil), c.H, c.W).RLE(); back.String() != o.RLE {
			t.Errorf("bits and back: %s, want %s", back, o.RLE)
		}
		all = append(all, r)
	}
	var polygons [][]float64
	for _, o := range c.Polygons {
		r, err := FromPolygon(o.XY, c.H, c.W)
		same(r, err, o)
		polygons = append(polygons, o.XY)
	}
	for _, o := range c.Boxes {
		r, err := FromBox(o.XYWH, c.H, c.W)
		same(r, err, o)
	}
	for _, o := range c.Bits {
		bits := []byte(strings.NewReplacer("0", "\x00", "1", "\x01").Replace(o.Bits))
		b := NewBitmap(bits, c.H, c.W)
		if b.Area() != o.Area || b.Box() != o.Box && o.Area > 0 {
			t.Errorf("bitmap: area %d, box %v, want %d, %v", b.Area(), b.Box(), o.Area, o.Box)
		}
		if got := b.Bits(nil); string(got) != string(bits) {
			t.Error("Bits differ")
		}
		same(b.RLE(), nil, o)
	}
	if t.Failed() {
		return
	}
	merged := func(want string) func(RLE, error) {
		return func(r RLE, err error) {
			t.Helper()
			if err != nil || r.String() != want {
				t.Errorf("%s, %v, want %s", r, err, want)
			}
		}
	}
	merged(c.Union)(Union(all...))
	merged(c.PolygonUnion)(FromPolygons(polygons, c.H, c.W))
	merged(c.Intersection)(Intersection(all[:2]...))
	var crowd []bool
	for _, v := range c.Crowd {
		crowd = append(crowd, v == 1)
	}
	iou, err := IoU(all[:5], all[5:], crowd)
	if want := slices.Concat(c.IoU...); err != nil || !slices.Equal(iou, want) {
		t.Errorf("IoU %v, %v, want %v", iou, err, want)
	}
	if got, want := BoxIoU(c.DtBoxes, c.GtBoxes, crowd), slices.Concat(c.BoxIoU...); !slices.Equal(got, want) {
		t.Errorf("BoxIoU %v, want %v", got, want)
	}
	for _, p := range c.Pastes {
		dst := make([]float32, c.H*c.W)
		Paste(dst, p.Mask, p.Size, p.Box, c.H, c.W)
		near(t, "pasted", dst, p.Pasted)
		target := make([]float32, p.Size*p.Size)
		all[0].Bitmap().Align(target, p.Box, p.Size)
		near(t, "target", target, p.Target)
		if got := all[0].Bitmap().Resize(p.Resize[0], p.Resize[1]).RLE().String(); got != p.Resized {
			t.Errorf("resized to %v: %s, want %s", p.Resize, got, p.Resized)
		}
		mask := Threshold(dst, c.H, c.W, 0.5)
		for i, v := range mask.Bitmap().Bits(nil) {
			if (v == 1) != (dst[i] > 0.5) {
				t.Fatalf("threshold: pixel %d of %v is %d", i, dst[i], v)
			}
		}
	}
}

func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i, v := range got {
		if !(math.Abs(float64(v-want[i])) < 2e-5) {
			t.Fatalf("%s: value %d is %v, want %v", what, i, v, want[i])
		}
	}
}

// Long edges, which are not walked step by step, cross the columns at the same places.
func TestLongEdges(t *testing.T) {
	rng := philox.New(2, 0)
	for range 3000 {
		h, w := rng.IntN(40)+1, rng.IntN(40)+1
		far := []int{30, 300, 3000}[rng.IntN(3)]
		at := func() int { return rng.IntN(2*far) - far + scale*20 }
		e := newEdge(at(), at(), at(), at())
		if rng.IntN(4) == 0 {
			e = newEdge(5, at(), 7, at())
		}
		walked, jumped := crossings{h: h, w: w}, crossings{h: h, w: w}
		for d := range e.long + 1 {
			walked.to(e.at(d))
		}
		if e.long > 0 {
			jumped.jump(&e)
		}
		if !slices.Equal(walked.at, jumped.at) {
			t.Fatalf("%+v in %d x %d: %v, want %v", e, h, w, jumped.at, walked.at)
		}
		if e.long > 0 && (walked.x != jumped.x || walked.y != jumped.y) {
			t.Fatalf("%+v ends at %d, %d", e, jumped.x, jumped.y)
		}
	}
}

// A polygon that reaches far outside of the picture costs no more than others.
func TestDistantCorners(t *testing.T) {
	r, err := FromPolygon([]float64{-1e8, -1e8, 2e8, -1e8, 2e8, 2e8, -1e8, 2e8}, 30, 40)
	if err != nil || r.Area() != 30*40 {
		t.Errorf("area %d, %v", r.Area(), err)
	}
	r, err = FromPolygon([]float64{10.5, -1e8, 20.5, -1e8, 20.5, 2e8, 10.5, 2e8}, 30, 40)
	if err != nil || r.Area() != 30*10 {
		t.Errorf("area %d, %v", r.Area(), err)
	}
}

// Mirroring, cutting and resampling agree with doing it pixel by pixel.
func TestBitmapGeometry(t *testing.T) {
	rng := philox.New(1, 0)
	for range 200 {
		h, w := rng.IntN(12)+1, rng.IntN(12)+1
		bits := make([]uint8, h*w)
		for i := range bits {
			if rng.IntN(4) == 0 {
				bits[i] = 1
			}
		}
		b := NewBitmap(bits, h, w)
		f := b.FlipH()
		y0, x0, ch, cw := rng.IntN(20)-8, rng.IntN(20)-8, rng.IntN(15), rng.IntN(15)
		c := b.Crop(y0, x0, ch, cw)
		for y := range h {
			for x := range w {
				if f.At(y, w-1-x) != bits[y*w+x] {
					t.Fatal("FlipH")
				}
			}
		}
		for y := range ch {
			for x := range cw {
				want := uint8(0)
				if sy, sx := y+y0, x+x0; sy >= 0 && sy < h && sx >= 0 && sx < w {
					want = bits[sy*w+sx]
				}
				if c.At(y, x) != want {
					t.Fatalf("Crop(%d, %d, %d, %d) of %d x %d: pixel %d, %d", y0, x0, ch, cw, h, w, y, x)
				}
			}
		}
		for _, m := range []*Bitmap{b, f, c} {
			r := m.RLE()
			if got, err := FromCounts(r.Counts, m.H, m.W); err != nil || got.String() != r.String() {
				t.Fatalf("runs of %d x %d: %v, %v", m.H, m.W, r.Counts, err)
			}
			if r.Area() != m.Area() || r.Box() != m.Box() {
				t.Fatalf("area %d box %v, want %d, %v", r.Area(), r.Box(), m.Area(), m.Box())
			}
		}
	}
}

func TestErrors(t *testing.T) {
	long := make([]float64, 0, 400000)
	for i := range 100000 {
		long = append(long, float64(i%2)*1e6, 0, float64(i%2)*1e6, 1)
	}
	for name, f := range map[string]func() error{
		"counts too large":  func() error { _, err := FromCounts([]uint32{3, 4}, 2, 3); return err },
		"counts that wrap":  func() error { _, err := FromCounts([]uint32{1 << 31, 1 << 31, 1 << 31}, 2, 3); return err },
		"negative size":     func() error { _, err := FromCounts(nil, -1, 3); return err },
		"size too large":    func() error { _, err := FromCounts(nil, 1<<20, 1<<20); return err },
		"cut string":        func() error { _, err := Parse("P", 2, 3); return err },
		"bad character":     func() error { _, err := Parse("\x01", 2, 3); return err },
		"negative count":    func() error { _, err := Parse("O", 2, 3); return err },
		"endless count":     func() error { _, err := Parse("PPPPPPPPPPPP0", 2, 3); return err },
		"two corners":       func() error { _, err := FromPolygon([]float64{1, 2, 3, 4}, 5, 5); return err },
		"odd numbers":       func() error { _, err := FromPolygon([]float64{1, 2, 3, 4, 5, 6, 7}, 5, 5); return err },
		"NaN corner":        func() error { _, err := FromPolygon([]float64{1, 2, math.NaN(), 4, 5, 6}, 5, 5); return err },
		"distant corner":    func() error { _, err := FromPolygon([]float64{1, 2, 1e300, 4, 5, 6}, 5, 5); return err },
		"endless outline":   func() error { _, err := FromPolygon(long, 5, 1000); return err },
		"sizes that differ": func() error { _, err := Union(RLE{H: 1, W: 2}, RLE{H: 2, W: 1}); return err },
		"IoU that differs":  func() error { _, err := IoU([]RLE{{H: 1, W: 2}}, []RLE{{H: 2, W: 1}}, nil); return err },
	} {
		if err := f(); err == nil || !strings.HasPrefix(err.Error(), "masks: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Counts may add up to less than the picture.
	if r, err := FromCounts([]uint32{1, 2}, 3, 2); err != nil || !slices.Equal(r.Counts, []uint32{1, 2, 3}) {
		t.Errorf("short counts: %v, %v", r, err)
	}
	if r, err := Union(); err != nil || r.H != 0 {
		t.Errorf("union of nothing: %v, %v", r, err)
	}
}

// Masks whose runs are partly empty, which other programs write, have the same
// pixels.
func TestEmptyRuns(t *testing.T) {
	a, err := FromCounts([]uint32{0, 0, 2, 0, 0, 3, 0, 0, 1}, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := FromCounts([]uint32{2, 3, 1}, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	u, err := Union(a, b)
	if err != nil || u.String() != b.String() || a.Area() != b.Area() || a.Box() != b.Box() {
		t.Errorf("union %v, area %d, box %v, want %v, %d, %v", u, a.Area(), a.Box(), b, b.Area(), b.Box())
	}
	if iou, err := IoU([]RLE{a}, []RLE{b}, nil); err != nil || iou[0] != 1 {
		t.Errorf("IoU %v, %v", iou, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("52203", 5, 7)
	f.Add("\x30", 0, 0)
	f.Add("oooooo0", 1<<14, 1<<14)
	f.Fuzz(func(t *testing.T, s string, h, w int) {
		var r RLE
		var err error
		if used, over := membound.Over(membound.Slack, 64, len(s), func() { r, err = Parse(s, h, w) }); over {
			t.Fatalf("%d bytes of memory for a string of %d", used, len(s))
		}
		if err != nil {
			return
		}
		if p, err := Parse(r.String(), h, w); err != nil || !slices.Equal(p.Counts, r.Counts) {
			t.Fatalf("%v and back: %v, %v", r.Counts, p.Counts, err)
		}
		r.Box()
		if r.Area() > h*w {
			t.Fatalf("area %d of %d x %d", r.Area(), h, w)
		}
		if h*w < 1<<16 && r.Bitmap().Area() != r.Area() {
			t.Fatal("areas differ")
		}
	})
}

func FuzzPolygon(f *testing.F) {
	f.Add(1.0, 1.0, 5.0, 1.0, 3.0, 6.5, 9, 9)
	f.Add(-1e9, 1.0, 1e9, 1.0, 3.0, math.Inf(1), 3, 0)
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g float64, h, w int) {
		if h > 1<<10 || w > 1<<10 {
			return
		}
		r, err := FromPolygon([]float64{a, b, c, d, e, g}, h, w)
		if err != nil {
			return
		}
		sum := 0
		for _, n := range r.Counts {
			sum += int(n)
		}
		if sum != h*w {
			t.Fatalf("counts %v add up to %d, not %d x %d", r.Counts, sum, h, w)
		}
	})
}
