package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestResultsBelowTheData: what commands write below the folder of pictures changes
// nothing for the next ones, and a run there can be resumed.
func TestResultsBelowTheData(t *testing.T) {
	t.Chdir(t.TempDir())
	for i := range 24 {
		writePicture(t, filepath.Join([]string{"cat", "dog"}[i%2], fmt.Sprintf("%d.png", i)), i)
	}
	short := []string{"--epochs", "1", "--batch", "8", "--size", "16", "--model", "resnet8-cifar"}
	train := func(args ...string) string {
		t.Helper()
		code, out, stderr := cli(t, append([]string{"train"}, args...)...)
		if code != exitDone {
			t.Fatalf("%v: code %d\n%s%s", args, code, out, stderr)
		}
		return stderr
	}
	train(append([]string{"--data", "folder:.", "--out", "runs/own"}, short...)...)
	train(append([]string{"--data", "folder:.", "--task", "ssl"}, short...)...) // into runs/train
	train(append([]string{"--data", "folder:.", "--out", "."}, short...)...)
	train(append([]string{"--data", "folder:.", "--folds", "2", "--out", "runs/folds"}, short...)...)
	writePicture(t, filepath.Join("rate", "lr-find.png"), 1) // of --lr-find
	done(t, "eval", "--data", "folder:.", "--model", "best.safetensors", "--out", "judged")
	done(t, "compare", "labels", "--data", "folder:.", "--epochs", "1", "--depths", "8", "--out", "study", "--set", "batch_size=8", "--set", "size=16")
	for _, dir := range []string{"runs/own", "runs/train", "."} {
		if log := train("--resume", "--out", dir, "--epochs", "2"); strings.Count(log, "with results of resnet") != 1 {
			t.Errorf("%s resumed:\n%s", dir, log)
		}
	}
	if err := os.WriteFile("list", []byte(".\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ want, args string }{
		{"22 pictures to train on, 2 to evaluate on", "train --data folder:. --out again --epochs 1 --model resnet8-cifar --task ssl --batch 8"},
		{"chosen for 24 pictures of 2 classes", "train --data folder:. --out third --epochs 1"},
		{"24 pictures", "map folder:. --model runs/train/best.safetensors -o map.html"},
		{"", "map . --model runs/train/best.safetensors -o flat.html"},
		{"", "linear --data folder:. --model runs/train/best.safetensors"},
		{"", "eval --data folder:. --model runs/own/best.safetensors"},
		{"", "predict . --model runs/own/best.safetensors"},
		{"", "predict --jsonl list --model runs/own/best.safetensors"},
		{"", "embed . --model runs/train/best.safetensors -o features.npy"},
		{"", "data check folder:."},
	} {
		code, out, stderr := cli(t, strings.Fields(c.args)...)
		// The run in the folder itself has its own words in the note.
		if all := strings.ReplaceAll(out+stderr, ", and curves.png, a result of resnet", ""); code != exitDone || !strings.Contains(all, "results of resnet") || strings.Contains(all, "curves.png") || !strings.Contains(all, c.want) {
			t.Errorf("%s: code %d, want %q and a note\n%s", c.args, code, c.want, all)
		}
	}
}

// TestDrawingsBelowTheData: what commands draw into a folder of pictures, under any name,
// is no picture of it for the next ones.
func TestDrawingsBelowTheData(t *testing.T) {
	detector, segmenter := detectorModel(t), pixelModel(t)
	t.Chdir(t.TempDir())
	for i := range 12 {
		writePicture(t, filepath.Join([]string{"cat", "dog"}[i%2], fmt.Sprintf("%d.png", i)), i)
	}
	train := "train --data folder:. --epochs 1 --batch 4 --size 16 --model resnet8-cifar --out "
	done(t, strings.Fields(train+"run")...)
	done(t, "explain", "cat/0.png", "-m", "run/best.safetensors", "-o", "cat/any name.png")
	done(t, "inspect", "cat/0.png", "-m", "run/best.safetensors", "-o", "dog/layers.png")
	done(t, "detect", "cat/0.png", "-m", detector, "-o", "dog/found.png")
	if err := os.Mkdir("objects", 0o755); err != nil {
		t.Fatal(err)
	}
	done(t, "detect", "cat", "-m", detector, "-o", "objects", "--results", "objects/results.json")
	done(t, "segment", "cat/0.png", "-m", segmenter, "-o", "dog/overlay.png", "--mask", "cat/pixels.png")
	done(t, "segment", "dog", "-m", segmenter, "-o", "dog")
	for _, args := range []string{train + "again", "data check folder:.", "predict . -m run/best.safetensors --csv"} {
		code, out, stderr := cli(t, strings.Fields(args)...)
		if want := "and 17 pictures that are results of resnet, such as cat/any name.png"; code != exitDone || !strings.Contains(out+stderr, want) {
			t.Errorf("%s: code %d, want %q\n%s%s", args, code, want, out, stderr)
		}
		if left := regexp.MustCompile(`any name|layers|found|overlay|mask|pixels|objects`).FindString(out); left != "" && !strings.HasPrefix(args, "data") {
			t.Errorf("%s: took %s for a picture\n%s", args, left, out)
		}
	}
}
