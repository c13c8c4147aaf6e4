package engine_test

import (
	"strings"
	"testing"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// A tensor in another layout than its port's is refused, whatever its shape: the
// error names the port and both layouts.
func TestLayoutIsRefused(t *testing.T) {
	for _, layout := range []tensor.Layout{tensor.NCHW, tensor.NHWC} {
		for _, channels := range []int{1, 3} { // the elements of one channel lie alike in both
			g := &graph.Graph{}
			x, err := g.InputAs("image", graph.F32(1, channels, 2, 2), layout)
			if err != nil {
				t.Fatal(err)
			}
			g.Output("y", g.Must1(graph.Unary{Fn: graph.Relu}, x))
			p, err := engine.Compile(g, engine.NewVars(), engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Inputs()[0].Layout; got != layout {
				t.Errorf("the port is %v, want %v", got, layout)
			}
			nchw, nhwc := tensor.New(1, channels, 2, 2), tensor.NewNHWC(1, channels, 2, 2)
			right, wrong := nchw, nhwc
			if layout == tensor.NHWC {
				right, wrong = nhwc, nchw
			}
			if err := p.Run([]*tensor.Tensor{right}, []*tensor.Tensor{nchw}); err != nil {
				t.Error(err)
			}
			want := `input "image" must be laid out as ` + layout.String() + ", is " + wrong.Layout().String()
			if err := p.Run([]*tensor.Tensor{wrong}, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, want %q in it", err, want)
			}
			if err := p.Run([]*tensor.Tensor{right}, []*tensor.Tensor{nhwc}); err == nil || !strings.Contains(err.Error(), `output "y" must be laid out as NCHW, is NHWC`) {
				t.Errorf("an output laid out as NHWC: %v", err)
			}
		}
	}
}

// Only pictures have a layout: variables, constants and other inputs are in
// row-major order.
func TestLayoutIsForPictures(t *testing.T) {
	vars, x := engine.NewVars(), tensor.NewNHWC(1, 2, 3, 4)
	for name, set := range map[string]func(string, *tensor.Tensor) error{"Set": vars.Set, "Adopt": vars.Adopt} {
		if err := set("w", x); err == nil || !strings.Contains(err.Error(), `variable "w": the value is laid out as NHWC`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	g := &graph.Graph{}
	if err := graph.Try(func() { g.Const(x) }); err == nil || !strings.Contains(err.Error(), "must be laid out as NCHW") {
		t.Errorf("a constant: %v", err)
	}
	if _, err := g.InputAs("flat", graph.F32(2, 3), tensor.NHWC); err == nil || !strings.Contains(err.Error(), "only float32 inputs of rank 4") {
		t.Errorf("an input of rank 2: %v", err)
	}
	if _, err := g.InputAs("x", graph.F32(1, 2, 3, 4), tensor.NHWC); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Input("x", graph.F32(1, 2, 3, 4)); err == nil || !strings.Contains(err.Error(), "laid out as NHWC before, now NCHW") {
		t.Errorf("one input in two layouts: %v", err)
	}
}
