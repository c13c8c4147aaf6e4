package detection

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/masks"
)

type rleJSON struct {
	Size   [2]int
	Counts string
}

func (r rleJSON) mask(t *testing.T) masks.RLE {
	t.Helper()
	m, err := masks.Parse(r.Counts, r.Size[0], r.Size[1])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Pictures, boxes and masks are resized as torchvision does.
func TestPreprocessGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/transform.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Cases []struct {
			W, H, Min, Max, RW, RH int
			Pixels                 []int
			Boxes                  [][4]float64
			Masks                  []rleJSON
			X                      []float32
			OutBoxes               [][4]float32 `json:"out_boxes"`
			OutMasks               []rleJSON    `json:"out_masks"`
		}
		Sizes [][4]int
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) < 3 || len(golden.Sizes) < 8 {
		t.Fatal("too few cases")
	}
	for _, s := range golden.Sizes {
		if w, h := Standard().Size(s[0], s[1]); w != s[2] || h != s[3] {
			t.Errorf("%d x %d is resized to %d x %d, want %d x %d", s[0], s[1], w, h, s[2], s[3])
		}
	}
	for _, c := range golden.Cases {
		m := imaging.New(c.W, c.H, 3)
		for i, v := range c.Pixels {
			m.Pix[i] = uint8(v)
		}
		p := Standard()
		p.MinSize, p.MaxSize = c.Min, c.Max
		w, h := p.Size(c.W, c.H)
		if w != c.RW || h != c.RH {
			t.Fatalf("size %d x %d, want %d x %d", w, h, c.RW, c.RH)
		}
		const stride = 40
		x := make([]float32, stride*h*3)
		p.Apply(x, stride, m, w, h)
		for y := range h {
			for i := range stride * 3 {
				want := float32(0)
				if i < 3*w {
					want = c.X[3*y*w+i]
				}
				if got := x[3*y*stride+i]; !(math.Abs(float64(got-want)) < 2e-5) {
					t.Fatalf("input at row %d, %d: %v, want %v", y, i, got, want)
				}
			}
		}
		s := scene{m: m}
		for i, box := range c.Boxes {
			for k, v := range box {
				box[k] = float64(float32(v))
			}
			s.objects = append(s.objects, target{box: box, mask: c.Masks[i].mask(t).Bitmap()})
		}
		s.scaleObjects(c.W, c.H, w, h)
		for i, o := range s.objects {
			for k, v := range o.box {
				if float32(v) != c.OutBoxes[i][k] {
					t.Errorf("box %v, want %v", o.box, c.OutBoxes[i])
				}
			}
			if got := o.mask.RLE().String(); got != c.OutMasks[i].Counts {
				t.Errorf("mask %s, want %s", got, c.OutMasks[i].Counts)
			}
		}
	}
}

// shapes makes a dataset of colored rectangles on black, whose boxes and masks are
// their pixels; some pictures are high and some wide.
func shapes(t testing.TB, n int) *Dataset {
	t.Helper()
	var images, anns []string
	fsys := fstest.MapFS{}
	for i := range n {
		w, h := 60, 40
		if i%3 == 0 {
			w, h = 40, 60
		}
		m := imaging.New(w, h, 3)
		for k := range 1 + i%3 {
			x, y, bw, bh := 3+18*k, 5+2*i%7, 8+i%5, 10
			if x+bw > w {
				break
			}
			for yy := y; yy < y+bh; yy++ {
				for xx := x; xx < x+bw; xx++ {
					m.Pix[3*(yy*w+xx)+k] = 255
				}
			}
			anns = append(anns, fmt.Sprintf(`{"id":%d,"image_id":%d,"category_id":%d,"bbox":[%d,%d,%d,%d],"segmentation":[[%d,%d,%d,%d,%d,%d,%d,%d]]}`,
				len(anns)+1, i, k+1, x, y, bw, bh, x, y, x+bw, y, x+bw, y+bh, x, y+bh))
		}
		name := fmt.Sprintf("%03d.png", i)
		fsys[name] = &fstest.MapFile{Data: encodePNG(t, m)}
		images = append(images, fmt.Sprintf(`{"id":%d,"file_name":%q,"width":%d,"height":%d}`, i, name, w, h))
	}
	fsys["a.json"] = &fstest.MapFile{Data: []byte(`{"images":[` + strings.Join(images, ",") + `],"annotations":[` + strings.Join(anns, ",") +
		`],"categories":[{"id":1,"name":"red"},{"id":2,"name":"green"},{"id":3,"name":"blue"}]}`)}
	s, err := OpenCOCO(fsys, noHoldOut)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Findings) > 0 {
		t.Fatal(s.Findings)
	}
	return s.Train
}

