package models

import (
	"fmt"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/namefill"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// TestDetectorKeysAreTorchvisions compares the state dicts with lists that
// torchvision printed.
func TestDetectorKeysAreTorchvisions(t *testing.T) {
	for _, n := range detectionTable() {
		compareKeys(t, n.name, "detection/torchvision_"+n.name)
	}
}

// TestGoldenRetinaNet compares what the heads compute with torchvision; see
// testdata/gen/detection.py.
func TestGoldenRetinaNet(t *testing.T) {
	for _, v := range []struct {
		file, name string
		eps        float32
	}{{"retinanet", "retinanet_resnet18_fpn", 0}, {"retinanet_v2", "retinanet_resnet18_fpn_v2", 1e-5}} {
		want, _ := golden.Load(t, "testdata/detection/"+v.file+".safetensors")
		m, err := New(v.name, Classes(5), func(c *Config) { c.Detection.NormEps = v.eps })
		if err != nil {
			t.Fatal(err)
		}
		tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(1, 3, 96, 120)})
		if err != nil {
			t.Fatal(err)
		}
		_, logits, deltas := m.Detector.(*RetinaNet).Levels(tr)
		var names []string
		for i := range logits {
			for name, x := range map[string]*graph.Value{"logits": logits[i], "deltas": deltas[i]} {
				names = append(names, fmt.Sprintf("%s.%d", name, i))
				tr.Graph.Output(names[len(names)-1], x)
			}
		}
		vars := engine.NewVars()
		fillVars(t, m, vars)
		plan, err := engine.Compile(tr.Graph, vars, engine.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		x := tensor.New(1, 3, 96, 120)
		namefill.Fill("input", x, namefill.Input)
		var out []*tensor.Tensor
		for _, p := range plan.Outputs() {
			out = append(out, tensor.New(p.Shape...))
		}
		if err := plan.Run([]*tensor.Tensor{x}, out); err != nil {
			t.Fatal(err)
		}
		if len(want) != len(names) {
			t.Errorf("%s: %d outputs, want %d", v.file, len(names), len(want))
		}
		for i, p := range plan.Outputs() {
			got, w := out[i].Float32s(), want[p.Name].Float32s()
			largest, worst := 0., 0.
			for k, v := range w {
				largest = max(largest, abs(float64(v)))
				worst = max(worst, abs(float64(v-got[5*k])))
			}
			if worst > 2e-5*largest || len(w) != (len(got)+4)/5 {
				t.Errorf("%s %s: off by %g of %g", v.file, p.Name, worst, largest)
			}
		}
	}
}

func abs(x float64) float64 { return max(x, -x) }

// fillVars gives a model's variables the values that golden scripts fill in.
func fillVars(t *testing.T, m nn.Module, vars *engine.Vars) {
	t.Helper()
	for _, e := range nn.Params(m) {
		x := tensor.NewInt64()
		if e.Param.DType == tensor.Float32 {
			x = tensor.New(e.Param.Shape...)
			kind, err := namefill.KindOf(e.Name, len(e.Param.Shape))
			if err != nil {
				t.Fatal(err)
			}
			namefill.Fill(e.Name, x, kind)
		}
		if err := vars.Set(e.Name, x); err != nil {
			t.Fatal(err)
		}
	}
}
