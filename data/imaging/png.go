package imaging

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/png"
	"io"
)

// pngSize returns the size in a file's header.
func pngSize(data []byte) (w, h int, err error) {
	const headerEnd = 8 + 8 + 13 + 4
	if len(data) < headerEnd {
		return 0, 0, io.ErrUnexpectedEOF
	}
	if string(data[12:16]) != "IHDR" || binary.BigEndian.Uint32(data[8:]) != 13 {
		return 0, 0, errors.New("PNG file that does not begin with its header")
	}
	if crc32.ChecksumIEEE(data[12:29]) != binary.BigEndian.Uint32(data[29:]) {
		return 0, 0, errors.New("PNG file with a damaged header (wrong checksum)")
	}
	w, h = int(binary.BigEndian.Uint32(data[16:])), int(binary.BigEndian.Uint32(data[20:]))
	if w > 1<<31-1 || h > 1<<31-1 {
		return 0, 0, errors.New("PNG file with a negative size")
	}
	return w, h, nil
}

// decodePNG decodes a file. The standard library's decoder refuses flaws that
// libpng or Pillow only warn of, so that a file it refuses is mended and tried again.
func decodePNG(data []byte) (image.Image, error) {
	const most = 1032 // bytes that Deflate makes of one
	if size, ok := pngRows(data[16:29]); ok && size > most*int64(len(data)) {
		return nil, errors.New("PNG file that is too short for its pixels")
	}
	m, err := png.Decode(bytes.NewReader(data))
	if err == nil {
		return m, nil
	}
	fixed, ok := mendPNG(data)
	if !ok {
		return nil, err
	}
	return png.Decode(bytes.NewReader(fixed))
}

// pngChunks gives the name and the contents of each complete chunk, whatever its
// checksum.
func pngChunks(data []byte) func(yield func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		data := data[8:] // signature
		for len(data) >= 12 {
			n := binary.BigEndian.Uint32(data)
			if uint64(n)+12 > uint64(len(data)) {
				if name := string(data[4:8]); name == "IDAT" { // what there is of it
					yield(name, data[8:])
				}
				return
			}
			if !yield(string(data[4:8]), data[8:8+n]) {
				return
			}
			data = data[12+n:]
		}
	}
}

// mendPNG writes a file anew with only what its colors need: without wrong
// checksums, damaged additional chunks, data after the last row or a missing end. It
// is false if pixels are missing.
func mendPNG(data []byte) ([]byte, bool) {
	var header, palette []byte
	var coded []io.Reader
	for name, b := range pngChunks(data) {
		switch name {
		case "IHDR":
			if header != nil { // of which size are the pixels, and of which was the limit checked?
				return nil, false
			}
			header = b
		case "PLTE":
			palette = b
		case "IDAT":
			coded = append(coded, bytes.NewReader(b))
		}
		if name == "IEND" {
			break
		}
	}
	size, ok := pngRows(header)
	if !ok {
		return nil, false
	}
	z, err := zlib.NewReader(io.MultiReader(coded...))
	if err != nil {
		return nil, false
	}
	var rows bytes.Buffer
	if _, err := io.CopyN(&rows, z, size); err != nil {
		return nil, false
	}
	var idat bytes.Buffer
	stored, err := zlib.NewWriterLevel(&idat, zlib.NoCompression)
	if err != nil {
		return nil, false
	}
	stored.Write(rows.Bytes()) // neither fails: they write to memory
	stored.Close()

	out := append([]byte(nil), data[:8]...)
	chunk := func(name string, b []byte) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(b)))
		at := len(out)
		out = append(append(out, name...), b...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[at:]))
	}
	chunk("IHDR", header)
	if palette != nil {
		chunk("PLTE", palette)
	}
	chunk("IDAT", idat.Bytes())
	chunk("IEND", nil)
	return out, true
}

// pngRows returns how many bytes the rows of a picture have, with their filters.
func pngRows(header []byte) (int64, bool) {
	if len(header) != 13 {
		return 0, false
	}
	w, h := int64(binary.BigEndian.Uint32(header)), int64(binary.BigEndian.Uint32(header[4:]))
	channels := map[byte]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[header[9]]
	bits := int64(header[8]) * channels
	if bits == 0 || bits > 64 {
		return 0, false
	}
	rows := func(w, h int64) int64 {
		if w == 0 {
			return 0
		}
		return h * (1 + (w*bits+7)/8)
	}
	if header[12] == 0 {
		return rows(w, h), true
	}
	sum := int64(0)
	for _, p := range [7][4]int64{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		sum += rows((w-p[0]+p[2]-1)/p[2], (h-p[1]+p[3]-1)/p[3])
	}
	return sum, true
}
