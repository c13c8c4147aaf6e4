package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

func samplePhoto(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "photo.png")
	writePicture(t, path, 5)
	return path
}

// TestEveryFormat converts one network through every pair of formats: the
// weights keep their bits, and each file alone is enough to predict, embed and
// summarize.
func TestEveryFormat(t *testing.T) {
	dir, photo := t.TempDir(), samplePhoto(t)
	first := filepath.Join(dir, "first.safetensors")
	done(t, "convert", foreign(t), first, "--model", "resnet8-cifar", "--preprocess", "cifar10")
	want, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	answer := done(t, "predict", "--json", "-m", first, photo)
	features := done(t, "embed", "-m", first, photo)
	endings := []string{"safetensors", "pth", "onnx", "keras", "h5"}
	for _, a := range endings {
		file := filepath.Join(dir, "m."+a)
		done(t, "convert", first, file)
		for _, b := range endings {
			second, back := filepath.Join(dir, "second."+b), filepath.Join(dir, "back.safetensors")
			done(t, "convert", "--force", file, second)
			done(t, "convert", "--force", second, back)
			if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, want) {
				t.Errorf("safetensors, %s, %s, safetensors: not the bytes that it was (%v)", a, b, err)
			}
		}
		for _, model := range []string{file, "resnet8-cifar@" + file} {
			args := []string{"predict", "--json", "-m", model, photo}
			if model != file && a == "pth" {
				continue // of which the description says more than the name
			}
			if got := done(t, args...); strings.ReplaceAll(got, model, first) != answer {
				t.Errorf("predict with %s says\n%s, want\n%s", model, got, answer)
			}
		}
		if code, _, stderr := cli(t, "predict", "-m", file, "--output-name", "other", photo); code == exitDone || !strings.Contains(stderr, `"other"`) {
			t.Errorf("predict with %s and the name of an output that it has not: code %d\n%s", file, code, stderr)
		}
		if got := done(t, "embed", "-m", file, photo); got != features {
			t.Errorf("embed with %s differs", file)
		}
		if s := done(t, "summary", file); !strings.Contains(s, "layer1.0.conv1") || !strings.Contains(s, "m."+a) {
			t.Errorf("summary of %s:\n%s", file, s)
		}
	}
}

// TestTrainFromONNX starts a training from an ONNX file of ours.
func TestTrainFromONNX(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "m.onnx")
	done(t, "convert", fashionModel(t, nil), file)
	run := filepath.Join(dir, "run")
	done(t, "train", "-m", file, "--recipe", "finetune", "--data", smallData(t), "--batch", "8", "--epochs", "1", "-o", run)
	done(t, "summary", filepath.Join(run, "last.safetensors"))
}

// TestForeignGraph runs a graph whose batch norms are folded into its
// convolutions, with a softmax at its end, as other tools export it.
func TestForeignGraph(t *testing.T) {
	dir, photo := t.TempDir(), samplePhoto(t)
	net, err := models.New("resnet8-cifar", models.Classes(10))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 3); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "folded.onnx")
	if err := onnx.Save(path, nn.Sequential{net, nn.NewSoftmax()}, onnx.SaveOptions{Input: net.Input()}); err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(dir, "ours.safetensors")
	done(t, "convert", foreign(t), ours, "--model", "resnet8-cifar", "--preprocess", "cifar10")
	type line struct {
		Predictions []struct {
			Index       int     `json:"index"`
			Probability float64 `json:"probability"`
		} `json:"predictions"`
	}
	read := func(text string) line {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err, text)
		}
		return l
	}
	got := read(done(t, "predict", "--json", "-m", path, "--preprocess", "cifar10", photo))
	want := read(done(t, "predict", "--json", "-m", ours, photo))
	for i, p := range want.Predictions {
		if g := got.Predictions[i]; g.Index != p.Index || g.Probability-p.Probability > 1e-5 || p.Probability-g.Probability > 1e-5 {
			t.Errorf("prediction %d is %+v, want %+v", i, g, p)
		}
	}
	again := filepath.Join(dir, "again.onnx")
	done(t, "convert", path, again, "--preprocess", "cifar10")
	if g := read(done(t, "predict", "--json", "-m", again, photo)); g.Predictions[0] != got.Predictions[0] {
		t.Errorf("written again it says %+v, not %+v", g.Predictions[0], got.Predictions[0])
	}
	for args, want := range map[string]string{
		"predict -m " + path + " " + photo:                        "does not say how pictures become inputs",
		"convert " + path + " " + dir + "/x.safetensors":          "a graph of its own",
		"convert " + path + " " + dir + "/x.pth --keys a=b":       "--keys needs --model",
		"train -m " + path + " -o " + dir + "/run":                "another library",
		"convert resnet8-cifar@" + path + " " + dir + "/x.pth":    "missing",
		"predict -m resnet8-cifar@" + path + " --keys a " + photo: "--keys",
		"eval": "name data",
	} {
		code, _, errs := cli(t, strings.Fields(args)...)
		if code == exitDone || !strings.Contains(errs, want) {
			t.Errorf("resnet %s: exit code %d, error %q, want one with %q", args, code, errs, want)
		}
	}
}

// TestKeysOfPredict renames the tensors of a file of weights.
func TestKeysOfPredict(t *testing.T) {
	f, err := weights.Load(foreign(t))
	if err != nil {
		t.Fatal(err)
	}
	renamed := &weights.File{Tensors: map[string]*tensor.Tensor{}}
	for name, v := range f.Tensors {
		renamed.Tensors["net."+strings.Replace(name, "linear.", "out.", 1)] = v
	}
	path := filepath.Join(t.TempDir(), "renamed.pth")
	if err := weights.SavePyTorch(path, renamed, nil, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	done(t, "predict", "-m", "resnet8-cifar@"+path, "--keys", "net.out.=fc.", "--keys", "net.=", "--preprocess", "cifar10", samplePhoto(t))
}
