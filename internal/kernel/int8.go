package kernel

import "github.com/resnet-go/resnet/internal/cpu"

// useVNNI says that the CPU has the 8-bit dot products of AVX-512 (VPDPBUSD);
// they are used where useAVX512 is set too.
var useVNNI = haveAsm && cpu.AVX512VNNI

// int8Args are the arguments of one call of an integer micro-kernel, which
// sums a tile of m rows and nz panels of 16 columns:
//
//	c[i][z][j] = corr[z][j] + Σ_b Σ_k Σ_q a[aoff[b] + i*as + 4*k + q] * b[z*bs + ((b*kn + k)*16 + j)*4 + q]
//
// with unsigned a, signed b, q in 0..3 and wrapping int32 sums, which makes the
// result independent of the order. Strides are in bytes; c is dense. With VNNI
// the sums need not be stored: as mode says, they are scaled, rounded, clamped
// and stored as bytes in the registers where they are, as [int8Store] has it.
type int8Args struct {
	a     *uint8
	aoff  *int // byte offset into a of each batch element
	batch int  // at least 1
	k     int  // words of four inner products per batch element, at least 1
	as    int  // bytes between rows
	b     *int8
	bs    int    // bytes between panels
	next  *int8  // is fetched meanwhile, 64 bytes for each second k
	nextA *uint8 // is fetched meanwhile, 64 bytes for each k
	corr  *int32
	c     *int32 // where mode is int8Sums
	mode  int

	// Where mode is another. out and res are of the tile's first row and column.
	scale      *float32
	out        *uint8
	ldo        int
	res        *uint8
	ldr        int
	lo, hi     float32 // int8Store's midLo and midHi
	byY, byRes float32
	plus       float32
	magic      float32
	zero       [2 * panelWidth]int16
	least      [4 * panelWidth]uint8 // of the result: the zero point after ReLU, else 0
	order      [panelWidth]int32     // how the packing must be undone, see int8Order
}

// The modes of a micro-kernel.
const (
	int8Sums  = iota // the sums
	int8Bytes        // scaled, rounded
	int8Add          // scaled, rounded, something added, rounded again
)

// int8Order undoes what packing to bytes makes of the order of four vectors.
var int8Order = [panelWidth]int32{0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15}

// int8Magic rounds to an integer, ties to even, what is added to it, and is
// taken off again.
const int8Magic = 3 << 22

// int8Store are the arguments of the epilogue of one panel of sums t. In
// float32, every operation rounded, it computes in the modes 0 and 1
//
//	v = float(t[i][j])*scale[j]
//	v = v + (float(res[i][j]) - resZero)*resScale    where there is a residual
//
// and in mode 2
//
//	v = clamp(float(t[i][j])*scale[j] + magic, midLo, midHi) - magic
//	v = fma(v, byY, fma(float(res[i][j]), byRes, plus))
//
// It stores clamp(v, lo, hi), or where mode is not 0 as uint8 that rounded to the
// nearest integer, ties to even, plus zero. Strides are in bytes.
type int8Store struct {
	t                 *int32
	rows              int // at least 1
	ts                int // bytes between rows of t
	scale             *float32
	res               *uint8 // or nil
	ldr               int    // bytes between rows of res
	out               *uint8 // a *float32 where mode is 0
	ldo               int    // bytes between rows of out
	bits              uint64 // the lowest cols bits set
	resZero, resScale float32
	lo, hi            float32
	zero              int32
	mode              int32
	midLo, midHi      float32
	byY, byRes, plus  float32
	magic             float32 // int8Magic
	cols              int     // columns in use, 1..16
}

// int8TileInts is the largest number of sums of a tile.
const int8TileInts = 28 * panelWidth

// int8MaxRows returns the largest number of rows of a tile of nz panels, 0 if
// the micro-kernels do not take nz.
func int8MaxRows(nz int) int {
	switch {
	case useAVX512 && useVNNI:
		return [maxPanels + 1]int{0, 14, 14, 9, 6}[nz]
	case useAVX2:
		return [maxPanels + 1]int{0, 2}[nz]
	}
	return [maxPanels + 1]int{0, 4}[nz]
}
