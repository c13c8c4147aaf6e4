package conv

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/gemm8"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// Quant is what a [QuantForward] computes with besides its arrays: the scales and
// zero points of
//
//	y = quantize(act(dequantize(conv(x, w)) + bias + dequantize(residual)))
//
// A sum of products is exact; it is scaled, and the residual added, in float32.
type Quant struct {
	X        vec.Quant
	WScale   []float32 // [K], of the weights, whose zero points are 0
	WSum     []int32   // [K], the sum of each output channel's weights
	WAbs     []int32   // [K], the sum of the magnitudes of each output channel's weights
	Bias     []int32   // [K], in units of X.Scale*WScale
	Residual vec.Quant // of Args.Residual, if there is one
	Y        vec.Quant // of the result
	Real     bool      // the result is real numbers, not quantized ones; Y is ignored

	// Add, if not nil, adds the residual to the result after it was rounded to bytes
	// of Add.Y. It has the activation and the other scales and zero points, instead
	// of Args.Act, Residual and Y.
	Add *QuantAdd
}

// epilogue returns what becomes of the sums, without the addresses that depend
// on the tile.
func (l *Quant) epilogue(k int, act isa.Act, mayOverflow bool) gemm8.Epilogue {
	g := gemm8.Epilogue{
		Mode: gemm8.ModeBytes, ResStride: k, OutStride: k, MayOverflow: mayOverflow,
		ClampOutLo: float32(math.Inf(-1)), ClampOutHi: float32(math.Inf(1)),
	}
	out := l.Y
	switch {
	case l.Real:
		g.Mode, g.OutStride = gemm8.ModeFloats, 4*k
		g.ResZero, g.ResScale = float32(l.Residual.Zero), l.Residual.Scale
	case l.Add != nil:
		g.Mode = gemm8.ModeAdd
		act, out = l.Add.Act, l.Add.Out
		g.Magic = isa.RoundMagic
		g.ClampMidLo = isa.RoundMagic - float32(l.Add.Y.Zero)
		g.ClampMidHi = 255 + g.ClampMidLo
		g.MulY, g.MulRes, g.Plus = l.Add.mulY, l.Add.mulRes, l.Add.plus
	default:
		g.Zero = int32(out.Zero)
		g.ResZero, g.ResScale = float32(l.Residual.Zero), l.Residual.Scale/out.Scale
	}
	least := uint8(0) // the byte of real 0, where ReLU cuts
	switch act {
	case isa.ActNone:
	case isa.ActReLU:
		least = out.Zero
	default:
		panic("conv: integers have no activation but ReLU")
	}
	switch {
	case g.Mode != gemm8.ModeFloats:
		// In ModeAdd the zero point is in Plus, and g.Zero is 0.
		g.ClampOutLo, g.ClampOutHi = float32(least)-float32(g.Zero), float32(255-g.Zero)
	case act == isa.ActReLU:
		g.ClampOutLo = 0
	}
	return g
}
