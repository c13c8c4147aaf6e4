package modelfile

import (
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

func TestNonFinite(t *testing.T) {
	net, err := models.New("resnet8-cifar")
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		for _, deferred := range []bool{false, true} {
			tensors := nn.Values(net)
			w := tensors["layer3.0.conv2.weight"].Clone() // large enough to be deferred
			w.Float32s()[1234] = bad
			tensors["layer3.0.conv2.weight"] = w
			path := filepath.Join(t.TempDir(), "w.safetensors")
			if err := weights.Save(path, &weights.File{Tensors: tensors}, weights.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			_, err := Load("resnet8-cifar", path, Options{Deferred: deferred})
			var found *NonFiniteError
			if !errors.As(err, &found) || found.Tensor != "layer3.0.conv2.weight" || found.Index != 1234 || !strings.Contains(err.Error(), "layer3.0.conv2.weight") || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, deferred %v: %v", bad, deferred, err)
			}
			if _, err := Load("resnet8-cifar", path, Options{Deferred: deferred, AllowNonFinite: true}); err != nil {
				t.Errorf("allowed: %v", err)
			}
		}
	}
}

func TestNonFiniteIndex(t *testing.T) {
	x := make([]float32, 5000)
	for i := range x {
		x[i] = math.MaxFloat32
	}
	if i := nonFinite(x); i != -1 {
		t.Errorf("the largest number at %d is taken for infinite", i)
	}
	for _, at := range []int{0, 1023, 1024, 4999} {
		x[at] = float32(math.NaN())
		if i := nonFinite(x); i != at {
			t.Errorf("found at %d, want %d", i, at)
		}
		x[at] = 0
	}
}

// BenchmarkCheckFinite is the cost of the check: bytes per second of weights.
func BenchmarkCheckFinite(b *testing.B) {
	t := tensor.New(25 << 20)
	b.SetBytes(4 * 25 << 20)
	for b.Loop() {
		if err := checkFinite("file", map[string]*tensor.Tensor{"w": t}); err != nil {
			b.Fatal(err)
		}
	}
}
