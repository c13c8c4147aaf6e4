package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every command of docs/photos.md runs, in the order of the page.
func TestGuideToYourOwnPhotos(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "photos.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for i := range 24 {
		class := []string{"cat", "dog"}[i%2]
		name := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}[i/2]
		writePicture(t, filepath.Join("photos", class, name+".png"), i)
	}
	// The page names a JPEG file; what a file is called does not matter.
	if err := os.Rename(filepath.Join("photos", "cat", "1.png"), filepath.Join("photos", "cat", "1.jpg")); err != nil {
		t.Fatal(err)
	}
	commands := commandsOf(page)
	for _, args := range commands {
		out := done(t, strings.Fields(args)...)
		if strings.HasPrefix(args, "train --data folder:photos --out") {
			if !strings.Contains(out, "evaluation: top-1 ") || !strings.Contains(out, "best.safetensors") {
				t.Errorf("train printed\n%s", out)
			}
		}
	}
	if len(commands) < 10 {
		t.Errorf("the page has only %d commands", len(commands))
	}
	for _, f := range []string{"sheet.png", "runs/photos/curves.png", "parts/test/dog", "runs/folds/fold-3/best.safetensors", "runs/sizes/best.safetensors"} {
		if _, err := os.Stat(filepath.FromSlash(f)); err != nil {
			t.Error(err)
		}
	}
}

// commandsOf returns the arguments of the indented commands of a page.
func commandsOf(page []byte) []string {
	var commands []string
	for line := range strings.Lines(string(page)) {
		if args, ok := strings.CutPrefix(line, "    resnet "); ok {
			commands = append(commands, args)
		}
	}
	return commands
}

// Every indented command of docs/segmentation.md runs, in the order of the page.
func TestGuideToSegmentation(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "segmentation.md"))
	if err != nil {
		t.Fatal(err)
	}
	scenes := sceneFolder(t, 9)
	t.Chdir(t.TempDir())
	if err := os.Mkdir("road", 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"JPEGImages": "images", "SegmentationClass": "masks"} {
		if err := os.Rename(filepath.Join(scenes, from), filepath.Join("road", to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join("road", "classes.txt"), []byte("background\nBag\nTrouser\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	commands := commandsOf(page)
	for _, args := range commands {
		out := done(t, strings.Fields(args)...)
		if strings.HasPrefix(args, "eval ") && !strings.Contains(out, "Trouser") {
			t.Errorf("%s printed\n%s", args, out)
		}
	}
	if len(commands) < 7 {
		t.Errorf("the page has only %d commands", len(commands))
	}
	for _, f := range []string{"overlay.png", "mask.png", "sheet.png", "road.onnx", "segmented/000001-mask.png"} {
		if _, err := os.Stat(filepath.FromSlash(f)); err != nil {
			t.Error(err)
		}
	}
}
