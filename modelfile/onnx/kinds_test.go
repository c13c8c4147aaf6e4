package onnx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/peer"
	"github.com/resnet-go/resnet/tensor"
)

// kind is what onnxruntime answers for a model of testdata/gen/kinds.py.
type kind struct {
	Shape  []int       // of the pictures
	X      []float32   // their values
	Answer string      // the output
	Scores [][]float32 // of each picture
	Batch  int         // that the graph allows alone, or 0
	Names  []string    // of the classes
}

// TestKinds opens the kinds of files that people have, each with an input of another
// form, or several outputs, or operators that only some programs write, and compares
// the scores of pictures with onnxruntime's.
func TestKinds(t *testing.T) {
	files, err := filepath.Glob("testdata/kinds/*.onnx")
	if err != nil || len(files) < 60 {
		t.Fatal(len(files), "files", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".onnx"), func(t *testing.T) { checkKind(t, path) })
	}
}

// TestDrawnClassifiers compares classifiers of pictures with random operators with
// onnxruntime.
func TestDrawnClassifiers(t *testing.T) {
	python, dir := peer.Python(t, "onnx", "onnxruntime"), t.TempDir()
	count, seed := peer.Draws(t, 200, 1000)
	if out, err := exec.CommandContext(t.Context(), python, "testdata/gen/kinds.py", dir, fmt.Sprint(seed), fmt.Sprint(count)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatal("no graphs in", dir, err)
	}
	for _, path := range files {
		checkKind(t, path)
	}
	t.Log(len(files), "graphs")
}

func checkKind(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(strings.TrimSuffix(path, "onnx") + "json")
	if err != nil {
		t.Fatal(err)
	}
	var want kind
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	m, err := Load(path)
	if err != nil {
		t.Error(err)
		return
	}
	p, err := m.FitPictures(PictureOptions{})
	if s := want.Shape; err == nil && p.Free && !slices.Equal(p.Input, s[1:]) {
		// The file leaves the size open; the caller knows it.
		if m, err = Load(path); err == nil {
			p, err = m.FitPictures(PictureOptions{Channels: s[1], Height: s[2], Width: s[3]})
		}
	}
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	if !slices.Equal(p.Input, want.Shape[1:]) || m.Answer() != want.Answer || p.Batch != want.Batch || p.Classes != len(want.Scores[0]) || !slices.Equal(m.ClassNames(), want.Names) {
		t.Errorf("%s: pictures %v, the answer %q of %d classes %q, batch %d; want %v, %q, %d, %q, %d",
			path, p.Input, m.Answer(), p.Classes, m.ClassNames(), p.Batch, want.Shape[1:], want.Answer, len(want.Scores[0]), want.Names, want.Batch)
		return
	}
	x, err := tensor.FromFloat32(want.X, want.Shape...)
	if err != nil {
		t.Fatal(err)
	}
	y := infer(t, m, x).Float32s()
	most, scale := 0.0, 1e-2
	for i, row := range want.Scores {
		for j, w := range row {
			d := math.Abs(float64(y[i*len(row)+j] - w))
			if d != d {
				d = math.Inf(1)
			}
			most, scale = max(most, d), max(scale, math.Abs(float64(w)))
		}
	}
	tolerance := 1e-4
	if model, err := os.ReadFile(path); err != nil {
		t.Fatal(err)
	} else if bytes.Contains(model, []byte("QuantizeLinear")) { // a tie may be rounded the other way
		tolerance = 5e-3
	}
	if most/scale > tolerance {
		t.Errorf("%s: the scores differ by %.2g of %.2g", path, most, scale)
	}
}
