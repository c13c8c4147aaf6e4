package nn_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// within holds the module that is tested, so that it has a path.
type within struct{ M nn.Module }

// Forward attends to further inputs x.1, x.2 and x.3 if there are any.
func (w *within) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	m, ok := w.M.(*nn.MultiheadAttention)
	if !ok {
		return c.Call(w.M, x)
	}
	return c.CallFunc(m, x, func() *graph.Value {
		more := func(i int) *graph.Value {
			t := attended[fmt.Sprintf("x.%d", i)]
			if t == nil {
				return nil
			}
			v, err := c.Graph().Input(fmt.Sprintf("x.%d", i), graph.F32(t.Shape()...))
			if err != nil {
				c.Failf("%v", err)
			}
			return v
		}
		key, value := more(1), more(2)
		switch {
		case key == nil:
			return m.Forward(c, x)
		case value == nil:
			value = key
		}
		return m.Attend(c, x, key, value, more(3))
	})
}

// attended are the inputs of the attention that is tested.
var attended map[string]*tensor.Tensor

// TestModulesEqualPyTorch loads PyTorch's state dicts and compares outputs and gradients.
func TestModulesEqualPyTorch(t *testing.T) {
	noBias := func() nn.Module {
		m := nn.NewMultiheadAttention(12, 3)
		m.InProjBias, m.OutProj.Bias = nil, nil
		return m
	}
	grouped := func() nn.Module {
		m := nn.NewConvTranspose2d(4, 2, 3, 2)
		m.Op.PadH, m.Op.PadW, m.Op.OutputPadH, m.Op.OutputPadW, m.Op.Groups, m.Bias = 1, 1, 1, 1, 2, nil
		m.Weight.Shape = []int{4, 1, 3, 3}
		return m
	}
	attention := func() nn.Module { return nn.NewMultiheadAttention(12, 3) }
	makes := map[string]func() nn.Module{
		"group_norm":           func() nn.Module { return nn.NewGroupNorm(3, 6) },
		"group_norm_1d":        func() nn.Module { return nn.NewGroupNorm(2, 4) },
		"layer_norm":           func() nn.Module { return nn.NewLayerNorm(4, 3) },
		"instance_norm":        func() nn.Module { return nn.NewInstanceNorm2d(3, false) },
		"instance_norm_affine": func() nn.Module { return nn.NewInstanceNorm2d(3, true) },
		"conv_transpose":       func() nn.Module { return nn.NewConvTranspose2d(3, 5, 2, 2) },
		"conv_transpose_3":     grouped,
		"upsample_nearest":     func() nn.Module { return nn.NewUpsample(2, false) },
		"upsample_bilinear":    func() nn.Module { return nn.NewUpsample(1.5, true) },
		"upsample_size":        func() nn.Module { return &nn.Upsample{Height: 7, Width: 3, Bilinear: true} },
		"prelu":                func() nn.Module { return nn.NewPReLU(1) },
		"prelu_channels":       func() nn.Module { return nn.NewPReLU(3) },
		"embedding":            func() nn.Module { return nn.NewEmbedding(7, 5) },
		"attention":            attention,
		"attention_no_bias":    noBias,
		"attention_memory":     attention,
		"attention_mask":       attention,
	}
	files, err := filepath.Glob("testdata/modules/*.safetensors")
	if err != nil || len(files) != len(makes) {
		t.Fatalf("%d goldens of %d modules, %v", len(files), len(makes), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".safetensors")
		t.Run(name, func(t *testing.T) {
			tensors, _ := golden.Load(t, file)
			compareModule(t, &within{makes[name]()}, tensors)
		})
	}
}

