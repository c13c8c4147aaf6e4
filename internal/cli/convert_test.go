package cli

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/modelfile/keras"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// foreign writes a file of weights without description, by PyTorch's format
// and the names of pytorch_resnet_cifar10.
func foreign(t *testing.T) string {
	t.Helper()
	m, err := models.New("resnet8-cifar", models.Classes(10))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 3); err != nil {
		t.Fatal(err)
	}
	f := &weights.File{Tensors: map[string]*tensor.Tensor{}}
	for _, e := range nn.Params(m) {
		f.Tensors[strings.Replace(e.Name, "fc.", "linear.", 1)] = e.Param.Value
	}
	path := filepath.Join(t.TempDir(), "foreign.pth")
	if err := weights.SavePyTorch(path, f, nil, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConvertThereAndBack(t *testing.T) {
	in, dir := foreign(t), t.TempDir()
	names := filepath.Join(dir, "names.txt")
	if err := os.WriteFile(names, []byte("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	a, b, c := filepath.Join(dir, "a.safetensors"), filepath.Join(dir, "b.pth"), filepath.Join(dir, "c.safetensors")
	out := done(t, "convert", in, a, "--model", "resnet8-cifar", "--classes", names, "--preprocess", "cifar10", "--json")
	var v converted
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	if v.InFormat != weights.PyTorch || v.OutFormat != weights.Safetensors || v.Classes != 10 || v.Report.Renamed != "linear.=fc." ||
		!strings.Contains(string(v.Preprocess), "0.4914") {
		t.Errorf("it says %s", out)
	}
	done(t, "convert", a, b)
	done(t, "convert", b, c)
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(c)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Error("to PyTorch and back is another file")
	}
	if s := done(t, "summary", b); !strings.Contains(s, "resnet8-cifar") && !strings.Contains(s, "10: a, b, c") {
		t.Errorf("the summary of the PyTorch file is %s", s)
	}
	// NAME@FILE is --model NAME; the preprocessing is known from the names.
	d := filepath.Join(dir, "d.safetensors")
	done(t, "convert", "resnet8-cifar@"+in, d)
	f, err := weights.Load(d)
	if err != nil || !strings.Contains(string(f.Preprocess), "0.485") {
		t.Errorf("preprocessing %s, %v", f.Preprocess, err)
	}
}

func TestConvertPartial(t *testing.T) {
	in, dir := foreign(t), t.TempDir()
	out := filepath.Join(dir, "out.safetensors")
	code, _, errs := cli(t, "convert", in, out, "--model", "resnet8-cifar", "--num-classes", "3", "--partial")
	if code != exitDone || !strings.Contains(errs, "skipped: 2 of another shape: fc.weight is float32[10 64], the model has float32[3 64]") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestConvertErrors(t *testing.T) {
	in, dir := foreign(t), t.TempDir()
	out := filepath.Join(dir, "out.safetensors")
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ours := filepath.Join(dir, "ours.pth")
	done(t, "convert", "resnet8-cifar@"+in, ours)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{in, exitUsage, "missing"},
		{in + " out.txt", exitUsage, ".safetensors"},
		{in + " " + ours, exitFailed, "--force"},
		{in + " " + out + " --model resnet9", exitUsage, "resnet"},
		{in + " " + out + " --model resnet8-cifar --num-classes 3", exitFailed, "fc.weight is float32[10 64], the model has float32[3 64]"},
		{in + " " + out + " --model resnet14-cifar", exitFailed, "missing: layer1.1.conv1.weight"},
		{in + " " + out + " --model resnet8-cifar --keys liner.=fc.", exitFailed, `did you mean "linear"`},
		{in + " " + out + " --model resnet8-cifar --keys linear", exitUsage, "linear"},
		{in + " " + out + " --model resnet8-cifar --keys linear=", exitUsage, "only removes a beginning"},
		{in + " " + out + " --model resnet8-cifar --preprocess cifar11", exitUsage, "cifar10"},
		{in + " " + out + " --model resnet8-cifar --preprocess mnist", exitFailed, "1 channels"},
		{in + " " + out + " --model resnet8-cifar --preprocess " + file("p.json", `{"channels": 2}`), exitFailed, "channels is 2"},
		{in + " " + out + " --model resnet8-cifar --classes " + file("c.txt", "a\nb\n"), exitFailed, "2 names, the network has 10"},
		{in + " " + out + " --classes " + file("c.txt", "a\nb\n"), exitUsage, "need --model"},
		{in + " " + out + " --partial", exitUsage, "need --model"},
		{in + " " + out + " --state-dict nothing", exitFailed, `no dictionary "nothing"`},
		{"resnet18@" + in + " " + out + " --model resnet34", exitUsage, "resnet34"},
		{ours + " " + out + " --keys a=b", exitUsage, "cannot be renamed"},
		{file("t.pth", "hello") + " " + out, exitFailed, "t.pth"},
		{dir + "/none.pth " + out, exitFailed, "none.pth"},
		{in + " " + dir + "/no/folder.pth", exitFailed, "folder.pth"},
	} {
		code, _, errs := cli(t, append([]string{"convert"}, strings.Fields(c.args)...)...)
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		last := lines[len(lines)-1]
		if code != c.code || !strings.Contains(last, c.want) {
			t.Errorf("convert %s: exit code %d, want %d, with %q: %s", c.args, code, c.code, c.want, last)
		}
		if _, err := os.Stat(out); err == nil {
			t.Fatalf("convert %s wrote the file", c.args)
		}
	}
}

// The published ResNet-20 makes as many errors here as with PyTorch.
func TestPublishedWeights(t *testing.T) {
	dir := os.Getenv("RESNET_SHARED")
	if dir == "" {
		dir = "../../../shared"
	}
	file := filepath.Join(dir, "data/pretrained/cifar10-resnet20.th")
	if _, err := os.Stat(file); err != nil {
		t.Skipf("no shared data (%v); set RESNET_SHARED to the folder that has data", err)
	}
	spec := "cifar10:" + filepath.Join(dir, "data/cifar10-lossless/cifar-10-batches-bin")
	var r struct {
		Report struct {
			Samples int     `json:"samples"`
			Top1    float64 `json:"top1"`
		} `json:"report"`
	}
	out := done(t, "eval", "--model", "resnet20-cifar@"+file, "--data", spec, "--json")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Report.Samples != 1000 || math.Round((1-r.Report.Top1)*1000) != 85 {
		t.Errorf("top-1 %v of %d pictures, PyTorch has 85 of 1000 wrong", r.Report.Top1, r.Report.Samples)
	}
}

// TestConvertToNetworkFormats writes the embedded model as ONNX and Keras and
// reads the files again: the weights must be the same bits.
func TestConvertToNetworkFormats(t *testing.T) {
	dir := t.TempDir()
	model, err := embedded.Model()
	if err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(dir, "in.safetensors")
	if err := os.WriteFile(in, model, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := weights.Load(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out.onnx", "out.keras", "out.h5"} {
		out := filepath.Join(dir, name)
		if code, _, _ := cli(t, "convert", in, out); code != 0 {
			t.Fatalf("%s: exit code %d", name, code)
		}
		var net nn.Module
		if strings.HasSuffix(name, ".onnx") {
			net, err = onnx.Load(out)
		} else {
			net, err = keras.Load(out)
		}
		if err != nil {
			t.Fatal(err)
		}
		if m, ok := net.(*keras.Model); ok {
			back, err := m.File()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(back.Classes, f.Classes) || len(back.Preprocess) == 0 {
				t.Errorf("%s: classes %q, preprocessing %s", name, back.Classes, back.Preprocess)
			}
		}
		for _, e := range nn.Params(net) {
			want, ok := f.Tensors[e.Name]
			if !ok || want.DType() != tensor.Float32 {
				continue
			}
			for i, v := range want.Float32s() {
				if got := e.Param.Value.Float32s()[i]; got != v {
					t.Fatalf("%s: %s[%d] is %g, want %g", name, e.Name, i, got, v)
				}
			}
		}
	}
	if code, _, _ := cli(t, "convert", in, filepath.Join(dir, "half.onnx"), "--half"); code != 2 {
		t.Errorf("--half of ONNX: exit code %d, want 2", code)
	}
}

// TestConvertDetector: a detector prepares pictures itself, so that nothing is asked for
// and nothing is taken.
func TestConvertDetector(t *testing.T) {
	model, out := detectorModel(t), filepath.Join(t.TempDir(), "d.onnx")
	code, _, errs := cli(t, "convert", model, out)
	if code != exitDone || strings.Contains(errs, "--preprocess") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code, _, errs := cli(t, "convert", "--force", model, out, "--preprocess", "imagenet"); code != exitUsage || !strings.Contains(errs, "prepares pictures itself") {
		t.Errorf("with --preprocess: exit code %d: %s", code, errs)
	}
}

// A mistake in the preprocessing of IN is told, and not written into OUT.
func TestConvertChecksPreprocessing(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out.onnx")
	done(t, "convert", foreign(t), in, "--model", "resnet8-cifar", "--preprocess", "cifar10")
	file, err := weights.Load(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{`"std":[`, `"std":[0,`}, {`"width":32`, `"width":-1`}} {
		f := *file
		if f.Preprocess = []byte(strings.Replace(string(file.Preprocess), change[0], change[1], 1)); string(f.Preprocess) == string(file.Preprocess) {
			t.Fatalf("%s has no %s", file.Preprocess, change[0])
		}
		if err := weights.Save(in, &f, weights.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := cli(t, "convert", in, out)
		if _, err := os.Stat(out); code != exitFailed || !strings.Contains(stderr, in+": its preprocessing: ") || err == nil {
			t.Errorf("%s: code %d, %v\n%s", f.Preprocess, code, err, stderr)
		}
	}
}
