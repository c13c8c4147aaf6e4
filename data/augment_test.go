package data

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/philox"
)

// plain is a preprocessing without resize whose output is the pixel's value.
func plain(w, h, c int) Preprocess {
	p := Preprocess{Channels: c, Width: w, Height: h, Interpolation: imaging.Bilinear}
	for range c {
		p.Mean, p.Std = append(p.Mean, 0), append(p.Std, 1.0/255)
	}
	return p
}

// inputs returns the input of every sample of one epoch, in the dataset's
// order, rounded to pixels.
func inputs(t *testing.T, ds Dataset, p Preprocess, a *Augment, epoch int) []*imaging.Image {
	t.Helper()
	l, err := NewLoader(ds, LoaderConfig{BatchSize: 7, Preprocess: p, Augment: a, Seed: 3, Last: Keep})
	if err != nil {
		t.Fatal(err)
	}
	var all []*imaging.Image
	for b, err := range l.Epoch(context.Background(), epoch, 0) {
		if err != nil {
			t.Fatal(err)
		}
		size := b.H * b.W * b.C
		for n := range b.N {
			m := imaging.New(b.W, b.H, b.C)
			for i, v := range b.X[n*size : (n+1)*size] {
				m.Pix[i] = uint8(math.Round(float64(v)))
			}
			all = append(all, m)
		}
	}
	return all
}

// Every output of pad-crop and flip must be one of the crops, flipped or not,
// made by other functions; and all of them must come up.
func TestPadCropFlip(t *testing.T) {
	for _, c := range []int{1, 3} {
		for _, reflect := range []bool{false, true} {
			ds := noise(400, 6, 5, c)
			for i := range ds.Pictures {
				ds.Pictures[i] = ds.Pictures[0]
			}
			crop := imaging.CropPad
			if reflect {
				crop = imaging.CropReflect
			}
			seen := map[string]int{}
			for y := -2; y <= 2; y++ {
				for x := -2; x <= 2; x++ {
					for flip := range 2 {
						m := new(imaging.Image)
						crop(m, ds.Pictures[0], imaging.Rect{X: x, Y: y, W: 6, H: 5})
						if flip == 1 {
							imaging.FlipH(m)
						}
						seen[string(m.Pix)] = 0
					}
				}
			}
			for _, m := range inputs(t, ds, plain(6, 5, c), &Augment{PadCrop: 2, PadReflect: reflect, HFlip: 0.5}, 0) {
				if _, ok := seen[string(m.Pix)]; !ok {
					t.Fatalf("%d channels, reflect %v: an output is no crop of the padded picture", c, reflect)
				}
				seen[string(m.Pix)]++
			}
			for _, n := range seen {
				if n == 0 || n > 30 { // 400 draws of 50
					t.Errorf("%d channels, reflect %v: a crop came up %d times of 400, want about 8", c, reflect, n)
				}
			}
		}
	}
}

func TestVFlip(t *testing.T) {
	ds := noise(100, 6, 5, 3)
	flipped := 0
	for i, m := range inputs(t, ds, plain(6, 5, 3), &Augment{VFlip: 0.25}, 0) {
		up := ds.Pictures[i].Clone()
		imaging.FlipV(up)
		switch {
		case slices.Equal(m.Pix, up.Pix):
			flipped++
		case !slices.Equal(m.Pix, ds.Pictures[i].Pix):
			t.Fatal("an output is neither the picture nor its mirror image")
		}
	}
	if flipped < 12 || flipped > 40 {
		t.Errorf("%d of 100 flipped, want about 25", flipped)
	}
}

