package cli

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/cli/bench"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

func TestBench(t *testing.T) {
	t.Setenv("RESNET_TEST_PROGRAM", "1") // for the workers, which are this binary
	out := done(t, "bench", "resnet8-cifar", "--batch", "2", "--threads", "1", "--mode", "infer,train", "--rounds", "2", "--seconds", "0.05", "--json")
	var all []bench.Comparison
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Mode != bench.Infer || all[1].Mode != bench.Train {
		t.Fatalf("%+v", all)
	}
	for _, c := range all {
		if c.Ours.MedianMS <= 0 || c.Ours.Steps < 2 || c.Ours.GFLOPS <= 0 || c.Ours.PeakMB <= 0 || c.Ours.Program != "resnet" {
			t.Errorf("%+v", c.Ours)
		}
	}
	text := done(t, "bench", "resnet8-cifar", "--batch", "1", "--threads", "1", "--rounds", "1", "--seconds", "0.02", "--quiet")
	if !strings.Contains(text, "images/s") || strings.Count(text, "\n") < 3 {
		t.Errorf("table\n%s", text)
	}
}

func TestBenchProfile(t *testing.T) {
	text := done(t, "bench", "resnet8-cifar", "--batch", "1", "--threads", "1", "--profile", "--sort", "--mode", "infer,train", "--quiet")
	for _, want := range []string{"winograd", "backward", "update", "GB/s"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, args := range [][]string{
		{"bench", "--profile", "--peer", "ort"}, {"bench", "--sort"}, {"bench", "resnet5O"}, {"bench", "--peer", "orr"},
	} {
		if code, _, _ := cli(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}

// Files of every format are measured as what they are: with the same weights,
// the same network by name and from files does the same operations.
func TestBenchFiles(t *testing.T) {
	t.Setenv("RESNET_TEST_PROGRAM", "1")
	dir := t.TempDir()
	pth := foreign(t)
	ours := filepath.Join(dir, "m.safetensors")
	done(t, "convert", pth, ours, "--model", "resnet8-cifar", "--preprocess", "cifar10")
	files := []string{ours, "resnet8-cifar@" + pth}
	for _, end := range []string{".onnx", ".keras", ".h5"} {
		files = append(files, filepath.Join(dir, "m"+end))
		done(t, "convert", ours, files[len(files)-1])
	}
	net, err := models.New("resnet8-cifar")
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 3); err != nil {
		t.Fatal(err)
	}
	graph := filepath.Join(dir, "graph.onnx") // batch norms folded: no network of ours any more
	if err := onnx.Save(graph, net, onnx.SaveOptions{Input: net.Input()}); err != nil {
		t.Fatal(err)
	}
	files = append(files, graph)
	args := append([]string{"bench", "resnet8-cifar"}, files...)
	var all []bench.Comparison
	text := done(t, append(args, "--batch", "2", "--threads", "1", "--rounds", "1", "--seconds", "0.01", "--json")...)
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	ops := func(c bench.Comparison) float64 { return c.Ours.GFLOPS * c.Ours.MedianMS }
	for i, c := range all {
		if c.Ours.MedianMS <= 0 || math.Abs(ops(c)-ops(all[0])) > 1e-6*ops(all[0]) {
			t.Errorf("%s: %g million operations, by name %g", args[1+i], ops(c), ops(all[0]))
		}
	}
	if len(all) != len(files)+1 {
		t.Errorf("%d results", len(all))
	}
	done(t, "bench", ours, "--mode", "train", "--batch", "2", "--threads", "1", "--rounds", "1", "--seconds", "0.01", "--quiet")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"bench", filepath.Join(dir, "none.onnx")}, "none.onnx"},
		{[]string{"bench", pth}, "NAME@"},
		{[]string{"bench", graph, "--mode", "train"}, "resnet models"},
	} {
		if code, _, errs := cli(t, c.args...); code != exitFailed || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d: %s", c.args, code, errs)
		}
	}
}

func TestBenchChart(t *testing.T) {
	m := bench.Measurement{Program: "resnet", MedianMS: 2}
	r := &bench.Comparison{Config: bench.Config{Model: "resnet18", Mode: bench.Infer, Batch: 1, Threads: 2}, Ours: m,
		Peers: []bench.Measurement{{Program: "ort", MedianMS: 3}}}
	path := filepath.Join(t.TempDir(), "speed.svg")
	if err := drawBench([]*bench.Comparison{r}, path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"resnet18 b1 t2", "ort", "<svg"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %q in the chart", want)
		}
	}
}

func TestDoctor(t *testing.T) {
	out := done(t, "doctor", "--threads", "1")
	for _, want := range []string{"kernels ", "GEMM ", "ok           resnet50", "model inside"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
