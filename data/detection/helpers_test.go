package detection

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"io"
	"testing"
	"testing/fstest"

	"github.com/resnet-go/resnet/data/imaging"
)

func writePNG(w io.Writer, m *imaging.Image) error {
	out := image.NewRGBA(image.Rect(0, 0, m.W, m.H))
	for i := range m.W * m.H {
		copy(out.Pix[4*i:], m.Pix[3*i:3*i+3])
		out.Pix[4*i+3] = 255
	}
	return png.Encode(w, out)
}

func pngBytes(t testing.TB, w, h int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, color.RGBA{uint8(7 * x), uint8(5 * y), uint8(x * y), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tree makes a file system of texts and 20 x 10 pictures.
func tree(t testing.TB, texts map[string]string, pictures ...string) fstest.MapFS {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, s := range texts {
		fsys[name] = &fstest.MapFile{Data: []byte(s)}
	}
	for _, p := range pictures {
		fsys[p] = &fstest.MapFile{Data: pngBytes(t, 20, 10)}
	}
	return fsys
}
