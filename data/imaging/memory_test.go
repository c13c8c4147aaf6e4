package imaging

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"runtime"
	"strings"
	"testing"
)

// zeroPNG is a file of w by h pixels that are all 0. more bytes follow its rows, which the
// standard library's decoder refuses.
func zeroPNG(t testing.TB, w, h int, bits, kind, interlaced byte, more int) []byte {
	t.Helper()
	out := []byte("\x89PNG\r\n\x1a\n")
	chunk := func(name string, b []byte) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(b)))
		at := len(out)
		out = append(append(out, name...), b...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[at:]))
	}
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(w)), uint32(h))
	header = append(header, bits, kind, 0, 0, interlaced)
	size, ok := pngRows(header)
	if !ok {
		t.Fatalf("no PNG of %d bits and kind %d", bits, kind)
	}
	var idat bytes.Buffer
	z := zlib.NewWriter(&idat)
	z.Write(make([]byte, size+int64(more))) // to memory
	z.Close()
	chunk("IHDR", header)
	if kind == 3 {
		chunk("PLTE", make([]byte, 3))
	}
	chunk("IDAT", idat.Bytes())
	chunk("IEND", nil)
	return out
}

// zeroTIFF is a file of w by h gray pixels in one strip of Deflate.
func zeroTIFF(t testing.TB, w, h, bits, samples int) []byte {
	t.Helper()
	var strip bytes.Buffer
	z := zlib.NewWriter(&strip)
	z.Write(make([]byte, w*h*samples*bits/8)) // to memory
	z.Close()
	le := binary.LittleEndian
	out := le.AppendUint32([]byte("II*\x00"), uint32(8+strip.Len()))
	out = append(out, strip.Bytes()...)
	tags := [][2]int{{256, w}, {257, h}, {258, bits}, {259, 8}, {262, 1}, {273, 8}, {277, samples}, {278, h}, {279, strip.Len()}}
	out = le.AppendUint16(out, uint16(len(tags)))
	for _, tag := range tags {
		out = le.AppendUint16(out, uint16(tag[0]))
		out = le.AppendUint16(out, 4)
		out = le.AppendUint32(out, 1)
		out = le.AppendUint32(out, uint32(tag[1]))
	}
	return append(out, 0, 0, 0, 0)
}

// What a file takes to be decoded is what its headers tell, and a picture that takes more
// than the limit is refused before it is taken.
func TestMemory(t *testing.T) {
	if poolsForget {
		t.Skip("the race detector takes memory, too")
	}
	const w, h = 1500, 1000
	files := map[string]struct {
		file []byte
		each int64 // bytes of a pixel
	}{
		"gray":                {zeroPNG(t, w, h, 8, 0, 0, 0), 2},
		"RGB":                 {zeroPNG(t, w, h, 8, 2, 0, 0), 7},
		"palette":             {zeroPNG(t, w, h, 8, 3, 0, 0), 4},
		"RGBA":                {zeroPNG(t, w, h, 8, 6, 0, 0), 7},
		"RGBA, 16 bits":       {zeroPNG(t, w, h, 16, 6, 0, 0), 11},
		"RGB, interlaced":     {zeroPNG(t, w, h, 8, 2, 1, 0), 11},
		"16 bits, interlaced": {zeroPNG(t, w, h, 16, 6, 1, 0), 19},
		"mended":              {zeroPNG(t, w, h, 16, 6, 0, 200_000), 11},
		"mended, interlaced":  {zeroPNG(t, w, h, 8, 6, 1, 200_000), 11},
		"TIFF, 8 samples":     {zeroTIFF(t, w, h, 16, 8), 5},
	}
	for name, f := range files {
		var r Reader
		if err := r.Open(f.file, DecodeOptions{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		need := r.Memory()
		if most := (f.each*w*h + 1<<19); need > most || need < f.each*w*h-1<<19 {
			t.Errorf("%s: %d bytes for each pixel, want %d", name, need/(w*h), f.each)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var m Image
		if err := r.Decode(&m); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		took := int64(after.TotalAlloc - before.TotalAlloc)
		attempts := int64(1)
		if strings.HasPrefix(name, "mended") {
			attempts = 2 // one after the other
		}
		if took > attempts*need+1<<20 {
			t.Errorf("%s: took %d bytes for each pixel, told %d", name, took/(w*h), need/(w*h))
		}
		limit := w * h
		err := r.Open(f.file, DecodeOptions{MaxPixels: limit})
		if large := f.each > 12; errors.Is(err, ErrTooLarge) != large || !large && err != nil {
			t.Errorf("%s: with a limit of its pixels: %v", name, err)
		}
	}
	if MaxMemory(1<<62) <= 0 {
		t.Error("the limit overflows")
	}
}
