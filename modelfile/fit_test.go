package modelfile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
	"github.com/resnet-go/resnet/weights/pytorch"
)

// torchFile writes the tensors of a network, renamed and changed, as PyTorch
// does.
func torchFile(t *testing.T, name string, rename func(string) string, opts ...models.Option) (path string, values map[string]*tensor.Tensor) {
	t.Helper()
	m, err := models.New(name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 7); err != nil {
		t.Fatal(err)
	}
	values = map[string]*tensor.Tensor{}
	var ts []pytorch.Tensor
	for _, e := range nn.Params(m) {
		values[e.Name] = e.Param.Value
		if n := rename(e.Name); n != "" {
			ts = append(ts, pytorch.Tensor{Name: n, Tensor: e.Param.Value})
		}
	}
	var b bytes.Buffer
	if err := pytorch.Write(&b, ts, nil); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "weights.pth")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, values
}

func itself(s string) string { return s }

func TestLoadTakesClassesAndChannelsFromTheFile(t *testing.T) {
	path, values := torchFile(t, "resnet8-cifar", itself, models.Classes(7), models.InChannels(1))
	r, err := modelfile.Load("resnet8-cifar", path, modelfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Model.Config; c.Classes != 7 || c.InChannels != 1 || r.Preprocess != nil || len(r.Notes) > 0 {
		t.Errorf("%d classes, %d channels, preprocessing %v, notes %q", c.Classes, c.InChannels, r.Preprocess, r.Notes)
	}
	for name, v := range values {
		if g := r.File.Tensors[name]; v.DType() == tensor.Float32 && !slices.Equal(g.Float32s(), v.Float32s()) {
			t.Errorf("%s has other values", name)
		}
	}
}

func TestFamilyOfTheAuthorsOfTheCIFARNetworks(t *testing.T) {
	path, _ := torchFile(t, "resnet8-cifar", func(s string) string { return "module." + strings.Replace(s, "fc.", "linear.", 1) })
	r, err := modelfile.Load("resnet8-cifar", path, modelfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p := r.Preprocess; p == nil || p.Width != 32 || p.Resize != 32 || p.Mean[0] != 0.485 {
		t.Errorf("preprocessing %v", p)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "linear.=fc.") || r.Report.Renamed != "linear.=fc." {
		t.Errorf("notes %q, report %+v", r.Notes, r.Report)
	}
}

func TestPartial(t *testing.T) {
	path, values := torchFile(t, "resnet8-cifar", func(s string) string { return strings.Replace(s, "bn1.weight", "bn1.gone", 1) })
	_, err := modelfile.Load("resnet8-cifar", path, modelfile.Options{Classes: 3})
	var fit *weights.FitError
	if !errors.As(err, &fit) || !strings.Contains(err.Error(), path) || len(fit.Misshapen) != 2 {
		t.Fatalf("the error is %v", err)
	}
	r, err := modelfile.Load("resnet8-cifar", path, modelfile.Options{Classes: 3, Partial: true, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r.Report.Complete() || len(r.Report.Misshapen) != 2 || len(r.Report.Missing) == 0 || len(r.Report.Missing) != len(r.Report.Unexpected) {
		t.Errorf("report %+v", r.Report)
	}
	if !slices.Equal(r.File.Tensors["conv1.weight"].Float32s(), values["conv1.weight"].Float32s()) {
		t.Error("what fits was not taken")
	}
	fresh, err := models.New("resnet8-cifar", models.Classes(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(fresh, 1); err != nil {
		t.Fatal(err)
	}
	for _, e := range nn.Params(fresh) {
		if e.Name == "fc.weight" && !slices.Equal(r.File.Tensors[e.Name].Float32s(), e.Param.Value.Float32s()) {
			t.Error("the last layer does not have the fresh values of the seed")
		}
	}
}

func TestKeysAndErrors(t *testing.T) {
	path, _ := torchFile(t, "resnet8-cifar", func(s string) string { return "net." + strings.Replace(s, "fc.", "out.", 1) })
	keys, err := weights.ParseKeyMap("net.out.=net.fc.")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := modelfile.Load("resnet8-cifar", path, modelfile.Options{Keys: keys}); err != nil {
		t.Error(err)
	}
	for want, f := range map[string]func() error{
		"did you mean":        func() error { _, err := modelfile.Load("resnet81", path, modelfile.Options{}); return err },
		"no such file":        func() error { _, err := modelfile.Load("resnet18", "nowhere.pth", modelfile.Options{}); return err },
		"fc.weight (there is": func() error { _, err := modelfile.Load("resnet8-cifar", path, modelfile.Options{}); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
}

// Of a thousand classes, the preprocessing is ImageNet's, whatever the stem.
func TestPreprocessingOfImageNetNetworks(t *testing.T) {
	for name, want := range map[string]bool{"resnet18": true, "resnet18d": true, "resnet8-cifar": false} {
		path, _ := torchFile(t, name, itself, models.Classes(1000))
		r, err := modelfile.Load(name, path, modelfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Preprocess != nil && r.Preprocess.Resize == 256; got != want {
			t.Errorf("%s: preprocessing %v", name, r.Preprocess)
		}
	}
}
