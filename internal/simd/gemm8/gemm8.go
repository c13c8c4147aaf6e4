// Package gemm8 multiplies unsigned by signed bytes with 32-bit sums, and turns
// the sums into what a quantized network stores: the micro-kernels below
// internal/conv's quantized convolutions.
//
// A tile is m rows of A, the pixels, by nz panels of B, the weights. A panel is 16
// columns of B (output channels), packed so that 64 bytes hold what one
// instruction multiplies by four neighboring bytes of a pixel, a word:
//
//	           column 0       column 1             column 15
//	word 0   k0 k1 k2 k3 |  k0 k1 k2 k3  |  …  |  k0 k1 k2 k3
//	word 1   k4 k5 k6 k7 |  k4 k5 k6 k7  |  …  |  k4 k5 k6 k7
//	  ⋮
//
// In memory packed weights are [panel][word][16 columns][4]int8, or, where the kernels
// are [Wide], [panel][word][16 columns][2]int16. The sum of an
// output may be cut into batch elements (the rows or taps of a filter), each with
// its own place in A; their words follow each other in the panel, and each ends
// in zeros where its length is no multiple of a word's.
//
//	        A: pixels                 B: panels p … p+nz-1
//	       ┌ word 0 ┬ word 1 ┬─┐        ┌ 16 columns ┬ 16 columns ┐
//	row 0  │ 4 bytes│ 4 bytes│ │ word 0 │  64 bytes  │  64 bytes  │
//	row 1  │        │        │ │   ×    ├────────────┼────────────┤
//	  ⋮    │        │        │ │ word 1 │            │            │
//	       └────────┴────────┴─┘        └────────────┴────────────┘
//
// Sums are exact (they wrap, and callers keep them below 2³¹), so every
// instruction set gives the same. The epilogue rounds, in float32; [Epilogue]
// defines each of its operations.
package gemm8

