package models

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/hostile"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

func TestUnknownNamesSuggest(t *testing.T) {
	for name, want := range map[string]string{
		"resent18":                          `did you mean "resnet18"`,
		"resnet20cifar":                     `did you mean "resnet20-cifar"`,
		"resnet21-cifar":                    "6n+2, such as 20 or 26",
		"plain1-cifar":                      "6n+2",
		"resnet-5-cifar":                    "6n+2",
		"vgg16":                             "known are",
		"":                                  "known are",
		"resnetxx-cifar":                    "unknown model",
		"ssd300_vgg16":                      "not supported",
		"fasterrcnn_mobilenet_v3_large_fpn": "detectors on a MobileNet are not supported",
		"wide_resnet50_3":                   `did you mean "wide_resnet50_2"`,
	} {
		if _, err := New(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%q): %v, want it to say %q", name, err, want)
		}
	}
}

// TestConfigRoundTrip builds every name again from its JSON: the same keys and
// shapes, and the same Config.
func TestConfigRoundTrip(t *testing.T) {
	for _, name := range append(Names(), "resnet14-cifar", "wrn-10-3", "resnet20-cifar+cbam+exclusive-gate+block-dropout") {
		opts := []Option{Classes(7), InChannels(1), Activation("silu")}
		if !strings.HasPrefix(name, highwayPrefix) {
			opts = append(opts, DropPath(0.1))
		}
		m, err := New(name, opts...)
		if err != nil {
			t.Error(err)
			continue
		}
		b, err := json.Marshal(m.Config)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := ParseConfig(b)
		if err != nil {
			t.Errorf("%s: %v", b, err)
			continue
		}
		again, err := cfg.Build()
		if err != nil {
			t.Errorf("%s: %v", b, err)
			continue
		}
		if !reflect.DeepEqual(again.Config, m.Config) {
			t.Errorf("config %+v became %+v", m.Config, again.Config)
		}
		want, got := nn.Params(m), nn.Params(again)
		if len(got) != len(want) {
			t.Errorf("%s: %d keys became %d", name, len(want), len(got))
			continue
		}
		for i := range want {
			if got[i].Name != want[i].Name || !got[i].Param.Shape.Equal(want[i].Param.Shape) {
				t.Errorf("%s: %s %v became %s %v", name, want[i].Name, want[i].Param.Shape, got[i].Name, got[i].Param.Shape)
			}
		}
	}
}

func TestConfigErrors(t *testing.T) {
	base, err := Lookup("resnet50")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		opt  Option
		want string
	}{
		{Classes(-1), "classes is -1"},
		{InChannels(-1), "in_channels is -1"},
		{InputSize(0), "input_size"},
		{Width(0), "width"},
		{Groups(0, 4), "groups is 0"},
		{Groups(32, 0), "width_per_group is 0"},
		{Stem("keras"), `unknown stem "keras"`},
		{Blocks("bottle", 3, 4, 6, 3), `unknown block "bottle"`},
		{Blocks(BlockBottleneck, 3, 4), "2 stages"},
		{Blocks(BlockBottleneck, 3, 4, 0, 3), "0 blocks in stage 3"},
		{func(c *Config) { Blocks(BlockBasic, 2, 2, 2, 2)(c); V1()(c) }, "for bottleneck blocks"},
		{Shortcuts("D"), `unknown shortcut "D"`},
		{Activation("rlu"), `did you mean "relu"`},
		{Groups(1<<16, 1<<16), "channels"},
		{Dilate(true, true, true, true), "dilate has 4"},
		{DropPath(1), "drop_path is 1"},
		{Dropout(float32(math.NaN())), "dropout is NaN"},
	} {
		cfg := base
		c.opt(&cfg)
		if _, err := cfg.Build(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "resnet50") {
			t.Errorf("error %v, want one about %q", err, c.want)
		}
	}
	for _, js := range []string{`{`, `{"name":"x"}`, `{"nmae":"resnet18"}`, `{"shortcut":"D"}`, `[]`} {
		if _, err := ParseConfig([]byte(js)); err == nil {
			t.Errorf("ParseConfig(%s) gives no error", js)
		}
	}
}

