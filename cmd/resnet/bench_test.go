package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/bench"
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
	text := done(t, "bench", "resnet8-cifar", "--batch", "1", "--threads", "1", "--profile", "--sort", "--rounds", "2", "--mode", "infer,train", "--quiet")
	for _, want := range []string{"winograd", "backward", "update", "GB/s"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, args := range [][]string{
		{"bench", "--profile", "--peer", "ort"}, {"bench", "--sort"}, {"bench", "--peer-onnx", "x.onnx"}, {"bench", "--peer", "orr"},
	} {
		if code, _, _ := cli(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
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
