package imaging

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A variant of a picture differs by its structure: single fields have other values, and
// segments are left out, doubled or exchanged, while all else stays valid (lengths,
// checksums). Changes of single bytes hardly ever get that far.

// values for fields of 8 and 16 bits that tend to be borders.
var borders = []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 63, 64, 127, 128, 255, 256, 257, 0x1111, 0x2222, 0x7fff, 0x8000, 0xfffe, 0xffff}

// changeField gives a byte or two of b another value.
func changeField(b []byte, rng *rand.Rand) {
	if len(b) == 0 {
		return
	}
	at := rng.IntN(len(b))
	if len(b) < 48 || rng.IntN(3) > 0 {
		at = rng.IntN(min(len(b), 24)) // most fields are in front
	}
	switch v := borders[rng.IntN(len(borders))]; rng.IntN(4) {
	case 0:
		b[at] ^= 1 << rng.IntN(8)
	case 1:
		b[at] += uint8(1 - 2*rng.IntN(2))
	case 2:
		b[at] = uint8(v)
	default:
		if at+2 <= len(b) {
			binary.BigEndian.PutUint16(b[at:], uint16(v))
		}
	}
}

// changeParts changes a list of segments.
func changeParts(parts [][]byte, rng *rand.Rand, change func(part []byte)) [][]byte {
	for range 1 + rng.IntN(3) {
		i, j := rng.IntN(len(parts)), rng.IntN(len(parts))
		switch rng.IntN(8) {
		case 0:
			if len(parts) > 1 {
				parts = slices.Delete(parts, i, i+1)
			}
		case 1:
			parts = slices.Insert(parts, j, bytes.Clone(parts[i]))
		case 2:
			parts[i], parts[j] = parts[j], parts[i]
		default:
			change(parts[i])
		}
	}
	return parts
}

// varyJPEG changes a file by its markers; the data of a scan belong to its header.
func varyJPEG(data []byte, rng *rand.Rand) []byte {
	var parts [][]byte
	for at := 2; at+4 <= len(data) && data[at] == 0xff && data[at+1] != 0xd9; {
		end := min(at+2+int(binary.BigEndian.Uint16(data[at+2:])), len(data))
		if data[at+1] == 0xda {
			for end+1 < len(data) && (data[end] != 0xff || data[end+1] == 0 || data[end+1]&^7 == 0xd0) {
				end++
			}
		}
		parts = append(parts, bytes.Clone(data[at:end]))
		at = end
	}
	if len(parts) == 0 {
		return data
	}
	parts = changeParts(parts, rng, func(p []byte) {
		switch kinds := []byte{0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc9, 0xca, 0xcc, 0xda, 0xdb, 0xdc, 0xdd, 0xe0, 0xee, 0xff}; {
		case rng.IntN(8) == 0:
			p[1] = kinds[rng.IntN(len(kinds))]
		case len(p) >= 4: // a segment whose length is below 2 is cut off before its end
			if end := min(len(p), 2+int(binary.BigEndian.Uint16(p[2:]))); end > 4 { // a length counts itself
				changeField(p[4:end], rng)
			}
		}
	})
	return slices.Concat(data[:2], slices.Concat(parts...), []byte{0xff, 0xd9})
}

// varyPNG changes a file by its chunks and makes their checksums right.
func varyPNG(data []byte, rng *rand.Rand) []byte {
	var parts [][]byte
	for at := 8; at+12 <= len(data); {
		end := min(at+12+int(binary.BigEndian.Uint32(data[at:])), len(data))
		if end < at+12 {
			break
		}
		parts = append(parts, bytes.Clone(data[at:end]))
		at = end
	}
	if len(parts) == 0 {
		return data
	}
	parts = changeParts(parts, rng, func(p []byte) {
		changeField(p[8:len(p)-4], rng)
		binary.BigEndian.PutUint32(p[len(p)-4:], crc32.ChecksumIEEE(p[4:len(p)-4]))
	})
	return slices.Concat(data[:8], slices.Concat(parts...))
}

