package modelfile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/hub"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// A published model is downloaded once, and opened with the preprocessing and the
// class names of its publisher.
func TestPublished(t *testing.T) {
	m, err := models.New("resnet18", models.Classes(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "model.safetensors")
	if err := weights.Save(file, &weights.File{Tensors: nn.Values(m)}, weights.SaveOptions{Half: true}); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config := []byte(`{"architecture": "resnet18", "num_classes": 3, "label_names": ["a", "b", "c"], "pretrained_cfg": {
		"input_size": [3, 96, 96], "crop_pct": 0.95, "interpolation": "bicubic", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}`)
	const commit = "0123456789abcdef0123456789abcdef01234567"
	sent := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/models/org/tiny/") {
			_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": []map[string]string{{"rfilename": "config.json"}, {"rfilename": "model.safetensors"}}})
			return
		}
		b := map[string][]byte{"config.json": config, "model.safetensors": body, "weights.safetensors": body}[filepath.Base(r.URL.Path)]
		w.Header().Set("ETag", fmt.Sprintf(`"tag-%d"`, len(b)))
		if r.Method == http.MethodGet {
			sent++
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}))
	defer s.Close()
	dir := t.TempDir()
	opt := modelfile.Options{Hub: &hub.Client{Endpoint: s.URL, HubCache: dir, TorchCache: dir + "/torch"}}
	for range 2 {
		r, err := modelfile.Open("org/tiny", opt)
		if err != nil {
			t.Fatal(err)
		}
		if r.Preprocess == nil || r.Preprocess.Width != 96 || r.Preprocess.Resize != 101 || r.Preprocess.Interpolation != "bicubic" {
			t.Errorf("preprocessing %+v", r.Preprocess)
		}
		if strings.Join(r.File.Classes, "") != "abc" {
			t.Errorf("classes %q", r.File.Classes)
		}
	}
	if sent != 2 {
		t.Errorf("%d files were sent, want 2", sent)
	}
	if r, err := modelfile.Open("resnet18@"+s.URL+"/weights.safetensors", opt); err != nil || r.Classes != 3 {
		t.Error(err)
	}
	if _, err := modelfile.Open(s.URL+"/weights.safetensors#sha256="+strings.Repeat("0", 64), opt); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a wrong checksum gives %v", err)
	}
}

// Weights of torchvision are opened as torchvision prepares pictures for them.
func TestTorchvisionWeights(t *testing.T) {
	m, err := models.New("resnet18")
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 1); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// The cache has the file: its content is not looked at again.
	if err := weights.Save(filepath.Join(dir, "x.pth"), &weights.File{Tensors: nn.Values(m)}, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "x.pth"), filepath.Join(dir, "resnet18-f37072fd.pth")); err != nil {
		t.Fatal(err)
	}
	r, err := modelfile.Open("torchvision/resnet18", modelfile.Options{Hub: &hub.Client{TorchCache: dir, Offline: true}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Preprocess == nil || r.Preprocess.Resize != 256 || r.Preprocess.Width != 224 || !strings.Contains(r.Why, "IMAGENET1K_V1") {
		t.Errorf("%+v, %s", r.Preprocess, r.Why)
	}
	if len(r.File.Classes) != 1000 || r.File.Classes[0] != "tench" || r.File.Classes[999] != data.ImageNetClasses()[999] {
		t.Errorf("classes %q", r.File.Classes[:min(3, len(r.File.Classes))])
	}
}

// TestPublishedNetworks checks that package models has the networks of all published
// weights.
func TestPublishedNetworks(t *testing.T) {
	for _, p := range hub.AllPublished() {
		name, _, _ := strings.Cut(p.Network, ".")
		if v2, ok := strings.CutPrefix(name, "resnetv2_"); ok {
			name = "preresnet" + v2 // as timm's are called here
		}
		if _, err := modelfile.Lookup(name); err != nil && p.From != "keras" {
			t.Errorf("%s/%s: %v", p.From, p.Network, err)
		}
	}
}
