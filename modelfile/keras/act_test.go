package keras

import (
	"slices"
	"testing"

	"github.com/resnet-go/resnet/tensor"
)

// Keras computes x > threshold, so that x at the threshold gives 0
// (keras/src/activations/activations.py, ReLU.static_call).
func TestReLUAtItsThreshold(t *testing.T) {
	x, err := tensor.FromFloat32([]float32{-1, 0.25, 0.5, 1, 2}, 1, 5)
	if err != nil {
		t.Fatal(err)
	}
	for layer, want := range map[string][]float32{
		`ReLU "threshold": 0.5`: {0, 0, 0, 1, 2},
		`ReLU "threshold": 0.5, "negative_slope": 0.5, "max_value": 1.5`: {-0.75, -0.125, 0, 1, 1.5},
		`ReLU "threshold": -1, "negative_slope": 0.5`:                    {0, 0.25, 0.5, 1, 2},
		`ThresholdedReLU "theta": 0.5`:                                   {0, 0, 0, 1, 2},
	} {
		m, err := Parse([]byte(sequential(`InputLayer "batch_input_shape": [null, 5]`, layer)))
		if err != nil {
			t.Fatal(err)
		}
		if got := run(t, m, x).Float32s(); !slices.Equal(got, want) {
			t.Errorf("%s of %v is %v, want %v", layer, x.Float32s(), got, want)
		}
	}
}
