package imaging

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// The goldens in ../testdata were made by Pillow and torchvision; see
// ../testdata/gen/transforms.py.

func readGolden(t *testing.T, folder, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readPNG reads one of the RGB reference pictures.
func readPNG(t *testing.T, folder, name string) *Image {
	t.Helper()
	m, err := Decode(readGolden(t, folder, name), DecodeOptions{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	rgb := new(Image)
	Convert(rgb, m, 3)
	return rgb
}

// difference returns the largest difference of a value and how many differ, or
// the whole range if the sizes are not the same.
func difference(a, b *Image) (largest, count int) {
	if a.W != b.W || a.H != b.H || a.C != b.C {
		return 256, len(b.Pix)
	}
	for i := range a.Pix {
		if d := max(a.Pix[i], b.Pix[i]) - min(a.Pix[i], b.Pix[i]); d > 0 {
			largest, count = max(largest, int(d)), count+1
		}
	}
	return largest, count
}

func TestFormats(t *testing.T) {
	var cases []struct {
		In, Out, Note string
	}
	if err := json.Unmarshal(readGolden(t, "formats", "index.json"), &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.In, func(t *testing.T) {
			m, err := Decode(readGolden(t, "formats", c.In), DecodeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got := new(Image)
			Convert(got, m, 3)
			if largest, count := difference(got, readPNG(t, "formats", c.Out)); largest > 0 {
				t.Errorf("%s: %d of %d values differ, by up to %d", c.Note, count, len(got.Pix), largest)
			}
		})
	}
}

type transformCase struct {
	Name, Op, In, Out string
	Args              struct {
		Size                     json.RawMessage
		Crop                     [2]int
		Filter                   Filter
		Padding                  int
		Left, Top, Width, Height int
		Factor, Magnitude        float64
		Transform                string
	}
}

func (c *transformCase) run(t *testing.T, m *Image) *Image {
	t.Helper()
	out := new(Image)
	var pair [2]int
	var side int
	if c.Args.Size != nil && json.Unmarshal(c.Args.Size, &pair) != nil {
		if err := json.Unmarshal(c.Args.Size, &side); err != nil {
			t.Fatal(err)
		}
	}
	switch a := c.Args; c.Op {
	case "resize":
		Resize(out, m, pair[0], pair[1], a.Filter)
	case "resize_shorter":
		w, h := ShorterSide(m.W, m.H, side)
		Resize(out, m, w, h, a.Filter)
	case "resize_center":
		w, h := ShorterSide(m.W, m.H, side)
		small := new(Image)
		Resize(small, m, w, h, a.Filter)
		CropPad(out, small, CenterCropRect(w, h, a.Crop[0], a.Crop[1]))
	case "center_crop":
		CropPad(out, m, CenterCropRect(m.W, m.H, a.Crop[0], a.Crop[1]))
	case "pad_crop":
		CropPad(out, m, Rect{a.Left - a.Padding, a.Top - a.Padding, pair[0], pair[1]})
	case "resized_crop":
		ResizeRect(out, m, Rect{a.Left, a.Top, a.Width, a.Height}, pair[0], pair[1], a.Filter)
	default:
		out.CopyFrom(m)
		c.color(t, out, m)
	}
	return out
}

func (c *transformCase) color(t *testing.T, out, m *Image) {
	t.Helper()
	v := c.Args.Magnitude
	switch a := c.Args; c.Op {
	case "hflip":
		FlipH(out)
	case "grayscale":
		Grayscale(out)
	case "brightness":
		Brightness(out, a.Factor)
	case "contrast":
		Contrast(out, a.Factor)
	case "saturation":
		Saturation(out, a.Factor)
	case "hue":
		Hue(out, a.Factor)
	case "trivial":
		switch a.Transform {
		case "Identity":
		case "ShearX":
			ShearX(out, m, v)
		case "ShearY":
			ShearY(out, m, v)
		case "TranslateX":
			Translate(out, m, int(v), 0)
		case "TranslateY":
			Translate(out, m, 0, int(v))
		case "Rotate":
			Rotate(out, m, v)
		case "Brightness":
			Brightness(out, 1+v)
		case "Color":
			Saturation(out, 1+v)
		case "Contrast":
			Contrast(out, 1+v)
		case "Sharpness":
			Sharpness(out, new(Image), 1+v)
		case "Posterize":
			Posterize(out, int(v))
		case "Solarize":
			Solarize(out, v)
		case "AutoContrast":
			AutoContrast(out)
		case "Equalize":
			Equalize(out)
		case "Invert":
			Invert(out)
		default:
			t.Fatalf("no transform %q", a.Transform)
		}
	default:
		t.Fatalf("no operation %q", c.Op)
	}
}

func TestTransforms(t *testing.T) {
	var cases []transformCase
	if err := json.Unmarshal(readGolden(t, "transforms", "index.json"), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 100 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			in := readPNG(t, "transforms", c.In)
			got := c.run(t, in)
			largest, count := difference(got, readPNG(t, "transforms", c.Out))
			if largest > 0 {
				t.Errorf("%d of %d values differ, by up to %d", count, len(got.Pix), largest)
			}
			// A gray picture goes through other code and must give the same.
			if c.Op == "grayscale" || math.IsNaN(c.Args.Magnitude) {
				return
			}
			gray, rgb := new(Image), new(Image)
			Convert(gray, in, 1)
			Convert(rgb, gray, 3)
			want, got1 := c.run(t, rgb), new(Image)
			Convert(got1, c.run(t, gray), 3)
			if largest, count := difference(got1, want); largest > 0 {
				t.Errorf("gray: %d values differ from those of an equal RGB picture, by up to %d", count, largest)
			}
		})
	}
}
