package onnx

import (
	"testing"

	"github.com/resnet-go/resnet/tensor"
)

// Constants that were left in their file are compared by what they hold.
func TestEqualDeferred(t *testing.T) {
	later := func(v float32) *tensor.Tensor {
		x, err := tensor.Deferred(func(dst []float32) error {
			for i := range dst {
				dst[i] = v
			}
			return nil
		}, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	now := tensor.New(2, 3)
	for i := range now.Float32s() {
		now.Float32s()[i] = 7
	}
	for _, c := range []struct {
		a, b *tensor.Tensor
		want bool
	}{
		{later(7), later(7), true},
		{later(7), later(8), false},
		{later(7), now, true},
		{now, tensor.New(3, 2), false},
		{tensor.NewInt64(2), tensor.NewInt64(2), true},
		{tensor.NewInt64(2), tensor.New(2), false},
	} {
		if got, err := equal(c.a, c.b); err != nil || got != c.want {
			t.Errorf("%v and %v: %v, %v", c.a, c.b, got, err)
		}
	}
}
