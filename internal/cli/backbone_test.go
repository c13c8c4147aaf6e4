package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// TestNextCommandsRun: every command that train prints at its end fits the kind of model,
// and runs.
func TestNextCommandsRun(t *testing.T) {
	t.Chdir(t.TempDir())
	sslPictures(t, ".")
	boxes := sceneFolder(t, 10)
	short := " --epochs 1 --batch 4 --size 32"
	for name, c := range map[string]struct{ args, want string }{
		"classifier":   {"--data folder:labeled --model resnet8-cifar" + short, "eval predict summary"},
		"unlabeled":    {"--task ssl --data folder:photos --model resnet8-cifar" + short, "linear train map embed summary"},
		"judged":       {"--task ssl --data folder:labeled --model resnet8-cifar" + short, "linear train map embed summary"},
		"segmentation": {"--data masks:" + boxes + " --model fcn_resnet8-cifar --recipe segment" + short, "eval segment summary"},
	} {
		out := done(t, append([]string{"train", "--out", "runs/" + name}, strings.Fields(c.args)...)...)
		_, next, _ := strings.Cut(out, "next:\n")
		var names []string
		for line := range strings.Lines(next) {
			args, ok := strings.CutPrefix(strings.TrimSpace(line), "resnet ")
			if !ok {
				t.Errorf("%s: %q", name, line)
				continue
			}
			args = strings.NewReplacer("LABELED", "labeled", "PHOTO", "photos/0.png").Replace(args)
			words := strings.Fields(args)
			names = append(names, words[0])
			switch {
			case words[0] == "train":
				words = append(words, "--epochs", "1", "--out", "runs/tuned-"+name)
			case name == "judged" && words[0] == "linear" && !strings.Contains(args, "--data folder:labeled"):
				t.Errorf("%s: %s", name, args)
			}
			done(t, words...)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: the commands are %s, want %s", name, got, c.want)
		}
	}
}

// TestNamedBackbone: a file without a last layer is a backbone of the network that is
// named, in every command; those that need classes tell that it has none.
func TestNamedBackbone(t *testing.T) {
	t.Chdir(t.TempDir())
	sslPictures(t, ".")
	r, err := modelfile.Open(modelfile.EmbeddedName, modelfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bare, projected := map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{"module.encoder_q.fc.0.weight": tensor.New(2, 2)}
	for name, v := range r.File.Tensors {
		if !strings.HasPrefix(name, "fc.") {
			bare[name], projected["module.encoder_q."+name] = v, v
		}
	}
	for file, tensors := range map[string]map[string]*tensor.Tensor{"bare.safetensors": bare, "projected.safetensors": projected} {
		if err := weights.Save(file, &weights.File{Tensors: tensors}, weights.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		model := "resnet11-speedrun@" + file
		for _, args := range []string{
			"embed photos --preprocess cifar10 -o features.npy", "linear --data folder:labeled --preprocess cifar10 -o linear.safetensors",
			"map photos --preprocess cifar10 -o map.html", "train --data folder:labeled --epochs 1 --out runs/tuned-" + strings.TrimSuffix(file, ".safetensors"),
			"train --task ssl --data folder:photos --epochs 1 --batch 8 --size 16 --out runs/" + strings.TrimSuffix(file, ".safetensors"),
		} {
			done(t, append(strings.Fields(args), "--model", model)...)
		}
		want, code := "has no last layer, so it gives features and no classes", exitUsage
		if file != "bare.safetensors" { // a layer of another name may be the last
			want, code = "1 unexpected: fc.0.weight", exitFailed
		}
		for _, args := range []string{"predict photos --preprocess cifar10", "eval --data folder:labeled --preprocess cifar10"} {
			if got, _, errs := cli(t, append(strings.Fields(args), "--model", model)...); got != code || !strings.Contains(errs, want) {
				t.Errorf("%s --model %s: code %d, %s", args, model, got, errs)
			}
		}
	}
	model := "resnet11-speedrun@bare.safetensors"
	if out := done(t, "summary", model); !strings.Contains(out, "no last layer") {
		t.Errorf("summary prints\n%s", out)
	}
	done(t, "convert", model, "described.safetensors", "--preprocess", "cifar10")
	done(t, "embed", filepath.Join("photos", "0.png"), "--model", "described.safetensors")
	// What is not a backbone stays an error.
	delete(bare, "conv1.weight")
	if err := weights.Save("broken.safetensors", &weights.File{Tensors: bare}, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := cli(t, "embed", "photos", "--preprocess", "cifar10", "--model", "resnet11-speedrun@broken.safetensors"); code != exitFailed || !strings.Contains(errs, "conv1.weight") {
		t.Errorf("without the first layer: code %d, %s", code, errs)
	}
}
