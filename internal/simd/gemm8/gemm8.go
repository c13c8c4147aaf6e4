package gemm8

import "github.com/resnet-go/resnet/internal/simd/isa"

// Args are the arguments of one call of an integer micro-kernel, which
// sums a tile of m rows and nz panels of 16 columns:
//
//	c[i][z][j] = corr[z][j] + Σ_b Σ_k Σ_q a[aoff[b] + i*as + 4*k + q] * b[z*bs + ((b*kn + k)*16 + j)*4 + q]
//
// with unsigned a, signed b, q in 0..3 and wrapping int32 sums, which makes the
// result independent of the order. Strides are in bytes; c is dense. With VNNI
// the sums need not be stored: as mode says, they are scaled, rounded, clamped
// and stored as bytes in the registers where they are, as [int8Store] has it.
type Args struct {
	A         *uint8
	AOff      *int // byte offset into a of each batch element
	Batch     int  // at least 1
	K         int  // words of four inner products per batch element, at least 1
	AStride   int  // bytes between rows
	B         *int8
	BStride   int    // bytes between panels
	PrefetchB *int8  // is fetched meanwhile, 64 bytes for each second k
	PrefetchA *uint8 // is fetched meanwhile, 64 bytes for each k
	Corr      *int32
	C         *int32 // where mode is int8Sums
	Mode      int

	// Where mode is another. out and res are of the tile's first row and column.
	Scale        *float32
	Out          *uint8
	Ldo          int
	Res          *uint8
	Ldr          int
	MidLo, MidHi float32 // int8Store's midLo and midHi
	ByY, ByRes   float32
	Plus         float32
	Magic        float32
	Zero         [2 * isa.PanelWidth]int16
	Min          [4 * isa.PanelWidth]uint8 // of the result: the zero point after ReLU, else 0
	Order        [isa.PanelWidth]int32     // how the packing must be undone, see int8Order
}

// The modes of a micro-kernel.
const (
	ModeSums  = iota // the sums
	ModeBytes        // scaled, rounded
	ModeAdd          // scaled, rounded, something added, rounded again
)

// Order undoes what packing to bytes makes of the order of four vectors.
var Order = [isa.PanelWidth]int32{0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15}

// Epilogue are the arguments of the epilogue of one panel of sums t. In
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
type Epilogue struct {
	T                 *int32
	Rows              int // at least 1
	TStride           int // bytes between rows of t
	Scale             *float32
	Res               *uint8 // or nil
	Ldr               int    // bytes between rows of res
	Out               *uint8 // a *float32 where mode is 0
	Ldo               int    // bytes between rows of out
	Bits              uint64 // the lowest cols bits set
	ResZero, ResScale float32
	Lo, Hi            float32
	Zero              int32
	Mode              int32
	MidLo, MidHi      float32
	ByY, ByRes, Plus  float32
	Magic             float32 // int8Magic
	Cols              int     // columns in use, 1..16
}

// MaxTileSums is the largest number of sums of a tile.
const MaxTileSums = 28 * isa.PanelWidth

// MaxRows returns the largest number of rows of a tile of nz panels, 0 if
// the micro-kernels do not take nz.
func MaxRows(nz int) int {
	switch {
	case isa.UseAVX512 && isa.UseVNNI:
		return [isa.MaxPanels + 1]int{0, 14, 14, 9, 6}[nz]
	case isa.UseAVX2:
		return [isa.MaxPanels + 1]int{0, 2}[nz]
	}
	return [isa.MaxPanels + 1]int{0, 4}[nz]
}