func TestRandomResizedCropDraws(t *testing.T) {
	r := RandomResizedCrop{Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3.0 / 4, 4.0 / 3}}
	rng := philox.New(1, 1)
	var area, logs float64
	const n = 20000
	for range n {
		c := r.draw(&rng, 500, 400)
		if c.X < 0 || c.Y < 0 || c.W < 1 || c.H < 1 || c.X+c.W > 500 || c.Y+c.H > 400 {
			t.Fatalf("crop %+v is not inside", c)
		}
		share := float64(c.W*c.H) / (500 * 400)
		ratio := float64(c.W) / float64(c.H)
		if share < 0.079 || ratio < 0.74 || ratio > 1.35 {
			t.Fatalf("crop %+v: share %v, ratio %v", c, share, ratio)
		}
		area += share
		logs += math.Log(ratio)
	}
	// torchvision 0.14.1, RandomResizedCrop.get_params of a 500 x 400 picture,
	// 20,000 draws from seed 0 (parts that do not fit are drawn again, which
	// favors small ones).
	const wantShare, wantLog = 0.4520, 0.0279
	if m := area / n; math.Abs(m-wantShare) > 0.01 {
		t.Errorf("mean share of the area %.4f, want %.4f", m, wantShare)
	}
	if m := logs / n; math.Abs(m-wantLog) > 0.005 {
		t.Errorf("mean log ratio %.4f, want %.4f", m, wantLog)
	}
	// A form that no draw can have: the largest middle part.
	for _, c := range []struct{ w, h int }{{1000, 10}, {10, 1000}} {
		r := RandomResizedCrop{Scale: [2]float64{0.9, 1}, Ratio: [2]float64{0.75, 4.0 / 3}}
		got := r.draw(&rng, c.w, c.h)
		want := imaging.Rect{X: 493, Y: 0, W: 13, H: 10}
		if c.w < c.h {
			want = imaging.Rect{X: 0, Y: 493, W: 10, H: 13}
		}
		if got != want {
			t.Errorf("%d x %d: %+v, want %+v", c.w, c.h, got, want)
		}
	}
}

// The loader's random resized crop is Pillow's crop and resize of the part that
// is drawn for the sample.
func TestRandomResizedCrop(t *testing.T) {
	ds := noise(20, 40, 30, 3)
	a := &Augment{RandomResizedCrop: &RandomResizedCrop{Scale: [2]float64{0.08, 1}, Ratio: [2]float64{0.75, 4.0 / 3}}}
	parts := map[imaging.Rect]bool{}
	for i, m := range inputs(t, ds, plain(16, 12, 3), a, 5) {
		rng := sampleKey{seed: 3, epoch: 5, index: uint32(i)}.rand(opResizedCrop)
		r := a.RandomResizedCrop.draw(&rng, 40, 30)
		parts[r] = true
		var cut, want imaging.Image
		imaging.Crop(&cut, ds.Pictures[i], r)
		imaging.Resize(&want, &cut, 16, 12, imaging.Bilinear)
		if !slices.Equal(m.Pix, want.Pix) {
			t.Fatalf("sample %d is not the part %+v, resized", i, r)
		}
	}
	if len(parts) < 15 {
		t.Errorf("only %d different parts of 20", len(parts))
	}
}

func TestTooSmallToReflect(t *testing.T) {
	l, err := NewLoader(noise(4, 3, 3, 1), LoaderConfig{BatchSize: 4, Preprocess: plain(3, 3, 1), Augment: &Augment{PadCrop: 4, PadReflect: true}})
	if err != nil {
		t.Fatal(err)
	}
	failed := false
	for epoch := range 20 { // most draws need more than one reflection
		for _, err := range l.Epoch(context.Background(), epoch, 0) {
			if err != nil {
				checkError(t, err, "3 x 3", "too small")
				failed = true
			}
		}
	}
	if !failed {
		t.Error("no error")
	}
}

// A crop that is larger than the padded picture sits in its middle.
func TestPadCropOfSmallPicture(t *testing.T) {
	ds := noise(3, 2, 2, 1)
	for i, m := range inputs(t, ds, plain(8, 6, 1), &Augment{PadCrop: 1}, 0) {
		var want imaging.Image
		imaging.CropPad(&want, ds.Pictures[i], imaging.Rect{X: -3, Y: -2, W: 8, H: 6})
		if !slices.Equal(m.Pix, want.Pix) {
			t.Errorf("sample %d is not in the middle", i)
		}
	}
}

func TestRandomErasing(t *testing.T) {
	r := RandomErasing{P: 0.5, Scale: [2]float64{0.02, 0.33}, Ratio: [2]float64{0.3, 3.3}}
	erased, area := 0, 0.0
	for i := range 2000 {
		x := slices.Repeat([]float32{1}, 20*30*3)
		r.erase(x, 20, 30, 3, sampleKey{seed: 1, index: uint32(i)})
		top, left, bottom, right, n := 20, 30, -1, -1, 0
		for j, v := range x {
			if v == 0 {
				y, xx := j/90, j%90/3
				top, left, bottom, right, n = min(top, y), min(left, xx), max(bottom, y), max(right, xx), n+1
			}
		}
		if n == 0 {
			continue
		}
		erased++
		h, w := bottom-top+1, right-left+1
		if n != h*w*3 {
			t.Fatalf("the erased part is no rectangle: %d values in %d x %d", n, h, w)
		}
		share := float64(h*w) / 600
		area += share
		if share < 0.01 || share > 0.36 {
			t.Errorf("share %v of the area", share)
		}
	}
	if erased < 900 || erased > 1100 {
		t.Errorf("%d of 2000 erased, want about half", erased)
	}
	if m := area / float64(erased); m < 0.14 || m > 0.2 {
		t.Errorf("mean share %v, want about 0.17", m)
	}
	r.Noise, r.P = true, 1
	x := slices.Repeat([]float32{99}, 20*30)
	r.erase(x, 20, 30, 1, sampleKey{})
	if !slices.ContainsFunc(x, func(v float32) bool { return v != 99 && v != 0 }) {
		t.Error("erasing with noise leaves no noise")
	}
}

