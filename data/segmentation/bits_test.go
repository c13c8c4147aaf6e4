package segmentation

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
)

// grayBits returns a gray PNG of 1, 2, 4 or 8 bits with those values in one row, which no
// encoder of the standard library writes; transparent names a value as transparent.
func grayBits(t *testing.T, depth int, transparent bool, values ...uint8) []byte {
	t.Helper()
	var out bytes.Buffer
	out.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, b []byte) {
		body := append([]byte(kind), b...)
		binary.Write(&out, binary.BigEndian, uint32(len(b)))
		out.Write(body)
		binary.Write(&out, binary.BigEndian, crc32.ChecksumIEEE(body))
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(values)))
	head = binary.BigEndian.AppendUint32(head, 1)
	chunk("IHDR", append(head, uint8(depth), 0, 0, 0, 0))
	if transparent {
		chunk("tRNS", []byte{0, 1})
	}
	row := make([]byte, 1+(len(values)*depth+7)/8) // the first byte is the filter
	for i, v := range values {
		row[1+i*depth/8] |= v << (8 - depth - i*depth%8)
	}
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	w.Write(row)
	w.Close()
	chunk("IDAT", z.Bytes())
	chunk("IEND", nil)
	return out.Bytes()
}

// TestGrayBits: the values of gray files of few bits are those of the file, however they
// are shown.
func TestGrayBits(t *testing.T) {
	for depth, values := range map[int][]uint8{1: {0, 1, 1, 0, 1}, 2: {0, 3, 1, 2, 0}, 4: {15, 0, 7, 1, 9}, 8: {0, 255, 1, 17, 85}} {
		for _, transparent := range []bool{false, true} {
			var m imaging.Image
			if err := new(reading).decode(&m, grayBits(t, depth, transparent, values...), 0); err != nil || !slices.Equal(m.Pix, values) {
				t.Errorf("%d bits: %v, %v; want %v", depth, m.Pix, err, values)
			}
		}
	}
	// A file of classes with the gray values that programs show.
	read := reading{values: nothing()}
	read.values[0], read.values[85], read.values[255] = 4, 5, 6
	var m imaging.Image
	if err := read.decode(&m, grayBits(t, 2, false, 0, 1, 3), 0); err != nil || !slices.Equal(m.Pix, []uint8{4, 5, 6}) {
		t.Errorf("%v, %v", m.Pix, err)
	}
	read.values[255] = data.IgnoredClass
	if err := read.decode(&m, grayBits(t, 2, false, 0, 1, 3), 0); err == nil || !strings.Contains(err.Error(), "value 3 at x 2") {
		t.Errorf("a value without a class: %v", err)
	}
}

// TestBlackAndWhite: 255 is the second of two classes where masks have nothing else, and
// does not count where they do.
func TestBlackAndWhite(t *testing.T) {
	const two = "sky\nroad\n"
	bit := func(values ...uint8) []byte { return grayBits(t, 1, false, values...) }
	byte8 := func(values ...uint8) []byte { return grayBits(t, 8, false, values...) }
	p := pic(t, 3, 1, 0)
	for name, c := range map[string]struct {
		masks         [][]byte
		file, classes string // names, and want
		want          []uint8
		note          string
	}{
		"255 of two":              {[][]byte{byte8(0, 255, 0)}, two, "sky road", []uint8{0, 1, 0}, "255 is road"},
		"255 of two, one white":   {[][]byte{byte8(0, 255, 0), byte8(255, 255, 255), byte8(0, 0, 0)}, two, "sky road", []uint8{0, 1, 0}, "255 is road"},
		"255 beside 1":            {[][]byte{byte8(0, 255, 0), byte8(0, 1, 0)}, two, "sky road", []uint8{0, 255, 0}, ""},
		"255 of three":            {[][]byte{byte8(0, 255, 0)}, "sky\nroad\ncar\n", "sky road car", []uint8{0, 255, 0}, ""},
		"all 255":                 {[][]byte{byte8(255, 255, 255)}, two, "sky road", []uint8{255, 255, 255}, ""},
		"bits of two":             {[][]byte{bit(0, 1, 0)}, two, "sky road", []uint8{0, 1, 0}, ""},
		"bits, then 255, of two":  {[][]byte{bit(0, 1, 0), byte8(0, 255, 0)}, two, "sky road", []uint8{0, 1, 0}, "255 is road"},
		"255, then bits, of two":  {[][]byte{byte8(0, 255, 0), bit(0, 1, 0)}, two, "sky road", []uint8{0, 1, 0}, "255 is road"},
		"bits without names":      {[][]byte{bit(0, 1, 0)}, "", "background foreground", []uint8{0, 1, 0}, "background and foreground"},
		"bits and 255, no names":  {[][]byte{byte8(0, 255, 0), bit(0, 1, 0)}, "", "background foreground", []uint8{0, 1, 0}, "background and foreground"},
		"255 without names":       {[][]byte{byte8(0, 255, 0)}, "", "background foreground", []uint8{0, 1, 0}, "background and foreground"},
		"numbers, 255, no names":  {[][]byte{byte8(0, 255, 1)}, "", "0 1", []uint8{0, 255, 1}, "are numbered"},
		"bits and 2, no names":    {[][]byte{bit(0, 1, 0), byte8(2, 0, 0)}, "", "0 1 2", []uint8{0, 1, 0}, "are numbered"},
		"white of two, with none": {[][]byte{byte8(0, 255, 0)}, "road\nvoid\n", "road void", []uint8{0, 255, 0}, ""},
	} {
		files := map[string][]byte{}
		for i, m := range c.masks {
			name := string(rune('a' + i))
			files["images/"+name+".jpg"], files["masks/"+name+".png"] = p, m
		}
		if c.file != "" {
			files["classes.txt"] = []byte(c.file)
		}
		s, err := open(t, "masks", files, data.Options{ValFraction: -1})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var m imaging.Image
		if err := data.Masks(s.Train).DecodeMask(0, &m); err != nil || !slices.Equal(m.Pix, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, m.Pix, err, c.want)
		}
		if got := strings.Join(s.Classes(), " "); got != c.classes {
			t.Errorf("%s: classes %q, want %q", name, got, c.classes)
		}
		if notes := strings.Join(s.Notes, "\n"); (notes != "") != (c.note != "") || !strings.Contains(notes, c.note) {
			t.Errorf("%s: notes %q, want %q", name, notes, c.note)
		}
		r, err := data.Check(t.Context(), s, 1)
		if err != nil {
			t.Fatal(err)
		}
		fault := map[string]string{"all 255": "no pixel of the masks of the train part counts", "255 of three": "write 1 to 2 for pixels of the other classes", "white of two, with none": "write 1 to 1"}[name]
		if err := r.Err(); (err != nil) != (fault != "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v, want %q", name, err, fault)
		}
		if (name == "all 255") != strings.Contains(strings.Join(r.Warnings(), "\n"), "no pixel that counts: 1 of 1") {
			t.Errorf("%s: %q", name, r.Warnings())
		}
	}
	if _, err := open(t, "masks", map[string][]byte{"images/a.jpg": p, "masks/a.png": byte8(255, 255, 255)}, data.Options{}); err == nil || !strings.Contains(err.Error(), "255, which does not count") {
		t.Errorf("nothing counts, no names: %v", err)
	}
}
