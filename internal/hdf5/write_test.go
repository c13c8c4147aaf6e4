package hdf5

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/peer"
)

// sample is a tree with everything that is written.
func sample() *Builder {
	b := &Builder{}
	b.Attr("model_config", strings.Repeat("äbc", 30000))
	b.Attr("keras_version", "3.15.1")
	b.Attr("layer_names", []string{"a", "bcd", "é", ""})
	b.Attr("nothing", []string{})
	for i := range 2000 { // a tree of three levels
		b.Dataset(fmt.Sprintf("layers/layer%d/vars/0", i), []int{2, 3}, []float32{1, 2, 3, 4, 5, float32(i)})
	}
	b.Group("none")
	b.Dataset("scalar", nil, []int64{-42})
	b.Dataset("empty", []int{0, 3}, []float32{})
	b.Dataset("seed", []int{2}, []uint32{4000000000, 1})
	b.Dataset("small", []int{3}, []int32{-1, 2, 3})
	b.Dataset("nan", []int{2}, []float32{math.Float32frombits(0x7fc00001), float32(math.Copysign(0, -1))})
	return b
}

func small(t testing.TB) []byte {
	var b Builder
	b.Attr("model_config", "{}")
	b.Attr("layer_names", []string{"a", "bcd"})
	b.Dataset("layers/conv2d/vars/0", []int{2, 3}, []float32{1, 2, 3, 4, 5, 6})
	b.Dataset("n", nil, []int64{7})
	var w bytes.Buffer
	if err := Write(&w, &b); err != nil {
		t.Fatal(err)
	}
	return w.Bytes()
}

func TestRoundTrip(t *testing.T) {
	var w, again bytes.Buffer
	if err := Write(&w, sample()); err != nil {
		t.Fatal(err)
	}
	if err := Write(&again, sample()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(w.Bytes(), again.Bytes()) {
		t.Error("the same content gave other bytes")
	}
	root := parse(t, w.Bytes()).Root()
	if want := []string{"empty", "layers", "nan", "none", "scalar", "seed", "small"}; !slices.Equal(root.Names(), want) {
		t.Errorf("names %q, want %q", root.Names(), want)
	}
	for name, want := range map[string][]string{
		"model_config": {strings.Repeat("äbc", 30000)}, "keras_version": {"3.15.1"}, "layer_names": {"a", "bcd", "é", ""}, "nothing": {},
	} {
		a, err := root.Attr(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Strings(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %.60q (%v)", name, got, err)
		}
	}
	layers, err := root.Group("layers")
	if err != nil {
		t.Fatal(err)
	}
	if len(layers.Names()) != 2000 {
		t.Errorf("%d layers", len(layers.Names()))
	}
	for i := range 2000 {
		d, err := layers.Dataset(fmt.Sprintf("layer%d/vars/0", i))
		if err != nil {
			t.Fatal(err)
		}
		if v, err := d.Float32s(); err != nil || !slices.Equal(v, []float32{1, 2, 3, 4, 5, float32(i)}) || !slices.Equal(d.Shape, []int{2, 3}) {
			t.Fatalf("layer %d: %v %v (%v)", i, d.Shape, v, err)
		}
	}
	for name, want := range map[string][]int64{"scalar": {-42}, "seed": {4000000000, 1}, "small": {-1, 2, 3}} {
		d, err := root.Dataset(name)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := d.Int64s(); err != nil || !slices.Equal(v, want) {
			t.Errorf("%s: %v (%v), want %v", name, v, err, want)
		}
	}
	d, err := root.Dataset("nan")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := d.Float32s(); err != nil || math.Float32bits(v[0]) != 0x7fc00001 || math.Float32bits(v[1]) != 1<<31 {
		t.Errorf("bits of a NaN: %x (%v)", math.Float32bits(v[0]), err)
	}
	if d, err := root.Dataset("empty"); err != nil || d.Len() != 0 || !slices.Equal(d.Shape, []int{0, 3}) {
		t.Errorf("empty: %v (%v)", d, err)
	}
}

func TestBuilderMistakes(t *testing.T) {
	for name, f := range map[string]func(b *Builder){
		"shape":           func(b *Builder) { b.Dataset("x", []int{2}, []float32{1}) },
		"type":            func(b *Builder) { b.Dataset("x", []int{1}, []string{"a"}) },
		"twice":           func(b *Builder) { b.Dataset("x", []int{1}, []float32{1}); b.Dataset("x", []int{1}, []float32{1}) },
		"group and data":  func(b *Builder) { b.Dataset("x", []int{1}, []float32{1}); b.Group("x/y") },
		"data and group":  func(b *Builder) { b.Group("x/y"); b.Dataset("x", []int{1}, []float32{1}) },
		"empty name":      func(b *Builder) { b.Group("a//b") },
		"long attribute":  func(b *Builder) { b.Attr("x", []string{strings.Repeat("a", 65000)}) },
		"attribute type":  func(b *Builder) { b.Attr("x", 1.5) },
		"zero in a group": func(b *Builder) { b.Group("a\x00b") },
	} {
		var b Builder
		f(&b)
		if err := Write(&bytes.Buffer{}, &b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestAgainstH5py lets h5py read what we write, and change it.
func TestAgainstH5py(t *testing.T) {
	python := peer.Python(t, "h5py")
	path := filepath.Join(t.TempDir(), "x.h5")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(f, sample()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	script := `
import sys, h5py, numpy as np
f = h5py.File(sys.argv[1])
assert f.attrs["model_config"] == "äbc" * 30000 and f.attrs["keras_version"] == "3.15.1"
assert [n.decode() for n in f.attrs["layer_names"]] == ["a", "bcd", "é", ""] and len(f.attrs["nothing"]) == 0
assert len(f["layers"]) == 2000
assert all((f[f"layers/layer{i}/vars/0"][:] == [[1, 2, 3], [4, 5, i]]).all() for i in range(2000))
assert f["scalar"][()] == -42 and f["seed"][0] == 4000000000 and f["small"][0] == -1
assert f["empty"].shape == (0, 3) and len(f["none"]) == 0
assert f["nan"][:].view(np.uint32)[0] == 0x7fc00001
f.close()
with h5py.File(sys.argv[1], "a") as f:
    f["layers/new/x"] = np.arange(5)
    f["none/y"] = np.arange(2)
    del f["layers/layer7"]
    f.attrs["more"] = "hello"
with h5py.File(sys.argv[1]) as f:
    assert len(f["layers"]) == 2000 and f["layers/new/x"][4] == 4 and f.attrs["more"] == "hello" and f["none/y"][1] == 1
`
	if out, err := exec.Command(python, "-c", script, path).CombinedOutput(); err != nil {
		t.Fatalf("h5py: %v\n%s", err, out)
	}
}
