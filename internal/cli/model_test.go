package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever command is given a model, the text means the same, and so does the
// error.
func TestEveryCommandReadsModelAlike(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "none.safetensors")
	photo := filepath.Join(dir, "photo.png")
	if err := os.WriteFile(photo, []byte("never decoded"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RESNET_TUNING", filepath.Join(dir, "tuning.json"))
	t.Setenv("HF_HUB_OFFLINE", "1")
	t.Setenv("HF_HUB_CACHE", dir)
	calib := "--calib embedded:fashion -o " + filepath.Join(dir, "out.onnx")
	for _, c := range []struct {
		model string
		code  int
		want  string
	}{
		{missing, exitFailed, "cannot open the model file " + missing + ": "},
		{"resnet8-cifar@" + missing, exitFailed, "cannot open the model file " + missing + ": "},
		{dir, exitFailed, dir + " is a folder; a model is a file, such as " + filepath.Join(dir, "best.safetensors")},
		{"resnet81", exitUsage, `unknown model "resnet81"; did you mean "resnet18"?`},
		{"resnet81@" + missing, exitUsage, `unknown model "resnet81"; did you mean "resnet18"?`},
		{"timm/resnet50.a1_in1k", exitFailed, "timm/resnet50.a1_in1k: it is not on this machine and cannot be downloaded (HF_HUB_OFFLINE is set)"},
		{"torchvision/resnet51", exitUsage, `torchvision publishes no residual network "resnet51"`},
	} {
		for _, command := range []string{
			"predict " + photo + " -m", "eval -m", "embed " + photo + " -m", "explain " + photo + " -o " + filepath.Join(dir, "x.png") + " -m", "inspect --list-layers -m",
			"summary", "convert", "bench --seconds 0.01 --rounds 1", "tune --seconds 0.01 --dry-run", "train --out " + filepath.Join(dir, "run") + " -m", "quantize " + calib,
		} {
			args := append(strings.Fields(command), c.model)
			if args[0] == "convert" {
				args = []string{"convert", c.model, filepath.Join(dir, "out.safetensors")}
			}
			code, _, errs := cli(t, args...)
			if code != c.code || !strings.Contains(errs, c.want) {
				t.Errorf("resnet %s: exit code %d, error %q; want %d, %q", strings.Join(args, " "), code, errs, c.code, c.want)
			}
		}
	}
}
