package segment

import (
	"context"
	"math"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// TestExplain: the score is the mean logit of the class, and the gradient at the
// pixels is what finite differences of that mean give.
func TestExplain(t *testing.T) {
	net, err := models.New("unet_resnet18", models.Classes(3), func(c *models.Config) {
		c.Width, c.Segmentation.Decoder = 8, []int{16, 8, 8, 8, 8}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 2); err != nil {
		t.Fatal(err)
	}
	run, err := infer.New(net, nil, infer.Options{Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := data.Preset("imagenet")
	if err != nil {
		t.Fatal(err)
	}
	p = p.For(3, 64, 64)
	n, err := New(run, p, 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	e, err := explain.New(net, nil, tensor.Shape{3, 64, 64}, infer.Options{Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	m := imaging.New(64, 64, 3)
	for i := range m.Pix {
		m.Pix[i] = uint8(i * i % 251)
	}
	ctx := context.Background()
	x, err := n.Explain(ctx, e, m, func([]float64) []int { return []int{2} }, "encoder.layer4", explain.Options{Method: explain.Saliency})
	if err != nil {
		t.Fatal(err)
	}
	mean := func() float64 {
		out, err := run.Run(ctx, infer.Query{}, infer.Tensors{nn.ImageInput: x.Input})
		if err != nil {
			t.Fatal(err)
		}
		z := out[infer.Output]
		pixels, sum := z.Shape()[2]*z.Shape()[3], 0.0
		for _, v := range z.Float32s()[2*pixels : 3*pixels] {
			sum += float64(v)
		}
		return sum / float64(pixels)
	}
	if got := mean(); math.Abs(got-float64(x.Maps[0].Logit)) > 1e-5 {
		t.Errorf("the score is %g, want %g", x.Maps[0].Logit, got)
	}
	// Saliency is the largest gradient of the three channels.
	rows, one := x.Input.Float32s(), x.Maps[0]
	scale := 0.0
	for _, v := range one.Values {
		scale = max(scale, float64(v))
	}
	for _, pixel := range []int{0, 1500, 2080, 4095} {
		steepest := 0.0
		for c := range 3 {
			const h = 1e-2
			old := rows[3*pixel+c]
			rows[3*pixel+c] = old + h
			up := mean()
			rows[3*pixel+c] = old - h
			down := mean()
			rows[3*pixel+c] = old
			steepest = max(steepest, math.Abs(up-down)/(2*h))
		}
		if got := float64(one.Values[pixel]); math.Abs(got-steepest) > 0.02*scale {
			t.Errorf("pixel %d: the gradient is %g, by differences %g", pixel, got, steepest)
		}
	}
	// Class activation maps are of the layer that is given.
	x, err = n.Explain(ctx, e, m, func(shares []float64) []int { return []int{0, 1} }, "encoder.layer4", explain.Options{})
	if err != nil || len(x.Maps) != 2 || x.Maps[0].W != 3 || x.Maps[0].Layer != "encoder.layer4" {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := n.Explain(ctx, e, m, func([]float64) []int { return []int{3} }, "", explain.Options{}); err == nil {
		t.Error("class 3 of 3 is explained")
	}
}
