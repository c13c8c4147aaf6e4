package modelfile_test

import (
	"strings"
	"testing"

	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

func TestRecognize(t *testing.T) {
	want := []weights.Want{{Name: "conv1.weight"}, {Name: "bn1.bias"}, {Name: "layer1.0.conv2.weight"}, {Name: "layer4.1.bn3.running_var"}, {Name: "layer2.0.downsample.0.weight"}, {Name: "layer2.0.downsample.1.bias"}, {Name: "fc.weight"}}
	for _, c := range []struct {
		names, family, how string
		found              int
	}{
		{"conv1.weight bn1.bias layer1.0.conv2.weight layer4.1.bn3.running_var layer2.0.downsample.0.weight layer2.0.downsample.1.bias fc.weight", "", "", 7},
		{"nothing.weight like.it", "", "", 0},
		{"conv1.weight bn1.bias layer1.0.conv2.weight linear.weight", "pytorch_resnet_cifar10", "linear.=fc.", 4},
		{"conv1.weight bn1.bias layer1.0.conv2.weight layer2.0.shortcut.0.weight layer2.0.shortcut.1.bias linear.weight", "pytorch-cifar",
			"linear.=fc. **.shortcut.0.=**.downsample.0. **.shortcut.1.=**.downsample.1.", 6},
		{"backbone.body.conv1.weight backbone.body.bn1.bias rpn.weight", "", "backbone.body.=", 2},
		{"model.conv1.weight model.bn1.bias model.linear.weight", "pytorch_resnet_cifar10", "model.= linear.=fc.", 3},
		{"conv1.weight model.conv1.weight model.bn1.bias", "", "", 1}, // two would be conv1.weight
	} {
		names := strings.Fields(c.names)
		tensors := map[string]*tensor.Tensor{}
		for _, n := range names {
			tensors[n] = tensor.New(1)
		}
		out, family, how := modelfile.Recognize(want, tensors)
		if family != c.family || how != c.how {
			t.Errorf("%.40s… is of family %q by %q, want %q by %q", c.names, family, how, c.family, c.how)
		}
		found := 0
		for _, w := range want {
			if out[w.Name] != nil {
				found++
			}
		}
		if found != c.found || len(out) != len(names) {
			t.Errorf("%.40s…: %d tensors of which %d are the model's, want %d of which %d", c.names, len(out), found, len(names), c.found)
		}
	}
}
