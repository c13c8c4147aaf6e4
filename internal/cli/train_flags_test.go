package cli

import (
	"path/filepath"
	"strings"
	"testing"
)

// Mistakes in a flag name the flag and what it wants.
func TestTrainFlagMistakes(t *testing.T) {
	photos := "--data " + smallData(t)
	for args, want := range map[string]string{
		"--epochs 0":                          "--epochs 0 is not a number of epochs, 1 or more",
		"--batch 0":                           `--batch "0" is not a whole number of 1 or more`,
		"--shards 0":                          `--shards "0" is not a whole number of 1 or more`,
		photos + " --batch 4 --shards 3":      "4 is not a multiple of the 3 shards of a batch",
		photos + " --shards 2 --accumulate 2": "accumulate and shards exclude each other",
		"--lr -1":                             `--lr "-1" is not a number above 0`,
		"--threads abc":                       `--threads wants a whole number, not "abc"`,
		"--max-time 5":                        `--max-time wants a time such as 90s, 10m or 2h30m, not "5"`,
		"--max-time -5s":                      "--max-time -5s is not a time above 0",
		"--val-split 1":                       `--val-split "1" is not a share between 0 and 1`,
		"--patience x":                        `--patience "x" is not a whole number`,
		"--workers -1":                        "--workers -1 is below 0",
		"--folds 1":                           "--folds 1 are too few",
		"--folds 2 --lr-find":                 "--folds and --lr-find exclude each other",
		"--class-weights cat":                 "neither balanced nor NAME=WEIGHT",
		"--class-weights cat=0":               "gives cat a weight that is not a number above 0",
		"--optimizer adm":                     `--optimizer: unknown optimizer "adm"; did you mean "adam"?`,
		"--schedule cosin":                    `--schedule: unknown schedule "cosin"; did you mean "cosine"?`,
		"--loss foco":                         `--loss: unknown loss "foco"; did you mean "focal"?`,
		"--resume --out x --freeze backbone":  "--freeze cannot be combined with --resume",
		"--resume --epochs 3":                 "--resume needs --out",
		photos + " --size 32 --freeze layer9": `did you mean "layer1"?`,
		photos + " --class-weights darc=2":    `there is no class "darc"; did you mean "dark"?`,
		photos + " --teacher none.pth":        "distill.from: cannot open the model file none.pth",
		photos + " --val-data folder:none":    "data to evaluate on: ",
		photos + " --model resnet8-cifar --freeze backbone": "is only a name: give its file",
	} {
		code, _, errs := cli(t, append([]string{"train", "--quiet"}, strings.Fields(args)...)...)
		if code == exitDone || !strings.Contains(errs, want) {
			t.Errorf("train %s: exit code %d, stderr %q, want %q", args, code, errs, want)
		}
	}
	// A name needs no brackets.
	if out := done(t, "train", "--print-recipe", "--recipe", "finetune", "-s", "finetune.freeze=backbone"); !strings.Contains(out, "freeze: [backbone]") {
		t.Errorf("the recipe is\n%s", out)
	}
	if out := done(t, "train", "--print-recipe", "--recipe", "finetune", "--optimizer", "adamw", "--patience", "3", "--class-weights", "a b=2"); !strings.Contains(out, "name: adamw") ||
		!strings.Contains(out, "peak: 0.0004") || !strings.Contains(out, "patience: 3") || !strings.Contains(out, "a b: 2") {
		t.Errorf("the recipe is\n%s", out)
	}
}

func TestDataSplit(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		writePicture(t, filepath.Join(dir, "photos", []string{"cat", "dog"}[i%2], string(rune('a'+i))+".png"), i)
	}
	spec, parts := "folder:"+filepath.Join(dir, "photos"), filepath.Join(dir, "parts")
	out := done(t, "data", "split", spec, "-o", parts, "--val", "0.2", "--test", "0.2")
	if !strings.Contains(out, "12 pictures") || !strings.Contains(out, "resnet train --data folder:"+parts) {
		t.Errorf("split printed\n%s", out)
	}
	done(t, "data", "check", "folder:"+parts)
	done(t, "data", "split", spec, "-o", filepath.Join(dir, "linked"), "--link", "--json")
	for args, want := range map[string]string{
		spec:                                "-o is missing",
		spec + " -o " + parts:               "is not empty",
		spec + " -o x --val 0.7 --test 0.4": "must be shares",
		spec + " -o x --val 0":              "must be shares",
		"folder:" + dir + "/none -o x":      "none",
		"embedded:fashion -o x":             "only folder:DIR and folder:FILE.zip",
	} {
		code, _, errs := cli(t, append([]string{"data", "split"}, strings.Fields(args)...)...)
		if code == exitDone || !strings.Contains(errs, want) {
			t.Errorf("data split %s: exit code %d, stderr %q, want %q", args, code, errs, want)
		}
	}
}
