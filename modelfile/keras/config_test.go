package keras

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/hdf5"
	"github.com/resnet-go/resnet/internal/hostile"
	"github.com/resnet-go/resnet/internal/membound"
	"github.com/resnet-go/resnet/nn"
)

// sequential is a config of one chain of layers, in the legacy form.
func sequential(layers ...string) string {
	for i, l := range layers {
		class, config, _ := strings.Cut(l, " ")
		layers[i] = fmt.Sprintf(`{"class_name": %q, "config": {"name": "layer%d", %s}}`, class, i, strings.TrimPrefix(config, " "))
	}
	return `{"class_name": "Sequential", "config": {"name": "s", "layers": [` + strings.Join(layers, ",") + `]}}`
}

const picture = `InputLayer "batch_input_shape": [null, 8, 8, 3]`

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct{ config, want string }{
		"unknown layer":    {sequential(picture, `Lambda "x": 1`), "layer layer1 of class Lambda"},
		"subclass":         {`{"class_name": "MyModel", "config": {}}`, "MyModel"},
		"channels first":   {sequential(picture, `Conv2D "filters": 2, "kernel_size": 3, "data_format": "channels_first"`), "channels_first"},
		"padding":          {sequential(picture, `Conv2D "filters": 2, "kernel_size": 3, "padding": "causal"`), "causal"},
		"activation":       {sequential(picture, `Activation "activation": "sparsemax"`), "sparsemax"},
		"kernel too large": {sequential(picture, `Conv2D "filters": 2, "kernel_size": 9`), "does not fit"},
		"no filters":       {sequential(picture, `Conv2D "filters": 0, "kernel_size": 3`), "filters"},
		"groups":           {sequential(picture, `Conv2D "filters": 4, "kernel_size": 3, "groups": 2`), "groups"},
		"axis":             {sequential(picture, `BatchNormalization "axis": 1`), "axis"},
		"reshape":          {sequential(picture, `Reshape "target_shape": [5, 5]`), "target_shape"},
		"threshold":        {sequential(picture, `ReLU "threshold": [1.0, 2.0]`), "threshold"},
		"resizing":         {sequential(picture, `Resizing "height": 4, "width": 4, "interpolation": "lanczos3"`), "lanczos3"},
		"group norm":       {sequential(picture, `GroupNormalization "groups": 2`), "2 groups"},
		"shared axes":      {sequential(picture, `PReLU "shared_axes": [4]`), "shared_axes"},
		"layer norm":       {sequential(picture, `LayerNormalization "axis": 4`), "axis"},
		"huge":             {sequential(picture, `Flatten "x": 0`, `Dense "units": 999999999`), "units"},
		"no input shape":   {sequential(`Flatten "x": 0`), "shape of its input"},
		"no layers":        {`{"class_name": "Sequential", "config": {"layers": []}}`, "no layers"},
		"two names":        {`{"class_name": "Sequential", "config": {"layers": [{"class_name": "Flatten", "config": {"name": "a"}}, {"class_name": "Flatten", "config": {"name": "a"}}]}}`, "taken"},
		"not JSON":         {`{`, "config"},
		"cycle": {`{"class_name": "Functional", "config": {"name": "m", "layers": [
			{"class_name": "InputLayer", "name": "i", "config": {"batch_shape": [null, 4, 4, 2]}, "inbound_nodes": []},
			{"class_name": "Add", "name": "a", "config": {}, "inbound_nodes": [[["i", 0, 0, {}], ["b", 0, 0, {}]]]},
			{"class_name": "ReLU", "name": "b", "config": {}, "inbound_nodes": [[["a", 0, 0, {}]]]}],
			"input_layers": [["i", 0, 0]], "output_layers": [["b", 0, 0]]}}`, "cycle"},
		"missing layer": {`{"class_name": "Functional", "config": {"name": "m", "layers": [
			{"class_name": "InputLayer", "name": "i", "config": {"batch_shape": [null, 4, 4, 2]}, "inbound_nodes": []},
			{"class_name": "ReLU", "name": "b", "config": {}, "inbound_nodes": [[["other", 0, 0, {}]]]}],
			"input_layers": [["i", 0, 0]], "output_layers": [["b", 0, 0]]}}`, "other"},
		"no outputs": {`{"class_name": "Functional", "config": {"name": "m", "layers": [
			{"class_name": "InputLayer", "name": "i", "config": {"batch_shape": [null, 4, 4, 2]}, "inbound_nodes": []}],
			"input_layers": [["i", 0, 0]], "output_layers": []}}`, "0 outputs"},
		"two inputs": {`{"class_name": "Functional", "config": {"name": "m", "layers": [
			{"class_name": "InputLayer", "name": "i", "config": {"batch_shape": [null, 4, 4, 2]}, "inbound_nodes": []}],
			"input_layers": [["i", 0, 0], ["i", 0, 0]], "output_layers": [["i", 0, 0]]}}`, "2 inputs"},
	} {
		if _, err := Parse([]byte(c.config)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

// TestFlattenOrder checks that a flattened image has Keras's order: height,
// width, channels.
func TestFlattenOrder(t *testing.T) {
	m, err := Parse([]byte(sequential(`InputLayer "batch_input_shape": [null, 2, 3, 4]`, `Flatten "x": 0`)))
	if err != nil {
		t.Fatal(err)
	}
	x := noise(1, 4, 2, 3)
	y := run(t, m, x)
	for h := range 2 {
		for w := range 3 {
			for c := range 4 {
				if got, want := y.Float32s()[(h*3+w)*4+c], x.Float32s()[(c*2+h)*3+w]; got != want {
					t.Fatalf("element %d %d %d is %g, want %g", h, w, c, got, want)
				}
			}
		}
	}
}

// TestBGR checks that a model for BGR gets its channels from RGB.
func TestBGR(t *testing.T) {
	m, err := Parse([]byte(sequential(picture, `Flatten "x": 0`)))
	if err != nil {
		t.Fatal(err)
	}
	x := noise(1, 3, 8, 8)
	m.BGR = true
	y := run(t, m, x)
	for c := range 3 {
		if got, want := y.Float32s()[c], x.Float32s()[(2-c)*64]; got != want {
			t.Errorf("channel %d is %g, want %g", c, got, want)
		}
	}
}

// TestPresets checks pixel values against keras.applications' preprocess_input
// (imagenet_utils.py), whose constants are those below.
func TestPresets(t *testing.T) {
	for name, want := range map[string][3]float64{ // of the pixel R 10, G 100, B 200
		"keras-caffe": {10 - 123.68, 100 - 116.779, 200 - 103.939},
		"keras-tf":    {10/127.5 - 1, 100/127.5 - 1, 200/127.5 - 1},
		"keras-raw":   {10, 100, 200},
	} {
		p, bgr, err := Preset(name, 224)
		if err != nil {
			t.Fatal(err)
		}
		if bgr != (name == "keras-caffe") || p.Resize != 256 {
			t.Errorf("%s: BGR %v, resize %d", name, bgr, p.Resize)
		}
		for c, v := range []float64{10, 100, 200} {
			got := (v/255 - float64(p.Mean[c])) / float64(p.Std[c])
			if d := got - want[c]; d > 1e-4 || d < -1e-4 {
				t.Errorf("%s: channel %d is %g, want %g", name, c, got, want[c])
			}
		}
	}
	if _, _, err := Preset("keras", 224); err == nil {
		t.Error("an unknown preset has no error")
	}
}

func TestApplicationParameters(t *testing.T) {
	// The numbers of parameters that keras.applications documents: without
	// ImageNet's moving statistics.
	for name, want := range map[string]int{"ResNet50": 25583592, "ResNet101": 44601832, "ResNet152": 60268520, "ResNet50V2": 25568360, "ResNet101V2": 44577896, "ResNet152V2": 60236904} {
		a, err := NewApplication(strings.ToLower(name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := a.New()
		if err != nil {
			t.Fatal(err)
		}
		if got := nn.NumParams(m); got != want {
			t.Errorf("%s has %d parameters, want %d", name, got, want)
		}
		if m.Classes() != 1000 || m.Preprocess == nil || m.BGR == a.V2 || m.Final != "softmax" || !m.Input().Equal([]int{3, 224, 224}) {
			t.Errorf("%s: %d classes, preprocessing %v, BGR %v, final %q, input %v", name, m.Classes(), m.Preprocess, m.BGR, m.Final, m.Input())
		}
	}
}

// TestFile takes a Keras model into our own file's form and back.
func TestFile(t *testing.T) {
	m := golden1(t, "residual.keras")
	m.BGR = true
	f, err := m.File()
	if err != nil {
		t.Fatal(err)
	}
	if !IsArchitecture(f.Architecture) {
		t.Fatalf("architecture %.60s", f.Architecture)
	}
	again, err := FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	sameState(t, again, m)
	if !again.BGR || again.Final != "softmax" {
		t.Errorf("BGR %v, final %q", again.BGR, again.Final)
	}
	if IsArchitecture([]byte(`{"name": "resnet18"}`)) {
		t.Error("package models' description taken for Keras's")
	}
}

func TestDeterministic(t *testing.T) {
	m := golden1(t, "every_layer.keras")
	for _, write := range []func(*Model, *bytes.Buffer) error{
		func(m *Model, w *bytes.Buffer) error { return m.writeArchive(w) },
		func(m *Model, w *bytes.Buffer) error { return m.writeLegacy(w) },
	} {
		var a, b bytes.Buffer
		if err := errors.Join(write(m, &a), write(m, &b)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Error("the same model gave other bytes")
		}
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	archive := func(members ...string) []byte {
		var w bytes.Buffer
		z := zip.NewWriter(&w)
		for i := 0; i < len(members); i += 2 {
			f, err := z.Create(members[i])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte(members[i+1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return w.Bytes()
	}
	h5 := func(f func(b *hdf5.Builder)) []byte {
		var b hdf5.Builder
		f(&b)
		var w bytes.Buffer
		if err := hdf5.Write(&w, &b); err != nil {
			t.Fatal(err)
		}
		return w.Bytes()
	}
	config := sequential(picture, `Conv2D "filters": 2, "kernel_size": 1`)
	var bomb bytes.Buffer
	bomb.Write(bytes.Repeat([]byte(" "), unpackBase+unpackTimes*100000))
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"text.h5":          {[]byte("hello, this is no model"), "neither"},
		"empty.h5":         {nil, "neither"},
		"zip.keras":        {archive("a", "b"), "config.json"},
		"noweights.keras":  {archive("config.json", "{}"), "model.weights.h5"},
		"twice.keras":      {archive("config.json", "{}", "config.json", "{}"), "two members"},
		"badweights.keras": {archive("config.json", config, "model.weights.h5", "xx"), "model.weights.h5"},
		"bomb.keras":       {archive("config.json", bomb.String()), "credible"},
		"nothing.h5":       {h5(func(b *hdf5.Builder) { b.Group("x") }), "not of Keras"},
		"missing.h5":       {h5(func(b *hdf5.Builder) { b.Attr("model_config", config); b.Group("layers") }), "layer1"},
		"shape.h5": {h5(func(b *hdf5.Builder) {
			b.Attr("model_config", config)
			b.Dataset("layers/conv2d/vars/0", []int{1, 1, 2, 3}, make([]float32, 6))
			b.Dataset("layers/conv2d/vars/1", []int{2}, make([]float32, 2))
		}), "[1 1 3 2]"},
		"extra.h5": {h5(func(b *hdf5.Builder) {
			b.Attr("model_config", config)
			b.Dataset("layers/conv2d/vars/0", []int{1, 1, 3, 2}, make([]float32, 6))
			b.Dataset("layers/conv2d/vars/1", []int{2}, make([]float32, 2))
			b.Dataset("layers/dense/vars/0", []int{2}, make([]float32, 2))
		}), "dense"},
		"legacy.h5": {h5(func(b *hdf5.Builder) {
			b.Attr("model_config", config)
			b.Attr("layer_names", []string{"layer1"})
			b.Group("layer1").Attr("weight_names", []string{"a"})
		}), "1 weights, the layer 2"},
	} {
		_, err := Load(write(name, c.b))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	if _, err := Load(filepath.Join(dir, "none.h5")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := Save(filepath.Join(dir, "m.onnx"), golden1(t, "shared.keras")); err == nil {
		t.Error("saved under another format's name")
	}
	m, err := Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	if err := Save(filepath.Join(dir, "m.keras"), m); err == nil || !strings.Contains(err.Error(), "no value") {
		t.Errorf("a model without values: %v", err)
	}
}

// TestTraining traces the training form and finds the parameters that Keras
// trains.
func TestTraining(t *testing.T) {
	m := golden1(t, "nested.keras")
	var trained []string
	for _, e := range nn.Params(m) {
		if e.Param.Trainable() {
			trained = append(trained, e.Name)
		}
	}
	if got := strings.Join(trained, " "); got != "dense.weight dense.bias depthwise_conv2d.weight depthwise_conv2d.bias" && len(trained) != 4 {
		t.Errorf("trained are %s; the backbone is frozen", got)
	}
}

// computing returns the names and classes of a model's layers without its inputs: a
// Sequential model need not have an input layer, and is written with one.
func computing(m *Model) []string {
	var out []string
	for _, l := range m.layers {
		if l.class != "InputLayer" {
			out = append(out, l.name+" "+l.class)
		}
	}
	return out
}

func FuzzConfig(f *testing.F) {
	for _, name := range []string{"every_layer.keras", "nested.keras", "shared.keras"} {
		m := golden1(f, name)
		for _, legacy := range []bool{false, true} {
			b, err := m.config(legacy)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
			if name == "nested.keras" && !legacy {
				hostile.Add(f, hostile.JSON(b))
			}
		}
	}
	f.Add([]byte(sequential(picture, `Reshape "target_shape": [-1]`, `Dense "units": 3`)))
	f.Add([]byte(strings.Replace(sequential(`Dense "units": 3, "batch_input_shape": [null, 8]`), "layer0", "s_input", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m *Model
		used, over := membound.Over(membound.Slack, 512, len(b), func() { m, _ = Parse(b) })
		if over {
			t.Errorf("a config of %d bytes took %d", len(b), used)
		}
		if m == nil {
			return
		}
		config, err := m.Config()
		if err != nil {
			t.Fatalf("a config that is read cannot be written: %v", err)
		}
		if !json.Valid(config) {
			t.Fatal("the config is not JSON")
		}
		again, err := Parse(config)
		if err != nil {
			t.Fatalf("a config that is written cannot be read: %v", err)
		}
		if twice, err := again.Config(); err != nil || !bytes.Equal(twice, config) {
			t.Fatalf("%s becomes %s when it is read and written again: %v", config, twice, err)
		}
		if again.Classes() != m.Classes() || !slices.Equal(computing(again), computing(m)) {
			t.Fatalf("%s with %d classes and the layers %v becomes %s with %d classes and the layers %v",
				b, m.Classes(), computing(m), config, again.Classes(), computing(again))
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"nested.keras", "nested.h5", "shared.keras"} {
		f.Add(unpacked(f, name))
	}
	hostile.Add(f, hostile.Zip(unpacked(f, "nested.keras"), func(name string, b []byte) iter.Seq[[]byte] {
		switch name {
		case configMember:
			return hostile.JSON(b)
		case weightsMember:
			return hostile.Fields(b)
		}
		return nil
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		used, over := membound.Over(membound.Slack+4*unpackBase, 4*unpackTimes, len(b), func() { _, _ = Read(bytes.NewReader(b), int64(len(b)), ReadOptions{}) })
		if over {
			t.Errorf("a file of %d bytes took %d", len(b), used)
		}
	})
}
