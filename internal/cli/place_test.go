package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlacesAreCheckedFirst: a folder that is not there, or a file in its place, is an
// error before a model is opened.
func TestPlacesAreCheckedFirst(t *testing.T) {
	dir := t.TempDir()
	picture, file := filepath.Join(dir, "x.png"), filepath.Join(dir, "file")
	writePicture(t, picture, 1)
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const model = "nowhere.safetensors"
	none := filepath.Join(dir, "none")
	for _, c := range [][]string{
		{"detect", "-m", model, picture, "--results", filepath.Join(none, "r.json")},
		{"detect", "-m", model, picture, "--results", filepath.Join(file, "r.json")},
		{"detect", "-m", model, picture, "-o", filepath.Join(none, "r.png")},
		{"detect", "-m", model, picture, "-o", filepath.Join(file, "out")},
		{"segment", "-m", model, picture, "--mask", filepath.Join(none, "m.png")},
		{"segment", "-m", model, picture, "-o", filepath.Join(none, "o.png")},
		{"segment", "-m", model, picture, "-o", filepath.Join(file, "out")},
		{"predict", "-m", model, picture, "-o", filepath.Join(none, "p.csv")},
		{"eval", "-m", model, "-d", "folder:" + dir, "--csv", filepath.Join(none, "p.csv")},
		{"eval", "-m", model, "-d", "folder:" + dir, "-o", filepath.Join(file, "report")},
		{"explain", "-m", model, picture, "-o", filepath.Join(none, "e.png")},
	} {
		if code, _, errs := cli(t, c...); code != exitFailed || !strings.Contains(errs, "there is no folder "+none) && !strings.Contains(errs, "not a folder") {
			t.Errorf("%q: code %d, %s", c, code, errs)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// stopAfter ends a context when something is written.
type stopAfter struct {
	bytes.Buffer
	stop func()
}

func (s *stopAfter) Write(b []byte) (int, error) {
	s.stop()
	return s.Buffer.Write(b)
}

// TestDetectInterrupted: --results gets what is done, or a note tells that nothing was.
func TestDetectInterrupted(t *testing.T) {
	model, dir := detectorModel(t), t.TempDir()
	for _, name := range []string{"1.png", "2.png", "3.png"} {
		writePicture(t, filepath.Join(dir, name), 1)
	}
	for _, first := range []bool{true, false} {
		results := filepath.Join(t.TempDir(), "r.json")
		ctx, cancel := context.WithCancel(t.Context())
		out, errs := &stopAfter{stop: func() {}}, new(bytes.Buffer)
		if first {
			out.stop = cancel
		} else {
			cancel()
		}
		code := run(ctx, []string{"detect", "-m", model, "--results", results, "--threshold", "0", dir}, strings.NewReader(""), out, errs)
		cancel()
		b, err := os.ReadFile(results)
		if code < exitSignal {
			t.Errorf("code %d: %s", code, errs)
		}
		var all []cocoResult
		if !first {
			if err == nil || !strings.Contains(errs.String(), "nothing was written to "+results) {
				t.Errorf("%v, %s", err, errs)
			}
		} else if err != nil || json.Unmarshal(b, &all) != nil || len(all) == 0 || all[0].ImageID != 1 || !strings.Contains(errs.String(), "of 3 pictures") {
			t.Errorf("%v, %s, %s", err, b, errs)
		}
	}
}

// TestFlagsAreUsed: a flag that would be ignored is a usage error.
func TestFlagsAreUsed(t *testing.T) {
	model, dir, names := detectorModel(t), sceneFolder(t, 2), filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(names, []byte("a\nb\nc\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	picture := filepath.Join(t.TempDir(), "x.png")
	writePicture(t, picture, 1)
	for want, args := range map[string][]string{
		"has names, such as":                                   {"detect", "-m", model, "--classes", names, picture},
		"--threshold has no effect for a detector":             {"eval", "-m", model, "-d", "coco:" + dir, "--split", "train", "--threshold", "0.3"},
		"--worst has no effect for a detector":                 {"eval", "-m", model, "-d", "coco:" + dir, "--split", "train", "--worst", "3"},
		"--raw has no effect with --list-layers":               {"explain", "--list-layers", "--raw", "x.npy"},
		"--class has no effect with --list-layers":             {"explain", "--list-layers", "--class", "cat"},
		"-o has no effect with --list-layers":                  {"inspect", "--list-layers", "-o", "x.png"},
		"--ignore-orientation has no effect without a picture": {"inspect", "-o", "x.png", "--ignore-orientation"},
		"--momentum has no effect without --train":             {"export", "--stablehlo", "resnet8-cifar", "-o", "x.mlir", "--momentum", "0.5"},
		"--draws has no effect without --labels":               {"linear", "-d", "folder:" + dir, "--draws", "3"},
		"--rounds has no effect with --profile":                {"bench", "resnet8-cifar", "--profile", "--rounds", "2"},
		"--peers-dir has no effect without --peer":             {"bench", "resnet8-cifar", "--peers-dir", dir},
		"--depths has no effect on recipes":                    {"compare", "a.yaml", "b.yaml", "--depths", "8"},
		"--max-time has no effect with --lr-find":              {"train", "--lr-find", "--max-time", "1m"},
		"--patience has no effect with --lr-find":              {"train", "--lr-find", "--patience", "3"},
		"--seed has no effect without --partial":               {"convert", model, "x.pth", "--seed", "1"},
	} {
		if code, _, errs := cli(t, args...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: code %d, %s", args, code, errs)
		}
	}
	// Its own names are no contradiction.
	if err := os.WriteFile(names, []byte("background\nBag\nTrouser\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	done(t, "detect", "-m", model, "--classes", names, picture)
}

// TestObjectNumbers: --box takes lists with spaces, and names what is no number.
func TestObjectNumbers(t *testing.T) {
	var n objectNumbers
	if err := n.Set("1, 2 ,5"); err != nil || n.String() != "1,2,5" {
		t.Errorf("%v, %v", n, err)
	}
	if err := n.Set("x"); err == nil || !strings.Contains(err.Error(), `"x" is not the number of an object`) {
		t.Error(err)
	}
}