// FuzzParseConfig: the description of a network in a model file is refused or can be
// built.
func FuzzParseConfig(f *testing.F) {
	for _, name := range []string{"resnet18", "resnext50_32x4d", "resnet20-cifar", "wrn-16-4+se+shortcut-gate", "highway8-cifar", "resnet50d+cbam+blur"} {
		cfg, err := Lookup(name)
		if err != nil {
			f.Fatal(err)
		}
		b, err := json.Marshal(cfg)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		hostile.Add(f, hostile.JSON(b))
	}
	f.Add([]byte(`{"name":"x","layers":[1,1,1],"shortcut":"none"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg, err := ParseConfig(b)
		if err != nil {
			return
		}
		m, err := cfg.Build()
		if err != nil {
			t.Fatalf("%s is parsed but not built: %v", b, err)
		}
		if err := nn.Check(m); err != nil {
			t.Errorf("%s: %v", b, err)
		}
		if nn.NumParams(m) <= 0 {
			t.Errorf("%s has %d parameters", b, nn.NumParams(m))
		}
	})
}

// TestBuildCopiesItsConfig: changing a Config later does not change the model's.
func TestBuildCopiesItsConfig(t *testing.T) {
	cfg, err := Lookup("resnet18")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Layers[0] = 1
	if again, _ := Lookup("resnet18"); again.Layers[0] != 2 {
		t.Error("a change of a Config reaches the table of names")
	}
	m, err := cfg.Build()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Layers[0] = 5
	if m.Config.Layers[0] != 1 {
		t.Error("a change of a Config reaches the model")
	}
}

func summary(t *testing.T, m nn.Module, input graph.Type) map[string]nn.Row {
	t.Helper()
	rows, err := nn.Summarize(m, input)
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]nn.Row{}
	for _, r := range rows {
		byPath[r.Path] = r
	}
	return byPath
}

// TestOptionsShape checks where each option puts strides, channels and
// parameters.
func TestOptionsShape(t *testing.T) {
	build := func(name string, opts ...Option) map[string]nn.Row {
		t.Helper()
		m, err := New(name, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return summary(t, m, m.Config.Input(1))
	}
	shape := func(rows map[string]nn.Row, path string, want ...int) {
		t.Helper()
		if got := rows[path].Out; !got.Equal(want) {
			t.Errorf("%s gives %v, want %v", path, got, want)
		}
	}
	v15, v1 := build("resnet50"), build("resnet50", V1())
	shape(v15, "layer2.0.conv1", 1, 128, 56, 56)
	shape(v1, "layer2.0.conv1", 1, 128, 28, 28)
	shape(v15, "layer4", 1, 2048, 7, 7)
	shape(v1, "layer4", 1, 2048, 7, 7)
	shape(v15, "maxpool", 1, 64, 56, 56)
	shape(v15, "avgpool", 1, 2048)
	// The paper's table 1 gives 3.8e9 for the first form, counted without
	// projections' share; the usual count of v1 is 3.86e9 (MACs).
	if g := float64(v1[""].MACs) / 1e9; math.Abs(g-3.86) > 0.01 {
		t.Errorf("v1 has %.3f G multiply-adds, want 3.86", g)
	}
	dilated := build("resnet50", Dilate(false, true, true))
	shape(dilated, "layer2", 1, 512, 28, 28)
	shape(dilated, "layer4", 1, 2048, 28, 28)
	if dilated[""].Params != v15[""].Params {
		t.Error("dilation changes the number of parameters")
	}
	gray := build("resnet18", InChannels(1), InputSize(28), Stem(StemCIFAR), Classes(10))
	shape(gray, "conv1", 1, 64, 28, 28)
	shape(gray, "layer4", 1, 512, 4, 4)
	shape(gray, "fc", 1, 10)

	// Shortcut C adds a projection and its norm to each block with an identity.
	b, c := build("resnet20-cifar", Shortcuts(ShortcutB)), build("resnet20-cifar", Shortcuts(ShortcutC))
	a, none := build("resnet20-cifar"), build("plain20-cifar")
	if d := b[""].Params - a[""].Params; d != 16*32+2*32+32*64+2*64 {
		t.Errorf("shortcut B adds %d parameters", d)
	}
	if d := c[""].Params - b[""].Params; d != 3*(16*16+32)+2*(32*32+64)+2*(64*64+128) {
		t.Errorf("shortcut C adds %d parameters", d)
	}
	if a[""].Params != none[""].Params || a[""].Kind != "resnet20-cifar" {
		t.Errorf("plain network has %d parameters, option A %d", none[""].Params, a[""].Params)
	}
	shape(a, "layer2.0.downsample", 1, 32, 16, 16)
	norms := build("resnet20-cifar", NoNorm())
	if want := a[""].Params - norms[""].Params; want != 16*7+32*6+64*6 { // gamma and beta against a bias
		t.Errorf("batch norms have %d parameters more than biases", want)
	}
	deep := build("resnet164-cifar", Blocks(BlockBottleneck, 18, 18, 18)) // He et al. 2016, table 3
	shape(deep, "layer3", 1, 256, 8, 8)
	if n := deep[""].Params; math.Abs(float64(n)-1.7e6) > 0.05e6 {
		t.Errorf("ResNet-164 has %d parameters, the paper says 1.7M", n)
	}
	if n := build("resnet1202-cifar")[""].Params; math.Abs(float64(n)-19.4e6) > 0.05e6 {
		t.Errorf("ResNet-1202 has %d parameters, the paper says 19.4M", n)
	}
}

// TestPadShortcut compares option A with the paper's definition, by hand.
func TestPadShortcut(t *testing.T) {
	x := tensor.New(1, 1, 3, 3)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(i + 1)
	}
	m := &PadShortcut{In: 1, Out: 4, Stride: 2}
	tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(1, 1, 3, 3)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ref.Run(tr.Graph, nil, map[string]*tensor.Tensor{nn.ImageInput: x})
	if err != nil {
		t.Fatal(err)
	}
	want := []float32{0, 0, 0, 0, 1, 3, 7, 9, 0, 0, 0, 0, 0, 0, 0, 0}
	got := r.Value(tr.Output)
	if !got.Shape().Equal(tensor.Shape{1, 4, 2, 2}) || !reflect.DeepEqual(got.Float32s(), want) {
		t.Errorf("option A gives %v %v, want %v", got, got.Float32s(), want)
	}
	if _, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(1, 2, 3, 3)}); err == nil {
		t.Error("two channels are accepted where one is expected")
	}
}

// TestZeroInitIsIdentity: with zeroed branches a stage of identity shortcuts
// computes ReLU of its input.
func TestZeroInitIsIdentity(t *testing.T) {
	for _, c := range []struct {
		name string
		m    Block
	}{
		{"basic", NewBasicBlock(4, 4, BlockOptions{})},
		{"bottleneck", NewBottleneck(16, 4, BlockOptions{})},
		{"without norm", NewBasicBlock(4, 4, BlockOptions{NoNorm: true})},
	} {
		startAtZero(c.m)
		if err := nn.Init(c.m, 1); err != nil {
			t.Fatal(err)
		}
		channels := 4
		if c.name == "bottleneck" {
			channels = 16
		}
		x := tensor.New(2, channels, 3, 3)
		for i := range x.Float32s() {
			x.Float32s()[i] = float32(i%7) - 3
		}
		tr, err := nn.Trace(c.m, nn.TraceOptions{Input: graph.F32(x.Shape()...), Training: true})
		if err != nil {
			t.Fatal(err)
		}
		vars := map[string]*tensor.Tensor{}
		for _, e := range nn.Params(c.m) {
			vars[e.Name] = e.Param.Value
		}
		r, err := ref.Run(tr.Graph, vars, map[string]*tensor.Tensor{nn.ImageInput: x})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range r.Value(tr.Output).Float32s() {
			if want := max(x.Float32s()[i], 0); v != want {
				t.Errorf("%s: element %d is %g, want %g", c.name, i, v, want)
				break
			}
		}
	}
}

// TestDropPathGrows: each block drops its branch more often than the one
// before, the last with the given probability.
func TestDropPathGrows(t *testing.T) {
	for _, name := range []string{"resnet18", "wrn-28-1", "resnet20-cifar+shortcut-gate"} {
		testDropPathGrows(t, name)
	}
}

func testDropPathGrows(t *testing.T, name string) {
	t.Helper()
	m, err := New(name, DropPath(0.4))
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, n := range m.Config.Layers {
		blocks += n
	}
	tr, err := nn.Trace(m, nn.TraceOptions{Input: m.Config.Input(2), Training: true})
	if err != nil {
		t.Fatal(err)
	}
	var ps []float32
	for _, n := range tr.Graph.Nodes {
		if d, ok := n.Op.(graph.Dropout); ok && d.PerSample {
			ps = append(ps, d.P)
		}
	}
	if len(ps) != blocks || ps[blocks-1] != 0.4 {
		t.Fatalf("%s: probabilities are %v", name, ps)
	}
	for i, p := range ps { // Huang et al. 2016, equation 4
		if math.Abs(float64(p)-0.4*float64(i+1)/float64(blocks)) > 1e-6 {
			t.Errorf("%s: probability %d is %g", name, i, p)
		}
	}
}

// TestInitialization checks the deviations of torchvision's scheme on the
// largest tensors.
func TestInitialization(t *testing.T) {
	m, err := New("resnet18", Classes(10), ZeroInit())
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	for _, e := range nn.Params(m) {
		if e.Param.DType != tensor.Float32 {
			continue
		}
		v := e.Param.Value.Float32s()
		var squares float64
		for _, x := range v {
			squares += float64(x) * float64(x)
		}
		rms := math.Sqrt(squares / float64(len(v)))
		want := -1.0
		switch {
		case len(e.Param.Shape) == 4:
			want = math.Sqrt(2 / float64(e.Param.Shape[0]*e.Param.Shape[2]*e.Param.Shape[3]))
		case strings.HasSuffix(e.Name, "bn2.weight"): // the last of each block
			want = 0
		case strings.HasSuffix(e.Name, "weight") && len(e.Param.Shape) == 1:
			want = 1
		}
		if want >= 0 && math.Abs(rms-want) > 0.02*want {
			t.Errorf("%s has root mean square %g, want %g", e.Name, rms, want)
		}
	}
}

func TestShapeErrorNamesTheBlock(t *testing.T) {
	m, err := New("resnet50")
	if err != nil {
		t.Fatal(err)
	}
	m.Layer3[2].(*Bottleneck).Conv1 = conv1x1(7, 256, 1)
	_, err = nn.Trace(m, nn.TraceOptions{Input: m.Config.Input(1)})
	if err == nil || !strings.HasPrefix(err.Error(), "nn: layer3.2.conv1: Conv2d of ") {
		t.Errorf("error is %v", err)
	}
	if _, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(1, 1, 224, 224)}); err == nil || !strings.Contains(err.Error(), "conv1: Conv2d") {
		t.Errorf("error for a gray image is %v", err)
	}
	b := NewBasicBlock(4, 4, BlockOptions{Groups: 2})
	if _, err := nn.Trace(b, nn.TraceOptions{Input: graph.F32(1, 4, 8, 8)}); err == nil || !strings.Contains(err.Error(), "bottleneck") {
		t.Errorf("error for groups in a basic block is %v", err)
	}
}
