package main

import (
	"encoding/json"
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
	if !strings.Contains(text, "images/s") || strings.Count(text, "\n") != 3 {
		t.Errorf("table\n%s", text)
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
