package nn

import (
	"math"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/ref"
	"github.com/resnet-go/resnet/tensor"
)

// TestBlurPool2d compares with the binomial kernel applied pixel by pixel to
// the reflected image, for even and odd sizes.
func TestBlurPool2d(t *testing.T) {
	reflect := func(i, n int) int {
		if i < 0 {
			return -i
		}
		if i >= n {
			return 2*(n-1) - i
		}
		return i
	}
	for _, size := range [][2]int{{2, 2}, {5, 8}, {7, 3}} {
		for stride := 1; stride <= 3; stride++ {
			h, w := size[0], size[1]
			x := tensor.New(1, 2, h, w)
			for i := range x.Float32s() {
				x.Float32s()[i] = float32(math.Sin(float64(i * i)))
			}
			tr, err := Trace(NewBlurPool2d(stride), TraceOptions{Input: graph.F32(1, 2, h, w)})
			if err != nil {
				t.Fatal(err)
			}
			r, err := ref.Run(tr.Graph, nil, map[string]*tensor.Tensor{ImageInput: x})
			if err != nil {
				t.Fatal(err)
			}
			oh, ow := (h+stride-1)/stride, (w+stride-1)/stride
			got := r.Value(tr.Output)
			if !got.Shape().Equal(tensor.Shape{1, 2, oh, ow}) {
				t.Fatalf("%v at stride %d gives %v, want %dx%d", size, stride, got.Shape(), oh, ow)
			}
			for i, v := range got.Float32s() {
				c, oy, ox := i/(oh*ow), i/ow%oh, i%ow
				want := 0.0
				for a, ka := range []float64{0.25, 0.5, 0.25} {
					for b, kb := range []float64{0.25, 0.5, 0.25} {
						at := c*h*w + reflect(oy*stride+a-1, h)*w + reflect(ox*stride+b-1, w)
						want += ka * kb * float64(x.Float32s()[at])
					}
				}
				if math.Abs(float64(v)-want) > 1e-6 {
					t.Errorf("%v at stride %d: element %d is %g, want %g", size, stride, i, v, want)
				}
			}
		}
	}
}
