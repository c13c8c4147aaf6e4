package hdf5

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/hostile"
	"github.com/resnet-go/resnet/internal/membound"
)

// h5py returns a file that testdata/gen/hdf5.py made.
func h5py(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".h5.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, b []byte) *File {
	t.Helper()
	f, err := NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func ramp(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(i - n/3)
	}
	return out
}

func bothVersions(t *testing.T, f func(t *testing.T, f *File)) {
	for _, v := range []string{"earliest", "latest"} {
		t.Run(v, func(t *testing.T) { f(t, parse(t, h5py(t, v))) })
	}
}

func TestTypes(t *testing.T) {
	bothVersions(t, func(t *testing.T, f *File) {
		for _, name := range strings.Fields("lef4 bef4 lef8 bef8 lef2 bef2 lei4 bei4 lei8 lei1 bei2 u1 u2 u4 u8") {
			d, err := f.Root().Dataset("types/" + name)
			if err != nil {
				t.Error(err)
				continue
			}
			want := ramp(15)
			if name[0] == 'u' {
				for i := range want {
					want[i] = float32(i)
				}
			}
			got, err := d.Float32s()
			if err != nil || !slices.Equal(got, want) || !slices.Equal(d.Shape, []int{3, 5}) {
				t.Errorf("%s: %v %v (%v), want %v", name, d.Shape, got, err, want)
			}
			if d.Type.Class == Integer {
				ints, err := d.Int64s()
				if err != nil || ints[1] != int64(want[1]) {
					t.Errorf("%s: %v (%v)", name, ints, err)
				}
			} else if _, err := d.Int64s(); err == nil {
				t.Errorf("%s: read as integers", name)
			}
		}
		for name, want := range map[string][]uint32{
			"special":   {0x7f800000, 0xff800000, 0x7fc00000, 0x80000000, math.Float32bits(1e-42), math.Float32bits(3.4e38)},
			"special16": {0x7f800000, 0xff800000, 0x7fc00000, 0x80000000, 0x33800000, math.Float32bits(65504)},
			"scalar":    {math.Float32bits(2.5)},
			"bool":      {0x3f800000, 0, 0x3f800000},
			"empty":     {},
			"null":      {},
		} {
			d, err := f.Root().Dataset("types/" + name)
			if err != nil {
				t.Error(err)
				continue
			}
			got, err := d.Float32s()
			bits := []uint32{}
			for _, v := range got {
				bits = append(bits, math.Float32bits(v))
			}
			if err != nil || !slices.Equal(bits, want) {
				t.Errorf("%s: %x (%v), want %x", name, bits, err, want)
			}
		}
		for name, want := range map[string][]string{"fixed": {"ab", "", "abcd"}, "var": {"x", "", "été"}} {
			d, err := f.Root().Dataset("types/" + name)
			if err != nil {
				t.Error(err)
				continue
			}
			if got, err := d.Strings(); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %q (%v), want %q", name, got, err, want)
			}
			if _, err := d.Float32s(); err == nil {
				t.Errorf("%s: read as numbers", name)
			}
		}
		// h5py stores bfloat16 as opaque bytes.
		if d, err := f.Root().Dataset("types/bf16"); err != nil {
			t.Error(err)
		} else if b, err := d.Bytes(); err != nil || len(b) != 30 || b[0] != 0xa0 || b[1] != 0xc0 || d.Type.Size != 2 {
			t.Errorf("bf16: % x (%v)", b, err)
		}
		if d, err := f.Root().Dataset("types/complex"); err != nil {
			t.Error(err)
		} else if _, err := d.Float32s(); err == nil {
			t.Error("complex numbers read as floats")
		}
	})
}

