package nn_test

import (
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
)

// Two networks in one graph have variables of their own, or it is an error.
func TestTwoNetworksInOneGraph(t *testing.T) {
	student, teacher := nn.NewLinear(3, 4), nn.NewLinear(3, 4)
	first, err := nn.Trace(student, nn.TraceOptions{Input: graph.F32(2, 3)})
	if err != nil {
		t.Fatal(err)
	}
	opt := nn.TraceOptions{Graph: first.Graph, X: first.Input}
	if _, err := nn.Trace(teacher, opt); err == nil || !strings.Contains(err.Error(), "is a variable of something else") || !strings.Contains(err.Error(), "Prefix") {
		t.Errorf("the same keys: %v", err)
	}
	again, err := nn.Trace(student, opt)
	if err != nil || again.Params[0].Value != first.Params[0].Value {
		t.Errorf("the same network twice does not share its weights: %v", err)
	}
	opt.Prefix = "teacher."
	second, err := nn.Trace(teacher, opt)
	if err != nil {
		t.Fatal(err)
	}
	if second.Params[0].Name != "teacher.weight" || second.Params[0].Value == first.Params[0].Value {
		t.Errorf("%+v", second.Params[0])
	}
}
