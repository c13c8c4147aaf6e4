package atlas_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet/internal/peer"
)

// A real browser uses the page as people do: testdata/browser.py, by Playwright. It needs
// RESNET_PEER_PYTHON, a Python with playwright, and RESNET_CHROMIUM, a Chromium;
// RESNET_SCREENSHOTS is a folder for screenshots.
func TestBrowser(t *testing.T) {
	python, chromium := peer.Python(t, "playwright"), os.Getenv("RESNET_CHROMIUM")
	if chromium == "" {
		t.Skip("RESNET_CHROMIUM names no Chromium")
	}
	for name, classes := range map[string][]string{"classes": {"red", "green & <b>", "blue"}, "none": nil} {
		m := sample(t, 120, classes)
		var b bytes.Buffer
		if err := m.HTML(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name+".html")
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		conf, err := json.Marshal(map[string]any{"page": path, "chromium": chromium, "pictures": 120, "screenshots": os.Getenv("RESNET_SCREENSHOTS")})
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), python, "testdata/browser.py", string(conf)).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%.4000s", name, err, out)
		}
	}
}
