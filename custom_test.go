package resnet_test

import (
	"context"
	"image"
	"image/color"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// gated is a network that package models does not have: two inputs, two outputs.
type gated struct {
	Conv *nn.Conv2d
	Norm *nn.BatchNorm
	Gate *nn.Linear
	Head *nn.Linear
	two  bool
}

func newGated(two bool) *gated {
	g := &gated{Conv: nn.NewConv2d(3, 6, 3, nn.Padding(1), nn.NoBias()), Norm: nn.NewBatchNorm2d(6), Head: nn.NewLinear(6, 3), two: two}
	if two {
		g.Gate = nn.NewLinear(2, 6)
	}
	return g
}

func (g *gated) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	y := c.ReLU(c.Call(g.Norm, c.Call(g.Conv, x)))
	f := c.Op1(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, y)
	if g.two {
		f = c.Mul(f, c.Op1(graph.Unary{Fn: graph.Sigmoid}, c.Call(g.Gate, c.Input("sensor", graph.F32(2)))))
		c.Output("features", f)
	}
	return c.Call(g.Head, f)
}

func model(t *testing.T, net nn.Module) *resnet.Model {
	t.Helper()
	if err := nn.Init(net, 3); err != nil {
		t.Fatal(err)
	}
	p, err := data.Preset("imagenet")
	if err != nil {
		t.Fatal(err)
	}
	p.Width, p.Height, p.Resize = 16, 12, 16
	m, err := resnet.FromModule(net, resnet.Description{Classes: []string{"a", "b", "c"}, Preprocess: p}, resnet.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func reopened(t *testing.T, m *resnet.Model) *resnet.Model {
	t.Helper()
	path := filepath.Join(t.TempDir(), "custom.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := resnet.Open(path, resnet.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// The file of a network that package models does not have is enough to use it.
func TestCustomNetworkTravelsInItsFile(t *testing.T) {
	m := model(t, newGated(false))
	picture := image.NewRGBA(image.Rect(0, 0, 20, 20))
	for i := range 400 {
		picture.Set(i%20, i/20, color.RGBA{uint8(i * 3), uint8(i * 7), uint8(i * 11), 255})
	}
	want, err := m.Classify(context.Background(), resnet.Image(picture))
	if err != nil {
		t.Fatal(err)
	}
	again := reopened(t, m)
	for range 2 { // the second time from the file of the opened one
		got, err := again.Classify(context.Background(), resnet.Image(picture))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("after opening %v, before %v", got, want)
		}
		again = reopened(t, again)
	}
	if k := nn.Values(again.Network()); k["Conv.weight"] == nil && k["conv.weight"] == nil {
		t.Errorf("the keys changed: %v", k)
	}
}

// So is that of a network with several inputs and outputs, which Run computes.
func TestSeveralInputsAndOutputs(t *testing.T) {
	m := model(t, newGated(true))
	again := reopened(t, m)
	for _, n := range []int{1, 3} {
		in := infer.Tensors{nn.ImageInput: tensor.New(n, 3, 12, 16), "sensor": tensor.New(n, 2)}
		for i, v := range in[nn.ImageInput].Float32s() {
			_ = v
			in[nn.ImageInput].Float32s()[i] = float32(i%17) / 9
		}
		for i := range in["sensor"].Float32s() {
			in["sensor"].Float32s()[i] = float32(i) - 1.5
		}
		want, err := m.Run(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := again.Run(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{infer.Output, "features"} {
			if want[name] == nil || got[name] == nil || !slices.Equal(want[name].Float32s(), got[name].Float32s()) {
				t.Errorf("%s of %d: after opening %v, before %v", name, n, got[name], want[name])
			}
		}
	}
	_, err := again.Classify(context.Background(), resnet.Image(image.NewGray(image.Rect(0, 0, 16, 12))))
	if err == nil || !strings.Contains(err.Error(), `"sensor"`) || !strings.Contains(err.Error(), "resnet.Model.Run") {
		t.Errorf("a picture alone: %v", err)
	}
}

// fixed is a network whose graph depends on the batch in a way that ONNX cannot have.
type fixed struct{ Head *nn.Linear }

func (f *fixed) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	n := x.Shape[0]
	y := c.Call(f.Head, c.Op1(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, x))
	return c.Op1(graph.Affine{Scale: 1 / float32(n)}, y)
}

// A graph that cannot be written does not cost the weights, and the error on opening gives the reason.
func TestGraphThatCannotBeWritten(t *testing.T) {
	m := model(t, &fixed{nn.NewLinear(3, 3)})
	path := filepath.Join(t.TempDir(), "fixed.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := resnet.Open(path, resnet.Options{}); err == nil || !strings.Contains(err.Error(), "depends on the batch size") || !strings.Contains(err.Error(), "nn.Load") {
		t.Error(err)
	}
}
