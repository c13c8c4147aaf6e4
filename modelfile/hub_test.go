package modelfile

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// smallFolder writes a folder with one tensor and JSON files.
func smallFolder(t *testing.T, file, text string) string {
	t.Helper()
	dir := t.TempDir()
	f := &weights.File{Tensors: map[string]*tensor.Tensor{"fc.bias": tensor.New(3)}}
	if err := weights.Save(filepath.Join(dir, "model.safetensors"), f, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// hubFolder writes a folder with the weights of a network and JSON files.
func hubFolder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	net, err := models.New("resnet18", models.Classes(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	all := nn.Values(net)
	if _, sharded := files["model.safetensors.index.json"]; sharded {
		first, second := map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}
		index := map[string]string{}
		for k, v := range all {
			if strings.HasPrefix(k, "layer1") {
				first[k], index[k] = v, "a.safetensors"
			} else {
				second[k], index[k] = v, "b.safetensors"
			}
		}
		for name, part := range map[string]map[string]*tensor.Tensor{"a.safetensors": first, "b.safetensors": second} {
			if err := weights.Save(filepath.Join(dir, name), &weights.File{Tensors: part}, weights.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		b, err := json.Marshal(map[string]any{"weight_map": index})
		if err != nil {
			t.Fatal(err)
		}
		files["model.safetensors.index.json"] = string(b)
	} else if err := weights.Save(filepath.Join(dir, "model.safetensors"), &weights.File{Tensors: all}, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	transformersConfig = `{"model_type": "resnet", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512], "layer_type": "basic",
		"num_channels": 3, "id2label": {"0": "ant", "1": "bee", "2": "cat"}}`
	processor = `{"feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": 0.875, "size": 224, "resample": 3,
		"image_mean": [0.5, 0.5, 0.5], "image_std": [0.2, 0.2, 0.2]}`
	timmConfig = `{"architecture": "resnet18", "num_classes": 3, "label_names": ["ant", "bee", "cat"], "pretrained_cfg": {"mean": [0.5, 0.5, 0.5],
		"std": [0.2, 0.2, 0.2], "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center", "input_size": [3, 288, 288]}}`
)

func TestHubFolder(t *testing.T) {
	for name, c := range map[string]struct {
		files        map[string]string
		size, resize int
	}{
		"transformers": {map[string]string{"config.json": transformersConfig, "preprocessor_config.json": processor}, 224, 256},
		"shards":       {map[string]string{"config.json": transformersConfig, "preprocessor_config.json": processor, "model.safetensors.index.json": ""}, 224, 256},
		"timm":         {map[string]string{"config.json": timmConfig}, 288, 303},
		"crop": {map[string]string{"config.json": transformersConfig, "preprocessor_config.json": `{"do_center_crop": true, "size": {"shortest_edge": 232},
			"crop_size": {"height": 200, "width": 200}, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}`}, 200, 232},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Open(hubFolder(t, c.files), Options{})
			if err != nil {
				t.Fatal(err)
			}
			p := r.Preprocess
			if r.Model == nil || r.Model.Config.Name != "resnet18" || !slices.Equal(r.File.Classes, []string{"ant", "bee", "cat"}) {
				t.Errorf("the network is %v, the classes %q", r.Model, r.File.Classes)
			}
			if p == nil || p.Width != c.size || p.Resize != c.resize || p.Squash {
				t.Errorf("the preprocessing is %v", p)
			}
		})
	}
	for name, c := range map[string]struct{ file, text, want string }{
		"another type":     {"config.json", `{"model_type": "vit"}`, `"vit"`},
		"unknown network":  {"config.json", `{"architecture": "resnet9000"}`, "resnet9000"},
		"no JSON":          {"config.json", `{`, "config.json"},
		"depths":           {"config.json", `{"model_type": "resnet", "layer_type": "basic", "depths": [2]}`, "depths [2]"},
		"processor":        {"preprocessor_config.json", `{"image_mean": [0], "image_std": [1], "size": {"shortest_edge": -4}, "resample": 3}`, "preprocessor_config.json"},
		"resample":         {"preprocessor_config.json", `{"image_mean": [0], "image_std": [1], "resample": 77}`, "resample is 77"},
		"timm's crop mode": {"config.json", strings.Replace(timmConfig, "center", "border", 1), `"border"`},
	} {
		if _, err := Open(smallFolder(t, c.file, c.text), Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	two := t.TempDir()
	for i := range 2 {
		if err := os.WriteFile(filepath.Join(two, fmt.Sprintf("%d.onnx", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(two, Options{}); err == nil || !strings.Contains(err.Error(), "0.onnx, 1.onnx") {
		t.Errorf("two models: %v", err)
	}
}
