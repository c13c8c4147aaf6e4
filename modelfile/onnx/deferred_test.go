package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// saved writes a network with weights large enough to be deferred.
func saved(t *testing.T) string {
	t.Helper()
	net, err := models.New("resnet8-cifar")
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 3); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := Save(path, net, SaveOptions{Input: tensor.Shape{3, 32, 32}}); err != nil {
		t.Fatal(err)
	}
	return path
}

// A model with deferred weights is that of Load, also when the file's bytes are
// no longer in memory.
func TestLoadDeferred(t *testing.T) {
	files, err := filepath.Glob("testdata/torch/*.onnx")
	if err != nil {
		t.Fatal(err)
	}
	deferred := 0
	for _, path := range append(files, saved(t)) {
		want, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := LoadDeferred(path)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC() // which must not close the file
		if len(got.Params) != len(want.Params) || got.elements != want.elements {
			t.Errorf("%s: %d parameters of %d elements, want %d of %d", path, len(got.Params), got.elements, len(want.Params), want.elements)
		}
		for name, p := range want.Params {
			q := got.Params[name]
			if q.Value.Deferred() {
				deferred++
			}
			if !slices.Equal(q.Value.Float32s(), p.Value.Float32s()) || !q.Shape.Equal(p.Shape) || q.NoDecay != p.NoDecay || q.Buffer != p.Buffer {
				t.Errorf("%s: %s differs", path, name)
			}
		}
		in, err := want.Input(2, 32)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []*Model{want, got} {
			if _, err := nn.Trace(m, nn.TraceOptions{Input: in}); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	if steadyfile.Replaceable && deferred < 2 {
		t.Errorf("%d weights were deferred", deferred)
	}
}

func TestLoadDeferredFails(t *testing.T) {
	if !steadyfile.Replaceable {
		t.Skip("files are read whole here")
	}
	path := saved(t)
	m, err := LoadDeferred(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	found := false
	for name, p := range m.Params {
		if p.Value.Deferred() {
			found = true
			if err := p.Value.Load(); !errors.Is(err, steadyfile.ErrChanged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: error %v", name, err)
			}
		}
	}
	if !found {
		t.Error("nothing is deferred")
	}
	for _, bad := range []string{path, filepath.Join(t.TempDir(), "none.onnx"), t.TempDir()} { // cut off, missing, a folder
		if _, err := LoadDeferred(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: error %v", bad, err)
		}
	}
}
