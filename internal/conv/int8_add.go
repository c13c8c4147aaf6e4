package conv

import (
	"cmp"
	"math"
	"slices"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// QuantAdd is the residual addition of two quantized tensors, of which the first,
// y, is the rounded result of a [QuantForward]:
//
//	out = quantize(act(dequantize(y) + dequantize(res)))
//
// The results must be onnxruntime's, bit for bit, and it computes just that: two
// subtractions, two products, a sum and a division per element, in float32 with
// every operation rounded. In a kernel's epilogue these would cost half of the
// time of a ResNet's first stage, where sums are short.
//
// [PlanQuantAdd] finds constants with which two fused multiply-adds do the same:
//
//	out = clamp(round(fma(y - Y.Zero, mulY, fma(res, mulRes, plus))))
type QuantAdd struct {
	Y, Res, Out vec.Quant
	Act         isa.Act // ActNone or ActReLU

	mulY, mulRes, plus float32
}

// exact is the definition, in float32 with every operation rounded.
func (a *QuantAdd) exact(y, res int) int {
	v := float32(float32(y-int(a.Y.Zero))*a.Y.Scale) + float32(float32(res-int(a.Res.Zero))*a.Res.Scale)
	if a.Act == isa.ActReLU {
		v = max(v, 0)
	}
	return int(vec.QuantizeTo(v, a.Out.Scale, int32(a.Out.Zero), 0, 255))
}

// fused is what the kernels compute.
func (a *QuantAdd) fused(y, res int) int {
	v := isa.FMA(float32(y-int(a.Y.Zero)), a.mulY, isa.FMA(float32(res), a.mulRes, a.plus))
	return int(min(max(math.RoundToEven(float64(v)), float64(a.least())), 255))
}

// least is the smallest byte of the result.
func (a *QuantAdd) least() int {
	if a.Act == isa.ActReLU {
		return int(a.Out.Zero)
	}
	return 0
}

// PlanQuantAdd finds the constants of an addition, by trying some next to the
// real ones until all 65,536 pairs of bytes give the integer of the definition.
// ok is false where it finds none, which is rare.
//
// Most constants fail for a handful of pairs alone: those whose real sum lies so
// near the middle between two integers that the rounding errors of the definition
// decide. So only such pairs are tried.
func PlanQuantAdd(y, res, out vec.Quant, act isa.Act) (a *QuantAdd, ok bool) {
	s := newAddSearch(&QuantAdd{Y: y, Res: res, Out: out, Act: act})
	if s == nil {
		return nil, false
	}
	// In rings around the real factors, so that the nearest are tried first.
	for radius := range addSteps + 1 {
		for i := -radius; i <= radius; i++ {
			for j := -radius; j <= radius; j++ {
				if max(i, -i, j, -j) == radius && s.tryFactors(i, j) {
					return s.QuantAdd, true
				}
			}
		}
	}
	return nil, false
}

// addSteps is how far the factors may be from the real ones, in steps of 2⁻²³ of
// their size: a float32's last digit.
const (
	addSteps = 16
	addStep  = 1.0 / (1 << 23)
)

// addSearch searches the constants of a QuantAdd.
type addSearch struct {
	*QuantAdd
	mulY, mulRes, plus float64 // the real constants
	span               float64 // bound of the size of all terms of a sum
	reach              float64 // bound of what changes of constants, and rounding, move a sum by
	near               []addPair
}

// addPair is a pair of bytes whose sum lies within reach of the middle between
// two integers.
type addPair struct {
	y, res int
	from   float64 // distance from the middle
	want   int     // the definition's result
}

// newAddSearch returns nil if float32 cannot round the sums to integers.
func newAddSearch(a *QuantAdd) *addSearch {
	s := &addSearch{QuantAdd: a, mulY: float64(a.Y.Scale) / float64(a.Out.Scale), mulRes: float64(a.Res.Scale) / float64(a.Out.Scale)}
	s.plus = float64(a.Out.Zero) - float64(a.Res.Zero)*s.mulRes
	s.span = 255*(s.mulY+s.mulRes) + math.Abs(s.plus) + 256
	if !(s.span < 1<<20) {
		return nil
	}
	s.reach = s.span / (1 << 18)
	for y := range 256 {
		v0 := float64(y-int(a.Y.Zero))*s.mulY + s.plus
		for res := range 256 {
			v := v0 + float64(res)*s.mulRes
			if v < -1 || v > 256 {
				continue
			}
			if d := math.Abs(v - math.Floor(v) - 0.5); d < s.reach {
				s.near = append(s.near, addPair{y: y, res: res, from: d})
			}
		}
	}
	// Those that fail most often come first.
	slices.SortFunc(s.near, func(p, q addPair) int { return cmp.Compare(p.from, q.from) })
	for i := range s.near {
		s.near[i].want = a.exact(s.near[i].y, s.near[i].res)
	}
	return s
}

// tryFactors looks for a third constant that goes with factors i and j steps from
// the real ones.
func (s *addSearch) tryFactors(i, j int) bool {
	s.QuantAdd.mulY = float32(s.mulY * (1 + float64(i)*addStep))
	s.QuantAdd.mulRes = float32(s.mulRes * (1 + float64(j)*addStep))
	if lo, hi := s.bounds(); lo <= hi {
		for _, at := range []float64{0.5, 0.25, 0.75, 0.1, 0.9, 0, 1} {
			if s.try(lo + (hi-lo)*at) {
				return true
			}
		}
	}
	// Where sums lie in the very middle between integers, only the errors of the
	// fused operations can decide as the definition's do.
	for k := -16.0; k <= 16; k++ {
		if s.try(s.plus + k*s.span/(1<<28)) {
			return true
		}
	}
	return false
}

// bounds returns the range of the third constant that each pair allows.
func (s *addSearch) bounds() (lo, hi float64) {
	lo, hi = s.plus-s.reach, s.plus+s.reach
	for _, p := range s.near {
		v := float64(p.y-int(s.Y.Zero))*float64(s.QuantAdd.mulY) + float64(p.res)*float64(s.QuantAdd.mulRes)
		if p.want > s.least() {
			lo = max(lo, float64(p.want)-0.5-v)
		}
		if p.want < 255 {
			hi = min(hi, float64(p.want)+0.5-v)
		}
		if lo > hi {
			break
		}
	}
	return lo, hi
}

// try sets the third constant and reports whether all pairs then give what they
// must.
func (s *addSearch) try(plus float64) bool {
	s.QuantAdd.plus = float32(plus)
	for _, p := range s.near {
		if s.fused(p.y, p.res) != p.want {
			return false
		}
	}
	return true
}
