package conv

import (
	"math"
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/gemm8"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// Int8Epilogue is what becomes of the sums. Its channels are set by SetLayer or
// SetChannels.
type Int8Epilogue struct {
	corr  []int32
	scale []float32
	large bool // a scale is 1 or more: a scaled sum may not fit in an int32

	Act isa.Act // ActNone or ActReLU

	// Res is a residual in the layout of the output, or nil. It is added to the
	// scaled sums; if Add is set, to these rounded to bytes of Add.Y. Add then
	// has the activation and the other scales and zero points.
	Res      []uint8
	ResQuant vec.Quant
	Add      *QuantAdd

	// One of the two outputs.
	Out      []uint8
	OutQuant vec.Quant
	Float    []float32
}

// epilogue translates e for the kernels, but for the addresses that depend on
// the tile.
func (e *Int8Epilogue) epilogue(k int) gemm8.Epilogue {
	g := gemm8.Epilogue{
		Mode: gemm8.ModeBytes, Res: unsafe.SliceData(e.Res), ResStride: k, OutStride: k, MayOverflow: e.large,
		ClampOutLo: float32(math.Inf(-1)), ClampOutHi: float32(math.Inf(1)),
	}
	act, out := e.Act, e.OutQuant
	switch {
	case e.Float != nil:
		g.Mode, g.OutStride = gemm8.ModeFloats, 4*k
		g.ResZero, g.ResScale = float32(e.ResQuant.Zero), e.ResQuant.Scale
	case e.Add != nil:
		g.Mode = gemm8.ModeAdd
		act, out = e.Add.Act, e.Add.Out
		g.Magic = isa.RoundMagic
		g.ClampMidLo = isa.RoundMagic - float32(e.Add.Y.Zero)
		g.ClampMidHi = 255 + g.ClampMidLo
		g.MulY, g.MulRes, g.Plus = e.Add.mulY, e.Add.mulRes, e.Add.plus
	default:
		g.Zero = int32(out.Zero)
		g.ResZero, g.ResScale = float32(e.ResQuant.Zero), e.ResQuant.Scale/out.Scale
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
