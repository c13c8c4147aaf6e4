package keras

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/tensor"
)

// TestKinds opens the kinds of files that people have (testdata/gen/kinds.py): with
// augmentation, preprocessing called inside, several outputs, NaN in the config, and
// layers that are rarer; and compares their answers with Keras'.
func TestKinds(t *testing.T) {
	files, err := filepath.Glob("testdata/kinds/*.gz")
	if err != nil || len(files) < 10 {
		t.Fatal(len(files), "files", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".gz"), func(t *testing.T) {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			checkKind(t, strings.TrimSuffix(path, ".gz"), b)
		})
	}
}

// TestDrawnModels compares models of random layers with Keras.
func TestDrawnModels(t *testing.T) {
	if os.Getenv("KERAS_BACKEND") == "" {
		t.Setenv("KERAS_BACKEND", "numpy") // which need not compile each model
	}
	dir := t.TempDir()
	count, seed := peer.Draws(t, 100, 500)
	script(t, "kinds.py", dir, fmt.Sprint(seed), fmt.Sprint(count))
	n := 0
	for _, ending := range []string{"*.keras", "*.h5"} {
		files, err := filepath.Glob(filepath.Join(dir, ending))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			checkKind(t, path, b)
			n++
		}
	}
	if n == 0 {
		t.Fatal("no models in", dir)
	}
	t.Log(n, "files")
}

// checkKind compares a model's answer, and that of the model after it was written
// as our own model file, with Keras'.
func checkKind(t *testing.T, path string, content []byte) {
	t.Helper()
	b, err := os.ReadFile(strings.TrimSuffix(path, filepath.Ext(path)) + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Shape         []int
		X             []float32
		Probabilities [][]float32
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	m, err := Read(bytes.NewReader(content), int64(len(content)), ReadOptions{})
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	file, err := m.File()
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	again, err := FromFile(file)
	if err != nil {
		t.Errorf("%s: the description of the model cannot be read: %v", path, err)
		return
	}
	s := want.Shape
	x := tensor.New(s[0], s[3], s[1], s[2])
	for i := range want.X { // from [N H W C]
		c, w, h, n := i%s[3], i/s[3]%s[2], i/(s[3]*s[2])%s[1], i/(s[3]*s[2]*s[1])
		x.Float32s()[((n*s[3]+c)*s[1]+h)*s[2]+w] = want.X[i]
	}
	for _, m := range []*Model{m, again} {
		m.Probabilities = true
		y := run(t, m, x)
		if y.Numel() != len(want.Probabilities)*len(want.Probabilities[0]) {
			t.Errorf("%s: the answer is %v", path, y)
			return
		}
		scale := 1e-2
		for _, row := range want.Probabilities {
			for _, w := range row {
				scale = max(scale, math.Abs(float64(w)))
			}
		}
		for i, got := range y.Float32s() {
			w := want.Probabilities[i/len(want.Probabilities[0])][i%len(want.Probabilities[0])]
			if d := math.Abs(float64(got - w)); !(d <= 1e-4*scale) {
				t.Errorf("%s: number %d is %v, want %v", path, i, got, w)
				return
			}
		}
	}
}