// varyTIFF changes the entries of the first directory.
func varyTIFF(data []byte, rng *rand.Rand) []byte {
	data = bytes.Clone(data)
	var order binary.ByteOrder = binary.LittleEndian
	if data[0] == 'M' {
		order = binary.BigEndian
	}
	first, count, size := int(order.Uint32(data[4:])), 2, 12
	if order.Uint16(data[2:]) == 43 && len(data) >= 16 { // BigTIFF
		first, count, size = int(order.Uint32(data[8:])), 8, 20
		if order == binary.BigEndian {
			first = int(order.Uint32(data[12:]))
		}
	}
	if first < 8 || first+count+size > len(data) {
		return data
	}
	entries := data[first+count:]
	entries = entries[:min(int(order.Uint16(data[first+(count-2)*btoi(data[0] == 'M'):]))*size, len(entries)/size*size)]
	for range 1 + rng.IntN(3) {
		if len(entries) < size {
			break
		}
		e := entries[size*rng.IntN(len(entries)/size):][:size]
		switch rng.IntN(5) {
		case 0:
			copy(e, entries[size*rng.IntN(len(entries)/size):][:size])
		case 1:
			order.PutUint16(e[2:], uint16(rng.IntN(20)))
		case 2:
			order.PutUint16(e[4+rng.IntN(size-5):], uint16(borders[rng.IntN(len(borders))]))
		case 3:
			tags := []uint16{254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 317, 320, 322, 323, 324, 325, 338, 339, 347, 530}
			order.PutUint16(e, tags[rng.IntN(len(tags))])
		default:
			changeField(e, rng)
		}
	}
	return data
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// varied returns a variant of a file, and whether there is one for its format.
func varied(data []byte, rng *rand.Rand) ([]byte, bool) {
	switch sniff(data) {
	case formatJPEG:
		return varyJPEG(data, rng), true
	case formatPNG:
		return varyPNG(data, rng), true
	case formatTIFF:
		return varyTIFF(data, rng), len(data) >= 8
	}
	return nil, false
}

// decodeHostile decodes a file wholly, in part and reduced. Only an error that is no
// panic may come of it, or a picture of the promised size.
func decodeHostile(r *Reader, m *Image, data []byte) error {
	const limit = 1 << 16
	for _, reduce := range []int{0, 1, 4} {
		if err := r.Open(data, DecodeOptions{MaxPixels: limit}); err != nil {
			if strings.Contains(err.Error(), "decoder failed") {
				return err
			}
			return nil
		}
		w, h := r.W, r.H
		var err error
		if reduce == 0 {
			err = r.Decode(m)
		} else {
			part := Rect{w / 3, h / 3, max(w/2, 1), max(h/2, 1)}
			_, err = r.DecodePart(m, part, reduce)
			w, h = part.W, part.H
		}
		switch {
		case err != nil && strings.Contains(err.Error(), "decoder failed"):
			return err
		case err == nil && reduce < 2 && (m.W != w || m.H != h):
			return fmt.Errorf("%d x %d pixels instead of %d x %d", m.W, m.H, w, h)
		case err == nil && len(m.Pix) != m.W*m.H*m.C:
			return fmt.Errorf("%d x %d pixels in %d bytes", m.W, m.H, len(m.Pix))
		}
	}
	return nil
}

// RESNET_VARIANTS is the number of variants of each picture, 6 without it.
func TestVariantsOfFields(t *testing.T) {
	rounds := 6
	if s := os.Getenv("RESNET_VARIANTS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	var r Reader
	var m Image
	all, decoded := 0, 0
	for i, c := range pictureCases(t) {
		for k := range rounds {
			rng := rand.New(rand.NewPCG(uint64(i), uint64(k)))
			data, ok := varied(c.data, rng)
			if !ok {
				continue
			}
			if err := decodeHostile(&r, &m, data); err != nil {
				t.Errorf("variant %d of %s: %v", k, c.File, err)
			}
			all++
			if DecodeInto(&m, data, DecodeOptions{MaxPixels: 1 << 16}) == nil {
				decoded++
			}
		}
	}
	t.Logf("%d of %d variants are pictures", decoded, all)
	if decoded < all/20 || decoded == all {
		t.Errorf("%d of %d variants can be decoded: they are no test", decoded, all)
	}
}

// pngPart returns a chunk of a file, with a checksum that is off by wrong.
func pngPart(name string, b []byte, wrong uint32) []byte {
	out := append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), name...)
	out = append(out, b...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:])^wrong)
}

