package weights_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

func model() []weights.Want {
	return []weights.Want{
		{Name: "conv1.weight", Shape: tensor.Shape{4, 3, 3, 3}},
		{Name: "bn1.weight", Shape: tensor.Shape{4}},
		{Name: "bn1.num_batches_tracked", DType: tensor.Int64},
		{Name: "layer1.0.conv1.weight", Shape: tensor.Shape{4, 4, 3, 3}},
		{Name: "fc.weight", Shape: tensor.Shape{10, 4}},
		{Name: "fc.bias", Shape: tensor.Shape{10}},
	}
}

func TestFit(t *testing.T) {
	// The counter may be missing, the last layer may be a convolution.
	whole := map[string]*tensor.Tensor{
		"conv1.weight": tensor.New(4, 3, 3, 3), "bn1.weight": tensor.New(4),
		"layer1.0.conv1.weight": tensor.New(4, 4, 3, 3), "fc.weight": tensor.New(10, 4, 1, 1), "fc.bias": tensor.New(10),
	}
	got, r, err := weights.Fit(model(), whole, weights.FitOptions{})
	if err != nil || !r.Complete() || r.Loaded != 5 || !got["fc.weight"].Shape().Equal(tensor.Shape{10, 4}) {
		t.Errorf("%v, %+v, %v", got["fc.weight"], r, err)
	}

	other := map[string]*tensor.Tensor{
		"conv1.weight": tensor.New(4, 3, 3, 3), "bn1.weight": tensor.NewInt64(4),
		"layer1.0.conv1.weight": tensor.New(4, 4, 1, 3), "linear.weight": tensor.New(10, 4), "linear.bias": tensor.New(10),
		"extra": tensor.New(1),
	}
	_, _, err = weights.Fit(model(), other, weights.FitOptions{})
	var fit *weights.FitError
	if !errors.As(err, &fit) {
		t.Fatalf("the error is %v", err)
	}
	for _, want := range []string{
		"2 missing: fc.weight (there is linear.weight), fc.bias (there is linear.bias)",
		"3 unexpected: extra, linear.bias, linear.weight",
		"2 of another shape: bn1.weight is int64[4], the model has float32[4], layer1.0.conv1.weight is float32[4 4 1 3], the model has float32[4 4 3 3]",
		"--partial",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	got, r, err = weights.Fit(model(), other, weights.FitOptions{Partial: true})
	if err != nil || len(got) != 1 || r.Loaded != 1 || len(r.Missing) != 2 || len(r.Misshapen) != 2 || len(r.Unexpected) != 3 {
		t.Errorf("%v, %+v, %v", got, r, err)
	}
	if _, _, err := weights.Fit(model(), named("a"), weights.FitOptions{Partial: true}); err == nil || !strings.Contains(err.Error(), "no tensor of the file fits") {
		t.Errorf("nothing in common gives %v", err)
	}
}

func TestLongListsAreCut(t *testing.T) {
	_, _, err := weights.Fit(model(), named(strings.Fields("a b c d e f g h i")...), weights.FitOptions{})
	if err == nil || !strings.Contains(err.Error(), "9 unexpected: a, b, c, d, e, f, and 3 more") {
		t.Errorf("the error is %v", err)
	}
}
