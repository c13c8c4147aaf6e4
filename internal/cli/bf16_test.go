package cli

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/train"
)

// Where the processor lacks the instructions, --bf16 is an error that names them
// and what else there is; it never computes something else.
func TestBF16NeedsTheProcessor(t *testing.T) {
	if engine.BF16Native.Check() == nil {
		t.Skip("this processor has AVX512-BF16")
	}
	photo := filepath.Join(t.TempDir(), "a.png")
	writePicture(t, photo, 1)
	for _, args := range [][]string{
		{"predict", "--bf16", photo},
		{"embed", "--bf16", photo},
		{"eval", "--bf16", "--data", "cifar10:nowhere"},
		{"bench", "--bf16", "resnet20-cifar"},
		smallRun(t, filepath.Join(t.TempDir(), "run"), "--bf16"),
		smallRun(t, filepath.Join(t.TempDir(), "run"), "--set", "bf16=native"),
	} {
		code, _, errs := cli(t, args...)
		if code != exitFailed || !strings.Contains(errs, "AVX512-BF16") || !strings.Contains(errs, "bf16=emulate") {
			t.Errorf("resnet %s: exit code %d: %s", strings.Join(args, " "), code, errs)
		}
	}
	if code, _, errs := cli(t, "predict", "--bf16=yes", photo); code != exitUsage || !strings.Contains(errs, "native, emulate or off") {
		t.Errorf("--bf16=yes: exit code %d: %s", code, errs)
	}
}

// bfloat16 training is recorded in the log, the recipe and the model,
// and goes on the same way.
func TestTrainBF16(t *testing.T) {
	dir := t.TempDir()
	out, whole := filepath.Join(dir, "run"), filepath.Join(dir, "whole")
	args := smallRun(t, whole, "--bf16=emulate")
	code, _, errs := cli(t, args...)
	if code != exitDone || !strings.Contains(errs, "training uses emulated bfloat16 operands") {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	recipe, err := os.ReadFile(filepath.Join(whole, train.RecipeFile))
	if err != nil || !strings.Contains(string(recipe), "bf16: emulate\n") {
		t.Errorf("the recipe does not say it (%v):\n%s", err, recipe)
	}
	if text := done(t, "summary", "--json", filepath.Join(whole, train.BestFile)); !strings.Contains(text, "bf16: emulate") {
		t.Error("the model file does not say it")
	}

	float := append([]string{}, args...)
	for i, a := range float {
		switch a {
		case whole:
			float[i] = out
		case "--bf16=emulate":
			float[i] = "--bf16=off"
		}
	}
	done(t, float...)
	same := func(a, b string) bool {
		x, err1 := os.ReadFile(filepath.Join(a, train.ResultsFile))
		y, err2 := os.ReadFile(filepath.Join(b, train.ResultsFile))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		return string(x) == string(y)
	}
	if same(whole, out) {
		t.Error("float32 gives the same results: bf16 was not used")
	}
	if code, _, errs := cli(t, "train", "--resume", "--out", out, "--bf16=emulate"); code != exitUsage || !strings.Contains(errs, "--bf16 cannot be combined with --resume") {
		t.Errorf("switching on the way: exit code %d: %s", code, errs)
	}
}

// The published ResNet-20 answers CIFAR-10's first 1,000 test images with
// bfloat16 products as it does with float32, but for pictures between two classes.
// Emulated, it takes minutes.
func TestBF16PublishedWeights(t *testing.T) {
	mode := engine.BF16Native
	if mode.Check() != nil {
		if mode = engine.BF16Emulated; os.Getenv("RESNET_NIGHTLY") == "" {
			t.Skip("the processor has no bfloat16 products; set RESNET_NIGHTLY=1 to emulate them for minutes")
		}
	}
	dir := os.Getenv("RESNET_SHARED")
	if dir == "" {
		dir = "../../../shared"
	}
	file := filepath.Join(dir, "data/pretrained/cifar10-resnet20.th")
	if _, err := os.Stat(file); err != nil {
		t.Skipf("no shared data (%v); set RESNET_SHARED to the folder that has data", err)
	}
	splits, err := data.Open("cifar10:"+filepath.Join(dir, "data/cifar10-lossless/cifar-10-batches-bin"), data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer splits.Close()
	const pictures = 1000
	var logits [2][]float32
	for i, bf16 := range []engine.BF16{engine.BF16Off, mode} {
		m, err := resnet.Open("resnet20-cifar@"+file, resnet.Options{Compute: resnet.Compute{BF16: bf16}, Batch: 100})
		if err != nil {
			t.Fatal(err)
		}
		size := m.Input().Numel()
		in := m.Input()
		x := tensor.NewNHWC(pictures, in[0], in[1], in[2])
		prep := m.Preprocess()
		var img imaging.Image
		for j := range pictures {
			if err := splits.Test.Decode(j, &img); err != nil {
				t.Fatal(err)
			}
			if err := prep.ApplyNHWC(x.Float32s()[j*size:(j+1)*size], &img); err != nil {
				t.Fatal(err)
			}
		}
		z, _, err := m.Forward(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		logits[i] = z.Float32s()
	}
	var wrong [2]int
	changed, worst, lo, hi := 0, 0.0, 0.0, 0.0
	for j := range pictures {
		var answer [2]int
		for i := range answer {
			row := logits[i][j*10 : j*10+10]
			answer[i] = metrics.ArgMax(row)
			if answer[i] != splits.Test.Labels(j)[0] {
				wrong[i]++
			}
			for c, v := range row {
				lo, hi = min(lo, float64(v)), max(hi, float64(v))
				worst = max(worst, math.Abs(float64(v)-float64(logits[0][j*10+c])))
			}
		}
		if answer[0] != answer[1] {
			changed++
		}
	}
	t.Logf("errors %d with float32, %d with bfloat16; %d answers changed; largest difference of a logit %.3f, range %.1f", wrong[0], wrong[1], changed, worst, hi-lo)
	if wrong[0] != 85 || wrong[1] < 80 || wrong[1] > 90 || changed > 10 || worst > 0.03*(hi-lo) || worst == 0 {
		t.Errorf("errors %v, %d answers changed, logits differ by %v of a range of %v", wrong, changed, worst, hi-lo)
	}
}
