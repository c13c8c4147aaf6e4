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

// pngChunk is the contents of a chunk.
type pngChunk struct {
	data  []byte
	sound bool // the checksum is right
}

// pngChunks gives the name and the contents of each complete chunk, and what there is of
// a last one of pixels.
func pngChunks(data []byte) func(yield func(string, pngChunk) bool) {
	return func(yield func(string, pngChunk) bool) {
		data := data[8:] // signature
		for len(data) >= 12 {
			n := binary.BigEndian.Uint32(data)
			if uint64(n)+12 > uint64(len(data)) {
				if name := string(data[4:8]); name == "IDAT" {
					yield(name, pngChunk{data[8:], false})
				}
				return
			}
			sum := binary.BigEndian.Uint32(data[8+n:])
			if !yield(string(data[4:8]), pngChunk{data[8 : 8+n], crc32.ChecksumIEEE(data[4:8+n]) == sum}) {
				return
			}
			data = data[12+n:]
		}
	}
}

// maxPNGSurplus bounds what is read after the last row for its checksum.
const maxPNGSurplus = 1 << 20

// mendPNG writes a file anew with only what its colors need: without damaged additional
// chunks, data after the last row or a missing end. It is false if pixels are missing, or
// if they, or the palette, may be damaged: if a checksum of their chunks is wrong, that of
// the compressed rows must be right.
func mendPNG(data []byte) ([]byte, bool) {
	var header, palette []byte
	var coded []io.Reader
	sound := true
	for name, c := range pngChunks(data) {
		switch name {
		case "IHDR":
			if header != nil { // of which size are the pixels, and of which was the limit checked?
				return nil, false
			}
			header = c.data
		case "PLTE":
			if !c.sound {
				return nil, false
			}
			palette = c.data
		case "IDAT":
			coded = append(coded, bytes.NewReader(c.data))
			sound = sound && c.sound
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
	if !sound { // the end of the rows is an error if their own checksum is wrong or missing
		if n, err := io.Copy(io.Discard, io.LimitReader(z, maxPNGSurplus)); err != nil || n == maxPNGSurplus {
			return nil, false
		}
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
