package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/hostile"
	"github.com/resnet-go/resnet/internal/membound"
	"github.com/resnet-go/resnet/tensor"
)

// testdata/reference.safetensors is written by the safetensors package itself.
func TestReadsTheReferencesFile(t *testing.T) {
	r, err := Open("testdata/reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if m := r.Metadata(); m["who"] != "the reference" || m["é"] != `"quoted"` {
		t.Errorf("metadata %v", m)
	}
	for name, want := range map[string]any{
		"f64": []float32{float32(1.0 / 3), float32(math.Inf(-1))},
		"f32": []float32{0, 1.0 / 7, 2.0 / 7, 3.0 / 7, 4.0 / 7, 5.0 / 7},
		"f16": []float32{1, -2.5, 65504, 0x1p-24},
		"i64": []int64{1 << 62, -1}, "i32": []int64{-1 << 31, 5}, "i16": []int64{-300}, "i8": []int64{-1, 127},
		"u8": []int64{0, 255}, "bool": []int64{1, 0}, "scalar": []float32{4.5}, "empty": []float32{},
	} {
		x, err := r.Tensor(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		switch w := want.(type) {
		case []float32:
			if !slices.Equal(x.Float32s(), w) {
				t.Errorf("%s is %v, want %v", name, x.Float32s(), w)
			}
		case []int64:
			if !slices.Equal(x.Int64s(), w) {
				t.Errorf("%s is %v, want %v", name, x.Int64s(), w)
			}
		}
	}
	if x, err := r.Tensor("f32"); err != nil || !x.Shape().Equal(tensor.Shape{2, 3}) {
		t.Errorf("f32 is %v, %v", x, err)
	}
	if _, err := r.Tensor("u32"); err == nil || !strings.Contains(err.Error(), "U32") {
		t.Errorf("u32: %v", err)
	}
	if _, err := r.Tensor("none"); err == nil {
		t.Error("a tensor that is not there was read")
	}
}

func TestHalfEqualsNumPy(t *testing.T) {
	b, err := os.ReadFile("testdata/half.json")
	if err != nil {
		t.Fatal(err)
	}
	var pairs [][2]uint32
	if err := json.Unmarshal(b, &pairs); err != nil {
		t.Fatal(err)
	}
	for _, p := range pairs {
		if got := ToHalf(math.Float32frombits(p[0])); got != uint16(p[1]) {
			t.Errorf("ToHalf(%08x) = %04x, want %04x", p[0], got, p[1])
		}
	}
	for h := range 1 << 16 {
		f := FromHalf(uint16(h))
		if f != f {
			if h&0x7c00 != 0x7c00 || h&0x3ff == 0 || FromHalf(ToHalf(f)) == FromHalf(ToHalf(f)) {
				t.Errorf("%04x became NaN, or NaN was lost", h)
			}
		} else if ToHalf(f) != uint16(h) {
			t.Errorf("%04x became %v, then %04x", h, f, ToHalf(f))
		}
	}
}

func TestWriteAndRead(t *testing.T) {
	f := tensor.New(3, 5000) // more than one block of the encoder
	for i := range f.Float32s() {
		f.Float32s()[i] = float32(i) / 3
	}
	n := tensor.NewInt64(2)
	n.Int64s()[1] = -1 << 63
	var b bytes.Buffer
	err := Write(&b, []Tensor{{Name: "w", Tensor: f}, {Name: "h", Tensor: f, As: F16}, {Name: "<n>", Tensor: n}}, map[string]string{"a": "<b>"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range r.Entries() {
		names = append(names, e.Name)
		if e.Begin%int64(e.DType.Size()) != 0 {
			t.Errorf("%s begins at %d", e.Name, e.Begin)
		}
	}
	if !slices.Equal(names, []string{"<n>", "w", "h"}) || r.Metadata()["a"] != "<b>" || r.data%8 != 0 {
		t.Errorf("%v, %v, data from %d", names, r.Metadata(), r.data)
	}
	x, err := r.Tensor("w")
	if err != nil || !slices.Equal(x.Float32s(), f.Float32s()) {
		t.Errorf("w came back otherwise, %v", err)
	}
	if x, err = r.Tensor("<n>"); err != nil || !slices.Equal(x.Int64s(), n.Int64s()) {
		t.Errorf("n came back otherwise, %v", err)
	}
	for _, bad := range [][]Tensor{
		{{Name: "a", Tensor: f}, {Name: "a", Tensor: f}}, {{Name: "__metadata__", Tensor: f}}, {{Name: "a", Tensor: f, As: I64}}, {{Name: "a", Tensor: n, As: F16}},
	} {
		if err := Write(&b, bad, nil); err == nil {
			t.Errorf("%v was written", bad)
		}
	}
}

func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestBadFilesAreRefused(t *testing.T) {
	one := func(dtype, shape, offsets string) string {
		return fmt.Sprintf(`{"a":{"dtype":"%s","shape":%s,"data_offsets":%s}}`, dtype, shape, offsets)
	}
	ok := one("F32", "[2]", "[0,8]")
	if _, err := NewReader(bytes.NewReader(file(ok+"  ", 8)), int64(8+len(ok)+2+8)); err != nil {
		t.Fatalf("the good file: %v", err)
	}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"short":            {[]byte("abc"), "too few"},
		"huge header":      {binary.LittleEndian.AppendUint64(nil, 1<<63), "over the limit"},
		"cut header":       {file(ok, 0)[:20], "cut off"},
		"no object":        {file("[1]", 0), "does not begin"},
		"empty header":     {file("", 0), "does not begin"},
		"bad JSON":         {file(`{"a"`, 0), "JSON"},
		"not UTF-8":        {file("{\"\xff\":1}", 0), "UTF-8"},
		"after the JSON":   {file(ok+"x", 8), "after the header"},
		"dtype":            {file(one("F99", "[2]", "[0,8]"), 8), "unknown dtype"},
		"negative extent":  {file(one("F32", "[-2]", "[0,8]"), 8), "extent -2"},
		"float extent":     {file(one("F32", "[2.5]", "[0,8]"), 8), "extent 2.5"},
		"overflow":         {file(one("F64", "[1099511627776,1099511627776]", "[0,8]"), 8), "too large"},
		"zero and huge":    {file(one("F64", "[0,1e30]", "[0,0]"), 0), "extent"},
		"size":             {file(one("F32", "[3]", "[0,8]"), 8), "needs 12 bytes"},
		"falling offsets":  {file(one("F32", "[2]", "[8,0]"), 8), "rising"},
		"negative offsets": {file(one("F32", "[2]", "[-8,0]"), 8), "rising"},
		"three offsets":    {file(one("F32", "[2]", "[0,4,8]"), 8), "two data_offsets"},
		"no shape":         {file(`{"a":{"dtype":"F32","data_offsets":[0,8]}}`, 8), "want dtype"},
		"null":             {file(`{"a":null}`, 0), "want dtype"},
		"hole":             {file(one("F32", "[2]", "[4,12]"), 12), "hole of 4"},
		"data cut off":     {file(ok, 4), "cut off"},
		"data too long":    {file(ok, 12), "4 bytes follow"},
		"rank":             {file(one("F32", "["+strings.Repeat("1,", 16)+"1]", "[0,4]"), 4), "rank 17"},
		"twice":            {file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), "twice"},
		"overlap":          {file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), "overlap"},
		"metadata":         {file(`{"__metadata__":{"a":1}}`, 0), "not a text"},
		"metadata twice":   {file(`{"__metadata__":{},"__metadata__":{}}`, 0), "twice"},
		"key twice":        {file(`{"__metadata__":{"a":"","a":""}}`, 0), "twice"},
	} {
		_, err := NewReader(bytes.NewReader(c.b), int64(len(c.b)))
		var fe *FormatError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	ref, err := os.ReadFile("testdata/reference.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ref)
	hostile.Add(f, hostile.Fields(ref))
	ours := checksummed(f)
	hostile.Add(f, hostile.Fields(ours))
	for _, b := range [][]byte{ref, ours} {
		end := 8 + binary.LittleEndian.Uint64(b)
		for header := range hostile.Some(hostile.JSON(bytes.TrimRight(b[8:end], " "))) {
			lead := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
			f.Add(slices.Concat(lead, header, b[end:]))
		}
	}
	f.Add(file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Add(file(`{"__metadata__":{"a":"b"},"a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}}`, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r *Reader
		var ts []Tensor
		used, over := membound.Over(membound.Slack, 64, len(b), func() {
			var err error
			if r, err = NewReader(bytes.NewReader(b), int64(len(b))); err != nil {
				return
			}
			for _, e := range r.Entries() {
				if x, err := r.Tensor(e.Name); err == nil && e.Name != "__metadata__" {
					ts = append(ts, Tensor{Name: e.Name, Tensor: x})
				}
			}
		})
		if over {
			t.Errorf("a file of %d bytes took %d", len(b), used)
		}
		if r == nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, ts, r.Metadata()); err != nil {
			t.Fatal(err)
		}
		again, err := NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if len(again.Entries()) != len(ts) {
			t.Errorf("%d tensors, then %d", len(ts), len(again.Entries()))
		}
	})
}

// A file that is cut short while it is read gives an error, not a crash.
func TestFileCutWhileReading(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be cut there")
	}
	path := filepath.Join(t.TempDir(), "cut.safetensors")
	var b bytes.Buffer
	if err := Write(&b, []Tensor{{Name: "w", Tensor: tensor.New(1 << 16)}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Tensor("w"); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Tensor("w"); err == nil {
		t.Error("a cut file was read")
	}
	if _, err := r.Bytes("w"); err == nil {
		t.Error("a cut file was read")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.Tensor("w"); err == nil {
		t.Error("a closed file was read")
	}
}
