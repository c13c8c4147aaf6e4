// Package hostile makes, for tests and fuzz targets, files that are valid but for one
// field: a parser's checks are reached by such files, and hardly by random bytes,
// which fail at the first mark or checksum.
package hostile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"iter"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
)

// limit returns the number of variants of one file: 300, or 20,000 with
// RESNET_NIGHTLY=1.
func limit() int {
	if os.Getenv("RESNET_NIGHTLY") == "1" {
		return 20_000
	}
	return 300
}

// Add adds variants to the seeds of a fuzz target: 300 of them, spread over all, or
// 20,000 with RESNET_NIGHTLY=1.
func Add(f *testing.F, variants iter.Seq[[]byte]) {
	for b := range Some(variants) {
		f.Add(b)
	}
}

// Some returns the variants that [Add] takes.
func Some(variants iter.Seq[[]byte]) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		n := 0
		for range variants {
			n++
		}
		i, step := 0, max(1, n/limit())
		for b := range variants {
			if i%step == 0 && !yield(b) {
				return
			}
			i++
		}
	}
}

// numbers are what a field of a number is replaced by.
var numbers = []uint64{0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 1 << 20, math.MaxInt32, math.MaxUint32, 1 << 40, math.MaxInt64, 1 << 63, math.MaxUint64}

// Fields returns variants of a binary file: at each place a number of 1, 2, 4 or 8
// bytes of either byte order is replaced by another, bytes are missing or doubled, or
// the file ends. Of a file with many more places than [Add] takes, it has some.
func Fields(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		sizes := []int{1, 2, 4, 8}
		per := len(sizes)*len(numbers) + 3
		total := len(b) * per
		step := max(1, total/(2*limit()))
		for i := 0; i < total; i += step {
			at, kind := i/per, i%per
			part := min(8, len(b)-at)
			c := slices.Clone(b)
			switch kind - len(sizes)*len(numbers) {
			case 0:
				c = c[:at]
			case 1:
				c = slices.Delete(c, at, at+part)
			case 2:
				c = slices.Insert(c, at, b[at:at+part]...)
			default:
				size, n := sizes[kind/len(numbers)], numbers[kind%len(numbers)]
				at = at / size * size
				if at+size > len(b) || size < 8 && n >= 1<<(8*size) {
					continue
				}
				var field [8]byte
				if kind%2 == 0 {
					binary.LittleEndian.PutUint64(field[:], n)
					copy(c[at:], field[:size])
				} else {
					binary.BigEndian.PutUint64(field[:], n)
					copy(c[at:], field[8-size:])
				}
			}
			if !yield(c) {
				return
			}
		}
	}
}

// JSON returns variants of a JSON text: each has one value that is another, of another
// type, twice or not there. It panics if b is not JSON.
func JSON(b []byte) iter.Seq[[]byte] {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		panic(err)
	}
	return func(yield func([]byte) bool) {
		for c := range changes(v) {
			text, err := json.Marshal(c)
			if err == nil && !yield(text) {
				return
			}
		}
	}
}

var otherValues = []any{nil, true, "text", "", -1, 0, 1.5, json.Number("1e9"), json.Number("1e300"), json.Number("9223372036854775807"), json.Number("-9223372036854775808"),
	[]any{}, []any{1, "x"}, map[string]any{}, map[string]any{"a": nil}, []any{[]any{[]any{}}}}

func changes(v any) iter.Seq[any] {
	return func(yield func(any) bool) {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) { // the same variants in each run
				x := v[k]
				with := func(k string, y any) bool {
					c := map[string]any{}
					for k, x := range v {
						c[k] = x
					}
					if c[k] = y; y == missing {
						delete(c, k)
					}
					return yield(c)
				}
				for y := range changes(x) {
					if !with(k, y) {
						return
					}
				}
				if !with(k, missing) || !with(k+k, x) {
					return
				}
			}
		case []any:
			for i, x := range v {
				for y := range changes(x) {
					c := slices.Clone(v)
					c[i] = y
					if !yield(c) {
						return
					}
				}
				if !yield(slices.Delete(slices.Clone(v), i, i+1)) || !yield(slices.Insert(slices.Clone(v), i, x)) {
					return
				}
			}
		case string:
			for _, s := range []string{v + v, v + "\x00", "../" + v, "\u202e" + v} {
				if !yield(s) {
					return
				}
			}
		}
		for _, o := range otherValues {
			if !yield(o) {
				return
			}
		}
	}
}

