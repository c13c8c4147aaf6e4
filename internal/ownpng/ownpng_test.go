package ownpng

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"testing"
	"testing/iotest"
)

// onlyFirst writes no more than its number of bytes.
type onlyFirst int

var errFull = errors.New("full")

func (w *onlyFirst) Write(p []byte) (int, error) {
	n := min(len(p), int(*w))
	if *w -= onlyFirst(n); n < len(p) {
		return n, errFull
	}
	return n, nil
}

// TestMark: a file has the same pixels with the mark, wherever the encoder divides what it
// writes, and errors are those of the writer. Files of others have none.
func TestMark(t *testing.T) {
	rect := image.Rect(0, 0, 70, 50)
	gray := image.NewGray(rect)
	for i := range gray.Pix {
		gray.Pix[i] = byte(i * i)
	}
	for _, m := range []image.Image{gray, image.NewPaletted(rect, color.Palette{color.Black, color.White})} {
		var plain, marked bytes.Buffer
		if err := errors.Join(png.Encode(&plain, m), Encode(&marked, m, png.DefaultCompression)); err != nil {
			t.Fatal(err)
		}
		if marked.Len() != plain.Len()+len(mark) || !bytes.HasSuffix(marked.Bytes(), plain.Bytes()[headerSize:]) {
			t.Errorf("%T: %d bytes, and %d without the mark", m, marked.Len(), plain.Len())
		}
		if _, err := png.Decode(bytes.NewReader(marked.Bytes())); err != nil { // which looks at the checksum
			t.Errorf("%T: %v", m, err)
		}
		_, palette := m.(*image.Paletted)
		if own, mask := Kind(marked.Bytes()[:HeadSize]); !own || mask != palette {
			t.Errorf("%T: ours %v, a mask %v", m, own, mask)
		}
		for _, other := range [][]byte{nil, plain.Bytes(), marked.Bytes()[:HeadSize-1]} {
			if own, _ := Kind(other); own {
				t.Errorf("%T: %d bytes of another file are ours", m, len(other))
			}
		}
		var split bytes.Buffer
		if _, err := io.Copy(&marker{&split, headerSize}, struct{ io.Reader }{iotest.OneByteReader(&plain)}); err != nil || !bytes.Equal(split.Bytes(), marked.Bytes()) {
			t.Errorf("%T by single bytes: %d bytes, %v", m, split.Len(), err)
		}
		for n := range HeadSize + 20 {
			w := onlyFirst(n)
			if err := Encode(&w, m, png.DefaultCompression); !errors.Is(err, errFull) {
				t.Errorf("%T, %d bytes fit: %v", m, n, err)
			}
		}
	}
}
