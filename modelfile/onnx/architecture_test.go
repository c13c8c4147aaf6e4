package onnx_test

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/membound"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// run returns all outputs of a network with its values.
func run(t *testing.T, m nn.Module, in infer.Tensors) infer.Tensors {
	t.Helper()
	r, err := infer.New(m, nil, infer.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.Run(context.Background(), infer.Query{}, in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tokens is a network with an input of whole numbers, a second output that is used
// inside, and an output that is an input's.
type tokens struct {
	Table *nn.Param
	Body  *nn.Conv2d
	Head  *nn.Linear
}

func (m *tokens) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	ids := c.Input("ids", graph.Type{DType: tensor.Int64})
	e := c.Op1(graph.Gather{Axis: 0}, c.Param(m.Table), ids)
	y := c.Call(m.Body, x)
	c.Output("maps", y)
	c.Output("same maps", y)
	f := c.Op1(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, c.ReLU(y))
	return c.Call(m.Head, c.Add(f, e))
}

// Every module that nn has, and blocks of package models, keep their results when the
// graph travels in a file.
func TestArchitectureOfModules(t *testing.T) {
	const c = 8
	attention := func() nn.Module {
		return nn.Sequential{nn.NewConv2d(3, c, 4, nn.Stride(4)), &rows{nn.NewMultiheadAttention(c, 2)}, nn.NewLinear(c, 3)}
	}
	conv := func(more ...nn.Module) nn.Sequential {
		all := append(nn.Sequential{nn.NewConv2d(3, c, 3, nn.Padding(1))}, more...)
		return append(all, nn.NewGlobalAvgPool(), nn.NewLinear(c, 3))
	}
	resnet, err := models.New("resnet8-cifar", models.InputSize(16))
	if err != nil {
		t.Fatal(err)
	}
	nets := map[string]nn.Module{
		"batch norm": conv(nn.NewBatchNorm2d(c), nn.NewReLU()),
		"group norm": conv(nn.NewGroupNorm(2, c)), "instance norm": conv(nn.NewInstanceNorm2d(c, true)), "layer norm": conv(&norm{nn.NewLayerNorm(c)}),
		"prelu": conv(nn.NewPReLU(c)), "transposed": conv(nn.NewConvTranspose2d(c, c, 2, 2)), "upsample": conv(nn.NewUpsample(2, true)),
		"pools": conv(nn.NewMaxPool2d(3, 2, 1), nn.NewAvgPool2d(2, 2, 0)), "dropout": conv(nn.NewDropout(0.3)),
		"residual":  conv(&nn.Residual{Main: nn.Sequential{nn.NewConv2d(c, c, 3, nn.Padding(1))}, Activation: nn.NewReLU()}),
		"attention": attention(), "resnet": resnet, "flatten": nn.Sequential{&nn.Flatten{}, nn.NewLinear(3*16*16, 3)},
		"tokens": &tokens{nn.NewParam(nn.Normal(0, 1), 5, c), nn.NewConv2d(3, c, 3), nn.NewLinear(c, 3)},
	}
	for name, net := range nets {
		t.Run(name, func(t *testing.T) {
			if err := nn.Init(net, 5); err != nil {
				t.Fatal(err)
			}
			arch, err := onnx.Architecture(net, tensor.Shape{3, 16, 16})
			if err != nil {
				t.Fatal(err)
			}
			if !onnx.IsArchitecture(arch) {
				t.Error("not recognized")
			}
			m, err := onnx.FromArchitecture(arch)
			if err != nil {
				t.Fatal(err)
			}
			values := map[string]*tensor.Tensor{}
			for key, v := range nn.Values(net) {
				if p := m.Params[key]; p != nil {
					values[key] = v
				}
			}
			if _, err := nn.Load(m, values, nn.LoadOptions{}); err != nil {
				t.Fatal(err)
			}
			for _, e := range nn.Params(net) {
				if p := m.Params[e.Name]; p != nil && (p.Buffer != e.Param.Buffer || p.NoDecay != e.Param.NoDecay) {
					t.Errorf("%s: buffer %v, no decay %v", e.Name, p.Buffer, p.NoDecay)
				} else if p == nil && e.Param.Trainable() {
					t.Errorf("%s is missing", e.Name)
				}
			}
			for _, n := range []int{1, 3} {
				x := tensor.New(n, 3, 16, 16)
				for i := range x.Float32s() {
					x.Float32s()[i] = float32(math.Sin(float64(i) * 0.7))
				}
				in := infer.Tensors{nn.ImageInput: x}
				if name == "tokens" {
					in["ids"] = tensor.NewInt64(n)
					in["ids"].Int64s()[0] = 4
				}
				want, got := run(t, net, in), run(t, m, in)
				if len(want) != len(got) {
					t.Errorf("outputs %v, want %v", got, want)
				}
				for o := range want {
					if got[o] == nil || !got[o].Shape().Equal(want[o].Shape()) {
						t.Fatalf("%s is %v, want %v", o, got[o], want[o])
					}
					for i, v := range want[o].Float32s() {
						if math.Abs(float64(v-got[o].Float32s()[i])) > 1e-5 {
							t.Fatalf("%s: element %d is %g, want %g", o, i, got[o].Float32s()[i], v)
						}
					}
				}
			}
		})
	}
}

// rows makes a row of vectors of the pixels for a module, and takes the mean.
type rows struct{ Of nn.Module }

func (r *rows) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	s := x.Shape
	x = c.Op1(graph.Permute{Perm: []int{0, 2, 1}}, c.Op1(graph.Reshape{Shape: tensor.Shape{s[0], s[1], s[2] * s[3]}}, x))
	return c.Op1(graph.Reduce{Fn: graph.Mean, Axes: []int{1}}, c.Call(r.Of, x))
}

// norm normalizes the channels of each pixel.
type norm struct{ Of nn.Module }

func (r *norm) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	y := c.Call(r.Of, c.Op1(graph.Permute{Perm: []int{0, 2, 3, 1}}, x))
	return c.Op1(graph.Permute{Perm: []int{0, 3, 1, 2}}, y)
}