func TestChunks(t *testing.T) {
	bothVersions(t, func(t *testing.T, f *File) {
		for _, name := range []string{"plain", "gzip", "all", "one", "compact"} {
			d, err := f.Root().Dataset("chunks/" + name)
			if err != nil {
				t.Error(err)
				continue
			}
			if got, err := d.Float32s(); err != nil || !slices.Equal(got, ramp(105)) {
				t.Errorf("%s: %v (%v)", name, got, err)
			}
		}
		for name, want := range map[string]string{"lzf": "lzf", "hole": "never written", "never": "never written"} {
			d, err := f.Root().Dataset("chunks/" + name)
			if err != nil {
				t.Error(err)
				continue
			}
			if _, err := d.Float32s(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/chunks/"+name) {
				t.Errorf("%s: error %v, want one with %q", name, err, want)
			}
		}
	})
}

func TestAttributes(t *testing.T) {
	bothVersions(t, func(t *testing.T, f *File) {
		g, err := f.Root().Group("attrs")
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string][]string{
			"text": {"naïve"}, "bytes": {"bytes"}, "names": {"a", "bcd", ""}, "long": {strings.Repeat("x", 70000)},
		} {
			a, err := g.Attr(name)
			if err != nil {
				t.Error(err)
				continue
			}
			if got, err := a.Strings(); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %.50q (%v), want %.50q", name, got, err, want)
			}
		}
		a, err := g.Attr("float")
		if err != nil {
			t.Fatal(err)
		}
		if v, err := a.Float32s(); err != nil || !slices.Equal(v, []float32{1.5}) {
			t.Errorf("float: %v (%v)", v, err)
		}
		if a, err = g.Attr("ints"); err != nil {
			t.Fatal(err)
		}
		if v, err := a.Int64s(); err != nil || !slices.Equal(v, []int64{0, 1, 2}) {
			t.Errorf("ints: %v (%v)", v, err)
		}
		if _, err := a.Text(); err == nil {
			t.Error("ints read as a text")
		}
		if _, err := g.Attr("other"); !errors.Is(err, ErrNotFound) {
			t.Errorf("an attribute that is not there: %v", err)
		}
	})
}

func TestGroups(t *testing.T) {
	bothVersions(t, func(t *testing.T, f *File) {
		root := f.Root()
		if want := []string{"attrs", "chunks", "external", "hard", "many", "soft", "types"}; !slices.Equal(root.Names(), want) {
			t.Errorf("names %q, want %q", root.Names(), want)
		}
		for _, path := range []string{"many", "hard"} {
			g, err := root.Group(path)
			if err != nil {
				t.Fatal(err)
			}
			checkMany(t, g, 40)
			d, err := g.Dataset("link017")
			if err != nil {
				t.Fatal(err)
			}
			if v, err := d.Int64s(); err != nil || v[0] != 17 {
				t.Errorf("link017 is %v (%v)", v, err)
			}
			if g.IsGroup("link017") || !root.IsGroup("many") || root.IsGroup("soft") {
				t.Error("IsGroup is wrong")
			}
		}
		for path, want := range map[string]string{"soft": "soft", "external": "other files", "types/lef4": "not a group", "soft/x": "soft"} {
			if _, err := root.Group(path); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want one with %q", path, err, want)
			}
		}
		if _, err := root.Dataset("many"); err == nil {
			t.Error("a group is read as a dataset")
		}
		if _, err := root.Dataset("types/other"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a dataset that is not there: %v", err)
		}
	})
}

func checkMany(t *testing.T, g *Group, n int) {
	t.Helper()
	if len(g.Names()) != n || g.Names()[n-1] != fmt.Sprintf("link%03d", n-1) || !g.Has("link007") || g.Has("link") {
		t.Errorf("%d names %.5q…, want %d", len(g.Names()), g.Names(), n)
	}
	attrs, err := g.Attrs()
	if err != nil || len(attrs) != n {
		t.Fatalf("%d attributes (%v), want %d", len(attrs), err, n)
	}
}