// missing stands for a key that is left out.
var missing = new(int)

// Zip returns variants of a zip archive: of one member each, by content, with right
// checksums; and archives that lack a member or have one twice. content may return nil
// for a member that stays.
func Zip(b []byte, content func(name string, b []byte) iter.Seq[[]byte]) iter.Seq[[]byte] {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		panic(err)
	}
	type member struct {
		name string
		b    []byte
	}
	var members []member
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			panic(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			panic(err)
		}
		members = append(members, member{f.Name, text})
	}
	pack := func(list []member) []byte {
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		for _, m := range list {
			f, err := w.CreateHeader(&zip.FileHeader{Name: m.name, Method: zip.Store})
			if err == nil {
				_, err = f.Write(m.b)
			}
			if err != nil {
				panic(err)
			}
		}
		if err := w.Close(); err != nil {
			panic(err)
		}
		return out.Bytes()
	}
	return func(yield func([]byte) bool) {
		for i, m := range members {
			if !yield(pack(slices.Delete(slices.Clone(members), i, i+1))) || !yield(pack(append(slices.Clone(members), m))) {
				return
			}
			variants := content(m.name, m.b)
			if variants == nil {
				continue
			}
			for b := range Some(variants) {
				list := slices.Clone(members)
				list[i].b = b
				if !yield(pack(list)) {
					return
				}
			}
		}
	}
}

// Protobuf returns variants of a message in protobuf's encoding: at each depth one field
// has another number or other bytes, is missing or is there twice, and the lengths
// around it are right.
func Protobuf(b []byte) iter.Seq[[]byte] { return protobuf(b, 0) }

func protobuf(b []byte, depth int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for at := 0; at < len(b); {
			tag, n := binary.Uvarint(b[at:])
			if n <= 0 {
				return
			}
			begin, value := at, at+n
			replace := func(text ...byte) bool {
				return yield(slices.Concat(b[:begin], text, b[at:]))
			}
			head := binary.AppendUvarint(nil, tag)
			switch tag & 7 {
			case 0:
				_, n := binary.Uvarint(b[value:])
				if n <= 0 {
					return
				}
				at = value + n
				for _, x := range numbers {
					if !replace(binary.AppendUvarint(slices.Clone(head), x)...) {
						return
					}
				}
			case 1, 5:
				size := 8
				if tag&7 == 5 {
					size = 4
				}
				if at = value + size; at > len(b) {
					return
				}
				for _, x := range []byte{0, 0x7f, 0xff} {
					if !replace(append(slices.Clone(head), bytes.Repeat([]byte{x}, size)...)...) {
						return
					}
				}
			case 2:
				length, n := binary.Uvarint(b[value:])
				if n <= 0 || length > uint64(len(b)-value-n) {
					return
				}
				at = value + n + int(length)
				inner := b[value+n : at]
				wrap := func(text []byte) []byte {
					return slices.Concat(head, binary.AppendUvarint(nil, uint64(len(text))), text)
				}
				texts := [][]byte{nil, {0}, inner[:len(inner)/2], append(slices.Clone(inner), inner...), bytes.Repeat([]byte{0xff}, 10)}
				for _, text := range texts {
					if !replace(wrap(text)...) {
						return
					}
				}
				if depth < 8 && whole(inner) {
					for v := range protobuf(inner, depth+1) {
						if !replace(wrap(v)...) {
							return
						}
					}
				}
			default:
				return
			}
			if !replace() || !replace(slices.Concat(b[begin:at], b[begin:at])...) {
				return
			}
		}
	}
}

// whole reports whether b can be a message.
func whole(b []byte) bool {
	for at := 0; at < len(b); {
		tag, n := binary.Uvarint(b[at:])
		if n <= 0 || tag>>3 == 0 {
			return false
		}
		at += n
		length := uint64(0)
		switch tag & 7 {
		case 0:
			_, n = binary.Uvarint(b[at:])
			if n <= 0 {
				return false
			}
			length = uint64(n)
		case 1:
			length = 8
		case 5:
			length = 4
		case 2:
			l, n := binary.Uvarint(b[at:])
			if n <= 0 || l > uint64(len(b)) {
				return false
			}
			length = l + uint64(n)
		default:
			return false
		}
		if length > uint64(len(b)-at) {
			return false
		}
		at += int(length)
	}
	return len(b) > 0
}
