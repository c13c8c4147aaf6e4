package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPull downloads a model from a server that answers as the hub does, and uses it
// by its name in other commands, at last without the server.
func TestPull(t *testing.T) {
	dir := t.TempDir()
	model, err := os.ReadFile(fashionModel(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	photo := filepath.Join(dir, "photo.png")
	writePicture(t, photo, 1)
	picture, err := os.ReadFile(photo)
	if err != nil {
		t.Fatal(err)
	}
	const commit = "0123456789abcdef0123456789abcdef01234567"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := model
		switch {
		case strings.HasPrefix(r.URL.Path, "/api/models/org/tiny/"):
			_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": []map[string]string{{"rfilename": "model.safetensors"}}})
			return
		case strings.HasSuffix(r.URL.Path, ".png"):
			b = picture
		case !strings.HasSuffix(r.URL.Path, "model.safetensors"):
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"one"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}))
	defer s.Close()
	t.Setenv("HF_ENDPOINT", s.URL)
	t.Setenv("HF_HUB_CACHE", filepath.Join(dir, "cache"))

	var pulled pulledLine
	if err := json.Unmarshal([]byte(done(t, "pull", "org/tiny", "--json", "-q")), &pulled); err != nil {
		t.Fatal(err)
	}
	if pulled.Bytes != int64(len(model)) || !strings.HasSuffix(pulled.Path, commit) {
		t.Errorf("pulled %+v", pulled)
	}
	local := done(t, "predict", "-q", "--json", "-m", fashionModel(t, nil), photo)
	if got := done(t, "predict", "-q", "--json", "-m", "org/tiny", photo); got != local {
		t.Errorf("by name %s, by file %s", got, local)
	}
	if got := done(t, "predict", "-q", "--json", "-m", "hf://org/tiny@main", s.URL+"/photo.png"); !strings.Contains(got, s.URL+"/photo.png") {
		t.Errorf("a picture by its address: %s", got)
	}
	if got := done(t, "summary", "org/tiny", "--json"); !strings.Contains(got, commit) {
		t.Errorf("summary: %s", got)
	}
	s.Close()
	t.Setenv("HF_HUB_OFFLINE", "1")
	if got := done(t, "predict", "-q", "--json", "-m", "org/tiny", photo); got != local {
		t.Errorf("offline %s, by file %s", got, local)
	}
	code, _, errs := cli(t, "predict", "-q", "-m", "org/other", photo)
	if code != exitFailed || !strings.Contains(errs, "HF_HUB_OFFLINE") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	if got := done(t, "models", "--published", "resnet50", "--json"); !strings.Contains(got, `"torchvision/resnet50:IMAGENET1K_V1"`) {
		t.Errorf("published models: %s", got)
	}
}