import (
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Args are the arguments of a tile of m rows by nz panels. Its sums are
//
//	c[i][z][j] = corr[z][j] + Σ_b Σ_k Σ_q a[aoff[b] + i*AStride + 4*k + q] * b[z*BStride + ((b*K + k)*16 + j)*4 + q]
//
// with unsigned a, signed b and q in 0..3; or, where the kernels are [Wide], with 2*k and
// 2-byte elements instead. Strides and offsets are in bytes.
// The assembly knows the struct by offsets; see gemm8_stubs_amd64.go.
type Args struct {
	A         *uint8
	AOff      *int // offset into a of each batch element
	Batch     int  // batch elements, at least 1
	K         int  // words per batch element, at least 1
	AStride   int  // between rows
	B         *int8
	BStride   int    // between panels
	PrefetchB *int8  // weights to prefetch to L2, one cache line every two words
	PrefetchA *uint8 // pixels to prefetch to L1, one cache line every word
	Corr      *int32 // what the sums of the first panel's columns begin with
	C         *int32 // scratch of m*nz*16 sums, at most MaxTileSums

	// finish is the mode of the epilogue where the micro-kernel itself applies
	// it, else 0: the micro-kernel then stores the sums in C.
	finish  int
	panels  int
	columns int // in use, of all panels

	// Vectors of the micro-kernels that apply the epilogue.
	zeros [2 * isa.PanelWidth]int16 // Zero
	mins  [4 * isa.PanelWidth]uint8 // ClampOutLo as a byte of the output
	order [isa.PanelWidth]int32     // unpackOrder

	Epilogue
}

// Mode selects what the epilogue stores.
type Mode int32

// The modes of the epilogue.
const (
	ModeFloats Mode = iota // real numbers
	ModeBytes              // quantized values
	ModeAdd                // quantized values, to which quantized values were added
)

// Epilogue defines what is stored for the sums t of a tile. With every operation
// rounded to float32, the modes ModeFloats and ModeBytes compute
//
//	v = float(t[i][j])*scale[j]
//	v = v + (float(res[i][j]) - ResZero)*ResScale    if there is a residual
//
// and ModeAdd, which rounds the scaled sum to a quantized value of its own before
// it adds the residual, computes
//
//	v = clamp(float(t[i][j])*scale[j] + Magic, ClampMidLo, ClampMidHi) - Magic
//	v = fma(v, MulY, fma(float(res[i][j]), MulRes, Plus))
//
// Then v = clamp(v, ClampOutLo, ClampOutHi). ModeFloats stores v; the others store
// v rounded to the nearest integer, ties to even, plus Zero, as uint8.
// epilogueGeneric is this in Go; the assembly gives the same bits.
type Epilogue struct {
	Mode      Mode
	Zero      int32    // zero point of the output; 0 in ModeAdd, where Plus has it
	Scale     *float32 // of the first panel's columns, whole panels
	Res       *uint8   // residual of the tile's first row and column, or nil; ModeAdd needs one
	ResStride int      // bytes between rows of res
	Out       unsafe.Pointer
	OutStride int // bytes between rows of out

	ResZero, ResScale float32 // ModeFloats, ModeBytes

	// ModeAdd. The bounds are those of the rounded sum plus Magic.
	ClampMidLo, ClampMidHi float32
	MulY, MulRes, Plus     float32
	Magic                  float32 // isa.RoundMagic

	ClampOutLo, ClampOutHi float32

	// MayOverflow is set if a scaled sum may not fit in an int32.
	MayOverflow bool

	// What the assembly of one panel reads besides, see storePanel.
	t       *int32
	rows    int
	tStride int // bytes between rows of t
	bits    uint64
	cols    int // columns in use, 1..16; bits has as many of the lowest bits set
}

// unpackOrder is the VPERMD permutation that restores the order of columns after
// VPACKSSDW and VPACKUSWB, which interleave the 128-bit lanes of four vectors.
var unpackOrder = [isa.PanelWidth]int32{0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15}

// MaxTileSums is the largest number of sums of a tile.
const MaxTileSums = 28 * isa.PanelWidth

// MaxRows returns the largest number of rows of a tile of nz panels, 0 if
// the micro-kernels do not take nz.
func MaxRows(nz int) int {
	switch machine := isa.Planned(); {
	case machine.AVX512 && machine.VNNI:
		return [isa.MaxPanels + 1]int{0, 14, 14, 9, 6}[nz]
	case machine.AVX2:
		return [isa.MaxPanels + 1]int{0, 6}[nz]
	}
	return [isa.MaxPanels + 1]int{0, 4}[nz]
}

// SetEpilogue sets the epilogue of the tiles that follow. The addresses in it may
// change from tile to tile.
func (g *Args) SetEpilogue(e Epilogue) {
	g.Epilogue = e
	if e.Mode == ModeFloats {
		return
	}
	g.order = unpackOrder
	for i := range g.zeros {
		g.zeros[i] = int16(e.Zero)
	}
	least := uint8(e.ClampOutLo + float32(e.Zero))
	for i := range g.mins {
		g.mins[i] = least
	}
}

// SetPanels sets the panels of the tiles that follow, and how many of their
// columns are in use. It follows SetEpilogue.
func (g *Args) SetPanels(panels, columns int) {
	g.panels, g.columns = panels, columns
	g.finish = 0
	if g.finishesInRegisters() {
		g.finish = int(g.Mode)
	}
}

// finishesInRegisters reports whether the micro-kernel applies the epilogue to
// the sums while they are in registers, which saves storing and loading them. It
// is written for what most layers of a network are: whole panels that become
// bytes, with a residual only in ModeAdd. Its conversion to int32 has no bounds
// before it, so that scaled sums must fit.
func (g *Args) finishesInRegisters() bool {
	return isa.UseAVX512 && isa.UseVNNI && g.Mode != ModeFloats && !g.MayOverflow &&
		(g.Res != nil) == (g.Mode == ModeAdd) && g.panels*isa.PanelWidth <= g.columns
}

// Tile computes m rows, at most [MaxRows].
func (g *Args) Tile(m int) {
	sumTile(m, g.panels, g)
	if g.finish == 0 {
		g.Store(m)
	}
}

// Store applies the epilogue to the sums of m rows in C, panel by panel.
func (g *Args) Store(m int) {
	e := g.Epilogue
	size := 1
	if e.Mode == ModeFloats {
		size = 4
	}
	e.rows, e.tStride = m, g.panels*isa.PanelWidth*4
	for col := 0; col < g.panels*isa.PanelWidth; col += isa.PanelWidth {
		e.cols = min(isa.PanelWidth, g.columns-col)
		e.bits = 1<<e.cols - 1
		e.t = (*int32)(unsafe.Add(unsafe.Pointer(g.C), 4*col))
		e.Scale = (*float32)(unsafe.Add(unsafe.Pointer(g.Scale), 4*col))
		if e.Res != nil {
			e.Res = (*uint8)(unsafe.Add(unsafe.Pointer(g.Res), col))
		}
		e.Out = unsafe.Add(g.Out, size*col)
		storePanel(&e)
	}
}

// StoreFlat applies the epilogue to the sums of pixels of c channels that follow each
// other, as do their results and residuals: Out and Res are those of the first. scale has
// the factors of the channels as [Cyclic] repeats them.
func (e Epilogue) StoreFlat(sums []int32, scale []float32, c int) {
	isa.CheckLen(len(scale), c+isa.PanelWidth-1, "factors")
	size := 1
	if e.Mode == ModeFloats {
		size = 4
	}
	// Panels so far apart have the same channels.
	period := c
	for period%isa.PanelWidth != 0 {
		period *= 2
	}
	e.tStride, e.ResStride, e.OutStride = 4*period, period, size*period
	out, res := e.Out, e.Res
	for col := 0; col < min(period, len(sums)); col += isa.PanelWidth {
		e.Scale = &scale[col%c]
		for at := col; at < len(sums); at += e.rows * period {
			e.rows, e.cols = (len(sums)-at)/period, isa.PanelWidth
			if (len(sums)-at)%period >= isa.PanelWidth {
				e.rows++
			}
			if e.rows == 0 {
				e.rows, e.cols = 1, len(sums)-at
			}
			e.bits = 1<<e.cols - 1
			e.t = &sums[at]
			e.Out = unsafe.Add(out, size*at)
			if res != nil {
				e.Res = (*uint8)(unsafe.Add(unsafe.Pointer(res), at))
			}
			storePanel(&e)
		}
	}
}

// Cyclic returns the factors of channels, and the first of them again, so that a panel of
// factors follows each.
func Cyclic(scale []float32) []float32 {
	out := make([]float32, len(scale)+isa.PanelWidth-1)
	for i := range out {
		out[i] = scale[i%len(scale)]
	}
	return out
}
