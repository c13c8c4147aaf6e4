package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/internal/simd/gemm"
)

// BF16 selects bfloat16 operands for convolutions and linear layers, and their
// gradients. These numbers have the exponent of float32 and 8 bits of precision.
// Weights and activations are rounded to them on the way into the products; they
// are kept, summed, normalized and updated in float32, as PyTorch's autocast and
// Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training" (2019,
// arXiv:1905.12322), do. With [Options.Fast], Winograd's algorithm transforms in float32
// and rounds what it then multiplies, which makes errors up to twice as large; a
// convolution that it computes of float32 numbers in less time keeps those.
type BF16 uint8

// The values of BF16. The native dot products need a processor with AVX512-BF16
// (Cooper Lake, Sapphire Rapids, Zen 4 and later). Not all of them are faster so: on
// Emerald Rapids such an instruction takes four times as long as an FMA and does
// twice the work. The emulated products are computed in plain Go, with the same bits
// on every processor and much more slowly than float32: they show what bfloat16
// does to a model's accuracy.
const (
	BF16Off BF16 = iota
	BF16Native
	BF16Emulated
)

// The names of the values, in the order of BF16.
var bf16Names = [...]string{"off", "native", "emulate"}

// ParseBF16 returns the value of a name: off, native or emulate; "" is off.
func ParseBF16(s string) (BF16, error) {
	if s == "" {
		return BF16Off, nil
	}
	for i, name := range bf16Names {
		if s == name {
			return BF16(i), nil
		}
	}
	return BF16Off, fmt.Errorf("bf16 is %q, want native, emulate or off", s)
}

// String returns the name that ParseBF16 reads.
func (b BF16) String() string {
	if int(b) < len(bf16Names) {
		return bf16Names[b]
	}
	return fmt.Sprintf("BF16(%d)", uint8(b))
}

// Check returns an error, which names the feature, where the processor lacks it.
func (b BF16) Check() error {
	err := b.products().Check()
	if err == nil || b != BF16Native {
		return err
	}
	return fmt.Errorf("bf16: %w; bf16=emulate computes the same without them, slowly, to measure accuracy", err)
}

func (b BF16) products() gemm.Precision {
	switch b {
	case BF16Native:
		return gemm.BF16
	case BF16Emulated:
		return gemm.BF16Emulated
	}
	return gemm.FP32
}
