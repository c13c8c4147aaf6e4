package keras

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
	"github.com/resnet-go/resnet/weights/safetensors"
)

// python returns the Python that has Keras with the backend JAX, and skips the test
// without one.
func python(t *testing.T) string {
	t.Helper()
	return peer.Python(t, "keras", "jax", "safetensors")
}

// script runs a script of testdata/gen, with another backend of Keras than jax if
// KERAS_BACKEND names one.
func script(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(python(t), append([]string{"testdata/gen/" + name}, args...)...)
	cmd.Env = append(os.Environ(), "TF_CPP_MIN_LOG_LEVEL=3")
	if os.Getenv("KERAS_BACKEND") == "" {
		cmd.Env = append(cmd.Env, "KERAS_BACKEND=jax")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// big returns a folder with keras.applications' networks of random weights.
func big(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("large")
	}
	dir := t.TempDir()
	script(t, "keras_models.py", dir, "big")
	return dir
}

// TestApplications compares ResNet50 and ResNet50V2 with Keras: as read from
// each of its files, and, in Keras, as written by us.
func TestApplications(t *testing.T) {
	dir := big(t)
	for _, name := range []string{"resnet50", "resnet50v2"} {
		t.Run(name, func(t *testing.T) {
			want, _ := golden.Load(t, filepath.Join(dir, name+".safetensors"))
			m := load1(t, filepath.Join(dir, name+".keras"))
			swap := m.BGR
			m.BGR = false // x is the Keras model's input
			z := run(t, m, want["x"])
			m.BGR = swap
			t.Logf("import: logits differ by %.2g of their range", difference(t, z, want["z"]))
			if d := difference(t, z, want["z"]); !(d <= tolerance) {
				t.Errorf("logits differ by %g of their range", d)
			}
			for _, format := range []string{".h5", ".weights.h5"} {
				sameState(t, load1(t, filepath.Join(dir, name+format)), m)
			}
			back(t, m, want)
		})
	}
}

// back writes m in all formats, lets Keras run them on want's x, and compares
// with its y and z.
func back(t *testing.T, m *Model, want map[string]*tensor.Tensor) {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "x.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(f, []safetensors.Tensor{{Name: "x", Tensor: want["x"]}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	args := []string{dir, "run"}
	for _, name := range []string{"m.keras", "m.h5", "m.weights.h5"} {
		path := filepath.Join(dir, name)
		if err := Save(path, m); err != nil {
			t.Fatal(err)
		}
		sameState(t, load1(t, path), m)
		args = append(args, path)
	}
	script(t, "keras_models.py", args...)
	for _, path := range args[2:] {
		got, _ := golden.Load(t, path+".out.safetensors")
		d := difference(t, got["z"], want["z"])
		t.Logf("export %s: logits differ by %.2g of their range", filepath.Base(path), d)
		if !(d <= tolerance) {
			t.Errorf("%s: logits differ by %g of their range", filepath.Base(path), d)
		}
	}
}

// TestSmallInKeras lets Keras run what we write of the small models.
func TestSmallInKeras(t *testing.T) {
	python(t)
	for _, c := range small {
		t.Run(c.name, func(t *testing.T) {
			want, _ := golden.Load(t, "testdata/"+c.name+".safetensors")
			for _, format := range c.formats {
				if format != ".h5" { // the same model; Keras 2's form is a way of its own
					back(t, golden1(t, c.name+format), want)
				}
			}
		})
	}
}

// random gives a network values with batch-norm statistics far from 0 and 1.
func random(t testing.TB, net nn.Module) {
	t.Helper()
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, e := range nn.Params(net) {
		if e.Param.DType != tensor.Float32 || len(e.Param.Shape) != 1 {
			continue
		}
		for i := range e.Param.Value.Float32s() {
			v := 0.1 * float32(r.NormFloat64())
			if strings.HasSuffix(e.Name, "running_var") || strings.HasSuffix(e.Name, ".weight") {
				v = 0.5 + r.Float32()
			}
			e.Param.Value.Float32s()[i] = v
		}
	}
}

func noise(shape ...int) *tensor.Tensor {
	x := tensor.New(shape...)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(r.NormFloat64())
	}
	return x
}

// ours are networks of package models, in small sizes.
var ours = []struct {
	name string
	opts []models.Option
}{
	{"resnet50", []models.Option{models.Classes(7), models.Width(8), models.InputSize(64)}},
	{"resnet18", []models.Option{models.Classes(7), models.Width(8), models.InputSize(64), models.Dropout(0.2), models.DropPath(0.1)}},
	{"resnext50_32x4d", []models.Option{models.Classes(7), models.InputSize(64), models.Groups(4, 8), models.Width(8), models.Dilate(false, true, true)}},
	{"resnet20-cifar", nil},
	{"resnet20-cifar+se", nil},
	{"preresnet20-cifar", nil},
	{"highway20-cifar", nil},
	{"plain20-cifar", []models.Option{models.NoNorm(), models.Activation("leaky_relu")}},
}

