package bench

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/weights/safetensors"
)

func TestHandOver(t *testing.T) {
	cfg := Config{Model: "resnet8-cifar", Mode: Infer, Batch: 2, Threads: 1}
	n, err := open(cfg, "", false)
	if err != nil {
		t.Fatal(err)
	}
	h, err := handOver(n, true)
	if err != nil {
		t.Fatal(err)
	}
	defer h.remove()
	x, err := readFloats(h.path("input.f32"))
	if err != nil || len(x) != 2*3*32*32 {
		t.Fatalf("%d inputs, %v", len(x), err)
	}
	r, err := safetensors.Open(h.path("weights.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Tensor("layer1.0.conv1.weight"); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(h.onnx); err != nil || info.Size() < 1e5 {
		t.Errorf("%v, %v", info, err)
	}

	if err := writeFloats(h.output(0), []float32{1, -4}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		theirs []float32
		want   float64
		err    string
	}{
		{[]float32{1.001, -4}, 0.00025, ""},
		{[]float32{1.1, -4}, 0, "differ from ours"},
		{[]float32{float32(math.NaN()), -4}, 0, "differ from ours"},
		{[]float32{1}, 0, "1 outputs, ours 2"},
	} {
		if err := writeFloats(h.output(1), c.theirs); err != nil {
			t.Fatal(err)
		}
		d, err := h.compare(1, "peer")
		switch {
		case c.err == "" && (err != nil || math.Abs(d-c.want) > 1e-6):
			t.Errorf("%v: %g, %v", c.theirs, d, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%v: error %v, want %q", c.theirs, err, c.err)
		}
	}
}

func TestProfile(t *testing.T) {
	p, err := Profile(Config{Model: "resnet8-cifar", Mode: Train, Batch: 2, Threads: 1}, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	share, phases, flops := 0.0, map[string]int{}, 0.0
	for _, s := range p.Steps {
		share += s.Share
		phases[s.Phase]++
		flops += s.GFLOPS * s.MS * 1e6
	}
	if math.Abs(share-1) > 1e-9 || phases[Forward] == 0 || phases[Backward] == 0 || phases[Update] == 0 {
		t.Errorf("shares sum to %g, phases %v", share, phases)
	}
	n, err := open(p.Config, "", false)
	if err != nil {
		t.Fatal(err)
	}
	want, err := n.flops()
	if err != nil {
		t.Fatal(err)
	}
	// The first convolution has no input gradient; FLOPs counts it.
	if flops > float64(want) || flops < 0.9*float64(want) {
		t.Errorf("%g operations in the steps, %d in the network", flops, want)
	}
}