// TestOrdered reads dense links and attributes: fractal heaps with several
// rows of blocks, B-trees with inner nodes, a user's block before the file.
func TestOrdered(t *testing.T) {
	f := parse(t, h5py(t, "ordered"))
	g, err := f.Root().Group("many")
	if err != nil {
		t.Fatal(err)
	}
	checkMany(t, g, 300)
	for i := range 300 {
		a, err := g.Attr(fmt.Sprintf("attr%d", i))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := a.Text(); err != nil || s != strings.Repeat("v", i) {
			t.Fatalf("attr%d is %q (%v)", i, s, err)
		}
		if _, err := g.Group(fmt.Sprintf("link%03d", i)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamage(t *testing.T) {
	if _, err := NewReader(strings.NewReader("PK\x03\x04 no HDF5 file at all"), 26); !errors.Is(err, ErrFormat) {
		t.Errorf("another format: %v", err)
	}
	if _, err := NewReader(strings.NewReader(""), 0); !errors.Is(err, ErrFormat) {
		t.Errorf("an empty file: %v", err)
	}
	b := h5py(t, "earliest")
	if _, err := NewReader(bytes.NewReader(b), int64(len(b)/2)); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("half a file: %v", err)
	}
	// One bit in the header of the root group of a file with checksums.
	b = h5py(t, "latest")
	at := bytes.Index(b, []byte("OHDR"))
	b[at+20] ^= 1
	if _, err := NewReader(bytes.NewReader(b), int64(len(b))); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a wrong bit: %v", err)
	}
}

// TestImplausible checks that a file cannot ask for more memory than it could
// fill.
func TestImplausible(t *testing.T) {
	var b Builder
	b.Dataset("x", []int{4}, []float32{1, 2, 3, 4})
	var w bytes.Buffer
	if err := Write(&w, &b); err != nil {
		t.Fatal(err)
	}
	space := encoder{}.u8(1, 1, 0, 0).u32(0).u64(4)
	at := bytes.Index(w.Bytes(), space)
	if at < 0 {
		t.Fatal("no dataspace")
	}
	copy(w.Bytes()[at:], encoder{}.u8(1, 1, 0, 0).u32(0).u64(1<<31-1))
	d, err := parse(t, w.Bytes()).Root().Dataset("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Float32s(); err == nil || !strings.Contains(err.Error(), "not credible") {
		t.Errorf("8 GB in a small file: %v", err)
	}
}

// TestValuesBudget: what a file's datasets become in all is bounded, not only
// each of them, or many that are left out of a small file would fill memory.
func TestValuesBudget(t *testing.T) {
	var b Builder
	b.Dataset("x", []int{1 << 18}, make([]float32, 1<<18))
	var w bytes.Buffer
	if err := Write(&w, &b); err != nil {
		t.Fatal(err)
	}
	d, err := parse(t, w.Bytes()).Root().Dataset("x")
	if err != nil {
		t.Fatal(err)
	}
	limit := (dataBase + dataTimes*w.Len()) / (1 << 18 * minElement)
	for i := range limit {
		if _, err := d.Float32s(); err != nil {
			t.Fatalf("time %d of %d: %v", i, limit, err)
		}
	}
	if _, err := d.Float32s(); err == nil || !strings.Contains(err.Error(), "not credible") {
		t.Errorf("beyond the budget: %v", err)
	}
}

// visit reads everything in a group, to a depth that ends cycles.
func visit(g *Group, depth int) {
	attrs, _ := g.Attrs()
	for _, a := range attrs {
		_, _ = a.Strings()
		_, _ = a.Float32s()
		_, _ = a.Int64s()
	}
	for _, name := range g.Names() {
		if d, err := g.Dataset(name); err == nil {
			_, _ = d.Float32s()
			_, _ = d.Strings()
			_, _ = d.Attr("dtype")
		}
		if depth > 0 {
			if sub, err := g.Group(name); err == nil {
				visit(sub, depth-1)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"seed_earliest", "seed_latest"} {
		f.Add(h5py(f, name))
	}
	f.Add(small(f))
	hostile.Add(f, hostile.Fields(small(f)))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Checksums would stop almost every mutation at the door.
		used, over := membound.Over(membound.Slack+2*dataBase, 2*dataTimes, len(b), func() {
			if f, err := newReader(bytes.NewReader(b), int64(len(b)), true); err == nil {
				visit(f.Root(), 2)
			}
		})
		if over {
			t.Errorf("a file of %d bytes took %d", len(b), used)
		}
	})
}