func TestArchitectureThatIsDamaged(t *testing.T) {
	net := nn.Sequential{&nn.Flatten{}, nn.NewLinear(48, 3)}
	arch, err := onnx.Architecture(net, tensor.Shape{3, 4, 4})
	if err != nil {
		t.Fatal(err)
	}
	change := func(key string, v any) json.RawMessage {
		var a map[string]map[string]any
		if err := json.Unmarshal(arch, &a); err != nil {
			t.Fatal(err)
		}
		a["graph"][key] = v
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for want, b := range map[string]json.RawMessage{
		"version 7": change("version", 7), "want [C H W]": change("input", []int{3, 4}), "not pictures of [3 4 5]": change("input", []int{3, 4, 5}),
		`no parameter "x"`: change("buffers", []string{"x"}), "not a valid ONNX file": change("onnx", "AAAA"), "illegal base64": change("onnx", "*"),
		"cannot unmarshal": change("onnx", 3), "it has no graph": json.RawMessage(`{"graph":null}`),
	} {
		if _, err := onnx.FromArchitecture(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func FuzzArchitecture(f *testing.F) {
	for _, net := range []nn.Module{
		nn.Sequential{&nn.Flatten{}, nn.NewLinear(48, 3)},
		&tokens{nn.NewParam(nil, 5, 2), nn.NewConv2d(3, 2, 3), nn.NewLinear(2, 3)},
	} {
		arch, err := onnx.Architecture(net, tensor.Shape{3, 4, 4})
		if err != nil {
			f.Fatal(err)
		}
		var a struct{ Graph struct{ ONNX []byte } }
		if err := json.Unmarshal(arch, &a); err != nil {
			f.Fatal(err)
		}
		f.Add(a.Graph.ONNX, 1, 3)
	}
	f.Fuzz(func(t *testing.T, proto []byte, version, channels int) {
		arch, err := json.Marshal(map[string]any{"graph": map[string]any{"version": version, "input": []int{channels, 4, 4}, "onnx": proto}})
		if err != nil {
			t.Fatal(err)
		}
		var m *onnx.Model
		used, over := membound.Over(membound.Slack, 512, len(arch), func() { m, err = onnx.FromArchitecture(arch) })
		if over {
			t.Errorf("%d bytes of memory for %d", used, len(arch))
		}
		if err == nil {
			nn.Trace(m, nn.TraceOptions{Input: graph.F32(1, channels, 4, 4)}) // an error, never a panic
		}
	})
}
