package explain

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/namefill"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// filled returns an explainer of the named network, filled from its keys as the
// goldens' script does, and an image.
func filled(t testing.TB, name string, size int, opts ...models.Option) (*Explainer, *tensor.Tensor) {
	t.Helper()
	m, err := models.New(name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	vars := engine.NewVars()
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
	e, err := New(m, vars, tensor.Shape{3, size, size}, infer.Options{Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.New(1, 3, size, size)
	namefill.Fill("input", x, namefill.Input)
	return e, x
}

// TestGolden compares every method with PyTorch, which the goldens' script in its
// turn compared with pytorch-grad-cam: within 1e-4 of a map's largest value, or
// three times what PyTorch's own float32 is off where that is more.
func TestGolden(t *testing.T) {
	for name, net := range map[string]struct {
		of   string
		opts []models.Option
	}{
		"resnet20-cifar": {of: "resnet20-cifar"},
		"basic":          {"resnet18", []models.Option{models.Blocks(models.BlockBasic, 1, 1, 1, 1), models.Classes(10)}},
		"bottleneck":     {"resnet50", []models.Option{models.Blocks(models.BlockBottleneck, 1, 1, 1, 1), models.Classes(10)}},
	} {
		t.Run(name, func(t *testing.T) {
			want, meta := golden.Load(t, filepath.Join("testdata", name+".safetensors"))
			var attrs struct{ Class, Size, Patch, Stride int }
			meta.Decode(t, "attrs", &attrs)
			var off map[string]float64
			meta.Decode(t, "float32_error", &off)
			e, x := filled(t, net.of, attrs.Size, net.opts...)
			logits := want["logits"]
			delete(want, "logits")
			for key, w := range want {
				method, layer, _ := strings.Cut(key, ".")
				opt := Options{Method: Method(method), Layer: layer}
				if opt.Method == Occlusion {
					opt.Patch, opt.Stride, opt.Batch = attrs.Patch, attrs.Stride, 7
				}
				maps, err := e.Maps(t.Context(), x, []int{attrs.Class}, opt)
				if err != nil {
					t.Fatalf("%s: %v", key, err)
				}
				m := maps[0]
				got, err := tensor.FromFloat32(m.Values, m.H, m.W)
				if err != nil {
					t.Fatal(err)
				}
				largest := 0.0
				for _, v := range w.Float32s() {
					largest = max(largest, math.Abs(float64(v)))
				}
				if largest == 0 {
					t.Errorf("%s: the golden is zero and proves nothing", key)
				}
				golden.Close(t, key, got, w, 0, max(1e-4, 3*off[key])*largest)
				if z := logits.Float32s()[attrs.Class]; math.Abs(float64(m.Logit-z)) > 1e-3 {
					t.Errorf("%s: logit %v, want %v", key, m.Logit, z)
				}
				if m.Class != attrs.Class || m.Layer != layer {
					t.Errorf("%s: the map is of class %d, layer %q", key, m.Class, m.Layer)
				}
			}
		})
	}
}

// TestDefaults: without a layer the last one with an extent is read, without a
// class the most probable one.
func TestDefaults(t *testing.T) {
	for name, layer := range map[string]string{
		"resnet20-cifar": "layer3", "preresnet20-cifar": "relu", "highway20-cifar": "layer3", "wrn-16-4": "relu", "plain20-cifar": "layer3",
	} {
		e, x := filled(t, name, 32)
		maps, err := e.Maps(t.Context(), x, nil, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		z, err := e.logits(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		m := maps[0]
		if m.Layer != layer || m.H != 8 || m.W != 8 {
			t.Errorf("%s: the map is of %q, %d x %d", name, m.Layer, m.W, m.H)
		}
		if m.Logit != slices.Max(z) || z[m.Class] != m.Logit {
			t.Errorf("%s: class %d with %v is not the most probable of %v", name, m.Class, m.Logit, z)
		}
	}
}

// TestGuidedLeavesNetwork: the other gradient of ReLU does not stay behind.
func TestGuidedLeavesNetwork(t *testing.T) {
	e, x := filled(t, "resnet20-cifar", 32)
	plain := func() []float32 {
		maps, err := e.Maps(t.Context(), x, []int{1}, Options{Method: Saliency})
		if err != nil {
			t.Fatal(err)
		}
		return maps[0].Values
	}
	before := plain()
	guided, err := e.Maps(t.Context(), x, []int{1}, Options{Method: Guided})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, plain()) || slices.Equal(before, guided[0].Values) {
		t.Error("guided backpropagation and the plain gradient are mixed up")
	}
}

// TestOcclusion: several classes at once are as one by one, any batch gives the
// same map, and the progress ends with all.
func TestOcclusion(t *testing.T) {
	e, x := filled(t, "resnet20-cifar", 16)
	opt := Options{Method: Occlusion, Patch: 5, Stride: 3, Batch: 4}
	done, total := 0, 0
	opt.Progress = func(d, t int) { done, total = d, t }
	both, err := e.Maps(t.Context(), x, []int{2, 5}, opt)
	if err != nil {
		t.Fatal(err)
	}
	if done != 25 || total != 25 { // starts 0, 3, 6, 9, 11 each way
		t.Errorf("the progress ended at %d of %d", done, total)
	}
	opt.Batch = 1
	one, err := e.Maps(t.Context(), x, []int{5}, opt)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range one[0].Values {
		if math.Abs(float64(v-both[1].Values[i])) > 1e-6 {
			t.Fatalf("pixel %d: %v alone, %v together", i, v, both[1].Values[i])
		}
	}
	opt.MultiLabel = true
	many, err := e.Maps(t.Context(), x, []int{5}, opt)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(many[0].Values, one[0].Values) {
		t.Error("sigmoid and softmax gave the same")
	}

	ctx, cancel := context.WithCancel(t.Context())
	opt.Progress = func(int, int) { cancel() }
	if _, err := e.Maps(ctx, x, nil, opt); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestFeaturesAndFilters: a convolution of the image with the filters by hand is
// what the layer gives.
func TestFeaturesAndFilters(t *testing.T) {
	e, x := filled(t, "resnet20-cifar", 8)
	path, w, err := e.Filters("")
	if err != nil || path != "conv1" || !w.Shape().Equal(tensor.Shape{16, 3, 3, 3}) {
		t.Fatalf("%q %v, %v", path, w, err)
	}
	f, err := e.Features(t.Context(), x, path)
	if err != nil {
		t.Fatal(err)
	}
	for o := range 16 {
		for y := range 8 {
			for xx := range 8 {
				sum := 0.0
				for c := range 3 {
					for i := range 3 {
						for j := range 3 {
							if v, u := y+i-1, xx+j-1; v >= 0 && v < 8 && u >= 0 && u < 8 {
								sum += float64(w.Float32s()[((o*3+c)*3+i)*3+j]) * float64(x.Float32s()[(c*8+v)*8+u])
							}
						}
					}
				}
				if got := f.Float32s()[(o*8+y)*8+xx]; math.Abs(float64(got)-sum) > 1e-5 {
					t.Fatalf("channel %d, %d, %d: %v, want %v", o, y, xx, got, sum)
				}
			}
		}
	}
	features, err := e.Features(t.Context(), x, "avgpool")
	if err != nil || !features.Shape().Equal(tensor.Shape{64}) {
		t.Errorf("avgpool: %v, %v", features, err)
	}
}

func TestErrors(t *testing.T) {
	e, x := filled(t, "resnet20-cifar", 16)
	maps := func(x *tensor.Tensor, classes []int, opt Options) error {
		_, err := e.Maps(t.Context(), x, classes, opt)
		return err
	}
	_, features := e.Features(t.Context(), x, "layer4")
	_, _, filters := e.Filters("conv2")
	net, err := models.New("resnet20-cifar")
	if err != nil {
		t.Fatal(err)
	}
	_, shape := New(net, e.runner.Vars(), tensor.Shape{16, 16}, infer.Options{Exact: true})
	_, channels := New(net, e.runner.Vars(), tensor.Shape{1, 16, 16}, infer.Options{Exact: true})
	_, method := ParseMethod("grad-cam")
	for _, c := range []struct {
		err  error
		want string
	}{
		{maps(x, nil, Options{Method: "lime"}), `unknown method "lime"`},
		{method, `did you mean "gradcam"`},
		{maps(x, []int{10}, Options{}), "no class 10: the network has 10"},
		{maps(x, []int{-1}, Options{}), "no class -1"},
		{maps(x, nil, Options{Layer: "layer33"}), `no layer "layer33"; did you mean "layer3"?`},
		{maps(x, nil, Options{Layer: "avgpool"}), `layer "avgpool" gives [1 64], which has no height and width`},
		{maps(x, nil, Options{Method: Occlusion, Layer: "layer3"}), "takes no layer"},
		{maps(x, nil, Options{Method: Occlusion, Patch: 17}), "a patch of 17 pixels for an image of 16 x 16"},
		{maps(x, nil, Options{Method: Occlusion, Patch: 4, Stride: 5}), "leaves gaps"},
		{maps(x, nil, Options{Method: Occlusion, Batch: -1}), "Batch is -1"},
		{maps(tensor.New(1, 3, 8, 8), nil, Options{}), "the image is float32[1 3 8 8], want float32[1 3 16 16]"},
		{maps(nil, nil, Options{}), "the image is nothing"},
		{features, `did you mean "layer`},
		{filters, `did you mean "`},
		{shape, "must be [C H W]"},
		{channels, "conv1: Conv2d"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v, want %q in it", c.err, c.want)
		}
	}
}

// Which part of an image speaks for the class that a network sees in it.
func ExampleExplainer_Maps() {
	net, err := models.New("resnet20-cifar")
	if err != nil {
		panic(err)
	}
	if err := nn.Init(net, 1); err != nil {
		panic(err)
	}
	e, err := New(net, nil, net.Input(), infer.Options{Exact: true})
	if err != nil {
		panic(err)
	}
	maps, err := e.Maps(context.Background(), tensor.New(1, 3, 32, 32), []int{7}, Options{Method: GradCAM, Layer: "layer2"})
	if err != nil {
		panic(err)
	}
	fmt.Printf("class %d by %s: %d x %d\n", maps[0].Class, maps[0].Layer, maps[0].W, maps[0].H)
	// Output: class 7 by layer2: 16 x 16
}