func small() Preprocess {
	return Preprocess{MinSize: 40, MaxSize: 60, Mean: []float32{0, 0, 0}, Std: []float32{1, 1, 1}}
}

func collect(t *testing.T, l *Loader, epoch, step int) []string {
	t.Helper()
	var all []string
	for b, err := range l.Epoch(t.Context(), epoch, step) {
		if err != nil {
			t.Fatal(err)
		}
		var sum float64
		for i, v := range b.X {
			sum += float64(v) * float64(i%97)
		}
		area := 0
		for _, row := range b.Masks {
			for _, m := range row {
				area += m.Area()
			}
		}
		all = append(all, fmt.Sprint(b.Epoch, b.Step, b.N, b.Real, b.H, b.W, b.Sizes, b.Original, b.Index, b.Valid, b.Boxes, b.Labels, sum, area))
	}
	return all
}

var allAugmentations = &Augment{
	ColorJitter: &data.ColorJitter{Brightness: 0.2, Contrast: 0.2, Saturation: 0.2}, Grayscale: 0.1, Mosaic: 0.3, IoUCrop: true, HFlip: 0.5,
	ScaleJitter: &ScaleJitter{Size: 64, Min: 0.5, Max: 2},
}

// Batches do not depend on the number of workers, and an epoch can be continued at
// any step.
func TestLoaderDeterminism(t *testing.T) {
	ds := shapes(t, 11)
	for name, a := range map[string]*Augment{"none": nil, "all": allAugmentations, "sizes": {MinSizes: []int{30, 40}, HFlip: 0.5}} {
		cfg := LoaderConfig{BatchSize: 4, Preprocess: small(), Augment: a, Masks: true, Shuffle: a != nil, Seed: 3}
		var want []string
		for _, workers := range []int{1, 3} {
			cfg.Workers = workers
			l, err := NewLoader(ds, cfg)
			if err != nil {
				t.Fatal(err)
			}
			got := collect(t, l, 2, 0)
			if len(got) != l.Steps() {
				t.Fatalf("%s: %d batches, want %d", name, len(got), l.Steps())
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: batches differ with %d workers", name, workers)
			}
			if rest := collect(t, l, 2, 1); !slices.Equal(rest, want[1:]) {
				t.Errorf("%s: continued at step 1, batches differ", name)
			}
			if a != nil && slices.Equal(collect(t, l, 3, 0), want) {
				t.Errorf("%s: epochs are alike", name)
			}
		}
	}
}

