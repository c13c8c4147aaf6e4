package atlas_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A real browser uses the page as people do: testdata/browser.py, by Playwright. It needs
// RESNET_PEER_PYTHON, a Python with playwright, and RESNET_CHROMIUM, a Chromium;
// RESNET_SCREENSHOTS is a folder for screenshots.
func TestBrowser(t *testing.T) {
	python, chromium := os.Getenv("RESNET_PEER_PYTHON"), os.Getenv("RESNET_CHROMIUM")
	if python == "" || chromium == "" {
		t.Skip("RESNET_PEER_PYTHON names no Python with playwright, or RESNET_CHROMIUM no Chromium")
	}
	if err := exec.Command(python, "-c", "import playwright").Run(); err != nil {
		t.Skipf("RESNET_PEER_PYTHON, %s, has no playwright: %v", python, err)
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