func TestMagnitudes(t *testing.T) {
	// torchvision 0.14.1: TrivialAugmentWide()._augmentation_space(31) and
	// RandAugment()._augmentation_space(31, (h, w)) at bins 0, 9, 15 and 30.
	at := []int{0, 9, 15, 30}
	for _, c := range []struct {
		s    space
		t    transform
		want []float64
	}{
		{wide, shearX, []float64{0, 0.297, 0.495, 0.99}},
		{wide, translateY, []float64{0, 9.6, 16, 32}},
		{wide, rotate, []float64{0, 40.5, 67.5, 135}},
		{wide, sharpness, []float64{0, 0.297, 0.495, 0.99}},
		{wide, posterize, []float64{8, 6, 5, 2}},
		{wide, solarize, []float64{255, 178.5, 127.5, 0}},
		{wide, equalize, []float64{0, 0, 0, 0}},
		{narrow, shearY, []float64{0, 0.09, 0.15, 0.3}},
		{narrow, translateX, []float64{0, 27.1903, 45.3172, 90.6344}},
		{narrow, translateY, []float64{0, 13.5952, 22.6586, 45.3172}},
		{narrow, rotate, []float64{0, 9, 15, 30}},
		{narrow, contrast, []float64{0, 0.27, 0.45, 0.9}},
		{narrow, posterize, []float64{8, 7, 6, 4}},
		{narrow, solarize, []float64{255, 178.5, 127.5, 0}},
	} {
		for i, bin := range at {
			if got, _ := c.s(c.t, bin, 200, 100); math.Abs(got-c.want[i]) > 1e-4 {
				t.Errorf("transform %d at bin %d: %v, want %v", c.t, bin, got, c.want[i])
			}
		}
	}
}

// Each policy must give one of the pictures that its transforms can give.
func TestTrivialAugmentOutputs(t *testing.T) {
	scene := golden(t, "patch.png")
	possible := map[string]bool{}
	for k := identity; k < transforms; k++ {
		for bin := range bins {
			for _, sign := range []float64{1, -1} {
				v, signed := wide(k, bin, scene.W, scene.H)
				if sign < 0 && !signed {
					continue
				}
				var s stages
				s.ops.CopyFrom(scene)
				s.transform(k, sign*v)
				possible[string(s.ops.Pix)] = true
			}
		}
	}
	ds := noise(300, 1, 1, 3)
	for i := range ds.Pictures {
		ds.Pictures[i] = scene
	}
	seen := map[string]bool{}
	for _, m := range inputs(t, ds, plain(scene.W, scene.H, 3), &Augment{TrivialAugment: true}, 0) {
		if !possible[string(m.Pix)] {
			t.Fatal("TrivialAugment gave a picture that no single transform gives")
		}
		seen[string(m.Pix)] = true
	}
	if len(seen) < 100 {
		t.Errorf("only %d different pictures of 300", len(seen))
	}
}

func TestColorOps(t *testing.T) {
	ds := noise(60, 12, 9, 3)
	for name, a := range map[string]*Augment{
		"jitter":      {ColorJitter: &ColorJitter{Brightness: 0.4, Contrast: 0.4, Saturation: 0.4, Hue: 0.1}},
		"randaugment": {RandAugment: &RandAugment{Ops: 2, Magnitude: 9}},
	} {
		one, two := inputs(t, ds, plain(12, 9, 3), a, 0), inputs(t, ds, plain(12, 9, 3), a, 1)
		changed, differ := 0, 0
		for i := range one {
			if !slices.Equal(one[i].Pix, ds.Pictures[i].Pix) {
				changed++
			}
			if !slices.Equal(one[i].Pix, two[i].Pix) {
				differ++
			}
		}
		if changed < 40 || differ < 40 {
			t.Errorf("%s: %d of 60 changed, %d differ between two epochs", name, changed, differ)
		}
	}
	gray := 0
	for _, m := range inputs(t, ds, plain(12, 9, 3), &Augment{Grayscale: 0.5}, 0) {
		same := true
		for i := 0; i < len(m.Pix); i += 3 {
			same = same && m.Pix[i] == m.Pix[i+1] && m.Pix[i] == m.Pix[i+2]
		}
		if same {
			gray++
		}
	}
	if gray < 18 || gray > 42 {
		t.Errorf("%d of 60 gray, want about half", gray)
	}
}

