package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// The points at which F(4x4,3x3) evaluates its polynomials are 0, ±winogradA,
// ±winogradB and infinity. These two lose half of what the usual 1 and 2 lose to
// rounding, and their powers are exact. F(3x3,3x3) has the points 0, ±winogradC,
// winogradD and infinity, which lose two thirds of what 1 and 2 do, and F(2x2,3x3)
// 0, ±1 and infinity. The generator in _asm has the same numbers.
const (
	winogradA = 0.625
	winogradB = 1.5
	winogradC = 0.75
	winogradD = 2
)

// A closed tile of 3x3 has no points: y = T x in one dimension with the matrix T of
// w1 on the diagonal, w0 below and w2 above it. Its rows turned upside down, T is
// symmetric, and of all such T four vectors β are enough, T = Σ u(w) β βᵀ:
// (1, ±closedE, 1) and (-1, ±closedF, 1) for any numbers with E²-F² = 2. These are
// exact. A closed tile of 2x2 has w1 on the diagonal of 2x2, which
// x0·(w0-w1), (x0+x1)·w1 and x1·(w2-w1) add up to.
const (
	closedE = 1.5
	closedF = 0.5
)

// The powers of the points, in float32 so that products of two variables and a
// constant are not rounded differently by a wider constant.
const (
	wA, wB        float32 = winogradA, winogradB
	wA2, wB2      float32 = winogradA * winogradA, winogradB * winogradB
	wA3, wB3      float32 = winogradA * winogradA * winogradA, winogradB * winogradB * winogradB
	wSum2, wProd2 float32 = winogradA*winogradA + winogradB*winogradB, winogradA * winogradA * winogradB * winogradB
	wC, wC2       float32 = winogradC, winogradC * winogradC
	wD, wD2       float32 = winogradD, winogradD * winogradD
	maxEdge               = 6 // of a tile of inputs or positions
	ScratchFloats         = maxEdge * maxEdge * isa.PanelWidth
)

// inputLine transforms a row or a column of a tile of inputs in place: Bᵀd, with
//
//	F(4,3), F(3,3): Π (x-p) over the other points p, as coefficients of x⁰, x¹, …
//	F(2,3): d0-d2, d1+d2, d2-d1, d3-d1
//	closed 3: βᵀd of the four vectors β, the last one negative
//	closed 2: d0, d0+d1, d1
func inputLine(t Tile, d *[maxEdge]float32) {
	switch t {
	case Closed2:
		d[1], d[2] = d[0]+d[1], d[1]
	case Closed3:
		s, r, h := d[0]+d[2], d[2]-d[0], closedF*d[1]
		d[0], d[1], d[2], d[3] = s+closedE*d[1], s-closedE*d[1], h+r, h-r
	case F2:
		d[0], d[1], d[2], d[3] = d[0]-d[2], d[1]+d[2], d[2]-d[1], d[3]-d[1]
	case F3:
		// Each divided by the point D first.
		q0, q1, q2, q3 := d[1]-wD*d[0], d[2]-wD*d[1], d[3]-wD*d[2], d[4]-wD*d[3]
		d[3] -= wC2 * d[1]
		d[0], d[1], d[2], d[4] = q2-wC2*q0, q2+wC*q1, q2-wC*q1, q3-wC2*q1
	case F4:
		pa, qa := d[4]-wB2*d[2], d[3]-wB2*d[1]
		pb, qb := d[4]-wA2*d[2], d[3]-wA2*d[1]
		d[0] = d[4] + wProd2*d[0] - wSum2*d[2]
		d[5] = d[5] + wProd2*d[1] - wSum2*d[3]
		d[1], d[2] = pa+wA*qa, pa-wA*qa
		d[3], d[4] = pb+wB*qb, pb-wB*qb
	}
}

// outputLine transforms a row or a column of products in place, into the first
// elements: Aᵀm, output i being Σ pⁱ m over the points p, or Σ β m over the vectors
// β of a closed tile, the last element first.
func outputLine(t Tile, m *[maxEdge]float32) {
	switch t {
	case Closed2:
		m[0], m[1] = m[1]+m[2], m[0]+m[1]
	case Closed3:
		s, d, r, e := m[0]+m[1], m[0]-m[1], m[2]+m[3], m[2]-m[3]
		m[0], m[1], m[2] = s+r, closedE*d+closedF*e, s-r
	case F2:
		m[0], m[1] = m[0]+(m[1]+m[2]), m[3]+(m[1]-m[2])
	case F3:
		s, d := m[1]+m[2], m[1]-m[2]
		m[0], m[1], m[2] = m[0]+(s+m[3]), wC*d+wD*m[3], m[4]+wC2*s+wD2*m[3]
	case F4:
		s1, d1, s2, d2 := m[1]+m[2], m[1]-m[2], m[3]+m[4], m[3]-m[4]
		m[0], m[1], m[2], m[3] = m[0]+(s1+s2), wA*d1+wB*d2, wA2*s1+wB2*s2, m[5]+wA3*d1+wB3*d2
	}
}

// InputTile is the input pixels of a tile.
type InputTile struct {
	Rows        [maxEdge]*float32 // the first pixel inside of each row; for a row outside, zeros
	Pixel       int               // bytes between pixels
	Left, Right int               // columns left..right-1 are inside, the others zero
}

// winogradInputGeneric writes the transform BᵀdB of channels c0..c1-1 of a tile
// to v: position i at i*pos bytes.
func winogradInputGeneric(t Tile, v *float32, pos int, in *InputTile, c0, c1 int) {
	edge := t.Positions()
	for c := c0; c < c1; c++ {
		var sq [maxEdge][maxEdge]float32 // by column
		for j := in.Left; j < in.Right; j++ {
			for i := range t.Inputs() {
				sq[j][i] = *isa.FloatAt(in.Rows[i], (j-in.Left)*in.Pixel+4*c)
			}
			inputLine(t, &sq[j])
		}
		for i := range edge {
			var line [maxEdge]float32
			for j := range t.Inputs() {
				line[j] = sq[j][i]
			}
			inputLine(t, &line)
			for j := range edge {
				*isa.FloatAt(v, (i*edge+j)*pos+4*c) = line[j]
			}
		}
	}
}

// OutputTile is the output pixels of a tile, or the first of them.
type OutputTile struct {
	Y             *float32 // the first pixel
	Res           *float32 // what is added to it, or nil
	Row, Pixel    int      // bytes between rows and pixels of both
	Height, Width int      // pixels inside
	Bias          *float32
	Lo, Hi        float32 // bounds of what is stored
}

// winogradOutputGeneric stores the transform AᵀmA of channels c0..c1-1 of a
// tile, position i being at i*pos bytes of m.
func winogradOutputGeneric(t Tile, m *float32, pos int, out *OutputTile, c0, c1 int) {
	edge := t.Positions()
	for c := c0; c < c1; c++ {
		var sq [maxEdge][maxEdge]float32 // by column
		for j := range edge {
			for i := range edge {
				sq[j][i] = *isa.FloatAt(m, (i*edge+j)*pos+4*c)
			}
			outputLine(t, &sq[j])
		}
		bias := *isa.FloatAt(out.Bias, 4*c)
		for i := range out.Height {
			var line [maxEdge]float32
			for j := range edge {
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
