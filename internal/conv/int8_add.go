package conv

import (
	"cmp"
	"math"
	"slices"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// Int8Add is the addition of two quantised tensors of which the first, y, comes
// from an [Int8Conv]: quantise(act(dequantise(y) + dequantise(res))).
type Int8Add struct {
	Y, Res, Out vec.Quant
	Act         isa.Act // ActNone or ActReLU

	byY, byRes, plus float32
}

// exact is the definition, in float32 with every operation rounded, of bytes.
func (a *Int8Add) exact(y, res int) int {
	v := float32(float32(y-int(a.Y.Zero))*a.Y.Scale) + float32(float32(res-int(a.Res.Zero))*a.Res.Scale)
	if a.Act == isa.ActReLU {
		v = max(v, 0)
	}
	return int(vec.QuantizeTo(v, a.Out.Scale, int32(a.Out.Zero), 0, 255))
}

// PlanInt8Add finds constants by which two fused multiplications and additions
// of the bytes, one rounding and one clamping give the very integer that a's
// definition gives for each of the 65,536 pairs of bytes. ok is false if it
// finds none, which is rare: mostly a handful of pairs lie so near the middle of
// two integers that the definition's rounding errors decide.
func PlanInt8Add(y, res, out vec.Quant, act isa.Act) (a *Int8Add, ok bool) {
	a = &Int8Add{Y: y, Res: res, Out: out, Act: act}
	byY, byRes := float64(y.Scale)/float64(out.Scale), float64(res.Scale)/float64(out.Scale)
	plus := float64(out.Zero) - float64(res.Zero)*byRes
	span := 255*(byY+byRes) + math.Abs(plus) + 256
	if !(span < 1<<20) {
		return nil, false
	}
	type pair struct {
		y, res int
		from   float64 // the middle of two integers
	}
	var near []pair
	const steps = 16
	least := 0
	if act == isa.ActReLU {
		least = int(out.Zero)
	}
	// Farther from the middle than the errors of all constants tried, and of the
	// definition, can reach: constants move by up to steps times 2^-23 of their size.
	reach := span / (1 << 18)
	for i := range 256 {
		v0 := float64(i-int(y.Zero))*byY + plus
		for j := range 256 {
			v := v0 + float64(j)*byRes
			if v < -1 || v > 256 {
				continue
			}
			if d := math.Abs(v - math.Floor(v) - 0.5); d < reach {
				near = append(near, pair{i, j, d})
			}
		}
	}
	slices.SortFunc(near, func(p, q pair) int { return cmp.Compare(p.from, q.from) })
	want := make([]int, len(near))
	for i, p := range near {
		want[i] = a.exact(p.y, p.res)
	}
	fits := func() bool {
		for i, p := range near {
			if a.fused(p.y, p.res) != want[i] {
				return false
			}
		}
		return true
	}
	const step = 1.0 / (1 << 23)
	for radius := range steps + 1 {
		for i := -radius; i <= radius; i++ {
			for j := -radius; j <= radius; j++ {
				if max(i, -i, j, -j) != radius {
					continue
				}
				a.byY = float32(byY * (1 + float64(i)*step))
				a.byRes = float32(byRes * (1 + float64(j)*step))
				// Each pair bounds the third constant.
				lo, hi := plus-reach, plus+reach
				for k, p := range near {
					v := float64(p.y-int(y.Zero))*float64(a.byY) + float64(p.res)*float64(a.byRes)
					if want[k] > least {
						lo = max(lo, float64(want[k])-0.5-v)
					}
					if want[k] < 255 {
						hi = min(hi, float64(want[k])+0.5-v)
					}
					if lo > hi {
						break
					}
				}
				for _, at := range []float64{0.5, 0.25, 0.75, 0.1, 0.9, 0, 1} {
					if a.plus = float32(lo + (hi-lo)*at); lo <= hi && fits() {
						return a, true
					}
				}
				// Where pairs lie in the very middle, the errors of the fused
				// operations must be like the definition's.
				for k := -16.0; k <= 16; k++ {
					if a.plus = float32(plus + k*span/(1<<28)); fits() {
						return a, true
					}
				}
			}
		}
	}
	return nil, false
}

// fused is what the kernels compute.
func (a *Int8Add) fused(y, res int) int {
	v := isa.FMA(float32(y-int(a.Y.Zero)), a.byY, isa.FMA(float32(res), a.byRes, a.plus))
	q := math.RoundToEven(float64(v))
	least := 0.0
	if a.Act == isa.ActReLU {
		least = float64(a.Out.Zero)
	}
	return int(min(max(q, least), 255))
}
