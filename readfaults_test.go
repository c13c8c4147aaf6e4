package resnet

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/modelfile/keras"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// TestReadErrorAtEachRead makes each read of a model file fail, one after another, in
// every format: opening it or the first picture then ends with an error that names the
// file and the cause, or, where the read was not needed, with the right answer.
func TestReadErrorAtEachRead(t *testing.T) {
	net, err := models.New("resnet8-cifar", models.Classes(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 5); err != nil {
		t.Fatal(err)
	}
	prep, err := data.Preset("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := &weights.File{Tensors: nn.Values(net)}
	own, err := FromModule(net, Description{Classes: []string{"a", "b", "c"}, Preprocess: prep}, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	known, err := keras.FromModule(net, "resnet", tensor.Shape{3, 32, 32})
	if err != nil {
		t.Fatal(err)
	}
	for name, save := range map[string]func(string) error{
		"m.safetensors": own.Save,
		"m.pth":         func(path string) error { return weights.SavePyTorch(path, file, nil, weights.SaveOptions{}) },
		"m.onnx":        func(path string) error { return onnx.Save(path, net, onnx.SaveOptions{Input: tensor.Shape{3, 32, 32}}) },
		"m.keras":       func(path string) error { return keras.Save(path, known) },
		"m.h5":          func(path string) error { return keras.Save(path, known) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := save(path); err != nil {
				t.Fatal(err)
			}
			model, opt := path, Options{Threads: 1, TopK: 3}
			if name != "m.safetensors" {
				opt.Weights.Preprocess = &prep
			}
			if name == "m.pth" {
				model = "resnet8-cifar@" + path
			}
			answer := func() ([]Prediction, error) {
				m, err := Open(model, opt)
				if err != nil {
					return nil, err
				}
				return m.Classify(t.Context(), Image(noise(32, 32)))
			}
			reads, failAt := 0, 0
			restore := steadyfile.Inject(func(of string, _ int64, _ int) error {
				if of != path {
					return nil
				}
				if reads++; reads == failAt {
					return &os.PathError{Op: "read", Path: of, Err: syscall.EIO}
				}
				return nil
			})
			defer restore()
			want, err := answer()
			if err != nil {
				t.Fatal(err)
			}
			all := reads
			if all < 2 {
				t.Fatalf("%d reads", all)
			}
			failed := 0
			for failAt = 1; failAt <= all; failAt += max(1, all/40) {
				reads = 0
				got, err := answer()
				if err == nil {
					for i := range want {
						if got[i] != want[i] {
							t.Fatalf("read %d of %d failed: %v, want %v", failAt, all, got, want)
						}
					}
					continue
				}
				failed++
				if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), name) {
					t.Errorf("read %d of %d failed: %v", failAt, all, err)
				}
			}
			if failed == 0 {
				t.Error("no read was needed")
			}
		})
	}
}
