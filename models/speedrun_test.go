package models

import (
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Each stage halves the image, every block has the identity as shortcut, and the network
// counts its layers.
func TestPoolDown(t *testing.T) {
	m, err := New("resnet11-speedrun")
	if err != nil {
		t.Fatal(err)
	}
	if d := m.Config.Depth(); d != 11 {
		t.Errorf("depth %d", d)
	}
	tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(2, 3, 32, 32), Training: true})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]tensor.Shape{"conv1": {2, 32, 32, 32}, "layer1.0": {2, 64, 16, 16}, "layer2": {2, 128, 8, 8}, "layer3": {2, 256, 4, 4}} {
		if v, err := tr.At(path); err != nil || !v.Shape.Equal(want) {
			t.Errorf("%s gives %v, want %v (%v)", path, v, want, err)
		}
	}
	for _, e := range nn.Params(m) {
		if strings.Contains(e.Name, "downsample") {
			t.Errorf("%s: a projection", e.Name)
		}
	}
	small, err := New("resnet11-speedrun", Width(16), Blocks(BlockBasic, 2, 1, 1, 1), InChannels(1))
	if err != nil {
		t.Fatal(err)
	}
	if d := small.Config.Depth(); d != 16 {
		t.Errorf("depth %d of four stages with five blocks", d)
	}
	for want, opts := range map[string][]Option{
		"dilate": {Dilate(true)}, "pre_act": {PreAct()}, "basic blocks": {Blocks(BlockBottleneck, 1, 1, 1)}, "highway": {Blocks(BlockHighway, 1, 1, 1)},
		"logit_scale": {LogitScale(-1)},
	} {
		if _, err := New("resnet11-speedrun", opts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that names %s", err, want)
		}
	}
}

// As the backbone of a detector, the finest level has two pixels for one of its own.
func TestPoolDownDetector(t *testing.T) {
	for _, name := range []string{"fasterrcnn_resnet11-speedrun_fpn", "retinanet_resnet11-speedrun_fpn"} {
		m, err := New(name, Classes(3))
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := m.Detector.(*RCNN); ok && r.stride != 2 {
			t.Errorf("%s: the finest level has the stride %d", name, r.stride)
		}
	}
}

// The scale multiplies the logits and nothing else.
func TestLogitScale(t *testing.T) {
	logits := func(scale float32) []float32 {
		m, err := New("resnet8-cifar", LogitScale(scale))
		if err != nil {
			t.Fatal(err)
		}
		if err := nn.Init(m, 3); err != nil {
			t.Fatal(err)
		}
		tr, err := nn.Trace(m, nn.TraceOptions{Input: graph.F32(1, 3, 32, 32)})
		if err != nil {
			t.Fatal(err)
		}
		tr.Graph.Output("logits", tr.Output)
		vars := engine.NewVars()
		for _, e := range nn.Params(m) {
			if err := vars.Set(e.Name, e.Param.Value); err != nil {
				t.Fatal(err)
			}
		}
		plan, err := engine.Compile(tr.Graph, vars, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		x, out := tensor.New(1, 3, 32, 32), tensor.New(1, 10)
		for i := range x.Float32s() {
			x.Float32s()[i] = float32(i%7) - 3
		}
		if err := plan.Run([]*tensor.Tensor{x}, []*tensor.Tensor{out}); err != nil {
			t.Fatal(err)
		}
		return out.Float32s()
	}
	plain, same, half := logits(0), logits(1), logits(0.5)
	if !slices.Equal(plain, same) {
		t.Errorf("0 and 1 differ: %v and %v", plain, same)
	}
	for i, z := range plain {
		if half[i] != z/2 {
			t.Errorf("logit %d is %v, want half of %v", i, half[i], z)
		}
	}
}
