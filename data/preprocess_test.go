package data

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/tensor"
)

func golden(t testing.TB, name string) *imaging.Image {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "transforms", name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := imaging.Decode(b, imaging.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The goldens of Resize(37) and CenterCrop(32), normalized as ToTensor and
// Normalize do.
func TestPreprocessIsTorchvisions(t *testing.T) {
	for _, name := range []string{"noise", "scene"} {
		for _, f := range []imaging.Filter{imaging.Bilinear, imaging.Bicubic} {
			p, err := Preset("cifar10")
			if err != nil {
				t.Fatal(err)
			}
			p.Resize, p.Interpolation = 37, f
			in := golden(t, name+".png")
			before := in.Clone()
			x, err := p.Apply(in)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(in, before) {
				t.Error("Apply changed the picture")
			}
			if !x.Shape().Equal(tensor.Shape{1, 3, 32, 32}) {
				t.Fatalf("shape %v", x.Shape())
			}
			want := golden(t, name+"_center_37_32_"+string(f)+".png")
			last := make([]float32, 32*32*3)
			if err := p.ApplyNHWC(last, in); err != nil {
				t.Fatal(err)
			}
			for i, v := range want.Pix {
				c := i % 3
				w := (float32(v)/255 - p.Mean[c]) / p.Std[c]
				if got := x.Float32s()[c*32*32+i/3]; got != w {
					t.Fatalf("%s %s: value %d is %v, want %v", name, f, i, got, w)
				}
				if last[i] != w {
					t.Fatalf("%s %s: value %d, channels last, is %v, want %v", name, f, i, last[i], w)
				}
			}
		}
	}
}

// The part of a picture that becomes the input: torchvision's Resize and CenterCrop,
// a squashed picture, one that is padded.
func TestRegion(t *testing.T) {
	for _, c := range []struct {
		p    Preprocess
		w, h int
		want [4]float64
	}{
		{Preprocess{Resize: 256, Width: 224, Height: 224}, 500, 375, [4]float64{58. / 341, 16. / 256, 224. / 341, 224. / 256}},
		{Preprocess{Resize: 256, Width: 224, Height: 224}, 375, 500, [4]float64{16. / 256, 58. / 341, 224. / 256, 224. / 341}},
		{Preprocess{Squash: true, Width: 32, Height: 28}, 500, 375, [4]float64{0, 0, 1, 1}},
		{Preprocess{Width: 32, Height: 32}, 16, 64, [4]float64{-0.5, 0.25, 2, 0.5}},
	} {
		got, err := c.p.Region(c.w, c.h)
		if err != nil || got != c.want {
			t.Errorf("%+v of %d x %d is %v, %v, must be %v", c.p, c.w, c.h, got, err, c.want)
		}
	}
	for _, size := range [][2]int{{0, 5}, {5, -1}, {1, 1 << 40}} {
		if r, err := (Preprocess{Resize: 256, Width: 224, Height: 224}).Region(size[0], size[1]); err == nil {
			t.Errorf("a picture of %v has the region %v", size, r)
		}
	}
}

func TestPreprocessForms(t *testing.T) {
	gray := Preprocess{Channels: 1, Width: 4, Height: 3, Interpolation: imaging.Bilinear, Mean: []float32{0}, Std: []float32{1}}
	// No resize, picture smaller than the input: black around the middle.
	m := imaging.New(2, 1, 1)
	m.Pix = []uint8{255, 51}
	x, err := gray.Apply(m)
	if err != nil {
		t.Fatal(err)
	}
	want := []float32{0, 0, 0, 0, 0, 1, 0.2, 0, 0, 0, 0, 0}
	if got := x.Float32s(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// Squash gives the whole picture, gray from RGB by luma.
	gray.Squash = true
	rgb := imaging.New(8, 3, 3)
	for i := range rgb.Pix {
		rgb.Pix[i] = []uint8{200, 100, 50}[i%3]
	}
	if x, err = gray.Apply(rgb); err != nil {
		t.Fatal(err)
	}
	luma := float32(math.Round(0.299*200+0.587*100+0.114*50)) / 255
	for _, v := range x.Float32s() {
		if v != luma {
			t.Fatalf("got %v, want %v everywhere", v, luma)
		}
	}
	// A gray picture for an RGB network.
	p, err := Preset("imagenet")
	if err != nil {
		t.Fatal(err)
	}
	if x, err = p.Apply(imaging.New(300, 500, 1)); err != nil {
		t.Fatal(err)
	}
	if !x.Shape().Equal(tensor.Shape{1, 3, 224, 224}) {
		t.Errorf("shape %v", x.Shape())
	}
	if _, err = p.Apply(&imaging.Image{C: 3}); !errors.Is(err, errEmpty) {
		t.Errorf("a picture without pixels gives %v", err)
	}
	if _, err = p.Apply(imaging.New(1, 2_000_000, 1)); err == nil {
		t.Error("enlarging 1 x 2,000,000 to a shorter side of 256 is no error")
	}
}

func TestPreprocessJSON(t *testing.T) {
	for _, name := range PresetNames() {
		p, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Valid(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var back Preprocess
		if err := json.Unmarshal([]byte(p.String()), &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(p, back) {
			t.Errorf("%s: %v became %v", name, p, back)
		}
	}
	_, err := Preset("imagnet")
	checkError(t, err, "imagnet", `"imagenet"`)
	p, _ := Preset("imagenet")
	p.Mean[0] = 9
	if q, _ := Preset("imagenet"); q.Mean[0] == 9 {
		t.Error("changing a preset changes the next one")
	}
}

func TestPreprocessFields(t *testing.T) {
	for text, want := range map[string]string{
		`{"channels": 3, "centre_crop": 3}`:                    "centre_crop",
		`{"width": 3, "Width": 4}`:                             "twice",
		`{"interpolation": "bilinear", "mean": "0.5"}`:         "the preprocessing",
		`{"channels": 3, "interpolation": "bilinear", "m": 1}`: `its fields are channels`,
	} {
		var p Preprocess
		checkError(t, json.Unmarshal([]byte(text), &p), want)
	}
}

func TestPreprocessValid(t *testing.T) {
	nan := float32(math.NaN())
	for want, change := range map[string]func(*Preprocess){
		"channels":      func(p *Preprocess) { p.Channels = 2 },
		"size":          func(p *Preprocess) { p.Width = 0 },
		"1000000":       func(p *Preprocess) { p.Height = 1000000 },
		"resize":        func(p *Preprocess) { p.Resize = -1 },
		"means":         func(p *Preprocess) { p.Mean = nil },
		"deviation 0":   func(p *Preprocess) { p.Std = []float32{1, 0, 1} },
		"deviation NaN": func(p *Preprocess) { p.Std = []float32{1, nan, 1} },
		"lanczos":       func(p *Preprocess) { p.Interpolation = "lanczos" },
	} {
		p, err := Preset("imagenet")
		if err != nil {
			t.Fatal(err)
		}
		change(&p)
		checkError(t, p.Valid(), want)
		_, err = p.Apply(imaging.New(2, 2, 3))
		checkError(t, err, want)
	}
}

// A file that is decoded for its input alone gives the input of the whole
// picture.
func TestInputsOfFilesEqualThoseOfPictures(t *testing.T) {
	s := jpegFolder(t, 6, 190, 150)
	for name, p := range map[string]Preprocess{
		"crop":    {Channels: 3, Width: 64, Height: 48, Resize: 80},
		"gray":    {Channels: 1, Width: 40, Height: 48, Resize: 50},
		"squash":  {Channels: 3, Width: 33, Height: 44, Squash: true},
		"larger":  {Channels: 3, Width: 90, Height: 90, Resize: 60},
		"1 less":  {Channels: 3, Width: 64, Height: 64, Resize: 63},
		"3 less":  {Channels: 3, Width: 64, Height: 64, Resize: 61},
		"less":    {Channels: 3, Width: 81, Height: 64, Squash: false, Resize: 64},
		"as is":   {Channels: 3, Width: 120, Height: 100},
		"enlarge": {Channels: 3, Width: 200, Height: 200, Resize: 210},
	} {
		p.Interpolation = "bilinear"
		for range p.Channels {
			p.Mean, p.Std = append(p.Mean, 0.4), append(p.Std, 0.3)
		}
		l, err := NewLoader(s.Train, LoaderConfig{BatchSize: 6, Preprocess: p, CacheBytes: -1})
		if err != nil {
			t.Fatal(err)
		}
		size := p.Width * p.Height * p.Channels
		want, sized, rgb := make([]float32, size), new(imaging.Image), new(imaging.Image)
		for b, err := range l.Epoch(context.Background(), 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			for row, i := range b.Index {
				m := new(imaging.Image)
				if err := s.Train.Decode(i, m); err != nil {
					t.Fatal(err)
				}
				// Step by step.
				imaging.Convert(rgb, m, p.Channels)
				w, h := rgb.W, rgb.H
				if p.Squash {
					w, h = p.Width, p.Height
				} else if p.Resize > 0 {
					w, h = imaging.ShorterSide(w, h, p.Resize)
				}
				imaging.Resize(sized, rgb, w, h, p.Interpolation)
				var n normalizer
				n.init(p)
				n.write(want, view{m: sized, r: imaging.CenterCropRect(w, h, p.Width, p.Height)})
				if !slices.Equal(b.X[row*size:(row+1)*size], want) {
					t.Errorf("%s: sample %d is another", name, i)
				}
				one := make([]float32, size)
				if err := p.ApplyNHWC(one, m); err != nil || !slices.Equal(one, want) {
					t.Errorf("%s: picture %d is another (%v)", name, i, err)
				}
			}
		}
	}
}
