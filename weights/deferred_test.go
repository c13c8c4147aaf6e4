package weights_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
	"github.com/resnet-go/resnet/weights/pytorch"
)

// large returns a model file of which one tensor is deferred.
func large() *weights.File {
	f := random()
	x := tensor.New(64, 64, 3, 3)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(i%2048) / 64 // whole in float16, too
	}
	f.Tensors["layer1.0.conv1.weight"] = x
	f.Tensors["long.bias"] = tensor.New(1 << 15)
	return f
}

// save writes f as safetensors and as PyTorch's file.
func save(t *testing.T, dir string, f *weights.File) []string {
	t.Helper()
	st, pth, half := filepath.Join(dir, "a.safetensors"), filepath.Join(dir, "a.pth"), filepath.Join(dir, "half.safetensors")
	if err := weights.Save(st, f, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := weights.Save(half, &weights.File{Tensors: f.Tensors}, weights.SaveOptions{Half: true}); err != nil {
		t.Fatal(err)
	}
	if err := weights.SavePyTorch(pth, f, nil, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return []string{st, pth, half}
}

func skipWindows(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("files are read whole there")
	}
}

// What is deferred are large matrices, and they have the same elements as those
// of Load, as often as they are read.
func TestDeferred(t *testing.T) {
	skipWindows(t)
	for _, path := range save(t, t.TempDir(), large()) {
		want, err := weights.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := weights.LoadFrom(path, weights.LoadOptions{Deferred: true})
		if err != nil {
			t.Fatal(err)
		}
		for name, x := range got.Tensors {
			if x.Deferred() != (name == "layer1.0.conv1.weight") {
				t.Errorf("%s: %s: deferred %v", path, name, x.Deferred())
			}
			if want.Tensors[name].Deferred() {
				t.Errorf("%s: %s is deferred without being asked for", path, name)
			}
		}
		runtime.GC() // which must not close the file
		x := got.Tensors["layer1.0.conv1.weight"]
		y := make([]float32, x.Numel())
		for range 2 {
			clear(y)
			if err := x.Read(y); err != nil || !slices.Equal(y, want.Tensors["layer1.0.conv1.weight"].Float32s()) {
				t.Errorf("%s: other elements, %v", path, err)
			}
		}
		same(t, got, want)
	}
}

// A file that was replaced by a rename is read as it was; one that was cut off
// or written to is an error that names it.
func TestDeferredAndChanged(t *testing.T) {
	skipWindows(t)
	f := large()
	for _, path := range save(t, t.TempDir(), f) {
		load := func() *tensor.Tensor {
			t.Helper()
			got, _, err := weights.LoadFrom(path, weights.LoadOptions{Deferred: true})
			if err != nil {
				t.Fatal(err)
			}
			return got.Tensors["layer1.0.conv1.weight"]
		}
		x := load()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".new", bytes.Repeat([]byte{1}, len(b)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		y := make([]float32, x.Numel())
		if err := x.Read(y); err != nil || !slices.Equal(y, f.Tensors["layer1.0.conv1.weight"].Float32s()) {
			t.Errorf("%s: replaced by a rename: %v", path, err)
		}
		for what, change := range map[string]func() error{
			"cut off":    func() error { return os.Truncate(path, 600) },
			"cut before": func() error { return os.Truncate(path, 0) },
			"longer":     func() error { return os.WriteFile(path, append(b, 0), 0o600) },
		} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			x := load()
			if err := change(); err != nil {
				t.Fatal(err)
			}
			if err := x.Load(); !errors.Is(err, steadyfile.ErrChanged) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, %s: error %v", path, what, err)
			}
		}
	}
}

// The sum of a PyTorch file's tensor is checked when it is read.
func TestDeferredAndDamaged(t *testing.T) {
	skipWindows(t)
	path := save(t, t.TempDir(), large())[1]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1 // of the large tensor
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	got, _, err := weights.LoadFrom(path, weights.LoadOptions{Deferred: true})
	if err != nil {
		t.Fatal(err)
	}
	var bad *pytorch.FormatError
	if err := got.Tensors["layer1.0.conv1.weight"].Load(); !errors.As(err, &bad) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}
