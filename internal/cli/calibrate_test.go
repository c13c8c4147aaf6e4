package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/train"
	"github.com/resnet-go/resnet/weights"
)

// A calibrated model gives the same answers, with probabilities that fit better, in
// every format, and predict marks those below its threshold.
func TestCalibrate(t *testing.T) {
	dir := t.TempDir()
	model, out := fashionModel(t, func(f *weights.File) { f.Reference = []byte(`{"a":1}`) }), filepath.Join(dir, "c.safetensors")
	var r calibrated
	args := []string{"calibrate", model, "--data", "embedded:fashion", "--accuracy", "0.2", "-o", out, "--json", "-q"}
	if err := json.Unmarshal([]byte(done(t, args...)), &r); err != nil {
		t.Fatal(err)
	}
	if r.Fitted != 500 || r.Samples != 500 || r.Temperature == 1 || r.Loss >= r.LossBefore || r.ECE >= r.ECEBefore {
		t.Errorf("%+v", r)
	}
	before, after := evaluated(t, "-m", model), evaluated(t, "-m", out)
	if before.Single.Top1 != after.Single.Top1 || after.Single.Loss >= before.Single.Loss {
		t.Errorf("top-1 %v and loss %v, before %v and %v", after.Single.Top1, after.Single.Loss, before.Single.Top1, before.Single.Loss)
	}

	again := []string{"calibrate", out, "--data", "embedded:fashion", "--accuracy", "0.2", "-o", out}
	if code, _, errs := cli(t, again...); code == exitDone || !strings.Contains(errs, "--force") && !strings.Contains(errs, "would replace") {
		t.Errorf("exit code %d: %s", code, errs)
	}

	picture := filepath.Join(dir, "a.png")
	writePicture(t, picture, 3)
	f, err := weights.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Reference) > 0 {
		t.Errorf("the distribution of answers before is kept: %s", f.Reference)
	}
	for threshold, unsure := range map[float64]bool{0: false, 0.001: false, 0.9999: true} {
		f.Metrics[weights.MetricSureAbove] = threshold
		marked := filepath.Join(dir, "marked.safetensors")
		if err := weights.Save(marked, f, weights.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		var line predictionLine
		if err := json.Unmarshal([]byte(done(t, "predict", "-m", marked, "--json", picture)), &line); err != nil {
			t.Fatal(err)
		}
		text, list := done(t, "predict", "-m", marked, picture), done(t, "predict", "-m", marked, picture, picture)
		if line.Unsure != unsure || strings.Contains(text, "unsure: below 99.99%") != unsure || strings.Contains(list, "unsure: ") != unsure {
			t.Errorf("threshold %v: %+v\n%s%s", threshold, line, text, list)
		}
	}

	// The temperature is in the network, so other formats have it, too.
	want := done(t, "predict", "-m", out, "--json", picture)
	for _, name := range []string{"c.onnx", "c.keras"} {
		file, back := filepath.Join(dir, name), filepath.Join(dir, name+".safetensors")
		done(t, "convert", out, file)
		done(t, "convert", file, back)
		for _, m := range []string{file, back} {
			samePredictions(t, m, done(t, "predict", "-m", m, "--json", picture), want)
		}
	}
}

func samePredictions(t *testing.T, what, got, want string) {
	t.Helper()
	var a, b predictionLine
	for text, to := range map[string]*predictionLine{got: &a, want: &b} {
		if err := json.Unmarshal([]byte(text), to); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range b.Predictions {
		if q := a.Predictions[i]; q.Class != p.Class || math.Abs(q.Probability-p.Probability) > 1e-5 {
			t.Errorf("%s: answer %d is %+v, want %+v", what, i, q, p)
		}
	}
}

func TestCalibrateErrors(t *testing.T) {
	model := fashionModel(t, nil)
	onnx := filepath.Join(t.TempDir(), "m.onnx")
	done(t, "convert", model, onnx)
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{}, "MODEL", exitUsage},
		{[]string{model, "-o", "x.safetensors"}, "--data is missing", exitUsage},
		{[]string{model, "-d", "embedded:fashion"}, "-o is missing", exitUsage},
		{[]string{model, "-d", "embedded:fashion", "-o", "x.onnx"}, "written as .safetensors", exitUsage},
		{[]string{model, "-d", "embedded:fashion", "-o", "x.safetensors", "--share", "1"}, "--share is 1", exitUsage},
		{[]string{model, "-d", "embedded:fashion", "-o", "x.safetensors", "--accuracy", "0"}, "--accuracy is 0", exitUsage},
		{[]string{onnx, "-d", "embedded:fashion", "-o", "x.safetensors"}, "m.onnx", exitFailed},
		{[]string{"resnet18", "-d", "embedded:fashion", "-o", "x.safetensors"}, "resnet convert", exitUsage},
		{[]string{"resnet18@nothere.pth", "-d", "embedded:fashion", "-o", "x.safetensors"}, "resnet convert", exitUsage},
		{[]string{"nothere.safetensors", "-d", "embedded:fashion", "-o", "x.safetensors"}, "nothere.safetensors", exitFailed},
	} {
		code, _, stderr := cli(t, append([]string{"calibrate"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit code %d and %q, want %d and %q", c.args, code, stderr, c.code, c.want)
		}
	}
}

// With the data of a training that held some out, those are used.
func TestCalibrateOnHeldOutPictures(t *testing.T) {
	dir := t.TempDir()
	for i := range 40 {
		writePicture(t, filepath.Join(dir, "pictures", []string{"dark", "noise"}[i%2], fmt.Sprint(i)+".png"), i)
	}
	spec := "folder:" + filepath.Join(dir, "pictures")
	out := filepath.Join(dir, "run")
	done(t, "train", "--model", "resnet8-cifar", "--recipe", "fashion-quick", "--data", spec, "--batch", "8", "--epochs", "1", "--out", out, "--set", "validation=0.5")
	var r calibrated
	best := filepath.Join(out, train.BestFile)
	if err := json.Unmarshal([]byte(done(t, "calibrate", best, "--data", spec, "-o", filepath.Join(dir, "c.safetensors"), "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.Split != "val" || r.Fitted != 10 || r.Samples != 10 {
		t.Errorf("%+v", r)
	}
}
