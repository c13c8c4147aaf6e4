package imaging

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"runtime"
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
	if pngMemory(data) >= collectFrom {
		runtime.GC() // the pixels of the first attempt go before those of the second come
	}
	m, second := png.Decode(fixed)
	if fixed.failed {
		return nil, err
	}
	return m, second
}

// collectFrom is the memory of a picture that is worth a collection of the garbage.
const collectFrom = 64 << 20

// pngMemory returns how many bytes the standard library's decoder takes, and the picture
// that is made of its result.
func pngMemory(data []byte) int64 {
	header := data[16:29]
	pixels := int64(binary.BigEndian.Uint32(header)) * int64(binary.BigEndian.Uint32(header[4:]))
	each, out := int64(4), int64(3)
	switch kind := header[9]; {
	case kind == 3:
		each = 1
	case kind == 0 && !pngTransparent(data):
		each, out = 1, 1
	}
	if header[8] == 16 {
		each = max(2*each, 2)
	}
	if header[12] != 0 {
		each *= 2 // each pass is a picture of its own first
	}
	return pixels * (each + out)
}

// pngTransparent reports whether a file has a color that is transparent.
func pngTransparent(data []byte) bool {
	for name := range pngChunks(data) {
		switch name {
		case "tRNS":
			return true
		case "IDAT":
			return false
		}
	}
	return false
}

// pngChunk is the contents of a chunk.
type pngChunk struct {
	data []byte
	all  []byte // with the name before and the checksum behind; nil if it is cut off
}

// sound reports whether the checksum is right.
func (c pngChunk) sound() bool {
	end := len(c.all) - 4
	return end > 0 && crc32.ChecksumIEEE(c.all[:end]) == binary.BigEndian.Uint32(c.all[end:])
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
					yield(name, pngChunk{data: data[8:]})
				}
				return
			}
			if !yield(string(data[4:8]), pngChunk{data[8 : 8+n], data[4 : 12+n]}) {
				return
			}
			data = data[12+n:]
		}
	}
}

// maxPNGSurplus bounds what is read after the last row for its checksum.
const maxPNGSurplus = 1 << 20

// mendPNG reads a file anew with only what its colors need: without damaged additional
// chunks, data after the last row or a missing end. It is false if the file cannot be
// mended. Pixels and the palette must not be damaged: where a checksum of the chunks of
// pixels is wrong, that of the compressed rows must be right.
func mendPNG(data []byte) (*mendedPNG, bool) {
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
			if !c.sound() {
				return nil, false
			}
			palette = c.data
		case "IDAT":
			coded = append(coded, bytes.NewReader(c.data))
			sound = sound && c.sound()
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
	m := &mendedPNG{rows: z, left: size, sum: adler32.New(), doubtful: !sound}
	m.ready.Write(data[:8])
	m.chunk("IHDR", header)
	if palette != nil {
		m.chunk("PLTE", palette)
	}
	m.chunk("IDAT", []byte{0x78, 0x01}) // of zlib
	return m, true
}

// mendedPNG reads a mended file, which is made as it is read: its rows, which may be
// large, are in memory only piece by piece, uncompressed.
type mendedPNG struct {
	rows  io.Reader
	left  int64 // bytes of rows
	sum   hash.Hash32
	block []byte
	ready bytes.Buffer // what is to be read first
	ended bool
	// doubtful is set if the rows' own checksum must be right.
	doubtful bool
	failed   bool // pixels are missing, or may be damaged
}

// Read reads the file.
func (m *mendedPNG) Read(p []byte) (int, error) {
	if m.ready.Len() == 0 {
		if m.failed {
			return 0, io.ErrUnexpectedEOF
		}
		m.more()
	}
	return m.ready.Read(p)
}

// more adds a chunk with a stored block, or the end.
func (m *mendedPNG) more() {
	switch {
	case m.left > 0:
		const head = 5
		n := min(m.left, 1<<15)
		if m.block == nil {
			m.block = make([]byte, head+n)
		}
		block := m.block[:head+n]
		if _, err := io.ReadFull(m.rows, block[head:]); err != nil {
			m.failed = true
			return
		}
		if m.left -= n; m.left == 0 {
			block[0] = 1 // the last
			if m.failed = m.doubtful && !endsRight(m.rows); m.failed {
				return
			}
		}
		binary.LittleEndian.PutUint16(block[1:], uint16(n))
		binary.LittleEndian.PutUint16(block[3:], ^uint16(n))
		m.sum.Write(block[head:])
		m.chunk("IDAT", block)
	case !m.ended:
		m.ended = true
		m.chunk("IDAT", m.sum.Sum(nil))
		m.chunk("IEND", nil)
	}
}

// endsRight reports whether compressed rows end with their right checksum.
func endsRight(rows io.Reader) bool {
	n, err := io.Copy(io.Discard, io.LimitReader(rows, maxPNGSurplus))
	return err == nil && n < maxPNGSurplus
}

// chunk adds a chunk.
func (m *mendedPNG) chunk(name string, b []byte) {
	var head [8]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(b)))
	copy(head[4:], name)
	sum := crc32.Update(crc32.ChecksumIEEE(head[4:]), crc32.IEEETable, b)
	m.ready.Write(head[:])
	m.ready.Write(b)
	m.ready.Write(binary.BigEndian.AppendUint32(nil, sum))
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
