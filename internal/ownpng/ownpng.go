// Package ownpng writes the pictures that this program draws, with a mark by which they
// are told from a user's own: drawings below a folder of data are no data.
package ownpng

import (
	"bytes"
	"image"
	"image/png"
	"io"
)

const (
	// headerSize is that of the signature and the chunk IHDR, which come first.
	headerSize = 8 + 25
	// colorTypeAt is the place of the color type in a file.
	colorTypeAt = 8 + 8 + 9
	palette     = 3

	// mark is the chunk behind them, a text about the program, and its checksum.
	mark = "\x00\x00\x00\x0ftEXtSoftware\x00resnet" + "\xb2\x05\xc8\xf3"
)

// HeadSize is how much of the start of a file Kind looks at.
const HeadSize = headerSize + len(mark)

// Encode writes a picture as PNG, with the mark.
func Encode(w io.Writer, m image.Image, level png.CompressionLevel) error {
	return (&png.Encoder{CompressionLevel: level}).Encode(&marker{w, headerSize}, m)
}

// marker puts the mark behind the header.
type marker struct {
	w    io.Writer
	left int // bytes of the header that are still to come
}

// Write writes a part of the file.
func (m *marker) Write(p []byte) (int, error) {
	if m.left == 0 || len(p) < m.left {
		n, err := m.w.Write(p)
		m.left = max(m.left-n, 0)
		return n, err
	}
	header := m.left
	n, err := m.w.Write(p[:header])
	m.left -= n
	if err != nil {
		return n, err
	}
	if _, err := io.WriteString(m.w, mark); err != nil {
		return n, err
	}
	rest, err := m.w.Write(p[header:])
	return n + rest, err
}

// Kind reports whether a file was written by Encode, by its first HeadSize bytes or more,
// and whether it is a mask then: a picture of classes, which has a palette.
func Kind(head []byte) (own, mask bool) {
	if len(head) < HeadSize || !bytes.HasPrefix(head[headerSize:], []byte(mark)) {
		return false, false
	}
	return true, head[colorTypeAt] == palette
}
