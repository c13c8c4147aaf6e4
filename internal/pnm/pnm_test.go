package pnm

import (
	"image"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/membound"
)

// Pixels of all kinds are compared with Pillow's by package imaging.
func TestDecode(t *testing.T) {
	for file, want := range map[string][]uint8{
		"P1\n# x\n3 2\n1 0 1\n010":      {0, 255, 0, 255, 0, 255},
		"P2 2 1 3 0 #a\n3":              {0, 255},
		"P4\n9 1\n\x80\x80":             {0, 255, 255, 255, 255, 255, 255, 255, 0},
		"P5 2 1 65535 \x80\x00\xff\xff": {128, 255},
		"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 2\nMAXVAL 255\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n\x07\x08": {7},
	} {
		m, err := Decode([]byte(file))
		if err != nil {
			t.Errorf("%q: %v", file, err)
		} else if got := m.(*image.Gray).Pix; !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", file, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for file, want := range map[string]string{
		"P6 2 2 255 \x00":                "cut off",
		"P6 2 2":                         "cut off",
		"P5 2 x 255 \x00":                `height is "x"`,
		"P5 2 2 0 \x00":                  "largest value is 0",
		"P5 2 2 70000 \x00":              `"70000"`,
		"P2 1 2 9 5 10":                  `sample is "10"`,
		"P1 2 1 0 2":                     "digit '2'",
		"P7\nWIDTH\nENDHDR\n":            "no value",
		"P7\nWIDTH 1\nDEPTH 9\nENDHDR\n": "9 channels",
		"P9 1 1 1 1":                     "not a Netpbm",
	} {
		if _, err := Decode([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", file, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"P1\n3 2\n1 0 1\n010", "P2 2 1 3 0 #a\n3", "P3 1 1 9 1 2 3", "P4\n9 1\n\x80\x80", "P6 1 1 255 \x01\x02\x03", "P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\x07"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w, h, err := Size(data)
		if err != nil || w < 1 || h < 1 || w > 1<<16/h {
			return
		}
		used, over := membound.Over(membound.Slack, 32, len(data), func() {
			m, err := Decode(data)
			if err == nil && m.Bounds() != image.Rect(0, 0, w, h) {
				t.Errorf("%v, the header promised %d x %d", m.Bounds(), w, h)
			}
		})
		if over {
			t.Errorf("%d bytes of memory for %d bytes", used, len(data))
		}
	})
}