// Every picture comes once without Shuffle, and at least once with it, in batches
// of one shape.
func TestLoaderCoverage(t *testing.T) {
	ds := shapes(t, 11)
	for _, shuffle := range []bool{false, true} {
		p := small()
		p.MinSize = 32
		l, err := NewLoader(ds, LoaderConfig{BatchSize: 4, Preprocess: p, Shuffle: shuffle})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int]int{}
		for b, err := range l.Epoch(t.Context(), 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if shuffle && b.Real != 4 {
				t.Errorf("%d real rows", b.Real)
			}
			for row := range b.N {
				i := b.Index[row]
				if (i < 0) != (row >= b.Real) {
					t.Errorf("row %d of %d has index %d", row, b.Real, i)
				}
				if i < 0 {
					if b.Valid[row] != 0 || b.Labels[row*b.Capacity] != -1 {
						t.Error("padding has objects")
					}
					continue
				}
				seen[i]++
				if high := i%3 == 0; high != (b.H > b.W) {
					t.Errorf("picture %d is in an input of %d x %d", i, b.H, b.W)
				}
				if b.Valid[row] != len(ds.Pictures[i].Objects) {
					t.Errorf("picture %d has %d objects, want %d", i, b.Valid[row], len(ds.Pictures[i].Objects))
				}
			}
		}
		if len(seen) != 11 {
			t.Errorf("shuffle %v: pictures %v", shuffle, seen)
		}
		if !shuffle {
			for i, n := range seen {
				if n != 1 {
					t.Errorf("picture %d came %d times", i, n)
				}
			}
		}
	}
}

// Whatever moves a picture moves its boxes and masks: an object's color is bright
// inside its box and mask, and nowhere else.
func TestAugmentationsMoveTogether(t *testing.T) {
	ds := shapes(t, 12)
	for name, a := range map[string]*Augment{
		"none": nil, "flip": {HFlip: 1}, "sizes": {MinSizes: []int{25, 55}}, "jitter": {ScaleJitter: &ScaleJitter{Size: 64, Min: 0.4, Max: 2.5}},
		"iou crop": {IoUCrop: true}, "mosaic": {Mosaic: 1}, "all": {Mosaic: 0.5, IoUCrop: true, HFlip: 0.5, ScaleJitter: &ScaleJitter{Size: 64, Min: 0.6, Max: 1.2}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := NewLoader(ds, LoaderConfig{BatchSize: 3, Preprocess: small(), Augment: a, Masks: true, Shuffle: true})
			if err != nil {
				t.Fatal(err)
			}
			objects, changed := 0, false
			for epoch := range 4 {
				for b, err := range l.Epoch(t.Context(), epoch, 0) {
					if err != nil {
						t.Fatal(err)
					}
					for row := range b.Real {
						objects += b.Valid[row]
						changed = changed || b.Valid[row] != len(ds.Pictures[b.Index[row]].Objects)
						// The crop of SSD drops objects of which it cuts off more than half.
						checkRow(t, b, row, a == nil || !a.IoUCrop)
					}
				}
			}
			if objects < 40 {
				t.Errorf("only %d objects", objects)
			}
			if crops := strings.Contains(name, "crop") || strings.Contains(name, "jitter") || name == "mosaic"; crops && !changed {
				t.Error("nothing was cut off")
			}
		})
	}
}

