package modelfile_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// TestParityOfSegmentation: the logits of segmentation networks of full size are
// those of torchvision and segmentation_models_pytorch, from the file of weights and
// from what both of PyTorch's exporters write; and onnxruntime's on our export. It
// needs a Python as TestParity does; the first network of each library always runs,
// the rest with RESNET_PARITY=all.
func TestParityOfSegmentation(t *testing.T) {
	python := peer.Python(t, "torch")
	for source, names := range map[string][]string{
		"torchvision.segmentation":    {"fcn_resnet50", "deeplabv3_resnet50", "fcn_resnet101", "deeplabv3_resnet101"},
		"segmentation_models_pytorch": {"unet_resnet18", "unet_resnet34", "unet_resnet50"},
	} {
		library, _, _ := strings.Cut(source, ".")
		if !peer.Has(t, library) {
			t.Logf("skipped %s: %s does not have it", source, python)
			continue
		}
		if os.Getenv("RESNET_PARITY") != "all" {
			names = names[:1]
		}
		for _, name := range names {
			t.Run(source+"/"+name, func(t *testing.T) { parityOfSegmentation(t, python, source, name) })
		}
	}
}

func parityOfSegmentation(t *testing.T, python, source, name string) {
	dir := t.TempDir()
	file, answer := filepath.Join(dir, "weights.pth"), filepath.Join(dir, "answer.pth")
	cmd := exec.CommandContext(t.Context(), python, "testdata/gen/parity.py", source, name, file, answer, dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a, err := weights.Load(answer)
	if err != nil {
		t.Fatal(err)
	}
	x, want := a.Tensors["input"], a.Tensors["logits"].Float32s()
	logits := func(r *modelfile.Result, err error) []float32 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if r.Task != models.Segmentation || r.Classes != 21 || r.FixedSize {
			t.Errorf("task %s, %d classes, fixed size %v", r.Task, r.Classes, r.FixedSize)
		}
		run, err := infer.New(r.Module, nil, infer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		out, err := run.Run(t.Context(), infer.Query{}, infer.Tensors{nn.ImageInput: x})
		if err != nil {
			t.Fatal(err)
		}
		return out[infer.Output].Float32s()
	}
	got := logits(modelfile.Load(name, file, modelfile.Options{}))
	for what, z := range map[string][]float32{
		"the weights": got,
		"old.onnx":    logits(modelfile.Open(filepath.Join(dir, "old.onnx"), modelfile.Options{})),
		"dynamo.onnx": logits(modelfile.Open(filepath.Join(dir, "dynamo.onnx"), modelfile.Options{})),
	} {
		worst := difference(t, z, want)
		t.Logf("%s of %s: differs from PyTorch by %.1e of the logits' range", what, name, worst)
		if !(worst <= 1e-4) {
			t.Errorf("%s: the logits differ by %.2e of their range", what, worst)
		}
	}
	if peer.Has(t, "onnxruntime") {
		t.Logf("%s: differs from onnxruntime by %.1e", name, onnxruntime(t, name, file, x, got))
	}
}
