package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// The transforms of gradients are the adjoints of those in wino_generic.go
// for tiles of 4x4 outputs: of Aᵀ for the gradient of the outputs, of G for that
// of the weights.

// outputGradLine transforms a row or a column of 4 gradients of outputs, in
// place: Ad, element p being Σ pⁱ d over the points p.
func outputGradLine(d *[maxEdge]float32) {
	ea, oa := d[0]+wA2*d[2], wA*d[1]+wA3*d[3]
	eb, ob := d[0]+wB2*d[2], wB*d[1]+wB3*d[3]
	d[5] = d[3]
	d[1], d[2], d[3], d[4] = ea+oa, ea-oa, eb+ob, eb-ob
}

// weightGradLine transforms a row or a column of the gradients of 6 transformed
// weights to those of 3 weights, in place: Gᵀu.
func weightGradLine(u *[maxEdge]float32) {
	sa, da, sb, db := u[1]+u[2], u[1]-u[2], u[3]+u[4], u[3]-u[4]
	u[0], u[1], u[2] = weightZero*u[0]+weightTapA0*sa+weightTapB0*sb, weightTapA1*da+weightTapB1*db, u[5]+weightTapA2*sa+weightTapB2*sb
}

// GradTile is a tile of 4x4 gradients of outputs.
type GradTile struct {
	Rows         [4]*float32 // the first pixel of each row; for a row outside, zeros
	Pixel, Width int         // bytes between pixels; pixels inside
}

// winogradOutputGradGeneric writes the transform AdAᵀ of channels c0..c1-1 of a
// tile to v: position i of 36 at i*pos bytes.
func winogradOutputGradGeneric(v *float32, pos int, in *GradTile, c0, c1 int) {
	for c := c0; c < c1; c++ {
		var sq [4][maxEdge]float32 // by column
		for j := range in.Width {
			for i := range in.Rows {
				sq[j][i] = *isa.FloatAt(in.Rows[i], j*in.Pixel+4*c)
			}
			outputGradLine(&sq[j])
		}
		for i := range maxEdge {
			var line [maxEdge]float32
			for j := range sq {
				line[j] = sq[j][i]
			}
			outputGradLine(&line)
			for j, d := range line {
				*isa.FloatAt(v, (i*maxEdge+j)*pos+4*c) = d
			}
		}
	}
}

// winogradWeightGradGeneric writes the transform GᵀuG of columns k0..k1-1 to dw,
// tap i of 9 at i*tap bytes; position i of 36 of u is at i*pos bytes.
func winogradWeightGradGeneric(dw *float32, tap int, u *float32, pos, k0, k1 int) {
	for k := k0; k < k1; k++ {
		var sq [maxEdge][maxEdge]float32 // by column
		for j := range sq {
			for i := range sq[j] {
				sq[j][i] = *isa.FloatAt(u, (i*maxEdge+j)*pos+4*k)
			}
			weightGradLine(&sq[j])
		}
		for i := range 3 {
			var line [maxEdge]float32
			for j := range sq {
				line[j] = sq[j][i]
			}
			weightGradLine(&line)
			for j := range 3 {
				*isa.FloatAt(dw, (i*3+j)*tap+4*k) = line[j]
			}
		}
	}
}
