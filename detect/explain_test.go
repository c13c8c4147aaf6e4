package detect

import (
	"math"
	"testing"

	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/tensor"
)

// TestExplain: the logit that is explained gives the object's score, and the gradient
// at the pixels predicts how the score changes where they change.
func TestExplain(t *testing.T) {
	for file, name := range map[string]string{"retinanet": "retinanet_resnet18_fpn", "maskrcnn": "maskrcnn_resnet18_fpn"} {
		t.Run(file, func(t *testing.T) {
			_, meta := golden.Load(t, "testdata/"+file+".safetensors")
			var attrs struct{ Change map[string][2]float32 }
			meta.Decode(t, "attrs", &attrs)
			net, vars := filledNet(t, name, attrs.Change, func(c *models.Config) { c.Width, c.Detection.Channels = 16, 32 })
			run, err := infer.New(net, vars, infer.Options{Exact: true})
			if err != nil {
				t.Fatal(err)
			}
			d, err := New(run, net)
			if err != nil {
				t.Fatal(err)
			}
			e, err := explain.New(net, vars, tensor.Shape{3, 128, 128}, infer.Options{Exact: true})
			if err != nil {
				t.Fatal(err)
			}
			some := func(objects []Object) ([]int, error) { return []int{0, len(objects) - 1}, nil }
			x, err := d.Explain(t.Context(), e, picture(t), some, explain.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range x.Maps {
				if len(m.Values) != m.W*m.H || m.Class != x.Objects[i].Class || m.Layer == "" {
					t.Errorf("map %d: %+v", i, m)
				}
				score := float64(x.Objects[i].Score)
				if got := 1 / (1 + math.Exp(-float64(m.Logit))); file == "retinanet" && math.Abs(got-score) > 1e-5 {
					t.Errorf("the logit %g gives a score of %g, the object has %g", m.Logit, got, score)
				}
			}

			l := d.finder.(locator)
			all, at, in, err := l.locate(t.Context(), x.Input, x.Height, x.Width)
			if err != nil || len(all) == 0 {
				t.Fatal(err)
			}
			s, err := at(0)
			if err != nil {
				t.Fatal(err)
			}
			m, err := e.Map(t.Context(), in, s, explain.Options{Method: explain.Saliency})
			if err != nil {
				t.Fatal(err)
			}
			if m.W != x.Input.Shape()[3] || m.H != x.Input.Shape()[2] || m.Logit != x.Maps[0].Logit {
				t.Errorf("the map is %d x %d with a logit of %g, want %g", m.W, m.H, m.Logit, x.Maps[0].Logit)
			}
			if file == "retinanet" { // proposals would move, too
				at := 0
				for i, v := range m.Values {
					if v > m.Values[at] {
						at = i
					}
				}
				steepest, rows := 0.0, x.Input.Float32s()
				for c := range 3 {
					logit := func(change float32) float64 {
						old := rows[3*at+c]
						defer func() { rows[3*at+c] = old }()
						rows[3*at+c] += change
						changed, err := e.Map(t.Context(), in, s, explain.Options{Method: explain.Saliency})
						if err != nil {
							t.Fatal(err)
						}
						return float64(changed.Logit)
					}
					const h = 1e-2
					steepest = max(steepest, math.Abs(logit(h)-logit(-h))/(2*h))
				}
				if got := float64(m.Values[at]); math.Abs(got-steepest) > 0.05*got { // ReLUs bend
					t.Errorf("the gradient is %g, by differences %g", got, steepest)
				}
			}
			if _, err := e.Map(t.Context(), in, s, explain.Options{Method: explain.Occlusion}); err == nil {
				t.Error("occlusion is accepted")
			}
			none := func([]Object) ([]int, error) { return []int{1000}, nil }
			if _, err := d.Explain(t.Context(), e, picture(t), none, explain.Options{}); err == nil {
				t.Error("object 1000 is explained")
			}
		})
	}
}
