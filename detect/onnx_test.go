package detect

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

// peerPython returns the Python with the programs that tests compare with, or skips.
func peerPython(t *testing.T) string {
	t.Helper()
	python := os.Getenv("RESNET_PEER_PYTHON")
	if python == "" {
		t.Skip("RESNET_PEER_PYTHON names no Python with onnxruntime")
	}
	return python
}

// ranByONNXRuntime returns what onnxruntime finds in the picture of the goldens.
func ranByONNXRuntime(t *testing.T, python string, files ...string) [][]Object {
	t.Helper()
	args := append([]string{"testdata/gen/onnxruntime_detect.py", "testdata/picture.png"}, files...)
	cmd := exec.CommandContext(t.Context(), python, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]Object
	for line := range strings.Lines(string(out)) {
		var r struct {
			Boxes, Scores, Masks []float32
			Labels, Shape        []int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		var objects []Object
		for i, s := range r.Scores {
			b := r.Boxes[4*i:]
			o := Object{Box: boxes.Box{X1: b[0], Y1: b[1], X2: b[2], Y2: b[3]}, Class: r.Labels[i], Score: s}
			if r.Shape != nil {
				h, w := r.Shape[2], r.Shape[3]
				mask := masks.Threshold(r.Masks[i*h*w:(i+1)*h*w], h, w, maskThreshold)
				o.Mask = &mask
			}
			objects = append(objects, o)
		}
		all = append(all, objects)
	}
	return all
}

// written writes the network of a golden as an ONNX file.
func written(t *testing.T, net *models.Model, vars *engine.Vars, keep bool) string {
	t.Helper()
	for _, e := range nn.Params(net) {
		v, err := vars.Get(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		e.Param.Value = v
	}
	path := filepath.Join(t.TempDir(), "detector.onnx")
	if err := onnx.Save(path, net, onnx.SaveOptions{KeepBatchNorm: keep}); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestExportedDetectors: onnxruntime finds in our ONNX files what torchvision finds,
// with batch norms kept and folded.
func TestExportedDetectors(t *testing.T) {
	python := peerPython(t)
	for i, file := range []string{"retinanet", "retinanet_v2", "fasterrcnn", "fasterrcnn_v2", "maskrcnn", "maskrcnn_v2"} {
		t.Run(file, func(t *testing.T) {
			kind, version, _ := strings.Cut(file, "_")
			name := kind + "_resnet18_fpn"
			if version != "" {
				name += "_" + version
			}
			g, meta := golden.Load(t, "testdata/"+file+".safetensors")
			var attrs struct{ Change map[string][2]float32 }
			meta.Decode(t, "attrs", &attrs)
			net, vars := filledNet(t, name, attrs.Change)
			got := ranByONNXRuntime(t, python, written(t, net, vars, i%2 == 0))
			compare(t, got[0], g)
		})
	}
}