func compareModule(t *testing.T, m *within, tensors map[string]*tensor.Tensor) {
	attended = tensors
	values, feeds := map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{nn.ImageInput: tensors["x"]}
	for name, v := range tensors {
		switch {
		case strings.HasPrefix(name, "x."):
			feeds[name] = v
		case name != "x" && name != "y" && name != "dy" && !strings.HasPrefix(name, "d.") && !strings.HasPrefix(name, "dx"):
			values["m."+name] = v
		}
	}
	if _, err := nn.Load(m, values, nn.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	x := tensors["x"]
	tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.Type{DType: x.DType(), Shape: x.Shape()}, Training: true})
	if err != nil {
		t.Fatal(err)
	}
	g := tr.Graph
	dy, err := g.Input("dy", tr.Output.Type)
	if err != nil {
		t.Fatal(err)
	}
	feeds["dy"] = tensors["dy"]
	loss := g.Must1(graph.Reduce{Fn: graph.Sum}, g.Must1(graph.Binary{Fn: graph.Mul}, tr.Output, dy))
	var wrt []*graph.Value
	var names []string
	if x.DType() == tensor.Float32 {
		wrt, names = append(wrt, tr.Input), append(names, "dx")
	}
	for i := 1; tensors[fmt.Sprintf("x.%d", i)] != nil; i++ {
		v, err := g.Input(fmt.Sprintf("x.%d", i), graph.F32(tensors[fmt.Sprintf("x.%d", i)].Shape()...))
		if err != nil {
			t.Fatal(err)
		}
		wrt, names = append(wrt, v), append(names, fmt.Sprintf("dx.%d", i))
	}
	for _, v := range tr.Params {
		wrt, names = append(wrt, v.Value), append(names, "d."+strings.TrimPrefix(v.Name, "m."))
	}
	grads, err := g.Gradients(loss, wrt)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ref.Run(g, nn.Values(m), feeds)
	if err != nil {
		t.Fatal(err)
	}
	golden.Close(t, "y", r.Value(tr.Output), tensors["y"], 1e-5, 2e-6)
	for i, d := range grads {
		golden.Close(t, names[i], r.Value(d), tensors[names[i]], 1e-5, 1e-5)
	}
}

// Mistakes in a network name the module.
func TestModuleErrors(t *testing.T) {
	image := graph.F32(2, 6, 4, 4)
	for want, q := range map[string]struct {
		m  nn.Module
		in graph.Type
	}{
		"GroupNorm of float32[2 6 4 4], float32[5], float32[5]: input 1 must be [6]":    {nn.NewGroupNorm(1, 5), image},
		"6 channels do not divide into 4 groups":                                        {nn.NewGroupNorm(4, 6), image},
		"gamma [3] and beta [3] must both have the shape of the last axes of [2 6 4 4]": {nn.NewLayerNorm(3), image},
		"want an input [N C H W], got [2 6]":                                            {nn.NewInstanceNorm2d(6, true), graph.F32(2, 6)},
		"want an input [N C ...], got [2]":                                              {nn.NewGroupNorm(1, 2), graph.F32(2)},
		"the weight takes 3 channels, the input has 6":                                  {nn.NewConvTranspose2d(3, 5, 2, 2), image},
		"the output padding 2 must be below the stride 2 or the dilation 1":             {badTransposed(), image},
		"want an input [N C H W] and a positive scale, got [2 6 4 4] and -1":            {nn.NewUpsample(-1, false), image},
		"the size is 0x0, must be positive":                                             {nn.NewUpsample(0.1, false), image},
		"want one slope or one for each channel of [N C ...], got [5]":                  {nn.NewPReLU(5), image},
		"want a float32 input and int64 indices, got float32[7 5] and float32[2 6 4 4]": {nn.NewEmbedding(7, 5), image},
		"10 features do not divide into 3 heads":                                        {nn.NewMultiheadAttention(10, 3), graph.F32(2, 3, 10)},
		"want queries [N L 8], keys and values [N S 8], got [2 3 9], [2 3 9], [2 3 9]":  {nn.NewMultiheadAttention(8, 2), graph.F32(2, 3, 9)},
	} {
		attended = nil
		_, err := nn.Trace(&within{q.m}, nn.TraceOptions{Input: q.in})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "nn: m: ") {
			t.Errorf("got %v, want nn: m: ... %s", err, want)
		}
	}
}

func badTransposed() nn.Module {
	m := nn.NewConvTranspose2d(6, 5, 2, 2)
	m.Op.OutputPadH = 2
	return m
}
