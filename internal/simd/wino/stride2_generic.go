package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

const (
	Stride2M, Stride2T   = 2, 5 // edges of a tile of outputs and of inputs
	Stride2Positions     = Stride2T * Stride2T
	Stride2Matrices      = 4 * 4 // of weights
	Stride2ScratchFloats = Stride2Positions * isa.PanelWidth
)

// stride2WeightLine transforms a row or a column of a filter into the weights of
// Karatsuba's products and that of the odd inputs.
func stride2WeightLine(g0, g1, g2 float32) [4]float32 { return [4]float32{g0, g0 + g2, g2, g1} }

// Stride2Weights transforms a panel of filters, the first cols columns of
// w [3][3][c][stride], to dst, [16][c][16].
func Stride2Weights(dst, w []float32, c, cols, stride int) {
	for i := range c {
		for k := range isa.PanelWidth {
			var g [9]float32
			for j := range g {
				if k < cols {
					g[j] = w[(j*c+i)*stride+k]
				}
			}
			var sq [3][4]float32 // by column
			for s := range sq {
				sq[s] = stride2WeightLine(g[s], g[3+s], g[6+s])
			}
			for r := range sq[0] {
				for s, u := range stride2WeightLine(sq[0][r], sq[1][r], sq[2][r]) {
					dst[((r*4+s)*c+i)*isa.PanelWidth+k] = u
				}
			}
		}
	}
}

// stride2InputLine transforms a row or a column of a tile of inputs: what
// Karatsuba's products take of the even ones, and the odd ones.
func stride2InputLine(d [Stride2T]float32) [Stride2T]float32 {
	return [Stride2T]float32{d[0] - d[2], d[2], d[2] - d[4], d[1], d[3]}
}

// stride2OutputLine transforms a row or a column of products into outputs.
func stride2OutputLine(p [Stride2T]float32) [Stride2M]float32 {
	return [Stride2M]float32{p[0] + p[1] + p[3], p[1] - p[2] + p[4]}
}

// Stride2Tile is a tile of 5x5 input pixels; see [InputTile].
type Stride2Tile struct {
	Rows        [Stride2T]*float32
	Pixel       int
	Left, Right int
}

// winogradStride2InputGeneric writes the transform of channels c0..c1-1 of a
// tile to v, position i at i*pos bytes.
func winogradStride2InputGeneric(v *float32, pos int, in *Stride2Tile, c0, c1 int) {
	for c := c0; c < c1; c++ {
		var sq [Stride2T][Stride2T]float32 // by column
		for j := in.Left; j < in.Right; j++ {
			var d [Stride2T]float32
			for i := range d {
				d[i] = *isa.FloatAt(in.Rows[i], (j-in.Left)*in.Pixel+4*c)
			}
			sq[j] = stride2InputLine(d)
		}
		for i := range Stride2T {
			var d [Stride2T]float32
			for j := range d {
				d[j] = sq[j][i]
			}
			for j, u := range stride2InputLine(d) {
				*isa.FloatAt(v, (i*Stride2T+j)*pos+4*c) = u
			}
		}
	}
}

// winogradStride2OutputGeneric stores the transform of channels c0..c1-1 of a
// tile's products, position i being at i*pos bytes of p.
func winogradStride2OutputGeneric(p *float32, pos int, out *OutputTile, c0, c1 int) {
	for c := c0; c < c1; c++ {
		var sq [Stride2T][Stride2M]float32 // by column
		for j := range sq {
			var d [Stride2T]float32
			for i := range d {
				d[i] = *isa.FloatAt(p, (i*Stride2T+j)*pos+4*c)
			}
			sq[j] = stride2OutputLine(d)
		}
		bias := *isa.FloatAt(out.Bias, 4*c)
		for i := range out.Height {
			var d [Stride2T]float32
			for j := range d {
				d[j] = sq[j][i]
			}
			line := stride2OutputLine(d)
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
