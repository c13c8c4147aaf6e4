package conv

import (
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// All directions of convolutions of bfloat16 products agree with sums of the
// rounded numbers in float64 within the rounding of float32, at any number of
// threads.
func TestBF16Conv(t *testing.T) {
	one, two := parallel.NewPool(1), parallel.NewPool(2)
	defer one.Close()
	defer two.Close()
	shapes := append([]Conv{
		conv(2, 8, 7, 15, 20, 3, 1, 1),
		conv(2, 9, 9, 6, 20, 1, 2, 0),
		conv(1, 14, 14, 70, 300, 1, 1, 0),
		conv(2, 1, 9, 33, 18, 1, 1, 0),
		conv(1, 7, 7, 512, 40, 3, 1, 1), // a sum in chunks
	}, convShapes...)
	for _, p := range bf16Precisions() {
		var cases []*convCase
		for _, c := range shapes {
			c.Precision = p
			cases = append(cases, newConvCase(c))
		}
		isatest.EachISA(t, func(t *testing.T) {
			for _, c := range cases {
				if isa.UseAVX512 || c.FLOPs() < 1<<19 { // without, the products are slow
					t.Run(c.String(), func(t *testing.T) { c.test(t, one, two) })
				}
			}
		})
	}
}

// Weights in PyTorch's order are packed to the same words.
func TestBF16PackOIHW(t *testing.T) {
	for _, p := range bf16Precisions() {
		for _, c := range convShapes {
			c.Precision = p
			w, oihw := isatest.RandomFloats(8, c.WLen()), make([]float32, c.WLen())
			cg := c.C / c.Groups
			scale := make([]float64, c.K)
			for k := range c.K {
				scale[k] = 0.5 + float64(k%7)
				for i := range c.R * c.S * cg {
					oihw[(k*cg+i%cg)*c.R*c.S+i/cg] = w[i*c.K+k]
				}
			}
			f := c.forwardPacking()
			want, got, scaled, wantScaled := isatest.Nans(f.Len), isatest.Nans(f.Len), isatest.Nans(f.Len), isatest.Nans(f.Len)
			for i := range w {
				w[i] *= float32(scale[i%c.K])
			}
			for task := range f.Tasks {
				f.Pack(task, wantScaled, Weights{Data: w})
				f.Pack(task, scaled, Weights{oihw, OIHW, scale})
				f.Pack(task, got, Weights{oihw, OIHW, nil})
			}
			isatest.SameBits(t, c.String()+" scaled", scaled, wantScaled)
			for i := range oihw {
				k, rest := i/(cg*c.R*c.S), i%(cg*c.R*c.S)
				w[(rest%(c.R*c.S)*cg+rest/(c.R*c.S))*c.K+k] = oihw[i]
			}
			for task := range f.Tasks {
				f.Pack(task, want, Weights{Data: w})
			}
			isatest.SameBits(t, c.String(), got, want)
		}
	}
}

func TestBF16Check(t *testing.T) {
	c := conv(1, 5, 5, 4, 4, 3, 1, 1)
	c.Precision = gemm.BF16Emulated
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if err := c.checkTile(wino.F2, Want{}); err == nil {
		t.Error("Winograd with tiles of 2x2 takes bfloat16 products")
	}
	had := isa.HaveBF16
	defer func() { isa.HaveBF16 = had }()
	c.Precision = gemm.BF16
	isa.HaveBF16 = false
	if err := c.Check(); err == nil {
		t.Error("no error on a processor without the instruction")
	}
	isa.HaveBF16 = true
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}

// bf16Precisions are the bfloat16 precisions that this machine can compute with.
func bf16Precisions() []gemm.Precision {
	list := []gemm.Precision{gemm.BF16Emulated}
	if gemm.BF16.Check() == nil {
		list = append(list, gemm.BF16)
	}
	return list
}

// rounded returns s with the rounding of the precision's operands.
func rounded(p gemm.Precision, s []float32) []float32 {
	if p == gemm.FP32 {
		return s
	}
	d := make([]float32, len(s))
	for i, v := range s {
		d[i] = gemm.RoundBF16(v)
	}
	return d
}
