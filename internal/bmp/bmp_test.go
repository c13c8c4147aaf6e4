package bmp

import (
	"encoding/binary"
	"image"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/membound"
)

// file makes a BMP file of a Windows 3 header. Pixels are compared with Pillow's by
// package imaging.
func file(w, h, bits, code int, palette, pixels []byte) []byte {
	b := []byte("BM\x00\x00\x00\x00\x00\x00\x00\x00")
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(54+len(palette)))
	for _, v := range []int{40, w, h} {
		b = le.AppendUint32(b, uint32(v))
	}
	b = le.AppendUint16(le.AppendUint16(b, 1), uint16(bits))
	for _, v := range []int{code, len(pixels), 0, 0, len(palette) / 4, 0} {
		b = le.AppendUint32(b, uint32(v))
	}
	return append(append(b, palette...), pixels...)
}

var colors = []byte{0, 0, 0, 0, 10, 20, 30, 0, 40, 50, 60, 0, 70, 80, 90, 0}

func seeds() [][]byte {
	return [][]byte{
		file(3, 2, 2, 0, colors, []byte{0b00011011, 0, 0, 0, 0b11100100, 0, 0, 0}),
		file(3, -2, 8, 0, colors, []byte{1, 2, 3, 0, 3, 2, 1, 0}),
		file(2, 1, 24, 0, nil, []byte{1, 2, 3, 4, 5, 6, 0, 0}),
		file(6, 2, 8, 1, colors, []byte{3, 1, 0, 3, 1, 2, 3, 0, 0, 0, 0, 2, 2, 0, 4, 2, 0, 1}),
		file(5, 2, 4, 2, colors, []byte{5, 0x12, 0, 0, 0, 5, 0x12, 0x31, 0x20, 0, 0, 1}),
	}
}

// Two bits are in no file of Pillow.
func TestTwoBits(t *testing.T) {
	m, err := Decode(seeds()[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := m.(*image.Paletted).Pix; !slices.Equal(got, []uint8{3, 2, 1, 0, 1, 2}) {
		t.Errorf("indices %v", got)
	}
}

func TestErrors(t *testing.T) {
	good := seeds()[1]
	for want, data := range map[string][]byte{
		"cut off":             good[:len(good)-2],
		"5 bits":              file(3, 2, 5, 0, nil, nil),
		"compression 1":       file(3, 2, 24, 1, nil, nil),
		"PNG picture inside":  file(3, 2, 24, 5, nil, nil),
		"JPEG picture inside": file(3, 2, 24, 4, nil, nil),
		"its last pixel":      file(6, 2, 8, 1, colors, []byte{6, 1, 0, 0, 3, 2, 0, 1}),
		"0 x 2":               file(0, 2, 24, 0, nil, nil),
	} {
		_, _, err := Size(data)
		if err == nil {
			_, err = Decode(data)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w, h, err := Size(data)
		if err != nil || w > 1<<16/h {
			return
		}
		used, over := membound.Over(membound.Slack+8*w*h, 2, len(data), func() {
			m, err := Decode(data)
			if err == nil && m.Bounds() != image.Rect(0, 0, w, h) {
				t.Errorf("%v, the header promised %d x %d", m.Bounds(), w, h)
			}
		})
		if over {
			t.Errorf("%d bytes of memory for %d x %d pixels", used, w, h)
		}
	})
}
