package wino

import (
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// The transforms of F(4x4,3x3) and F(2x2,3x3) in integers, for sums of products of bytes
// that are exact. The points are 0, ±1, ±2 and infinity, of tiles of 2x2 without ±2. Then
// the matrix Bᵀ is of integers, and G and A are where their rows and columns are
// multiplied by numbers that make 24 together, or 2:
//
//	Bᵀ                      G, times 4, 6, 6, 24, 24, 1    Aᵀ, times 24
//	4  0 -5  0  1  0         1  0  0                        6  4  4  1  1  0
//	0 -4 -4  1  1  0        -1 -1 -1                        0  4 -4  2 -2  0
//	0  4 -4 -1  1  0        -1  1 -1                        0  4  4  4  4  0
//	0 -2 -1  2  1  0         1  2  4                        0  4 -4  8 -8 24
//	0  2 -1 -2  1  0         1 -2  4
//	0  4  0 -5  0  1         0  0  1
//
//	Bᵀ                      G, times 1, 2, 2, 1            Aᵀ, times 2
//	1  0 -1  0               1  0  0                        2  1  1  0
//	0  1  1  0               1  1  1                        0  1 -1  2
//	0 -1  1  0               1 -1  1
//	0 -1  0  1               0  0  1
//
// Inputs of -255 to 255 become numbers of -25,500 to 25,500 and weights of bytes numbers
// of -6,272 to 6,272, so that both fit in 16 bits. The outputs are 24·24 = 9·64 times the
// sums, or 2·2 times. All arithmetic is modulo 2³², where 9 has an inverse: multiplied by
// it, an output is 64 times the sum, and shifted, the sum itself if that is at most
// [MaxIntSum]. It does not matter that what is in between exceeds 32 bits.
const (
	intInverse  = 0x38e38e39 // of 9 modulo 2³²
	intMaxEdge  = 6
	intMaxPlace = intMaxEdge * intMaxEdge
)

// IntScratch is the length of the scratch memory of the transforms of integers.
const IntScratch = intMaxPlace * 8

// intShift is the binary logarithm of what the outputs of a tile, F2 or F4, are the sums
// times of, but for 9.
func intShift(t Tile) int {
	if t == F2 {
		return 2
	}
	return 6
}

// MaxIntSum returns the largest magnitude of a sum that the transforms of a tile, F2 or F4,
// give.
func MaxIntSum(t Tile) int64 { return 1<<(31-intShift(t)) - 1 }

// IntTile is a tile of inputs of bytes. Rows are those of the picture, from the first
// pixel that lies in it on; those outside are of pixels of the byte Zero, which stands
// for 0, as do the pixels of columns before Left and from Right on.
type IntTile struct {
	Rows        [intMaxEdge]*uint8
	Pixel       int // bytes between pixels
	Left, Right int
	Zero        uint8
}

// IntInput transforms c channels of a tile, a multiple of 16: v = Bᵀ(d-Zero)B, whose
// positions are pos bytes apart. tmp has [IntScratch].
func IntInput(t Tile, v *int16, pos int, in *IntTile, c int, tmp *int32) {
	if isa.UseAVX2 {
		if t == F2 {
			winogradIntInput2Asm(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, c, uint16(in.Zero), tmp)
		} else {
			winogradIntInput4Asm(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, c, uint16(in.Zero), tmp)
		}
		return
	}
	edge := t.Inputs()
	for ch := range c {
		var d intSquare
		for i := range edge {
			for j := in.Left; j < in.Right; j++ {
				d[i][j] = int32(*(*uint8)(unsafe.Add(unsafe.Pointer(in.Rows[i]), (j-in.Left)*in.Pixel+ch))) - int32(in.Zero)
			}
		}
		d.transform(t, false)
		for i := range edge * edge {
			*(*int16)(unsafe.Add(unsafe.Pointer(v), i*pos+2*ch)) = int16(d[i/edge][i%edge])
		}
	}
}

// IntOutput transforms the products m of 16 channels of tiles that follow each other, and
// adds corr: Aᵀ(m)A as sums of the outputs, which follow each other in rows that are row
// bytes apart. Positions are pos bytes apart. tmp has [IntScratch].
func IntOutput(t Tile, sums *int32, row int, m *int32, pos int, corr *[isa.PanelWidth]int32, tiles int, tmp *int32) {
	if isa.UseAVX2 {
		if t == F2 {
			winogradIntOutput2Asm(sums, row, m, pos, &corr[0], tiles, tmp)
		} else {
			winogradIntOutput4Asm(sums, row, m, pos, &corr[0], tiles, tmp)
		}
		return
	}
	edge, out := t.Positions(), t.Outputs()
	for tile := range tiles {
		for ch := range isa.PanelWidth {
			var p intSquare
			for i := range edge * edge {
				p[i/edge][i%edge] = *(*int32)(unsafe.Add(unsafe.Pointer(m), i*pos+4*(tile*isa.PanelWidth+ch)))
			}
			p.transform(t, true)
			for i := range out {
				for j := range out {
					y := p[i][j]
					if t == F4 {
						y *= intInverse
					}
					at := i*row + 4*((tile*out+j)*isa.PanelWidth+ch)
					*(*int32)(unsafe.Add(unsafe.Pointer(sums), at)) = y>>intShift(t) + corr[ch]
				}
			}
		}
	}
}

// IntWeights transforms a filter, u = GgGᵀ, to the positions of a tile.
func IntWeights(t Tile, u []int16, g *[3][3]int8) {
	edge := t.Positions()
	var half [intMaxEdge][3]int32
	for j := range 3 {
		for i, x := range intWeightLine(t, int32(g[0][j]), int32(g[1][j]), int32(g[2][j])) {
			half[i][j] = x
		}
	}
	for i, row := range half[:edge] {
		line := intWeightLine(t, row[0], row[1], row[2])
		for j, x := range line[:edge] {
			u[i*edge+j] = int16(x)
		}
	}
}

// intSquare is a tile of one channel.
type intSquare [intMaxEdge][intMaxEdge]int32

// transform transforms the columns and then the rows, of inputs or of products.
func (d *intSquare) transform(t Tile, products bool) {
	line := func(v *[intMaxEdge]int32) {
		if products {
			intOutputLine(t, v)
		} else {
			intInputLine(t, v)
		}
	}
	for j := range d {
		var col [intMaxEdge]int32
		for i := range d {
			col[i] = d[i][j]
		}
		line(&col)
		for i, x := range col {
			d[i][j] = x
		}
	}
	for i := range d {
		line(&d[i])
	}
}

// intInputLine is Bᵀd.
func intInputLine(t Tile, d *[intMaxEdge]int32) {
	if t == F2 {
		d[0], d[1], d[2], d[3] = d[0]-d[2], d[1]+d[2], d[2]-d[1], d[3]-d[1]
		return
	}
	a, b := d[4]-4*d[2], d[3]-4*d[1]
	p, q := d[4]-d[2], 2*(d[3]-d[1])
	d[0], d[5] = 4*(d[0]-d[2])+p, d[5]-d[3]-2*q
	d[1], d[2], d[3], d[4] = a+b, a-b, p+q, p-q
}

// intOutputLine is Aᵀm, into the first elements.
func intOutputLine(t Tile, m *[intMaxEdge]int32) {
	if t == F2 {
		m[0], m[1] = 2*m[0]+m[1]+m[2], m[1]-m[2]+2*m[3]
		return
	}
	s, d, u, v := m[1]+m[2], m[1]-m[2], m[3]+m[4], 2*(m[3]-m[4])
	m[0], m[1], m[2], m[3] = 6*m[0]+4*s+u, 4*d+v, 4*(s+u), 4*(d+v+6*m[5])
}

// intWeightLine is Gg.
func intWeightLine(t Tile, g0, g1, g2 int32) [intMaxEdge]int32 {
	even, far := g0+g2, g0+4*g2
	if t == F2 {
		return [intMaxEdge]int32{g0, even + g1, even - g1, g2}
	}
	return [intMaxEdge]int32{g0, -even - g1, g1 - even, far + 2*g1, far - 2*g1, g2}
}
