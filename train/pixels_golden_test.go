package train

import (
	"math"
	"os"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/namefill"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// TestSegmentationAsPyTorch: logits, losses and gradients of segmentation networks
// with the same weights are those of torchvision and segmentation_models_pytorch
// (testdata/gen/segmentation.py).
func TestSegmentationAsPyTorch(t *testing.T) {
	for _, c := range []struct {
		name     string
		training bool // with the batch's statistics
		nightly  bool
	}{
		{"fcn_resnet50", false, false}, {"deeplabv3_resnet50", false, false}, {"unet_resnet18", true, false},
		{"fcn_resnet101", false, true}, {"deeplabv3_resnet101", false, true}, {"unet_resnet34", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() || c.nightly && os.Getenv("RESNET_NIGHTLY") == "" {
				t.Skip("takes seconds; the largest networks run with RESNET_NIGHTLY=1")
			}
			compareSegmentation(t, c.name, c.training)
		})
	}
}

const (
	pixelClasses = 5
	pixelStep    = 6 // of the golden's logits
)

func compareSegmentation(t *testing.T, name string, training bool) {
	want, meta := golden.Load(t, "testdata/segmentation/"+name+".safetensors")
	var params []string
	meta.Decode(t, "params", &params)
	shape := tensor.Shape{2, 3, 65, 81}
	m, x, labels := pixelNetwork(t, name, shape, training)

	r, err := infer.New(m, nil, infer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.Run(t.Context(), infer.Query{}, infer.Tensors{nn.ImageInput: x})
	if err != nil {
		t.Fatal(err)
	}
	nearAll(t, "logits", every(out[infer.Output], pixelStep), want["logits"].Float32s(), 2e-5)

	s := &Step{module: m, input: shape, classes: pixelClasses, task: segmentation{}, loss: LossRecipe{Kind: "cross-entropy", Aux: 0.5}}
	if m.Config.Segmentation.Kind == models.SegmenterUNet {
		s.loss.Dice = 0.7
	}
	byName := map[string]*graph.Value{}
	build := func(tr *nn.Traced) error {
		loss, _, err := s.task.loss(s, tr)
		if err != nil {
			return err
		}
		var ps []*graph.Value
		for _, v := range tr.Trainable() {
			byName[v.Name] = v.Value
			ps = append(ps, v.Value)
		}
		grads, err := tr.Graph.Gradients(loss, ps)
		if err != nil {
			return err
		}
		tr.Graph.Output("loss", loss)
		for i, v := range tr.Trainable() {
			tr.Graph.Output(v.Name, grads[i])
		}
		return nil
	}
	batch := &data.Batch{N: shape[0], H: shape[2], W: shape[3], Labels: labels}
	in, err := s.task.targets(s, StepInput{Batch: batch})
	if err != nil {
		t.Fatal(err)
	}
	in[nn.ImageInput] = x
	grads, err := r.Run(t.Context(), infer.Query{Name: "gradients", Training: true, Build: build}, in)
	if err != nil {
		t.Fatal(err)
	}
	nearAll(t, "loss", grads["loss"].Float32s(), want["loss"].Float32s()[:1], 1e-4)
	if len(params) != len(byName) {
		t.Errorf("%d gradients, want %d", len(byName), len(params))
	}
	tolerance := 2e-3
	if training { // through the statistics of a small batch
		tolerance = 1e-2
	}
	for i, p := range params {
		row := want["grad.digest"].Float32s()[10*i : 10*i+10]
		g := grads[p]
		if g == nil {
			t.Errorf("%s has no gradient", p)
			continue
		}
		norm, head := 0.0, make([]float32, 8)
		for _, v := range g.Float32s() {
			norm += float64(v) * float64(v)
		}
		copy(head, g.Float32s())
		// The gradient of a bias before a batch norm is zero but for rounding.
		floor := tolerance*float64(row[0]) + 1e-5
		if norm = math.Sqrt(norm); math.Abs(norm-float64(row[0])) > floor {
			t.Errorf("the gradient of %s has norm %g, want %g", p, norm, row[0])
		}
		for k, v := range head {
			if math.Abs(float64(v-row[2+k])) > floor {
				t.Errorf("the gradient of %s begins with %g, want %g", p, head, row[2:])
				break
			}
		}
	}
}

// pixelNetwork returns the network of a golden with its values, pictures and labels.
func pixelNetwork(t *testing.T, name string, shape tensor.Shape, training bool) (*models.Model, *tensor.Tensor, []int64) {
	t.Helper()
	m, err := models.New(name, models.Classes(pixelClasses))
	if err != nil {
		t.Fatal(err)
	}
	for _, mod := range nn.Modules(m) {
		switch mod := mod.(type) {
		case *nn.Dropout:
			mod.P = 0
		case *nn.BatchNorm:
			mod.RunningMean.Frozen, mod.RunningVar.Frozen = !training, !training
		}
	}
	for _, e := range nn.Params(m) {
		if e.Param.DType == tensor.Int64 {
			e.Param.Value = tensor.NewInt64()
			continue
		}
		kind, err := namefill.KindOf(e.Name, len(e.Param.Shape))
		if err != nil {
			t.Fatal(err)
		}
		e.Param.Value = tensor.New(e.Param.Shape...)
		namefill.Fill(e.Name, e.Param.Value, kind)
	}
	x := tensor.New(shape...)
	namefill.Fill("input", x, namefill.Input)
	labels := make([]int64, shape[0]*shape[2]*shape[3])
	for i := range labels {
		if labels[i] = int64((7*i + i/13) % pixelClasses); i%11 == 0 {
			labels[i] = data.IgnoredLabel
		}
	}
	return m, x, labels
}

// every returns each step-th pixel of z [N C H W].
func every(z *tensor.Tensor, step int) []float32 {
	s, v := z.Shape(), z.Float32s()
	var out []float32
	for nc := range s[0] * s[1] {
		for y := 0; y < s[2]; y += step {
			for x := 0; x < s[3]; x += step {
				out = append(out, v[(nc*s[2]+y)*s[3]+x])
			}
		}
	}
	return out
}

// nearAll fails unless the largest difference is at most tol times the largest wanted
// magnitude.
func nearAll(t *testing.T, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, want %d", what, len(got), len(want))
		return
	}
	scale, worst := 0.0, 0.0
	for i, v := range want {
		scale, worst = max(scale, math.Abs(float64(v))), max(worst, math.Abs(float64(v-got[i])))
	}
	t.Logf("%s: differs by %.2g of the range", what, worst/scale)
	if !(worst <= tol*scale) {
		t.Errorf("%s: differs by %.3g of the largest value, more than %g", what, worst/scale, tol)
	}
}

// TestIgnoredLabel: the loader's label of pixels that do not count is the loss's.
func TestIgnoredLabel(t *testing.T) {
	if data.IgnoredLabel != graph.IgnoreLabel {
		t.Errorf("%d, want %d", data.IgnoredLabel, graph.IgnoreLabel)
	}
}