func TestAugmentValid(t *testing.T) {
	good := [2]float64{0.5, 1}
	for want, a := range map[string]*Augment{
		"exclude":                 {RandomResizedCrop: &RandomResizedCrop{Scale: good, Ratio: good}, PadCrop: 4},
		"random_resized_crop.sca": {RandomResizedCrop: &RandomResizedCrop{Scale: [2]float64{0, 1}, Ratio: good}},
		"random_resized_crop.rat": {RandomResizedCrop: &RandomResizedCrop{Scale: good, Ratio: [2]float64{2, 1}}},
		"random_erasing.scale":    {RandomErasing: &RandomErasing{P: 1, Scale: [2]float64{0.1, 2}, Ratio: good}},
		"random_erasing.p":        {RandomErasing: &RandomErasing{P: 2, Scale: good, Ratio: good}},
		"pad_crop":                {PadCrop: -1},
		"pad_reflect":             {PadReflect: true},
		"hflip":                   {HFlip: 1.5},
		"vflip":                   {VFlip: math.NaN()},
		"grayscale":               {Grayscale: -1},
		"mixup":                   {MixUp: -1},
		"rand_augment.ops":        {RandAugment: &RandAugment{Magnitude: 9}},
		"rand_augment.magnitude":  {RandAugment: &RandAugment{Ops: 2, Magnitude: 31}},
		"color_jitter.hue":        {ColorJitter: &ColorJitter{Hue: 0.6}},
		"color_jitter.brightness": {ColorJitter: &ColorJitter{Brightness: math.Inf(1)}},
	} {
		checkError(t, a.Valid(), want)
		_, err := NewLoader(noise(4, 2, 2, 3), LoaderConfig{BatchSize: 1, Preprocess: plain(2, 2, 3), Augment: a})
		checkError(t, err, want)
	}
	if err := new(Augment).Valid(); err != nil {
		t.Errorf("the zero Augment: %v", err)
	}
}

// Each picture is mirrored in every second epoch, about half of them in the first. A run
// that begins later finds the same.
func TestAlternateFlip(t *testing.T) {
	ds := noise(300, 6, 5, 3)
	a := &Augment{AlternateFlip: true}
	var mirrored [4][]bool
	for epoch := range mirrored {
		for i, m := range inputs(t, ds, plain(6, 5, 3), a, epoch) {
			turned := new(imaging.Image)
			imaging.CropPad(turned, ds.Pictures[i], imaging.Rect{W: 6, H: 5})
			imaging.FlipH(turned)
			switch {
			case slices.Equal(m.Pix, ds.Pictures[i].Pix):
				mirrored[epoch] = append(mirrored[epoch], false)
			case slices.Equal(m.Pix, turned.Pix):
				mirrored[epoch] = append(mirrored[epoch], true)
			default:
				t.Fatalf("epoch %d: picture %d is neither itself nor its mirror image", epoch, i)
			}
		}
	}
	n := 0
	for i, first := range mirrored[0] {
		if first {
			n++
		}
		if mirrored[1][i] == first || mirrored[2][i] != first || mirrored[3][i] == first {
			t.Errorf("picture %d is mirrored in the epochs %v %v %v %v", i, first, mirrored[1][i], mirrored[2][i], mirrored[3][i])
		}
	}
	if n < 110 || n > 190 {
		t.Errorf("%d of 300 pictures are mirrored in the first epoch", n)
	}
	both := &Augment{AlternateFlip: true, HFlip: 0.5}
	if err := both.Valid(); err == nil {
		t.Error("alternate_flip and hflip go together")
	}
	if err := a.forMasks(); err == nil {
		t.Error("alternate_flip is taken for pictures with masks")
	}
}

// Mirror does what imaging.FlipH does.
func TestMirror(t *testing.T) {
	for _, c := range []int{1, 3} {
		ds := noise(3, 7, 4, c)
		var x []float32
		for _, m := range ds.Pictures {
			for _, v := range m.Pix {
				x = append(x, float32(v))
			}
		}
		Mirror(x, 7, c)
		at := 0
		for _, m := range ds.Pictures {
			imaging.FlipH(m)
			for _, v := range m.Pix {
				if x[at] != float32(v) {
					t.Fatalf("%d channels: number %d is %v, want %d", c, at, x[at], v)
				}
				at++
			}
		}
	}
}
