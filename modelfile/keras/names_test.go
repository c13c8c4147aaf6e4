package keras

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Files have no dots in the names of layers, which Keras's torch backend refuses, and
// reading them gives the modules' names again.
func TestNamesInFiles(t *testing.T) {
	net, err := models.New("resnet8-cifar")
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	m, err := FromModule(net, "resnet8", net.Input())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"m.keras", "m.h5"} {
		path := filepath.Join(dir, name)
		if err := Save(path, m); err != nil {
			t.Fatal(err)
		}
		hyphens, err := m.respelled(".", "-")
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range hyphens.spec.layers {
			if strings.Contains(l.name, ".") {
				t.Errorf("%s: the file has a layer %s", name, l.name)
			}
		}
		again, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		want := nn.Values(net)
		for key, v := range nn.Values(again) {
			if w := want[key]; w == nil || v.DType() == tensor.Float32 && !slices.Equal(v.Float32s(), w.Float32s()) {
				t.Errorf("%s: %s is another tensor", name, key)
			}
		}
	}
	python := peer.Python(t, "keras")
	for _, backend := range []string{"jax", "torch", "tensorflow"} {
		if !peer.Has(t, backend) {
			t.Log("Keras has no backend " + backend)
			continue
		}
		for _, name := range []string{"m.keras", "m.h5"} {
			script := "import keras, sys\nprint(keras.saving.load_model(sys.argv[1]).count_params())"
			cmd := exec.Command(python, "-c", script, filepath.Join(dir, name))
			cmd.Env = append(os.Environ(), "KERAS_BACKEND="+backend)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s in Keras with %s: %v: %s", name, backend, err, out)
			}
		}
	}
}
