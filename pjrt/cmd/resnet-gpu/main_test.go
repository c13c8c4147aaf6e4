package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/internal/scenes"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// programEnv makes the test binary the program.
const programEnv = "RESNET_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// command runs the program and returns its output; fails is whether it is to fail.
func command(t *testing.T, env []string, fails bool, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	// XLA's compiler for the CPU is the slowest part: less of its optimization is enough.
	cmd.Env = append(append(os.Environ(), programEnv+"=1", "XLA_FLAGS=--xla_backend_optimization_level=0"), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); (err != nil) != fails {
		t.Fatalf("resnet-gpu %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), errs.String()
}

func needsPlugin(t *testing.T) {
	t.Helper()
	if os.Getenv("PJRT_PLUGIN") == "" {
		t.Skip("PJRT_PLUGIN does not name a plugin for the CPU, such as the one in the Python package lammps-jax-pjrt-cpu")
	}
}

// batch is the number of pictures in the sample: one step is an epoch.
const batch = 8

// pictures writes waves, each of other lengths and phases, of two classes and returns the
// folder. A deep random network gives almost the same for all pictures of noise, and batch
// norms would then enlarge the rounding.
func pictures(t *testing.T, size int) string {
	dir := t.TempDir()
	rng := philox.New(1, 0)
	for i := range batch {
		img := image.NewNRGBA(image.Rect(0, 0, size, size))
		var across, down, phase [3]float64
		for k := range 3 {
			across[k], down[k], phase[k] = 8*rng.Norm(), 8*rng.Norm(), 3*rng.Norm()
		}
		for p := range size * size {
			x, y := float64(p%size)/float64(size), float64(p/size)/float64(size)
			v := func(k int) uint8 { return uint8(128 + 110*math.Sin(across[k]*x+down[k]*y+phase[k])) }
			img.SetNRGBA(p%size, p/size, color.NRGBA{v(0), v(1), v(2), 255})
		}
		for _, part := range []string{"train", "val"} {
			folder := filepath.Join(dir, part, []string{"a", "b"}[i%2])
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := png.Encode(&b, img); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprint(i)+".png"), b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// recipe writes a recipe of three steps, one an epoch.
func recipe(t *testing.T, model string, size int) string {
	path := filepath.Join(t.TempDir(), "recipe.yaml")
	text := fmt.Sprintf(`name: three
model: %s
epochs: 3
batch_size: %d
eval_every: 3
size: %d
exact: true
optimizer: {name: sgd, momentum: 0.9, weight_decay: 1e-4}
lr: {schedule: constant, peak: 0.0001}
loss: {name: cross-entropy}
preprocess: imagenet
`, model, batch, size)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// losses returns the training losses of a run's epochs.
func losses(t *testing.T, out string) []float64 {
	t.Helper()
	var all []float64
	for line := range strings.Lines(out) {
		var l struct {
			Epoch *struct {
				Train struct {
					Loss float64 `json:"loss"`
				} `json:"train"`
			} `json:"epoch"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.Epoch != nil {
			all = append(all, l.Epoch.Train.Loss)
		}
	}
	return all
}

// numbers returns all numbers of lines of JSON.
func numbers(t *testing.T, text string) []float64 {
	t.Helper()
	var all []float64
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case float64:
			all = append(all, v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if p, ok := v["probability"]; ok {
				walk(p)
				return
			}
			walk(v["predictions"])
			walk(v["embedding"])
		}
	}
	d := json.NewDecoder(strings.NewReader(text))
	for d.More() {
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		walk(v)
	}
	if len(all) == 0 {
		t.Fatalf("no numbers in %s", text)
	}
	return all
}

// differ returns the largest difference as a share of the largest number.
func differ(t *testing.T, a, b []float64) float64 {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%d and %d numbers", len(a), len(b))
	}
	worst, largest := 0.0, 1e-30
	for i := range a {
		worst, largest = max(worst, math.Abs(a[i]-b[i])), max(largest, math.Abs(b[i]))
	}
	return worst / largest
}

// begun writes a model with fresh weights for two classes. The last batch norm of each
// branch of three layers multiplies by 0.1 instead of 1, so that blocks begin nearly as
// shortcuts: in 50 layers that multiply by 1, rounding grows until the losses after an
// update are 5 to 20 % apart, between the kernels of one engine, too.
func begun(t *testing.T, name string, size int) string {
	t.Helper()
	net, err := models.New(name, models.Classes(2), models.InputSize(size))
	if err == nil {
		err = nn.Init(net, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range nn.Params(net) {
		if strings.HasSuffix(e.Name, "bn3.weight") {
			for i := range e.Param.Value.Float32s() {
				e.Param.Value.Float32s()[i] = 0.1
			}
		}
	}
	prep, err := data.Preset("imagenet")
	if err != nil {
		t.Fatal(err)
	}
	m, err := resnet.FromModule(net, resnet.Description{Classes: []string{"a", "b"}, Preprocess: prep}, resnet.Options{})
	path := filepath.Join(t.TempDir(), "begun.safetensors")
	if err == nil {
		err = m.Save(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// distances are shares of the length of what is compared.
type distances struct{ weights, gradients, last float64 }

// apart returns how far two checkpoints are apart: their weights, and what momentum holds
// of the gradients of their steps, of all layers and of the last one.
func apart(t *testing.T, a, b string) distances {
	t.Helper()
	x, err := weights.Load(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := weights.Load(b)
	if err != nil {
		t.Fatal(err)
	}
	share := func(prefix string, x, y map[string]*tensor.Tensor) float64 {
		var difference, length float64
		for name, v := range y {
			if !strings.HasPrefix(name, prefix) || v.DType() != tensor.Float32 || strings.Contains(name, "running_") {
				continue
			}
			p := x[name].Float32s()
			for i, q := range v.Float32s() {
				difference += float64(p[i]-q) * float64(p[i]-q)
				length += float64(q) * float64(q)
			}
		}
		return math.Sqrt(difference / length)
	}
	const momentum = weights.OptimPrefix + "momentum."
	return distances{share("", x.Tensors, y.Tensors), share(momentum, x.State, y.State), share(momentum+"fc.", x.State, y.State)}
}

// TestCommands trains three steps on the device and without, continues the runs of one
// with the other, and compares losses, weights, features and probabilities.
func TestCommands(t *testing.T) {
	needsPlugin(t)
	for _, c := range []struct {
		model string
		size  int
	}{
		{"resnet20-cifar", 32}, {"resnet18", 64}, {"resnet50", 64},
	} {
		t.Run(c.model, func(t *testing.T) {
			if c.model == "resnet50" && testing.Short() {
				t.Skip("it compiles for a minute")
			}
			data, how := pictures(t, c.size), recipe(t, c.model, c.size)
			runs := t.TempDir()
			ours, theirs := filepath.Join(runs, "ours"), filepath.Join(runs, "device")
			train := []string{"train", "--json", "--data", "folder:" + data, "--no-check"}
			fresh := append(train, "--recipe", how, "--model", begun(t, c.model, c.size))
			want, _ := command(t, nil, false, append(fresh, "--out", ours)...)
			got, notes := command(t, nil, false, append(fresh, "--out", theirs, "--device", "cpu", "--deterministic")...)
			t.Logf("%s", notes)
			if a, b := losses(t, got), losses(t, want); len(a) != 3 || len(b) != 3 || differ(t, a, b) > 1e-4 {
				t.Errorf("the losses are %v, ours %v", a, b)
			} else {
				t.Logf("the losses of three steps differ by %.1g", differ(t, a, b))
			}
			file := filepath.Join(ours, "last.safetensors")
			// The gradients of the first step agree within 1e-5, down to a layer where rounding
			// turns the sign of an activation: that one ReLU changes those below by about a
			// hundredth, as it does between our direct kernels and Winograd's.
			d := apart(t, filepath.Join(theirs, "last.safetensors"), file)
			if !(d.weights < 1e-4) || !(d.gradients < 0.1) || !(d.last < 2e-3) {
				t.Errorf("apart by a share of %+.2g", d)
			} else {
				t.Logf("apart by a share of %+.1g", d)
			}
			for _, args := range [][]string{{"embed", "--json"}, {"predict", "--json", "--topk", "2"}} {
				args = append(args, "--model", file, "--batch", "3", filepath.Join(data, "val"))
				want, _ := command(t, nil, false, args...)
				got, _ := command(t, nil, false, append(args, "--device", "cpu")...)
				if d := differ(t, numbers(t, got), numbers(t, want)); d > 1e-4 {
					t.Errorf("%s differs by %.2g", args[0], d)
				} else {
					t.Logf("%s differs by %.1g", args[0], d)
				}
			}
			if c.model != "resnet20-cifar" {
				return
			}
			for run, device := range map[string][]string{ours: {"--device", "cpu"}, theirs: nil} {
				out, _ := command(t, nil, false, append([]string{"train", "--json", "--resume", "--epochs", "4", "--out", run, "--no-check"}, device...)...)
				if l := losses(t, out); len(l) != 1 || !(l[0] < losses(t, want)[2]) {
					t.Errorf("the run continued by another engine has the losses %v", l)
				}
			}
			for _, args := range [][]string{
				{"eval", "--device", "cpu", "--model", file, "--data", "folder:" + data},
				{"eval", "--device", "cpu", "--bf16", "--model", file, "--data", "folder:" + data},
				{"bench", "resnet20-cifar", "--device", "cpu", "--batch", "2", "--mode", "infer,train", "--rounds", "1", "--seconds", "0.1"},
			} {
				command(t, nil, false, args...)
			}
		})
	}
}

// TestRefusals is what the command says where a device cannot do something.
func TestRefusals(t *testing.T) {
	none := []string{"PJRT_PLUGIN=", "PJRT_NAMES_AND_LIBRARY_PATHS=", "VIRTUAL_ENV=", "CONDA_PREFIX=", "HOME=" + t.TempDir(), "PATH="}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"is none of gpu", []string{"predict", "--device", "cuda", "x.png"}},
		{"whole number", []string{"predict", "--device", "gpu:one", "x.png"}},
		{"need --device", []string{"predict", "--tf32", "x.png"}},
		{"--exact", []string{"predict", "--device", "cpu", "--exact", "x.png"}},
		{"no plugin for a TPU", []string{"predict", "--device", "tpu", "x.png"}},
		{"only GPUs take a share", []string{"predict", "--device", "cpu", "--plugin", "x.so", "--device-memory", "0.5", "x.png"}},
		{"x.so", []string{"predict", "--device", "cpu", "--plugin", "x.so", "x.png"}},
		{"--profile", []string{"bench", "--profile", "--device", "cpu"}},
		{"resnet detect computes on the processor alone: leave out --device", []string{"detect", "--device", "cpu", "x.png"}},
	} {
		if _, got := command(t, none, true, c.args...); !strings.Contains(got, c.want) {
			t.Errorf("%v: %q does not contain %q", c.args, got, c.want)
		}
	}
	needsPlugin(t)
	boxes := filepath.Join(t.TempDir(), "scenes")
	clothes, err := scenes.Clothes("Bag", "Trouser")
	if err == nil {
		err = scenes.Write(boxes, scenes.Options{Train: 2, Val: 1, MinSide: 64, MaxSide: 64, MaxObjects: 1, Objects: clothes})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"no device 7", []string{"predict", "--device", "cpu:7", "x.png"}},
		{"bf16=emulate", []string{"predict", "--device", "cpu", "--bf16=emulate", "x.png"}},
		{"has no form in StableHLO: devices compute whole networks alone, and this program's own kernels compute this one: leave out --device cpu",
			[]string{"train", "--device", "cpu", "--recipe", "detect", "--model", "retinanet_resnet8-cifar_fpn", "--size", "64", "--batch", "2", "--no-check", "--data", "coco:" + boxes, "--out", filepath.Join(t.TempDir(), "out")}},
	} {
		if _, got := command(t, nil, true, c.args...); !strings.Contains(got, c.want) {
			t.Errorf("%v: %q does not contain %q", c.args, got, c.want)
		}
	}
}
