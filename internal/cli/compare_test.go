package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/train"
)

// TestCompareOfAFolder: without --recipe, networks learn from scratch from folders of
// pictures, too; a wrong key and missing data are told.
func TestCompareOfAFolder(t *testing.T) {
	dir := t.TempDir()
	for i := range 24 {
		writePicture(t, filepath.Join(dir, "photos", []string{"cat", "dog"}[i%2], fmt.Sprintf("%d.png", i)), i)
	}
	args := []string{"compare", "attention", "--data", "folder:" + filepath.Join(dir, "photos"), "--depths", "8", "--epochs", "1"}
	out := done(t, append(args, "--out", filepath.Join(dir, "report"))...)
	if !strings.Contains(out, "report.html") {
		t.Errorf("printed %s", out)
	}
	if code, _, errs := cli(t, append(args, "--set", "epoch=3")...); code != exitUsage || !strings.Contains(errs, "epoch") {
		t.Errorf("a wrong key: code %d, %s", code, errs)
	}
	if code, _, errs := cli(t, "compare", "--data", "folder:"+filepath.Join(dir, "none")); code != exitFailed || !strings.Contains(errs, "none") {
		t.Errorf("missing data: code %d, %s", code, errs)
	}
}

// TestCompareSettings: recipes and changes reach the networks that they are for, and what
// an experiment cannot have is a usage error.
func TestCompareSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	sslPictures(t, ".")
	args := strings.Fields("compare labels --data folder:parts --depths 8")
	recipes := func(out string, more ...string) map[string]*train.Recipe {
		t.Helper()
		if code, _, stderr := cli(t, slices.Concat(args, []string{"--out", out}, more)...); code != exitDone {
			t.Fatalf("%v: code %d, %s", more, code, stderr)
		} else if trained, measured := strings.Index(stderr, "all networks are trained"), strings.Index(stderr, "features"); trained < 0 || measured < trained || strings.Contains(stderr[trained:], "%") {
			t.Errorf("the progress:\n%s", stderr)
		}
		b, err := os.ReadFile(filepath.Join(out, "study.json"))
		if err != nil {
			t.Fatal(err)
		}
		var plan struct{ Recipes map[string]string }
		if err := json.Unmarshal(b, &plan); err != nil {
			t.Fatal(err)
		}
		all := map[string]*train.Recipe{}
		for name, text := range plan.Recipes {
			if all[name], err = train.ParseRecipe(name, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	set := []string{"--epochs", "2", "--set", "batch_size=4", "--set", "size=16", "--set", "optimizer.clip_norm=3", "--set", "loss.label_smoothing=0.2"}
	for _, c := range []struct {
		out      string
		more     []string
		networks []string
	}{
		{"both", nil, []string{"simclr", "simsiam", "supervised"}},
		{"one", []string{"--recipe", "byol", "--set", "ssl.momentum=0.9"}, []string{"byol", "supervised"}},
		{"with", []string{"--recipe", "cifar-fast"}, []string{"simclr", "simsiam", "supervised"}},
	} {
		all := recipes(c.out, append(set, c.more...)...)
		if names := slices.Sorted(maps.Keys(all)); !slices.Equal(names, c.networks) {
			t.Errorf("%s: networks %q, want %q", c.out, names, c.networks)
		}
		for name, r := range all {
			if r.Epochs != 2 || r.BatchSize != 4 || r.Size != 16 || r.Optimizer.ClipNorm != 3 || r.Model != "resnet8-cifar" {
				t.Errorf("%s: %s has %d epochs, batches of %d, size %d, clip_norm %v, %s", c.out, name, r.Epochs, r.BatchSize, r.Size, r.Optimizer.ClipNorm, r.Model)
			}
			if supervised := name == "supervised"; (r.SSL == nil) != supervised || (r.Loss.LabelSmoothing == 0.2) != supervised || name == "byol" && r.SSL.Momentum != 0.9 {
				t.Errorf("%s: %s: ssl %v, loss %+v", c.out, name, r.SSL, r.Loss)
			}
			if whole, err := train.LoadRecipe(name); err == nil && r.LR.Warmup != whole.LR.Warmup*2/float64(whole.Epochs) {
				t.Errorf("%s: %s has a warm-up of %v", c.out, name, r.LR.Warmup)
			}
		}
	}
	for more, want := range map[string]string{
		"labels --set model=resnet20-cifar":                        "--set model: the experiment labels has its own networks",
		"attention --set model=resnet20-cifar":                     "--set model: the experiment attention",
		"labels --epochs 0":                                        "--epochs 0 is not a number of epochs",
		"labels --set ssl.temperature=0.2":                         "--recipe names one method",
		"labels --set epoch=3":                                     "epoch: unknown key",
		"labels --recipe detect":                                   "trains detectors",
		"attention --recipe finetune":                              "learn from scratch",
		"degradation --recipe byol":                                "learns without labels",
		"labels --recipe byol --set loss.name=bc":                  "bc",
		"labels --recipe byol --set lr.warmup=-1":                  "lr.warmup",
		"labels --recipe byoll":                                    "byol",
		"degradation --recipe fashion-quick --set ssl.method=byol": "",
	} {
		if code, _, stderr := cli(t, append(strings.Fields("compare "+more), "--data", "folder:parts", "--out", "refused")...); code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("compare %s: code %d, want %q: %s", more, code, want, stderr)
		}
	}
}
