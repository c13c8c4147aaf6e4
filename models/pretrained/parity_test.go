package pretrained_test

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/resnet-go/resnet"
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

// TestParity needs a Python, named by RESNET_PYTHON, with PyTorch and the
// libraries of the peers.
func TestParity(t *testing.T) {
	python := os.Getenv("RESNET_PYTHON")
	if python == "" {
		t.Skip("set RESNET_PYTHON to a Python that has PyTorch and torchvision, timm or transformers")
	}
	for _, p := range peers {
		if err := exec.Command(python, "-c", "import torch, "+p.source).Run(); err != nil {
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
	m, err := resnet.Open(ours+"@"+file, resnet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	loaded := time.Since(started)
	got, _, err := m.Forward(t.Context(), channelsLast(a.Tensors["input"].Float32s(), 2, 3, 224*224), 2)
	if err != nil {
		t.Fatal(err)
	}
	want := a.Tensors["logits"].Float32s()
	if len(got) != len(want) {
		t.Fatalf("%d logits, want %d", len(got), len(want))
	}
	span := float64(slices.Max(want) - slices.Min(want))
	worst := 0.0
	for i, w := range want {
		worst = max(worst, math.Abs(float64(got[i])-float64(w)))
	}
	t.Logf("largest difference %.3g of the logits' range %.3g: %.2e; opened in %v", worst, span, worst/span, loaded.Round(time.Millisecond))
	if !(worst <= 1e-4*span) {
		t.Errorf("the logits differ by %.2e of their range", worst/span)
	}
}

// channelsLast turns N, C, HW into N, HW, C.
func channelsLast(x []float32, n, c, hw int) []float32 {
	out := make([]float32, len(x))
	for i := range n {
		for k := range c {
			for p := range hw {
				out[(i*hw+p)*c+k] = x[(i*c+k)*hw+p]
			}
		}
	}
	return out
}