func checkRow(t *testing.T, b *Batch, row int, all bool) {
	t.Helper()
	h, w := b.Sizes[row][0], b.Sizes[row][1]
	if h > b.H || w > b.W || h < 1 || w < 1 {
		t.Fatalf("picture of %d x %d in %d x %d", h, w, b.H, b.W)
	}
	at := func(y, x, c int) float32 { return b.X[((row*b.H+y)*b.W+x)*3+c] }
	for y := range b.H {
		for x := range b.W {
			if (y >= h || x >= w) && at(y, x, 0)+at(y, x, 1)+at(y, x, 2) != 0 {
				t.Fatalf("padding at %d, %d", y, x)
			}
		}
	}
	slack := float32(2.5) // pixels by which interpolation may blur
	if !all {             // a small part may have been enlarged
		slack = 6
	}
	inAny := func(y, x, c int) bool {
		for k := range b.Valid[row] {
			i := row*b.Capacity + k
			box := b.Boxes[4*i : 4*i+4]
			fx, fy := float32(x)+0.5, float32(y)+0.5
			if int(b.Labels[i]) == c && fx > box[0]-slack && fx < box[2]+slack && fy > box[1]-slack && fy < box[3]+slack {
				return true
			}
		}
		return false
	}
	for y := range h {
		for x := range w {
			for c := range 3 {
				if all && at(y, x, c) > 0.6 && !inAny(y, x, c) {
					t.Fatalf("color %d at %d, %d is in no box of its class; boxes %v labels %v", c, y, x, b.Boxes[row*b.Capacity*4:][:4*b.Valid[row]], b.Labels[row*b.Capacity:][:b.Valid[row]])
				}
			}
		}
	}
	for k := range b.Valid[row] {
		i := row*b.Capacity + k
		box := b.Boxes[4*i : 4*i+4]
		if !(box[0] >= 0 && box[1] >= 0 && box[2] <= float32(w)+1e-3 && box[3] <= float32(h)+1e-3 && box[2] > box[0] && box[3] > box[1]) {
			t.Fatalf("box %v in %d x %d", box, w, h)
		}
		m := b.Masks[row][k]
		if m.H != h || m.W != w {
			t.Fatalf("mask of %d x %d in %d x %d", m.H, m.W, h, w)
		}
		if box[2]-box[0] < 6 || box[3]-box[1] < 6 {
			continue
		}
		cy, cx := int((box[1]+box[3])/2), int((box[0]+box[2])/2)
		if at(cy, cx, int(b.Labels[i])) < 0.6 || m.At(cy, cx) != 1 {
			t.Fatalf("the middle of box %v has color %v and mask %d", box, at(cy, cx, int(b.Labels[i])), m.At(cy, cx))
		}
		mb := m.Box()
		for j, v := range [4]float64{mb[0], mb[1], mb[0] + mb[2], mb[1] + mb[3]} {
			if math.Abs(v-float64(box[j])) > float64(slack) {
				t.Fatalf("mask in %v, box %v", mb, box)
			}
		}
	}
}

func TestLoaderBadPictures(t *testing.T) {
	ds := shapes(t, 8)
	broken := *ds
	broken.Pictures = slices.Clone(ds.Pictures)
	broken.Pictures[3].Name = "gone.png"
	broken.Pictures[4].W = 70 // another size than the file's
	cfg := LoaderConfig{BatchSize: 3, Preprocess: small()}
	run := func(cfg LoaderConfig) (*Loader, []int, error) {
		l, err := NewLoader(&broken, cfg)
		if err != nil {
			t.Fatal(err)
		}
		var index []int
		for b, err := range l.Epoch(t.Context(), 0, 0) {
			if err != nil {
				return l, index, err
			}
			index = append(index, b.Index[:b.Real]...)
		}
		return l, index, nil
	}
	_, _, err := run(cfg)
	if bad := (*data.SampleError)(nil); !errors.As(err, &bad) {
		t.Errorf("error %v", err)
	}
	cfg.SkipBad = true
	l, index, err := run(cfg)
	slices.Sort(index)
	if err != nil || !slices.Equal(index, []int{0, 1, 2, 5, 6, 7}) || len(l.Bad()) != 2 || l.Bad()[0].Index != 3 || !strings.Contains(l.Bad()[1].Error(), "its annotation gives 70 x 40") {
		t.Errorf("pictures %v, bad %v, %v", index, l.Bad(), err)
	}
	cfg.Shuffle, cfg.Augment = true, &Augment{HFlip: 0.5}
	if l, index, err = run(cfg); err != nil || len(index)%3 != 0 || slices.Contains(index, 3) || len(l.Bad()) != 2 {
		t.Errorf("pictures %v, bad %v, %v", index, l.Bad(), err)
	}
}

