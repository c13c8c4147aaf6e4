package detect

import (
	"context"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/namefill"
	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// TestGoldenInput compares the input of a picture, with its padding, with
// torchvision.
func TestGoldenInput(t *testing.T) {
	g, _ := golden.Load(t, "testdata/transform.safetensors")
	s := g["picture"].Shape()
	m := imaging.New(s[1], s[0], 3)
	for i, v := range g["picture"].Float32s() {
		m.Pix[i] = uint8(v)
	}
	p := detection.Standard()
	p.MinSize, p.MaxSize = 37, 60
	x, h, w, err := input(p, m)
	if err != nil {
		t.Fatal(err)
	}
	want := g["want"]
	if h != want.Shape()[1] || w != want.Shape()[2] || !x.Shape().Equal(tensor.Shape{1, 3, padded(h), padded(w)}) {
		t.Fatalf("the input is %v with a picture of %d x %d, want %v", x.Shape(), h, w, want.Shape())
	}
	for i, v := range x.Float32s() { // N, H, W, C
		c, px, py := i%3, i/3%padded(w), i/3/padded(w)
		var exp float32
		if px < w && py < h {
			exp = want.Float32s()[(c*h+py)*w+px]
		}
		if math.Abs(float64(v-exp)) > 1e-5 { // positions between pixels are rounded once more than in PyTorch
			t.Fatalf("channel %d of pixel (%d, %d) is %g, want %g", c, px, py, v, exp)
		}
	}
}

func picture(t testing.TB) *imaging.Image {
	t.Helper()
	b, err := os.ReadFile("testdata/picture.png")
	if err != nil {
		t.Fatal(err)
	}
	m, err := imaging.Decode(b, imaging.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// filled returns the detector of a golden.
func filled(t testing.TB, name string, change map[string][2]float32) *Detector {
	t.Helper()
	net, vars := filledNet(t, name, change)
	r, err := infer.New(net, vars, infer.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(r, net)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// filledNet returns the network of a golden, with weights filled from their names and
// changed as the golden's script did; options may give it fewer channels.
func filledNet(t testing.TB, name string, change map[string][2]float32, options ...models.Option) (*models.Model, *engine.Vars) {
	t.Helper()
	opts := append(options, models.Classes(5), func(c *models.Config) {
		c.Detection.MinSize, c.Detection.MaxSize = 128, 200
		if c.Detection.Proposals > 0 {
			c.Detection.Proposals, c.Detection.Detections = 60, 20
		}
		if !c.Detection.V2 {
			c.Detection.NormEps = 0
		}
	})
	net, err := models.New(name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	vars := engine.NewVars()
	changed := 0
	for _, e := range nn.Params(net) {
		x := tensor.NewInt64()
		if e.Param.DType == tensor.Float32 {
			x = tensor.New(e.Param.Shape...)
			kind, err := namefill.KindOf(e.Name, len(e.Param.Shape))
			if err != nil {
				t.Fatal(err)
			}
			namefill.Fill(e.Name, x, kind)
			if c, ok := change[e.Name]; ok {
				changed++
				for i, v := range x.Float32s() {
					x.Float32s()[i] = v*c[0] + c[1]
				}
			}
		}
		if err := vars.Set(e.Name, x); err != nil {
			t.Fatal(err)
		}
	}
	if changed != len(change) {
		t.Fatalf("%d of %d weights were changed", changed, len(change))
	}
	return net, vars
}

// TestGoldenDetectors compares whole detectors with torchvision: from the picture
// to boxes, scores and classes.
func TestGoldenDetectors(t *testing.T) {
	for file, name := range map[string]string{
		"retinanet": "retinanet_resnet18_fpn", "retinanet_v2": "retinanet_resnet18_fpn_v2",
		"fasterrcnn": "fasterrcnn_resnet18_fpn", "fasterrcnn_v2": "fasterrcnn_resnet18_fpn_v2",
		"maskrcnn": "maskrcnn_resnet18_fpn", "maskrcnn_v2": "maskrcnn_resnet18_fpn_v2",
	} {
		t.Run(file, func(t *testing.T) {
			if testing.Short() && strings.HasPrefix(file, "fasterrcnn") {
				t.Skip("the detectors with masks have these inside")
			}
			g, meta := golden.Load(t, "testdata/"+file+".safetensors")
			var attrs struct{ Change map[string][2]float32 }
			meta.Decode(t, "attrs", &attrs)
			got, err := filled(t, name, attrs.Change).Detect(context.Background(), picture(t))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, got, g)
		})
	}
}

// compare checks that objects are those of a golden, in an order that differs only
// where scores differ by rounding.
func compare(t *testing.T, got []Object, g map[string]*tensor.Tensor) {
	t.Helper()
	boxes, scores, labels := g["boxes"].Float32s(), g["scores"].Float32s(), g["labels"].Int64s()
	if len(got) != len(scores) {
		t.Fatalf("%d objects, want %d", len(got), len(scores))
	}
	used := make([]bool, len(got))
	for i, score := range scores {
		found := false
		for j, o := range got {
			off := 0.
			for k, v := range [4]float32{o.Box.X1, o.Box.Y1, o.Box.X2, o.Box.Y2} {
				off = max(off, math.Abs(float64(v-boxes[4*i+k])))
			}
			same := o.Class == int(labels[i]) && off < 1e-3 && math.Abs(float64(o.Score-score)) < 1e-5
			if same && !used[j] {
				used[j], found = true, true
				compareMask(t, i, o.Mask, g)
				break
			}
		}
		if !found {
			t.Errorf("object %d is missing: class %d, score %g, box %v", i, labels[i], score, boxes[4*i:4*i+4])
		}
		if i > 0 && got[i].Score > got[i-1].Score {
			t.Errorf("object %d has a higher score than the one before", i)
		}
	}
}

// compareMask checks a mask with that of object i of a golden, up to two pixels whose
// probabilities are at the threshold.
func compareMask(t *testing.T, i int, got *masks.RLE, g map[string]*tensor.Tensor) {
	t.Helper()
	areas := g["mask_areas"]
	switch {
	case areas == nil:
		if got != nil {
			t.Errorf("object %d has a mask", i)
		}
		return
	case got == nil:
		t.Errorf("object %d has no mask", i)
		return
	}
	if a := areas.Int64s()[i]; math.Abs(float64(int64(got.Area())-a)) > 2 {
		t.Errorf("the mask of object %d has %d pixels, want %d", i, got.Area(), a)
	}
	bits, words := g["mask_bits"].Int64s(), g["mask_bits"].Shape()[1]
	wrong := 0
	for p, v := range got.Bitmap().Bits(nil) {
		if want := uint8(bits[i*words+p/64] >> (p % 64) & 1); v != want {
			wrong++
		}
	}
	if wrong > 2 {
		t.Errorf("%d pixels of the mask of object %d are wrong", wrong, i)
	}
}
