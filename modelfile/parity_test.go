package modelfile_test

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// peers are networks of other libraries, by whose files' names and numbers the
// parity is shown. The first of each source always run, the rest with
// RESNET_PARITY=all.
var peers = []struct {
	source string
	names  []string
}{
	{"torchvision", []string{"resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
		"resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2"}},
	{"timm", []string{"resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "resnet50d", "seresnet50", "resnetv2_50"}},
	{"transformers", []string{"resnet18", "resnet50"}},
}

// TestParity compares with those of the peers that the Python has.
func TestParity(t *testing.T) {
	python := peer.Python(t, "torch")
	for _, p := range peers {
		if !peer.Has(t, p.source) {
			t.Logf("skipped %s: %s does not have it", p.source, python)
			continue
		}
		names := p.names
		if os.Getenv("RESNET_PARITY") != "all" {
			names = names[:1]
		}
		for _, name := range names {
			t.Run(p.source+"/"+name, func(t *testing.T) { parity(t, python, p.source, name) })
		}
	}
}

func parity(t *testing.T, python, source, name string) {
	dir := t.TempDir()
	file, answer := filepath.Join(dir, "weights.pth"), filepath.Join(dir, "answer.pth")
	cmd := exec.CommandContext(t.Context(), python, "testdata/gen/parity.py", source, name, file, answer)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a, err := weights.Load(answer)
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	ours := name
	if name == "resnetv2_50" {
		ours = "preresnet50"
	}
	m, err := resnet.Open(ours+"@"+file, resnet.Options{Compute: resnet.Compute{Exact: true}})
	if err != nil {
		t.Fatal(err)
	}
	loaded := time.Since(started)
	z, _, err := m.Forward(t.Context(), a.Tensors["input"])
	if err != nil {
		t.Fatal(err)
	}
	got := z.Float32s()
	worst := difference(t, got, a.Tensors["logits"].Float32s())
	t.Logf("%s/%s: differs from PyTorch by %.1e of the logits' range; opened in %v", source, name, worst, loaded.Round(time.Millisecond))
	if !(worst <= 1e-4) {
		t.Errorf("the logits differ by %.2e of their range", worst)
	}
	if peer.Has(t, "onnxruntime") {
		t.Logf("%s/%s: differs from onnxruntime by %.1e", source, name, onnxruntime(t, ours, file, a.Tensors["input"], got))
	}
}

// onnxruntime runs what is exported of the network and returns the largest
// difference from got, as a share of the range.
func onnxruntime(t *testing.T, name, file string, x *tensor.Tensor, got []float32) float64 {
	dir := t.TempDir()
	r, err := modelfile.Load(name, file, modelfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	model, in, out := filepath.Join(dir, "m.onnx"), filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out.safetensors")
	if err := onnx.Save(model, r.Module, onnx.SaveOptions{Input: x.Shape()[1:], KeepBatchNorm: true}); err != nil {
		t.Fatal(err)
	}
	if err := weights.Save(in, &weights.File{Tensors: map[string]*tensor.Tensor{"x": x}}, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), peer.Python(t), "onnx/testdata/gen/ort.py", model, in, out)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := weights.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	worst := difference(t, got, f.Tensors["y"].Float32s())
	if !(worst <= 1e-4) {
		t.Errorf("onnxruntime's logits differ by %.2e of their range", worst)
	}
	return worst
}

// difference returns the largest difference as a share of want's range.
func difference(t *testing.T, got, want []float32) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d logits, want %d", len(got), len(want))
	}
	worst := 0.0
	for i, w := range want {
		worst = max(worst, math.Abs(float64(got[i])-float64(w)))
	}
	return worst / float64(slices.Max(want)-slices.Min(want))
}