// Where the checksum of pixels is wrong, that of the compressed rows decides; that of a
// palette is the only one, and that of another chunk does not matter.
func TestPNGOfWrongChecksums(t *testing.T) {
	var coded bytes.Buffer
	z := zlib.NewWriter(&coded)
	z.Write([]byte{0, 1, 2, 3, 0, 2, 1, 0}) // two rows of three pixels, with their filters
	z.Close()
	rows := coded.Bytes()
	changed := func(i int) []byte {
		b := slices.Clone(rows)
		b[len(b)+i]++
		return b
	}
	header := []byte{0, 0, 0, 3, 0, 0, 0, 2, 8, 3, 0, 0, 0}
	palette := []byte{0, 0, 0, 10, 10, 10, 20, 20, 20, 30, 30, 30}
	for name, c := range map[string]struct {
		rows                []byte
		pixels, colors, end uint32 // what the checksums are off by
		text                uint32
		right               bool
	}{
		"right":                  {rows: rows, right: true},
		"text":                   {rows: rows, text: 1, right: true},
		"end":                    {rows: rows, end: 1, right: true},
		"chunk of pixels":        {rows: rows, pixels: 1, right: true},
		"rows":                   {rows: changed(-1), right: true},
		"both":                   {rows: changed(-1), pixels: 1},
		"without the rows' end":  {rows: rows[:len(rows)-4], pixels: 1},
		"palette":                {rows: rows, colors: 1},
		"surplus after the rows": {rows: append(slices.Clone(rows), 1, 2, 3), pixels: 1, right: true},
	} {
		file := slices.Concat([]byte("\x89PNG\r\n\x1a\n"), pngPart("IHDR", header, 0), pngPart("tEXt", []byte("a\x00b"), c.text), pngPart("PLTE", palette, c.colors),
			pngPart("IDAT", c.rows, c.pixels), pngPart("IEND", nil, c.end))
		m, err := Decode(file, DecodeOptions{})
		if (err == nil) != c.right {
			t.Errorf("%s: error %v", name, err)
		}
		if err == nil && !bytes.Equal(m.Pix, []byte{10, 10, 10, 20, 20, 20, 30, 30, 30, 20, 20, 20, 10, 10, 10, 0, 0, 0}) {
			t.Errorf("%s: pixels %v", name, m.Pix)
		}
	}
}

// A second header with another size would pass by the limit of pixels.
func TestPNGOfTwoHeaders(t *testing.T) {
	chunk := func(name string, b []byte) []byte { return pngPart(name, b, 0) }
	header := func(w, h uint32) []byte {
		b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
		return chunk("IHDR", append(b, 8, 0, 0, 0, 0))
	}
	var idat bytes.Buffer
	z := zlib.NewWriter(&idat)
	z.Write(make([]byte, 600*601))
	z.Close()
	file := slices.Concat([]byte("\x89PNG\r\n\x1a\n"), header(1, 1), header(600, 600), chunk("IDAT", idat.Bytes()), chunk("IEND", nil))
	if m, err := Decode(file, DecodeOptions{MaxPixels: 1000}); err == nil {
		t.Errorf("decoded to %d x %d pixels", m.W, m.H)
	}
}

func FuzzFields(f *testing.F) {
	for i, c := range pictureCases(f) {
		if _, ok := varied(c.data, rand.New(rand.NewPCG(0, 0))); ok && len(c.data) < 3000 {
			f.Add(c.data, uint64(i))
		}
	}
	var r Reader
	var m Image
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		data, ok := varied(data, rand.New(rand.NewPCG(seed, 1)))
		if !ok {
			return
		}
		if err := decodeHostile(&r, &m, data); err != nil {
			t.Fatal(err)
		}
	})
}