// TestExport makes Keras models of our networks: they compute the same bits
// here, keep keys and weights through the files, and become the same networks
// again.
func TestExport(t *testing.T) {
	for _, c := range ours {
		t.Run(c.name, func(t *testing.T) {
			file, net := ourFile(t, c.name, c.opts)
			m, err := FromFile(file)
			if err != nil {
				t.Fatal(err)
			}
			x := noise(append([]int{1}, net.Input()...)...)
			want := run(t, net, x)
			if d := difference(t, run(t, m, x), want); !(d <= 1e-6) {
				t.Errorf("logits differ by %g of their range", d)
			}
			path := filepath.Join(t.TempDir(), "m.keras")
			if err := Save(path, m); err != nil {
				t.Fatal(err)
			}
			f, err := load1(t, path).File()
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := models.ParseConfig(f.Architecture)
			if err != nil {
				t.Fatal(err)
			}
			again, err := cfg.Build()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := nn.Load(again, f.Tensors, nn.LoadOptions{}); err != nil {
				t.Fatal(err)
			}
			sameState(t, again, net)
			if !slices.Equal(f.Classes, file.Classes) || string(f.Preprocess) != string(file.Preprocess) {
				t.Errorf("classes %q, preprocessing %s", f.Classes, f.Preprocess)
			}
		})
	}
}

// TestNotExported wants an error that names the module for what Keras has no
// layer for.
func TestNotExported(t *testing.T) {
	net, err := models.New("resnet20-cifar+eca")
	if err != nil {
		t.Fatal(err)
	}
	random(t, net)
	if _, err := FromModule(net, "eca", net.Input()); err == nil || !strings.Contains(err.Error(), "layer1.0.se") {
		t.Errorf("error %v, want one that names layer1.0.se", err)
	}
}

// TestExportInKeras lets Keras run our networks.
func TestExportInKeras(t *testing.T) {
	python(t)
	for _, c := range ours[:len(ours)-1] {
		t.Run(c.name, func(t *testing.T) {
			file, net := ourFile(t, c.name, c.opts)
			m, err := FromFile(file)
			if err != nil {
				t.Fatal(err)
			}
			x := noise(append([]int{2}, net.Input()...)...)
			y := run(t, net, x)
			back(t, m, map[string]*tensor.Tensor{"x": x, "z": y})
		})
	}
}

// TestTorchvisionInKeras lets Keras run ResNet-50 of our own in full size.
func TestTorchvisionInKeras(t *testing.T) {
	python(t)
	if testing.Short() {
		t.Skip("large")
	}
	file, net := ourFile(t, "resnet50", nil)
	m, err := FromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	x := noise(2, 3, 224, 224)
	back(t, m, map[string]*tensor.Tensor{"x": x, "z": run(t, net, x)})
}

func ourFile(t *testing.T, name string, opts []models.Option) (*weights.File, *models.Model) {
	t.Helper()
	net, err := models.New(name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	random(t, net)
	arch, err := json.Marshal(net.Config)
	if err != nil {
		t.Fatal(err)
	}
	f := &weights.File{Tensors: map[string]*tensor.Tensor{}}
	f.Architecture = arch
	f.Classes = []string{"a", "b"}
	f.Preprocess = json.RawMessage(`{"channels":3,"width":32,"height":32,"interpolation":"bilinear","mean":[0.5,0.5,0.5],"std":[0.25,0.25,0.25]}`)
	for _, e := range nn.Params(net) {
		f.Tensors[e.Name] = e.Param.Value
	}
	return f, net
}

// TestConfigs compares the configs that we make for the applications with
// Keras's, layer by layer, and their order in the files of weights.
func TestConfigs(t *testing.T) {
	dir := big(t)
	b, err := os.ReadFile(filepath.Join(dir, "configs.json"))
	if err != nil {
		t.Fatal(err)
	}
	var configs map[string]json.RawMessage
	if err := json.Unmarshal(b, &configs); err != nil {
		t.Fatal(err)
	}
	for _, name := range Applications() {
		a, err := NewApplication(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.New()
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := parseSpec(configs[name])
		if err != nil {
			t.Fatal(err)
		}
		want, err := build(theirs)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range want.layers {
			g := got.layers[i]
			if theirs.layers[i] != l {
				t.Errorf("%s: layer %d is %s, in Keras's order %s", name, i, l.name, theirs.layers[i].name)
			}
			if g.class != l.class || g.name != l.name {
				t.Fatalf("%s: layer %d is %s %s, want %s %s", name, i, g.class, g.name, l.class, l.name)
			}
			for k, call := range l.calls {
				if !slices.Equal(g.calls[k], call) {
					t.Errorf("%s: layer %s takes %v, want %v", name, l.name, g.calls[k], call)
				}
			}
			var a, b map[string]any
			if err := json.Unmarshal(g.config, &a); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(l.config, &b); err != nil {
				t.Fatal(err)
			}
			for key, v := range a {
				if key == "dtype" || key == "axis" {
					continue
				}
				x, _ := json.Marshal(v)
				y, _ := json.Marshal(b[key])
				if string(x) != string(y) {
					t.Errorf("%s: layer %s: %s is %s, want %s", name, l.name, key, x, y)
				}
			}
		}
	}
}
