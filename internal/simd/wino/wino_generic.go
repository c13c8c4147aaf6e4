package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// The points at which F(4x4,3x3) evaluates its polynomials are 0, ±winogradA,
// ±winogradB and infinity. These two lose half of what the usual 1 and 2 lose to
// rounding, and their powers are exact. F(2x2,3x3) has the points 0, ±1 and
// infinity. The generator in _asm has the same numbers.
const (
	winogradA = 0.625
	winogradB = 1.5
)

// The powers of the points, in float32 so that products of two variables and a
// constant are not rounded differently by a wider constant.
const (
	wA, wB        float32 = winogradA, winogradB
	wA2, wB2      float32 = winogradA * winogradA, winogradB * winogradB
	wA3, wB3      float32 = winogradA * winogradA * winogradA, winogradB * winogradB * winogradB
	wSum2, wProd2 float32 = winogradA*winogradA + winogradB*winogradB, winogradA * winogradA * winogradB * winogradB
	maxEdge               = 6 // of a tile of inputs
	ScratchFloats         = maxEdge * maxEdge * isa.PanelWidth
)

// inputLine transforms a row or a column of a tile of inputs in place: Bᵀd, with
//
//	F(4,3): Π (x-p) over the other points p, as coefficients of x⁰…x⁵
//	F(2,3): d0-d2, d1+d2, d2-d1, d3-d1
func inputLine(t int, d *[maxEdge]float32) {
	if t == 4 {
		d[0], d[1], d[2], d[3] = d[0]-d[2], d[1]+d[2], d[2]-d[1], d[3]-d[1]
		return
	}
	pa, qa := d[4]-wB2*d[2], d[3]-wB2*d[1]
	pb, qb := d[4]-wA2*d[2], d[3]-wA2*d[1]
	d[0] = d[4] + wProd2*d[0] - wSum2*d[2]
	d[5] = d[5] + wProd2*d[1] - wSum2*d[3]
	d[1], d[2] = pa+wA*qa, pa-wA*qa
	d[3], d[4] = pb+wB*qb, pb-wB*qb
}

// outputLine transforms a row or a column of products in place, into the first
// t-2 elements: Aᵀm, output i being Σ pⁱ m over the points p.
func outputLine(t int, m *[maxEdge]float32) {
	if t == 4 {
		m[0], m[1] = m[0]+(m[1]+m[2]), m[3]+(m[1]-m[2])
		return
	}
	s1, d1, s2, d2 := m[1]+m[2], m[1]-m[2], m[3]+m[4], m[3]-m[4]
	m[0], m[1], m[2], m[3] = m[0]+(s1+s2), wA*d1+wB*d2, wA2*s1+wB2*s2, m[5]+wA3*d1+wB3*d2
}

// InputTile is a tile of t x t input pixels.
type InputTile struct {
	Rows        [maxEdge]*float32 // the first pixel inside of each row; for a row outside, zeros
	Pixel       int               // bytes between pixels
	Left, Right int               // columns left..right-1 are inside, the others zero
}

// winogradInputGeneric writes the transform BᵀdB of channels c0..c1-1 of a tile
// to v: position i of t*t at i*pos bytes.
func winogradInputGeneric(t int, v *float32, pos int, in *InputTile, c0, c1 int) {
	for c := c0; c < c1; c++ {
		var sq [maxEdge][maxEdge]float32 // by column
		for j := in.Left; j < in.Right; j++ {
			for i := range t {
				sq[j][i] = *isa.FloatAt(in.Rows[i], (j-in.Left)*in.Pixel+4*c)
			}
			inputLine(t, &sq[j])
		}
		for i := range t {
			var line [maxEdge]float32
			for j := range t {
				line[j] = sq[j][i]
			}
			inputLine(t, &line)
			for j := range t {
				*isa.FloatAt(v, (i*t+j)*pos+4*c) = line[j]
			}
		}
	}
}

// OutputTile is a tile of up to (t-2) x (t-2) output pixels.
type OutputTile struct {
	Y             *float32 // the first pixel
	Res           *float32 // what is added to it, or nil
	Row, Pixel    int      // bytes between rows and pixels of both
	Height, Width int      // pixels inside
	Bias          *float32
	Lo, Hi        float32 // bounds of what is stored
}

// winogradOutputGeneric stores the transform AᵀmA of channels c0..c1-1 of a
// tile, position i of t*t being at i*pos bytes of m.
func winogradOutputGeneric(t int, m *float32, pos int, out *OutputTile, c0, c1 int) {
	for c := c0; c < c1; c++ {
		var sq [maxEdge][maxEdge]float32 // by column
		for j := range t {
			for i := range t {
				sq[j][i] = *isa.FloatAt(m, (i*t+j)*pos+4*c)
			}
			outputLine(t, &sq[j])
		}
		bias := *isa.FloatAt(out.Bias, 4*c)
		for i := range out.Height {
			var line [maxEdge]float32
			for j := range t {
				line[j] = sq[j][i]
			}
			outputLine(t, &line)
			for j := range out.Width {
				at := i*out.Row + j*out.Pixel + 4*c
				v := line[j] + bias
				if out.Res != nil {
					v += *isa.FloatAt(out.Res, at)
				}
				// The comparisons are false for NaN, which passes through.
				if v < out.Lo {
					v = out.Lo
				}
				if v > out.Hi {
					v = out.Hi
				}
				*isa.FloatAt(out.Y, at) = v
			}
		}
	}
}
