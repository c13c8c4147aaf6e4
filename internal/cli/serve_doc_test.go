package cli

import (
	"bytes"
	"encoding/json"
	"image"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The snippets of docs/serve.md work: those for the shell if there is curl, that in
// Python if there is Python, that in Go always.
func TestSnippetsOfTheServingGuide(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "serve.md"))
	if err != nil {
		t.Fatal(err)
	}
	line, _ := serving(t)
	address := strings.TrimPrefix(line.URL, "http://")
	dir := t.TempDir()
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewYCbCr(image.Rect(0, 0, 40, 30), image.YCbCrSubsampleRatio420), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "photo.jpg"), photo.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	curls, classes := 0, map[string]bool{}
	for _, m := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		text := strings.ReplaceAll(m[2], "localhost:8080", address)
		switch m[1] {
		case "sh":
			if _, err := exec.LookPath("curl"); err != nil {
				t.Log("the commands with curl are not run, because there is none")
				continue
			}
			for shell := range strings.Lines(text) {
				out := command("sh", "-c", shell)
				var answer map[string]any
				if err := json.Unmarshal([]byte(out), &answer); err != nil || answer["error"] != nil {
					t.Errorf("%s gives %v %.300s", shell, err, out)
				}
				curls++
			}
		case "go":
			file := filepath.Join(dir, "main.go")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			classes[strings.TrimSpace(command("go", "run", file))] = true
		case "python":
			python, err := exec.LookPath("python3")
			if err != nil {
				t.Log("the snippet in Python is not run, because there is none")
				continue
			}
			classes[strings.TrimSpace(command(python, "-c", text))] = true
		}
	}
	if len(classes) != 1 || classes[""] {
		t.Errorf("the snippets print %v, must be the same class", classes)
	}
	if _, err := exec.LookPath("curl"); err == nil && curls < 10 {
		t.Errorf("only %d commands with curl", curls)
	}
}
