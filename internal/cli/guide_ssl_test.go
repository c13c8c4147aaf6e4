package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every command of docs/ssl.md runs, in the order of the page.
func TestGuideToLearningWithoutLabels(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "ssl.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for i := range 24 {
		writePicture(t, filepath.Join("photos", fmt.Sprintf("%d.png", i)), i)
		writePicture(t, filepath.Join("labeled", []string{"cat", "dog"}[i%2], fmt.Sprintf("%d.png", i)), i)
	}
	commands := 0
	for line := range strings.Lines(string(page)) {
		args, ok := strings.CutPrefix(line, "    resnet ")
		if !ok {
			continue
		}
		commands++
		out := done(t, strings.Fields(args)...)
		for begin, want := range map[string]string{
			"train --task ssl --method": "a backbone without a last layer",
			"train --task ssl --data":   "linear probe of the last epoch",
			"train --recipe":            "temperature: 0.2",
			"train --model":             "evaluation: top-1",
		} {
			if strings.HasPrefix(args, begin) && !strings.Contains(out, want) {
				t.Errorf("%s printed\n%s", args, out)
			}
		}
	}
	if commands < 5 {
		t.Errorf("the page has only %d commands", commands)
	}
	if info, err := os.Stat("features.npy"); err != nil || info.Size() < 24*64*4 {
		t.Errorf("the features: %v", err)
	}
	// What the page does not show: commands that need a last layer, unknown names.
	for want, args := range map[string][]string{
		"has no last layer":        {"predict", "photos/0.png", "--model", "runs/backbone/best.safetensors"},
		"it gives features":        {"eval", "--data", "folder:labeled", "--model", "runs/backbone/best.safetensors"},
		"did you mean":             {"train", "--task", "ssl", "--method", "simsiem", "--data", "folder:photos"},
		"--task \"sl\" is unknown": {"train", "--task", "sl", "--data", "folder:photos"},
		"leave out one":            {"train", "--task", "ssl", "--recipe", "byol", "--data", "folder:photos"},
	} {
		if code, _, stderr := cli(t, args...); code == exitDone || !strings.Contains(stderr, want) {
			t.Errorf("%v: code %d, %s", args, code, stderr)
		}
	}
}
