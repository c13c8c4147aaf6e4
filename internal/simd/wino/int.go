package wino

import (
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// The transforms of F(4x4,3x3) in integers, for sums of products of bytes that are
// exact. The points are 0, ±1, ±2 and infinity. Then the matrix Bᵀ is of integers, and G
// and A are where their rows and columns are multiplied by numbers that make 24 together:
//
//	Bᵀ                      G, times 4, 6, 6, 24, 24, 1    Aᵀ, times 24
//	4  0 -5  0  1  0         1  0  0                        6  4  4  1  1  0
//	0 -4 -4  1  1  0        -1 -1 -1                        0  4 -4  2 -2  0
//	0  4 -4 -1  1  0        -1  1 -1                        0  4  4  4  4  0
//	0 -2 -1  2  1  0         1  2  4                        0  4 -4  8 -8 24
//	0  2 -1 -2  1  0         1 -2  4
//	0  4  0 -5  0  1         0  0  1
//
// Inputs of -255 to 255 become numbers of -25,500 to 25,500 and weights of bytes numbers
// of -6,272 to 6,272, so that both fit in 16 bits. The outputs are 24·24 = 9·64 times the
// sums. All arithmetic is modulo 2³², where 9 has an inverse: multiplied by it, an output
// is 64 times the sum, and shifted, the sum itself if that is below [MaxIntSum]. It does
// not matter that what is in between exceeds 32 bits.
const (
	MaxIntSum = 1<<25 - 1 // the largest magnitude of a sum

	intInverse = 0x38e38e39 // of 9 modulo 2³²
	intShift   = 6
	intEdge    = 6
	intOutputs = 4
)

// IntScratch is the length of the scratch memory of the transforms of integers.
const IntScratch = intEdge * intEdge * 8

// IntTile is a tile of 6x6 inputs of bytes. Rows are those of the picture, from the first
// pixel that lies in it on; those outside are of pixels of the byte Zero, which stands
// for 0, as do the pixels of columns before Left and from Right on.
type IntTile struct {
	Rows        [intEdge]*uint8
	Pixel       int // bytes between pixels
	Left, Right int
	Zero        uint8
}

// IntInput transforms c channels of a tile, a multiple of 16: v = Bᵀ(d-Zero)B, whose
// positions are pos bytes apart. tmp has [IntScratch].
func IntInput(v *int16, pos int, in *IntTile, c int, tmp *int32) {
	if isa.UseAVX2 {
		winogradIntInputAsm(v, pos, &in.Rows[0], in.Pixel, in.Left, in.Right, c, uint16(in.Zero), tmp)
		return
	}
	var d [intEdge][intEdge]int32
	for ch := range c {
		clear(d[:])
		for i, row := range in.Rows {
			for j := in.Left; j < in.Right; j++ {
				d[i][j] = int32(*(*uint8)(unsafe.Add(unsafe.Pointer(row), (j-in.Left)*in.Pixel+ch))) - int32(in.Zero)
			}
		}
		twice(&d, intInputLine)
		for i := range d {
			for j, x := range d[i] {
				*(*int16)(unsafe.Add(unsafe.Pointer(v), (i*intEdge+j)*pos+2*ch)) = int16(x)
			}
		}
	}
}

// IntOutput transforms the products m of 16 channels of tiles that follow each other, and
// adds corr: Aᵀ(m)A as sums of 4x4 outputs, which follow each other in rows that are row
// bytes apart. Positions are pos bytes apart. tmp has [IntScratch].
func IntOutput(sums *int32, row int, m *int32, pos int, corr *[isa.PanelWidth]int32, tiles int, tmp *int32) {
	if isa.UseAVX2 {
		winogradIntOutputAsm(sums, row, m, pos, &corr[0], tiles, tmp)
		return
	}
	var p [intEdge][intEdge]int32
	for tile := range tiles {
		for ch := range isa.PanelWidth {
			for i := range p {
				for j := range p[i] {
					p[i][j] = *(*int32)(unsafe.Add(unsafe.Pointer(m), (i*intEdge+j)*pos+4*(tile*isa.PanelWidth+ch)))
				}
			}
			twice(&p, intOutputLine)
			for i := range intOutputs {
				for j := range intOutputs {
					at := i*row + 4*((tile*intOutputs+j)*isa.PanelWidth+ch)
					*(*int32)(unsafe.Add(unsafe.Pointer(sums), at)) = p[i][j]*intInverse>>intShift + corr[ch]
				}
			}
		}
	}
}

// IntWeights transforms a filter, u = GgGᵀ, to the positions of a tile.
func IntWeights(g *[3][3]int8) (u [intEdge * intEdge]int16) {
	var half [intEdge][3]int32
	for j := range 3 {
		for i, x := range intWeightLine(int32(g[0][j]), int32(g[1][j]), int32(g[2][j])) {
			half[i][j] = x
		}
	}
	for i, row := range half {
		for j, x := range intWeightLine(row[0], row[1], row[2]) {
			u[i*intEdge+j] = int16(x)
		}
	}
	return u
}

// twice transforms the columns and then the rows of d.
func twice(d *[intEdge][intEdge]int32, line func(*[intEdge]int32)) {
	for j := range intEdge {
		var col [intEdge]int32
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
func intInputLine(d *[intEdge]int32) {
	a, b := d[4]-4*d[2], d[3]-4*d[1]
	p, q := d[4]-d[2], 2*(d[3]-d[1])
	d[0], d[5] = 4*(d[0]-d[2])+p, d[5]-d[3]-2*q
	d[1], d[2], d[3], d[4] = a+b, a-b, p+q, p-q
}

// intOutputLine is Aᵀm, into the first elements.
func intOutputLine(m *[intEdge]int32) {
	s, d, u, v := m[1]+m[2], m[1]-m[2], m[3]+m[4], 2*(m[3]-m[4])
	m[0], m[1], m[2], m[3] = 6*m[0]+4*s+u, 4*d+v, 4*(s+u), 4*(d+v+6*m[5])
}

// intWeightLine is Gg.
func intWeightLine(g0, g1, g2 int32) [intEdge]int32 {
	even, far := g0+g2, g0+4*g2
	return [intEdge]int32{g0, -even - g1, g1 - even, far + 2*g1, far - 2*g1, g2}
}
