package tiff

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"image"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/membound"
)

// file makes a TIFF file of one strip. Pixels of all kinds are compared with Pillow's
// by package imaging.
func file(order binary.AppendByteOrder, tags map[uint16][]uint16, strip []byte) []byte {
	b := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		b = []byte("MM\x00*")
	}
	b = order.AppendUint32(b, 8)
	var keys []uint16
	for k := range tags {
		keys = append(keys, k)
	}
	keys = append(keys, tagStripOffsets)
	slices.Sort(keys)
	b = order.AppendUint16(b, uint16(len(keys)))
	after := len(b) + 12*len(keys) + 4
	var blob []byte
	for _, k := range keys {
		v := tags[k]
		if k == tagStripOffsets {
			b = order.AppendUint32(order.AppendUint32(order.AppendUint16(order.AppendUint16(b, k), 4), 1), uint32(after+64))
			continue
		}
		b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, k), 3), uint32(len(v)))
		var raw []byte
		for _, x := range v {
			raw = order.AppendUint16(raw, x)
		}
		if len(raw) > 4 {
			b = order.AppendUint32(b, uint32(after+len(blob)))
			blob = append(blob, raw...)
			continue
		}
		b = append(append(b, raw...), make([]byte, 4-len(raw))...)
	}
	b = append(append(b, 0, 0, 0, 0), blob...)
	return append(append(b, make([]byte, after+64-len(b))...), strip...)
}

func rgb(w, h int, more map[uint16][]uint16) map[uint16][]uint16 {
	tags := map[uint16][]uint16{tagWidth: {uint16(w)}, tagHeight: {uint16(h)}, tagBits: {8, 8, 8}, tagPhotometric: {2}, tagSamples: {3}}
	for k, v := range more {
		tags[k] = v
	}
	return tags
}

func noJPEG([]byte, bool, int, int) ([]byte, int, int, int, error) {
	return nil, 0, 0, 0, errors.New("no JPEG")
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func TestDecode(t *testing.T) {
	strip := []byte{1, 2, 3, 10, 20, 30}
	want := []uint8{1, 2, 3, 255, 10, 20, 30, 255}
	for name, data := range map[string][]byte{
		"plain":      file(binary.LittleEndian, rgb(2, 1, nil), strip),
		"big endian": file(binary.BigEndian, rgb(2, 1, nil), strip),
		"deflate":    file(binary.BigEndian, rgb(2, 1, map[uint16][]uint16{tagCompression: {8}}), deflated(strip)),
		"predictor":  file(binary.LittleEndian, rgb(2, 1, map[uint16][]uint16{tagCompression: {8}, tagPredictor: {2}}), deflated([]byte{1, 2, 3, 9, 18, 27})),
		"packbits":   file(binary.LittleEndian, rgb(2, 1, map[uint16][]uint16{tagCompression: {32773}}), append([]byte{128, 5}, strip...)),
	} {
		m, err := Decode(data, noJPEG)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := m.(*image.NRGBA).Pix; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for want, more := range map[string]map[uint16][]uint16{
		"Zstandard":      {tagCompression: {50000}},
		"old-style JPEG": {tagCompression: {6}},
		"floating-point": {tagSampleFormat: {3}},
		"L*a*b*":         {tagPhotometric: {8}},
		"5 bits":         {tagBits: {5, 5, 5}},
		"cut off":        {tagWidth: {60000}, tagHeight: {60000}},
		"predictor 3":    {tagPredictor: {3}},
		"1 samples":      {tagSamples: {1}},
		"no JPEG":        {tagCompression: {7}},
	} {
		if _, err := Decode(file(binary.LittleEndian, rgb(2, 1, more), make([]byte, 6)), noJPEG); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Deflate has a checksum of its contents, which is compared.
func TestChecksum(t *testing.T) {
	strip := deflated([]byte{1, 2, 3, 10, 20, 30})
	for at := range strip[2:] {
		damaged := bytes.Clone(strip)
		damaged[2+at] ^= 0x10
		for name, b := range map[string][]byte{"damaged": damaged, "cut off": strip[:2+at]} {
			if m, err := Decode(file(binary.LittleEndian, rgb(2, 1, map[uint16][]uint16{tagCompression: {8}}), b), noJPEG); err == nil {
				t.Errorf("%s at byte %d: %v", name, 2+at, m)
			}
		}
	}
}

// A promise of many pixels takes no memory.
func TestShortFile(t *testing.T) {
	for _, compression := range []uint16{1, 5, 8, 32773} {
		data := file(binary.LittleEndian, rgb(30000, 30000, map[uint16][]uint16{tagCompression: {compression}}), deflated(make([]byte, 100)))
		used, over := membound.Over(membound.Slack, 0, 0, func() {
			if _, err := Decode(data, noJPEG); err == nil {
				t.Error("no error")
			}
		})
		if over {
			t.Errorf("compression %d: %d bytes of memory for a file of %d", compression, used, len(data))
		}
	}
}

func FuzzDecode(f *testing.F) {
	strip := []byte{1, 2, 3, 10, 20, 30}
	f.Add(file(binary.LittleEndian, rgb(2, 1, nil), strip))
	f.Add(file(binary.BigEndian, rgb(2, 1, map[uint16][]uint16{tagCompression: {8}, tagPredictor: {2}}), deflated(strip)))
	f.Add(file(binary.LittleEndian, rgb(2, 1, map[uint16][]uint16{tagCompression: {5}}), []byte{0x80, 0x00, 0x40, 0x40}))
	for _, c := range []uint16{2, 3, 4} {
		f.Add(file(binary.LittleEndian, map[uint16][]uint16{tagWidth: {20}, tagHeight: {3}, tagCompression: {c}}, []byte{0x26, 0xa1, 0x53, 0x11, 0x80, 0x01}))
	}
	f.Add(file(binary.LittleEndian, rgb(4, 2, map[uint16][]uint16{tagPhotometric: {6}}), make([]byte, 40)))
	f.Fuzz(func(t *testing.T, data []byte) {
		Orientation(data)
		RawCamera(data)
		w, h, err := Size(data)
		if err != nil || w > 1<<14/h {
			return
		}
		used, over := membound.Over(membound.Slack+1<<26, 64, len(data), func() {
			m, err := Decode(data, noJPEG)
			if err == nil && m.Bounds() != image.Rect(0, 0, w, h) {
				t.Errorf("%v, the header promised %d x %d", m.Bounds(), w, h)
			}
		})
		if over {
			t.Errorf("%d bytes of memory for %d x %d pixels of %d bytes", used, w, h, len(data))
		}
	})
}
