package cli

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The program built for WebAssembly, run by node (js) and wazero (wasip1),
// finds in a picture what the native program does, within 1e-5.
func TestWebAssembly(t *testing.T) {
	wazero := os.Getenv("RESNET_WASM")
	if wazero == "" {
		t.Skip("RESNET_WASM does not name the program wazero")
	}
	dir := t.TempDir()
	writePicture(t, filepath.Join(dir, "picture.png"), 1)
	want := probabilities(t, done(t, "predict", "-k", "10", "--json", filepath.Join(dir, "picture.png")))
	if len(want) != 10 {
		t.Fatalf("%d classes", len(want))
	}
	exe := func(goos string) string {
		path := filepath.Join(dir, goos+".wasm")
		build := exec.Command("go", "build", "-o", path, "../../cmd/resnet")
		build.Env = append(os.Environ(), "GOOS="+goos, "GOARCH=wasm", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return path
	}
	args := []string{"predict", "-k", "10", "--json"}
	for _, c := range []struct {
		goos    string
		command func(file string) []string
	}{
		{"wasip1", func(file string) []string {
			return append(append([]string{wazero, "run", "-mount=" + dir + ":/pictures:ro", file}, args...), "/pictures/picture.png")
		}},
		{"js", func(file string) []string {
			script := filepath.Join(goroot(t), "lib", "wasm", "wasm_exec_node.js")
			return append(append([]string{"node", "--stack-size=8192", script, file}, args...), filepath.Join(dir, "picture.png"))
		}},
	} {
		t.Run(c.goos, func(t *testing.T) {
			line := c.command(exe(c.goos))
			cmd := exec.Command(line[0], line[1:]...)
			// Nothing of this test's environment: wasm_exec copies it into the program.
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			got := probabilities(t, stdout.String())
			largest := 0.0
			for class, p := range want {
				largest = max(largest, math.Abs(got[class]-p))
			}
			t.Logf("wasm: largest difference of a probability %.2g", largest)
			if len(got) != len(want) || !(largest <= 1e-5) {
				t.Errorf("got %v, natively %v", got, want)
			}
		})
	}
}

func probabilities(t *testing.T, line string) map[string]float64 {
	t.Helper()
	var p predictionLine
	if err := json.Unmarshal([]byte(line), &p); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	m := map[string]float64{}
	for _, x := range p.Predictions {
		m[x.Class] = float64(x.Probability)
	}
	return m
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
