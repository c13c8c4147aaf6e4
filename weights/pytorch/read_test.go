package pytorch

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/tensor"
)

// golden is what PyTorch found in a file; see testdata/gen/files.py.
type golden struct {
	Dict    *string
	Refused *string
	Tensors map[string]struct {
		DType  DType
		Shape  tensor.Shape
		Values []float64
	}
}

// goldens calls f for each file made by each version of PyTorch.
func goldens(t *testing.T, f func(t *testing.T, path string, g golden)) {
	lists, err := filepath.Glob("testdata/*/expected.json")
	if err != nil || len(lists) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		var expected struct{ Files map[string]golden }
		if err := json.Unmarshal(b, &expected); err != nil {
			t.Fatalf("%s: %v", list, err)
		}
		for _, name := range slices.Sorted(maps.Keys(expected.Files)) {
			path := filepath.Join(filepath.Dir(list), name)
			t.Run(filepath.Base(filepath.Dir(list))+"/"+name, func(t *testing.T) { f(t, path, expected.Files[name]) })
		}
	}
}

func TestFilesOfPyTorch(t *testing.T) {
	goldens(t, func(t *testing.T, path string, g golden) {
		r, err := Open(path, Options{})
		if g.Refused != nil {
			var refused *GlobalError
			if !errors.As(err, &refused) {
				t.Fatalf("the error is %v, not a GlobalError", err)
			}
			if got := refused.Module + "." + refused.Name; got != *g.Refused || !strings.Contains(err.Error(), got) {
				t.Errorf("refused %s in %q, want %s", got, err, *g.Refused)
			}
			return
		}
		if g.Tensors == nil {
			if err == nil || !strings.Contains(err.Error(), "not a dictionary of tensors") {
				t.Errorf("a file without a state dict gives %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if r.Dict() != *g.Dict {
			t.Errorf("took the dictionary %q, want %q", r.Dict(), *g.Dict)
		}
		if len(r.Entries()) != len(g.Tensors) {
			t.Errorf("%d tensors, PyTorch has %d", len(r.Entries()), len(g.Tensors))
		}
		for _, e := range r.Entries() {
			want, ok := g.Tensors[e.Name]
			if !ok {
				t.Errorf("%s is not in PyTorch's list", e.Name)
				continue
			}
			if e.DType != want.DType || !e.Shape.Equal(want.Shape) {
				t.Errorf("%s is %s%v, want %s%v", e.Name, e.DType, e.Shape, want.DType, want.Shape)
			}
			got, err := r.Tensor(e.Name)
			if err != nil {
				t.Errorf("%s: %v", e.Name, err)
				continue
			}
			checkValues(t, e.Name, got, want.Shape, want.Values)
		}
	})
	if _, err := os.Stat("/tmp/resnet-pickle-ran"); err == nil {
		t.Error("a pickle was run")
	}
}

func checkValues(t *testing.T, name string, got *tensor.Tensor, shape tensor.Shape, want []float64) {
	t.Helper()
	if !got.Shape().Equal(shape) {
		t.Errorf("%s has shape %v, want %v", name, got.Shape(), shape)
		return
	}
	for i, w := range want {
		if got.DType() == tensor.Float32 {
			if g := got.Float32s()[i]; g != float32(w) {
				t.Errorf("%s: element %d is %v, want %v", name, i, g, w)
			}
		} else if g := got.Int64s()[i]; g != int64(w) {
			t.Errorf("%s: element %d is %v, want %v", name, i, g, w)
		}
	}
}

// Any cut file must be an error, and none may panic.
func TestCutFiles(t *testing.T) {
	for _, name := range []string{"legacy.pth", "flat.pth", "legacy_views.pth"} {
		b, err := os.ReadFile("testdata/torch1.13/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for n := range b {
			if err := readAll(b[:n], Options{}); err == nil {
				t.Errorf("%s: its first %d of %d bytes were read as a whole file", name, n, len(b))
			}
		}
		if err := readAll(b, Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// readAll reads a file of these bytes with all its tensors.
func readAll(b []byte, opt Options) error {
	r, err := NewReader(bytes.NewReader(b), int64(len(b)), opt)
	if err != nil {
		return err
	}
	for _, e := range r.Entries() {
		x, err := r.Tensor(e.Name)
		if err != nil {
			return err
		}
		if !x.Shape().Equal(e.Shape) {
			return errors.New("the shape differs from the entry's")
		}
	}
	return nil
}

func TestDamagedBytesAreFound(t *testing.T) {
	b, err := os.ReadFile("testdata/torch1.13/flat.pth")
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(bytes.NewReader(b), int64(len(b)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	x, err := r.Tensor("conv1.weight")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := r.box.bytes(r.views["conv1.weight"].storage)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 16)
	if _, err := raw.ReadAt(first, 0); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, first)
	b[at+5] ^= 1
	if err := readAll(b, Options{}); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a changed bit in conv1.weight (%v) gives %v", x, err)
	}
}

func TestChoosingADictionary(t *testing.T) {
	r, err := Open("testdata/torch1.13/ema.pth", Options{Dict: "model"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !slices.Equal(r.Dicts(), []string{"model_ema", "model"}) || r.Dict() != "model" {
		t.Errorf("dictionaries %q, took %q", r.Dicts(), r.Dict())
	}
	n, err := Open("testdata/torch1.13/nested.pth", Options{Dict: "net.encoder"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if len(n.Entries()) != 1 || n.Entries()[0].Name != "conv.weight" {
		t.Errorf("net.encoder has %v", n.Entries())
	}
	_, err = Open("testdata/torch1.13/ema.pth", Options{Dict: "modle"})
	if err == nil || !strings.Contains(err.Error(), `"modle"; there are: "model", "model_ema"`) {
		t.Errorf("an unknown dictionary gives %v", err)
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	if _, err := Open("testdata/nothing.pth", Options{}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "nothing.pth") {
		t.Errorf("a missing file gives %v", err)
	}
	if _, err := Open("testdata", Options{}); err == nil || !strings.Contains(err.Error(), "testdata") {
		t.Errorf("a folder gives %v", err)
	}
}
