package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/scenes"
)

// annotated writes scenes as an annotation tool exports them: the JSON file by that
// name, and the pictures in images.
func annotated(t *testing.T, dir, file string) {
	t.Helper()
	clothes, err := scenes.Clothes("Bag", "Trouser")
	if err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(t.TempDir(), "scenes")
	if err := scenes.Write(made, scenes.Options{Train: 10, Val: 1, MinSide: 48, MaxSide: 64, MaxObjects: 2, Objects: clothes}); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(made, "instances_train.json"), to); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(made, "JPEGImages"), filepath.Join(dir, "images")); err != nil {
		t.Fatal(err)
	}
}

// Every command of docs/detection.md runs, in the order of the page, on exports as
// CVAT and Label Studio write them. Lengths and sizes are cut down.
func TestGuideToYourOwnBoxes(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "detection.md"))
	if err != nil {
		t.Fatal(err)
	}
	for tool, file := range map[string]string{"CVAT": "annotations/instances_default.json", "Label Studio": "result.json"} {
		t.Run(tool, func(t *testing.T) {
			t.Chdir(t.TempDir())
			annotated(t, "export", file)
			writePicture(t, "photo.png", 1)
			commands := 0
			for line := range strings.Lines(string(page)) {
				args, ok := strings.CutPrefix(strings.TrimPrefix(line, "    "), "resnet ")
				if !ok || strings.Contains(args, ".pth") || strings.Contains(args, "torchvision/") || strings.Contains(args, "coco:scenes") {
					continue // weights of others are not here
				}
				commands++
				args = strings.NewReplacer("--epochs 10", "--epochs 1", "--epochs 12", "--epochs 2", "channels=64", "channels=16",
					"box_features=256", "box_features=32", "proposals=100", "proposals=20", "photo.jpg", "photo.png").Replace(args)
				out := done(t, strings.Fields(args)...)
				if strings.HasPrefix(args, "train --data") && (!strings.Contains(out, "AP  0.50:0.95  all") || !strings.Contains(out, "resnet detect --model runs/boxes/best.safetensors")) {
					t.Errorf("train printed\n%s", out)
				}
			}
			if commands < 5 {
				t.Errorf("the page has only %d commands", commands)
			}
		})
	}
}
