package models

import (
	"strings"
	"testing"

	"github.com/resnet-go/resnet/nn"
)

// TestWithoutLastLayer: with 0 classes, every classifier is its features: what its last
// layer gets, with the other keys unchanged.
func TestWithoutLastLayer(t *testing.T) {
	for _, name := range []string{"resnet18", "resnet50", "resnet20-cifar", "preresnet20-cifar", "wrn-16-2", "plain18", "resnet18d", "highway8-cifar"} {
		cfg, err := Lookup(name)
		if err != nil {
			continue // not all families have such a name
		}
		full, err := cfg.Build()
		if err != nil {
			t.Fatal(err)
		}
		Classes(0)(&cfg)
		cfg.Dropout = 0.2
		m, err := cfg.Build()
		if err != nil {
			t.Fatal(err)
		}
		tr, err := nn.Trace(m, nn.TraceOptions{Input: cfg.Input(2)})
		if err != nil {
			t.Fatal(err)
		}
		if s := tr.Output.Shape; len(s) != 2 || s[0] != 2 || s[1] != cfg.Features() || s[1] != full.FC.In {
			t.Errorf("%s: features %v, want [2 %d]", name, s, full.FC.In)
		}
		if cfg.Task() != Features || len(m.Heads()) > 0 {
			t.Errorf("%s: task %s, heads %v", name, cfg.Task(), m.Heads())
		}
		var with []string
		for _, e := range nn.Params(full) {
			if !strings.HasPrefix(e.Name, "fc.") {
				with = append(with, e.Name)
			}
		}
		without := nn.Params(m)
		if len(with) != len(without) {
			t.Fatalf("%s: %d keys, want %d", name, len(without), len(with))
		}
		for i, e := range without {
			if e.Name != with[i] {
				t.Errorf("%s: key %s, want %s", name, e.Name, with[i])
			}
		}
	}
	if _, err := New("fcn_resnet18", Classes(0)); err == nil || !strings.Contains(err.Error(), "classes is 0") {
		t.Errorf("a segmentation network of 0 classes: %v", err)
	}
	if _, err := New("resnet18", Classes(-1)); err == nil {
		t.Error("-1 classes are accepted")
	}
}
