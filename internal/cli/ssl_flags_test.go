package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sslPictures makes folders of pictures in a folder: photos without labels, labeled, and
// parts, which has a test part and no validation part.
func sslPictures(t *testing.T, dir string) {
	t.Helper()
	for i := range 24 {
		name, class := fmt.Sprintf("%d.png", i), []string{"cat", "dog"}[i%2]
		writePicture(t, filepath.Join(dir, "photos", name), i)
		writePicture(t, filepath.Join(dir, "labeled", class, name), i)
		writePicture(t, filepath.Join(dir, "parts", []string{"train", "train", "test"}[i%3], class, name), i)
	}
	writePicture(t, filepath.Join(dir, "one", "0.png"), 1)
}

// TestFlagsBeforeTraining: what a flag asks for and the run cannot have is a usage error
// that names the flag, before anything is trained.
func TestFlagsBeforeTraining(t *testing.T) {
	t.Chdir(t.TempDir())
	sslPictures(t, ".")
	short := " --epochs 1 --batch 8 --size 16 --model resnet8-cifar"
	done(t, strings.Fields("train --task ssl --data folder:photos --out run"+short)...)
	for args, want := range map[string]string{
		"--task ssl --data folder:photos --reference" + short:             "--reference: no reference can be kept: it is of a classifier's answers",
		"--resume --out run --epochs 2 --reference":                       "--reference: no reference can be kept",
		"--data folder:labeled --set validation=-1 --reference" + short:   "there is nothing to evaluate on",
		"--task ssl --data folder:photos --freeze layer1":                 "--freeze: is for a trained model",
		"--data folder:labeled --freeze nothing":                          "--freeze: no parameter is named \"nothing\"",
		"--task ssl --data folder:photos --teacher t.safetensors":         "--teacher: is for classifiers",
		"--task ssl --data folder:photos --loss bce --class-weights none": "--class-weights \"none\"",
		"--task ssl --data folder:photos --loss bce":                      "--loss: the method has its own loss",
		"--task ssl --data folder:photos --schedule plateau":              "--schedule: plateau follows",
		"--task ssl --data folder:labeled --folds 2":                      "--folds needs labels to learn from",
		"--data folder:labeled --accumulate 1000":                         "--accumulate: an update of 1000 batches",
		"--data folder:labeled --shards 7":                                "batch_size: 8 is not a multiple",
		"--resume --out run --method byol":                                "--method cannot be combined with --resume",
		"--resume --out run --task ssl":                                   "--task cannot be combined with --resume",
		"--resume --out run --keys a=b":                                   "--keys cannot be combined with --resume",
		"--resume --out run --skip-bad":                                   "--skip-bad cannot be combined with --resume",
	} {
		code, out, stderr := cli(t, append([]string{"train"}, strings.Fields(args)...)...)
		if code != exitUsage || !strings.Contains(stderr, want) || strings.Contains(stderr, "epoch 1/") || strings.Count(stderr, "--reference:") > 1 {
			t.Errorf("train %s: code %d, want %q\n%s%s", args, code, want, out, stderr)
		}
	}
	if code, _, stderr := cli(t, strings.Fields("train --task ssl --data folder:one"+short)...); code != exitFailed || !strings.Contains(stderr, "folder:one has 1 picture to learn from") {
		t.Errorf("one picture: code %d, %s", code, stderr)
	}
}

// TestUnusableTestPart: a test part with a class of its own, or without class folders, ends
// a training only where it is needed.
func TestUnusableTestPart(t *testing.T) {
	t.Chdir(t.TempDir())
	sslPictures(t, ".")
	for _, name := range []string{"more", "flat", "validated"} {
		if err := os.CopyFS(name, os.DirFS("parts")); err != nil {
			t.Fatal(err)
		}
	}
	writePicture(t, filepath.Join("more", "test", "eel", "0.png"), 30)
	writePicture(t, filepath.Join("validated", "test", "eel", "0.png"), 30)
	writePicture(t, filepath.Join("validated", "val", "cat", "0.png"), 31)
	if err := os.RemoveAll(filepath.Join("flat", "test")); err != nil {
		t.Fatal(err)
	}
	writePicture(t, filepath.Join("flat", "test", "0.png"), 30)
	for i, c := range []struct {
		args string
		want string // of the error; empty for none
	}{
		{"--data folder:more", "test/eel/ has no counterpart in train/"},
		{"--data folder:more --recipe cifar-fast", "--val-split 0.1 evaluates on a share of the training pictures"},
		{"--data folder:more --task ssl", "--val-split 0.1"},
		{"--data folder:flat", "test has no pictures"},
		{"--data folder:more --val-split 0.3", ""},
		{"--data folder:more --val-split 0.3 --task ssl", ""},
		{"--data folder:more --val-data folder:parts", ""},
		{"--data folder:flat --val-split 0.3 --recipe cifar-fast", ""},
		{"--data folder:validated", ""},
	} {
		code, out, errs := cli(t, strings.Fields(fmt.Sprintf("train --epochs 1 --batch 4 --size 16 --model resnet8-cifar --out run%d %s", i, c.args))...)
		switch {
		case c.want != "" && (code != exitFailed || !strings.Contains(errs, c.want)):
			t.Errorf("%s: code %d, %s", c.args, code, errs)
		case c.want == "" && (code != exitDone || strings.Count(errs, "the test part is left out: test") != 1):
			t.Errorf("%s: code %d\n%s%s", c.args, code, out, errs)
		}
	}
	// What evaluates a model divides the data as its training did.
	for i, data := range map[int]string{4: "folder:more", 8: "folder:validated"} {
		model := fmt.Sprintf("run%d/best.safetensors", i)
		if out := done(t, "eval", "--model", model, "--data", data); !strings.Contains(out, "val") {
			t.Errorf("eval on %s: %s", data, out)
		}
		done(t, "linear", "--model", model, "--data", data)
	}
}

// TestTestPartChooses: where the test part takes the place of a validation part, one line
// and the result tell; with a share for validation, it does not.
func TestTestPartChooses(t *testing.T) {
	dir := t.TempDir() // the JSON is compared with the source, so this is not the current folder
	sslPictures(t, dir)
	for args, part := range map[string]string{
		"--data folder:parts":                           "test",
		"--data folder:parts --task ssl":                "test",
		"--data folder:parts --val-split 0.3":           "val",
		"--data folder:labeled":                         "val",
		"--data folder:photos --task ssl":               "",
		"--data folder:parts --val-data folder:labeled": "val",
	} {
		code, out, stderr := cli(t, strings.Fields("train --json --epochs 1 --batch 4 --size 16 --model resnet8-cifar --out "+t.TempDir()+" "+strings.ReplaceAll(args, "folder:", "folder:"+dir+"/"))...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		var last struct {
			Result struct {
				EvaluatedOn string `json:"evaluated_on"`
			} `json:"result"`
		}
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || code != exitDone {
			t.Fatalf("%s: code %d, %v\n%s", args, code, err, stderr)
		}
		if n := strings.Count(stderr, "the test part chooses the best epoch"); last.Result.EvaluatedOn != part || (n == 1) != (part == "test") {
			t.Errorf("%s: evaluated on %q, want %q; %d notes", args, last.Result.EvaluatedOn, part, n)
		}
	}
}
