package pytorch

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/tensor"
)

// TestDrawnDicts reads state dicts drawn at random that PyTorch wrote, by
// testdata/gen/random_dicts.py.
func TestDrawnDicts(t *testing.T) {
	python := peer.Python(t, "torch")
	count, seed := peer.Draws(t, 300, 2000)
	dir := t.TempDir()
	if out, err := exec.Command(python, "testdata/gen/random_dicts.py", dir, fmt.Sprint(seed), fmt.Sprint(count)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for n := seed; n < seed+count; n++ {
		path := filepath.Join(dir, fmt.Sprint(n))
		b, err := os.ReadFile(path + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]struct {
			DType  DType
			Shape  tensor.Shape
			Values []float64
		}
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path+".pth", Options{})
		if err != nil {
			t.Errorf("file %d: %v", n, err)
			continue
		}
		if len(r.Entries()) != len(want) {
			t.Errorf("file %d: %d tensors, PyTorch has %d", n, len(r.Entries()), len(want))
		}
		for _, e := range r.Entries() {
			w, ok := want[e.Name]
			if !ok || e.DType != w.DType {
				t.Errorf("file %d: %s is %s, in PyTorch %q", n, e.Name, e.DType, w.DType)
				continue
			}
			x, err := r.Tensor(e.Name)
			if err != nil {
				t.Errorf("file %d: %s: %v", n, e.Name, err)
				continue
			}
			checkValues(t, fmt.Sprintf("file %d: %s", n, e.Name), x, w.Shape, w.Values)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
