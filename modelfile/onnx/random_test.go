package onnx

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/peer"
)

// TestDrawnGraphs compares random graphs, of testdata/gen/random_graphs.py, with
// onnxruntime.
func TestDrawnGraphs(t *testing.T) {
	python := peer.Python(t, "onnx", "onnxruntime")
	count, seed := peer.Draws(t, 3000, 20_000)
	const part = 500
	made, right := 0, 0
	refused := map[string]int{}
	defer func() {
		t.Logf("%d graphs: %d as onnxruntime computes them, others are refused: %v", made, right, refused)
	}()
	for ; count > 0; count, seed = count-part, seed+part {
		dir := t.TempDir()
		drawGraphs(t, python, dir, seed, min(count, part))
		dirs, err := filepath.Glob(filepath.Join(dir, "random-*"))
		if err != nil {
			t.Fatal(err)
		}
		made += len(dirs)
		for _, d := range dirs {
			why, err := compareRandom(d)
			switch {
			case err != nil:
				t.Errorf("%s: %v", filepath.Base(d), err)
			case why != "":
				refused[why]++
			default:
				right++
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if right < made*3/4 {
		t.Errorf("of %d graphs, only %d are computed", made, right)
	}
}

// drawGraphs writes graphs to dir. One that ends onnxruntime itself, by a signal, is left
// out.
func drawGraphs(t *testing.T, python, dir string, seed, count int) {
	t.Helper()
	for end, deaths := seed+count, 0; seed < end; {
		out, err := exec.Command(python, "testdata/gen/random_graphs.py", dir, fmt.Sprint(seed), fmt.Sprint(end-seed)).CombinedOutput()
		if err == nil {
			return
		}
		var exit *exec.ExitError
		at, failed := os.ReadFile(filepath.Join(dir, "seed")) // of the graph that was computed
		last, wrong := strconv.Atoi(string(at))
		if deaths++; !errors.As(err, &exit) || exit.ExitCode() >= 0 || failed != nil || wrong != nil || deaths > count/50 {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("onnxruntime ends with graph %d: %v", last, err)
		seed = last + 1
	}
}

// compareRandom runs a graph by the engine and by the reference. why is the reason for
// which it is refused.
func compareRandom(dir string) (why string, err error) {
	m, err := Load(filepath.Join(dir, "model.onnx"))
	if err == nil {
		_, err = runSet(m, filepath.Join(dir, "test_data_set_0"), nearLargest)
	}
	var wrong *wrongError
	if errors.As(err, &wrong) {
		return "", err
	}
	if err != nil {
		return strings.Trim(strings.NewReplacer("0", "#", "1", "#", "2", "#", "3", "#", "4", "#", "5", "#", "6", "#", "7", "#", "8", "#", "9", "#").Replace(reason(err)), " "), nil
	}
	return "", nil
}

// nearLargest compares with a tolerance relative to the largest element, or to 0.1: in a
// chain of operators, sums of numbers near 1 cancel, and only their rounding is left.
func nearLargest(got, want *static) error {
	if !got.shape.Equal(want.shape) || got.elem.isFloat() != want.elem.isFloat() {
		return fmt.Errorf("got %v%v, want %v%v", got.elem, got.shape, want.elem, want.shape)
	}
	largest := 0.1
	for _, w := range want.f {
		largest = max(largest, math.Abs(float64(w)))
	}
	for i, w := range want.f {
		if d := math.Abs(float64(got.f[i] - w)); !(d <= 1e-3*largest) {
			return fmt.Errorf("element %d is %g, want %g", i, got.f[i], w)
		}
	}
	return nil
}