func TestLoaderErrors(t *testing.T) {
	ds := shapes(t, 3)
	bare := *ds
	bare.Pictures = slices.Clone(ds.Pictures)
	bare.Pictures[1].Objects = []Object{{ID: 77, Box: [4]float64{1, 1, 2, 2}}}
	ok := LoaderConfig{BatchSize: 2, Preprocess: small()}
	for want, c := range map[string]struct {
		ds     *Dataset
		change func(*LoaderConfig)
	}{
		"batch size 0":        {ds, func(c *LoaderConfig) { c.BatchSize = 0 }},
		"no pictures":         {ds.Subset(nil), func(c *LoaderConfig) {}},
		"min_size 0":          {ds, func(c *LoaderConfig) { c.Preprocess.MinSize = 0 }},
		"max_size 9":          {ds, func(c *LoaderConfig) { c.Preprocess.MaxSize = 9 }},
		"std [0 1 1]":         {ds, func(c *LoaderConfig) { c.Preprocess.Std = []float32{0, 1, 1} }},
		"mean [1]":            {ds, func(c *LoaderConfig) { c.Preprocess.Mean = []float32{1} }},
		"capacity -1":         {ds, func(c *LoaderConfig) { c.Capacity = -1 }},
		"fits none":           {ds, func(c *LoaderConfig) { c.Shapes = []Shape{{32, 32}} }},
		"an input of 0 x 32":  {ds, func(c *LoaderConfig) { c.Shapes = []Shape{{0, 32}} }},
		"object 77":           {&bare, func(c *LoaderConfig) { c.Masks = true }},
		"mosaic 2":            {ds, func(c *LoaderConfig) { c.Augment = &Augment{Mosaic: 2} }},
		"hflip -1":            {ds, func(c *LoaderConfig) { c.Augment = &Augment{HFlip: -1} }},
		"scale_jitter.size 0": {ds, func(c *LoaderConfig) { c.Augment = &Augment{ScaleJitter: &ScaleJitter{Min: 1, Max: 2}} }},
		"two rising factors":  {ds, func(c *LoaderConfig) { c.Augment = &Augment{ScaleJitter: &ScaleJitter{Size: 9, Min: 3, Max: 2}} }},
		"exclude each other": {ds, func(c *LoaderConfig) {
			c.Augment = &Augment{MinSizes: []int{9}, ScaleJitter: &ScaleJitter{Size: 9, Min: 1, Max: 2}}
		}},
		"min_sizes has 0": {ds, func(c *LoaderConfig) { c.Augment = &Augment{MinSizes: []int{0}} }},
		"does not fit": {ds, func(c *LoaderConfig) {
			c.Augment = &Augment{ScaleJitter: &ScaleJitter{Size: 90, Min: 1, Max: 2}}
			c.Shapes = []Shape{{64, 64}}
		}},
		"iou_crop changes": {ds, func(c *LoaderConfig) { c.Augment = &Augment{IoUCrop: true}; c.Shapes = []Shape{{64, 40}} }},
	} {
		cfg := ok
		c.change(&cfg)
		if _, err := NewLoader(c.ds, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	l, err := NewLoader(ds, ok)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range l.Epoch(t.Context(), 0, 99) {
		if err == nil || !strings.Contains(err.Error(), "no step 99") {
			t.Errorf("error %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range l.Epoch(ctx, 0, 0) {
		if n++; n == 1 {
			cancel()
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
	for range l.Epoch(t.Context(), 0, 0) {
		break // must not hang
	}
}

// Of more objects than there is room for, the largest are kept.
func TestLoaderCapacity(t *testing.T) {
	ds := shapes(t, 3)
	l, err := NewLoader(ds, LoaderConfig{BatchSize: 1, Preprocess: small(), Capacity: 1, Masks: true})
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range l.Epoch(t.Context(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		largest := 0.0
		for _, o := range ds.Pictures[b.Index[0]].Objects {
			largest = max(largest, o.Box[2]*o.Box[3])
		}
		if got := float64((b.Boxes[2] - b.Boxes[0]) * (b.Boxes[3] - b.Boxes[1])); b.Valid[0] != 1 || len(b.Masks[0]) != 1 || got < largest-1 {
			t.Errorf("%d objects, area %v of %v", b.Valid[0], got, largest)
		}
	}
}

func encodePNG(t testing.TB, m *imaging.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writePNG(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
