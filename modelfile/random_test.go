package modelfile_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/weights"
)

// TestDrawnNetworks computes networks drawn at random, whose state dicts PyTorch saved
// in the ways that people do, and compares the logits with PyTorch's:
// testdata/gen/random_networks.py makes them.
func TestDrawnNetworks(t *testing.T) {
	python := peer.Python(t, "torch", "torchvision", "safetensors")
	count, seed := peer.Draws(t, 200, 1000)
	worst, right := 0.0, 0
	defer func() { t.Logf("%d networks are as in PyTorch, up to %.1e of the logits' range", right, worst) }()
	const part = 50 // a folder's, which are removed before the next
	for ; count > 0; count, seed = count-part, seed+part {
		dir, n := t.TempDir(), min(count, part)
		if out, err := exec.Command(python, "testdata/gen/random_networks.py", dir, fmt.Sprint(seed), fmt.Sprint(n)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for k := seed; k < seed+n; k++ {
			if differs, err := drawnNetwork(t, dir, k); err != nil {
				t.Errorf("network %d: %v", k, err)
			} else {
				worst, right = max(worst, differs), right+1
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// drawnNetwork returns by how much the logits differ, as a share of their range.
func drawnNetwork(t *testing.T, dir string, k int) (float64, error) {
	b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.json", k)))
	if err != nil {
		return 0, err
	}
	var of struct{ Name, File string }
	if err := json.Unmarshal(b, &of); err != nil {
		return 0, err
	}
	a, err := weights.Load(filepath.Join(dir, fmt.Sprintf("%d.answer.safetensors", k)))
	if err != nil {
		return 0, err
	}
	shape := a.Tensors["input"].Shape()
	prep := data.Preprocess{Channels: 3, Width: shape[3], Height: shape[2], Interpolation: imaging.Bilinear, Mean: []float32{0, 0, 0}, Std: []float32{1, 1, 1}}
	opt := resnet.Options{Threads: 1, Compute: resnet.Compute{Exact: true}}
	opt.Weights.Preprocess = &prep
	m, err := resnet.Open(of.Name+"@"+of.File, opt)
	if err != nil {
		return 0, err
	}
	z, _, err := m.Forward(t.Context(), a.Tensors["input"])
	if err != nil {
		return 0, fmt.Errorf("%s: %w", of.Name, err)
	}
	differs := difference(t, z.Float32s(), a.Tensors["logits"].Float32s())
	if !(differs <= 1e-4) {
		err = fmt.Errorf("%s: the logits differ by %.2e of their range", of.Name, differs)
	}
	return differs, err
}
