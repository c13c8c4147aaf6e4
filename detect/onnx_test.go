package detect

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

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
		all = append(all, outputsOf(t, []byte(line)))
	}
	return all
}

// outputsOf reads the outputs of a detector, as the scripts write them.
func outputsOf(t *testing.T, b []byte) []Object {
	t.Helper()
	var r struct {
		Boxes, Scores, Masks []float32
		Labels, Shape        []int
	}
	if err := json.Unmarshal(b, &r); err != nil {
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
	return objects
}

// written writes the network of a golden as an ONNX file.
func written(t *testing.T, net *models.Model, vars *engine.Vars, opt onnx.SaveOptions) string {
	t.Helper()
	for _, e := range nn.Params(net) {
		v, err := vars.Get(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		e.Param.Value = v
	}
	path := filepath.Join(t.TempDir(), "detector.onnx")
	if err := onnx.Save(path, net, opt); err != nil {
		t.Fatal(err)
	}
	return path
}

// networkOf returns the name of the network of a golden, such as fasterrcnn_v2.
func networkOf(file string) string {
	kind, version, _ := strings.Cut(file, "_")
	if version != "" {
		version = "_" + version
	}
	return kind + "_resnet18_fpn" + version
}

// TestExportedDetectors: onnxruntime finds in our ONNX files what torchvision finds,
// with batch norms kept and folded.
func TestExportedDetectors(t *testing.T) {
	python := peer.Python(t, "onnxruntime", "PIL")
	for i, file := range []string{"retinanet", "retinanet_v2", "fasterrcnn", "fasterrcnn_v2", "maskrcnn", "maskrcnn_v2"} {
		t.Run(file, func(t *testing.T) {
			g, meta := golden.Load(t, "testdata/"+file+".safetensors")
			var attrs struct{ Change map[string][2]float32 }
			meta.Decode(t, "attrs", &attrs)
			net, vars := filledNet(t, networkOf(file), attrs.Change)
			got := ranByONNXRuntime(t, python, written(t, net, vars, onnx.SaveOptions{KeepBatchNorm: i%2 == 0}))
			compare(t, got[0], g)
		})
	}
}

// TestImportedDetectors: files that PyTorch has exported of torchvision's detectors
// find what onnxruntime finds with them. The sizes and thresholds are other than the
// usual ones.
func TestImportedDetectors(t *testing.T) {
	python, dir := peer.Python(t, "torchvision", "onnxscript", "onnxruntime"), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), python, "testdata/gen/export_detectors.py", "testdata/picture.png", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"retinanet", "retinanet_v2", "fasterrcnn", "fasterrcnn_v2", "maskrcnn", "maskrcnn_v2"} {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(dir, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			got, r := opened(t, filepath.Join(dir, name+".onnx"))
			if r.Task != models.Detection || len(r.Notes) != 1 || !strings.HasPrefix(r.Model.Config.Name, strings.TrimSuffix(name, "_v2")+"_resnet") {
				t.Errorf("%s for %s: %q", r.Model.Config.Name, r.Task, r.Notes)
			}
			alike(t, got, outputsOf(t, b))
		})
	}
}

// opened returns what the model of a file finds in the picture of the goldens.
func opened(t *testing.T, path string) ([]Object, *modelfile.Result) {
	t.Helper()
	r, err := modelfile.Open(path, modelfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run, err := infer.New(r.Module, nil, infer.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(run, r.Model)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Detect(t.Context(), picture(t))
	if err != nil {
		t.Fatal(err)
	}
	return got, r
}

// TestOwnONNX: our own files open as the network that was written, with the same
// bits; without the metadata that describe it, and with folded batch norms, it is
// recognized by its layers. onnxruntime, if it is there, finds the same.
func TestOwnONNX(t *testing.T) {
	for _, file := range []string{"retinanet", "retinanet_v2", "fasterrcnn_v2", "maskrcnn"} {
		t.Run(file, func(t *testing.T) {
			_, meta := golden.Load(t, "testdata/"+file+".safetensors")
			var attrs struct{ Change map[string][2]float32 }
			meta.Decode(t, "attrs", &attrs)
			net, vars := filledNet(t, networkOf(file), attrs.Change, func(c *models.Config) {
				c.Width, c.Detection.Channels = 16, 64
				c.Detection.TopK, c.Detection.ScoreThreshold, c.Detection.NMSThreshold = 150, 0.04, 0.45
			})
			run, err := infer.New(net, vars, infer.Options{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			d, err := New(run, net)
			if err != nil {
				t.Fatal(err)
			}
			want, err := d.Detect(t.Context(), picture(t))
			if err != nil {
				t.Fatal(err)
			}
			arch, err := json.Marshal(net.Config)
			if err != nil {
				t.Fatal(err)
			}
			described := &weights.File{}
			described.Architecture = arch
			texts, err := modelfile.Metadata(described)
			if err != nil {
				t.Fatal(err)
			}
			whole := written(t, net, vars, onnx.SaveOptions{KeepBatchNorm: true, Metadata: texts})
			if got, _ := opened(t, whole); !reflect.DeepEqual(got, want) {
				t.Error("the file finds something else than the network")
			}
			folded := written(t, net, vars, onnx.SaveOptions{})
			got, r := opened(t, folded)
			alike(t, got, want)
			a, b := *r.Model.Config.Detection, *net.Config.Detection
			a.NormEps, b.NormEps = 0, 0
			if !reflect.DeepEqual(a, b) {
				t.Errorf("the network is\n%+v, want\n%+v", a, b)
			}
			if peer.Has(t, "onnxruntime", "PIL") {
				for _, objects := range ranByONNXRuntime(t, peer.Python(t), whole, folded) {
					alike(t, objects, want)
				}
			}
		})
	}
}

// alike checks that two lists have the same objects, in an order that differs only
// where scores differ by rounding.
func alike(t *testing.T, got, want []Object) {
	t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		t.Fatalf("%d objects, want %d", len(got), len(want))
	}
	used := make([]bool, len(got))
	for i, w := range want {
		found := false
		for j, o := range got {
			a, b := [4]float32{o.Box.X1, o.Box.Y1, o.Box.X2, o.Box.Y2}, [4]float32{w.Box.X1, w.Box.Y1, w.Box.X2, w.Box.Y2}
			off := 0.
			for k := range a {
				off = max(off, math.Abs(float64(a[k]-b[k])))
			}
			if used[j] || o.Class != w.Class || off > 5e-3 || math.Abs(float64(o.Score-w.Score)) > 2e-5 {
				continue
			}
			used[j], found = true, true
			if (o.Mask == nil) != (w.Mask == nil) {
				t.Errorf("object %d has a mask, the other not", i)
			} else if o.Mask != nil {
				wrong := 0
				other := w.Mask.Bitmap().Bits(nil)
				for p, v := range o.Mask.Bitmap().Bits(nil) {
					if v != other[p] {
						wrong++
					}
				}
				if wrong > 3 {
					t.Errorf("%d pixels of the mask of object %d are wrong", wrong, i)
				}
			}
			break
		}
		if !found {
			t.Errorf("object %d is missing: %+v", i, w)
		}
	}
}
