package gemm

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Precision selects the operand type of a convolution's multiplications.
// Accumulation is always float32.
type Precision uint8

// With BF16, weights and activations are rounded to bfloat16 (the upper half of a
// float32) while they are packed, and their products are summed in pairs by
// VDPBF16PS. BF16Emulated computes the same bits in plain Go on any processor,
// very slowly: for tests, and to measure what bfloat16 does to a model's accuracy.
const (
	FP32 Precision = iota
	BF16
	BF16Emulated
)

// Check returns an error if this machine cannot compute with this precision.
func (p Precision) Check() error {
	switch {
	case p > BF16Emulated:
		return fmt.Errorf("precision is %d, must be FP32, BF16 or BF16Emulated", uint8(p))
	case p == BF16 && !isa.HaveBF16:
		return isa.ErrNoBF16
	}
	return nil
}

// Words returns the number of 32-bit words that n neighboring numbers take.
func (p Precision) Words(n int) int {
	if p == FP32 {
		return n
	}
	return isa.CeilDiv(n, 2)
}

// NN is [NN] of this precision: a and b hold words, k counts words.
func (p Precision) NN(m, nz int, g *Args) {
	if p == FP32 {
		NN(m, nz, g)
		return
	}
	gemmNNBF16(p, m, nz, g)
}

// NNSplit is [NNSplit] of this precision.
func (p Precision) NNSplit(m, nz int, g *Args) {
	if p == FP32 {
		NNSplit(m, nz, g)
		return
	}
	gemmNNSplitBF16(p, m, nz, g)
}

// TN is [TN] of this precision.
func (p Precision) TN(m, nz int, g *Args) {
	if p == FP32 {
		TN(m, nz, g)
		return
	}
	gemmTNBF16(p, m, nz, g)
}

// bf16Bits rounds to the nearest bfloat16 number, ties to even, as
// VCVTNE2PS2BF16 does: a denormal becomes a zero of its sign, a NaN stays one.
func bf16Bits(v float32) uint32 {
	x := math.Float32bits(v)
	switch {
	case x&0x7f800000 == 0:
		return x >> 16 & 0x8000
	case v != v:
		return x>>16 | 0x40
	}
	return (x + 0x7fff + x>>16&1) >> 16
}

// RoundBF16 returns v rounded to the nearest bfloat16 number, as packing does.
func RoundBF16(v float32) float32 { return math.Float32frombits(bf16Bits(v) << 16) }

// bf16Dot returns acc plus the products of two pairs of bfloat16 numbers as
// VDPBF16PS computes it (Intel, "Architecture Instruction Set Extensions
// Programming Reference", 319433-037, section 2.1): two fused multiply-adds, the
// odd (upper) pair first, each rounded to nearest even, denormals taken for and
// written as zeros. Where several NaNs meet, any of them may come out.
func bf16Dot(acc float32, a, b uint32) float32 {
	acc = fmaFlushed(math.Float32frombits(a&0xffff0000), math.Float32frombits(b&0xffff0000), acc)
	return fmaFlushed(math.Float32frombits(a<<16), math.Float32frombits(b<<16), acc)
}

// fmaFlushed returns a*b+c rounded once to nearest even, with denormals taken
// for zeros before and after.
func fmaFlushed(a, b, c float32) float32 {
	s := isa.FMAOdd(flush(a), flush(b), flush(c))
	// A result is tiny if, rounded without a lower bound of the exponent, it is
	// below the smallest normal number.
	if math.Abs(s) < 0x1p-126-0x1p-151 {
		return float32(math.Copysign(0, s))
	}
	return float32(s)
}

// flush returns a zero of its sign for a denormal.
func flush(v float32) float32 {
	if x := math.Float32bits(v); x&0x7f800000 == 0 {
		return math.Float32frombits(x & 0x80000000)
	}
	return v
}

// bf16Args are the arguments of the kernels that round float32 to bfloat16.
// Strides and distances are in bytes, masks have a bit for each element.
//
// Narrow stores rows of neighboring floats: 32 floats for each block, and then the
// 16 floats that the mask low selects and the next 16 that high selects, as the 16-bit
// numbers that the mask words selects. Pairs stores rows of 16 words. A word holds a
// float of the row at src in its lower half and the float hi bytes further on in its
// upper half, zeros where the masks are zero; words selects the words to store.
type bf16Args struct {
	dst    *float32
	src    *float32
	rows   int // at least 1
	step   int // from a row of src to the next
	dstep  int // from a row of dst to the next
	hi     int
	blocks int
	low    uint64
	high   uint64
	words  uint64
	order  *[32]uint16 // &pairOrder
}

// pairOrder brings 16 numbers and 16 above them into the order of pairs.
var pairOrder = func() (p [32]uint16) {
	for i := range p {
		p[i] = uint16(i/2 + i%2*16)
	}
	return
}()

// ones returns the mask of the first n of width elements, n from any range.
func ones(n, width int) uint64 { return 1<<max(0, min(n, width)) - 1 }

// Narrow rounds rows of n floats, step floats apart in src, to words of two
// neighboring numbers, in rows dstep words apart in dst. A zero follows an odd n.
func (p Precision) Narrow(dst, src []float32, rows, n, step, dstep int) {
	if rows < 1 {
		return
	}
	_ = src[(rows-1)*step+n-1]
	_ = dst[(rows-1)*dstep+p.Words(n)-1]
	rest := n % 32
	p.narrowRows(&bf16Args{dst: &dst[0], src: &src[0], rows: rows, step: step * 4, dstep: dstep * 4,
		blocks: n / 32, low: ones(rest, 16), high: ones(rest-16, 16), words: ones(isa.CeilDiv(rest, 2)*2, 32), order: &pairOrder})
}

// Pairing describes which floats [Precision.Pairs] rounds to a word together.
type Pairing struct {
	Rows, Cols  int // of pairs
	Width       int // columns written; zeros after Cols
	Step, DStep int // floats from a row to the next in src, words in dst
	Hi          int // floats from the first of a pair to the second

	NoLow, NoHigh bool // src lacks the first or the second float of each pair, which is zero then
}

// Pairs rounds pairs of floats to words, dst[i*DStep+j] = (src[i*Step+j],
// src[i*Step+Hi+j]).
func (p Precision) Pairs(dst, src []float32, g Pairing) {
	if g.Rows < 1 {
		return
	}
	cols, width := g.Cols, g.Width
	last := (g.Rows-1)*g.Step + cols - 1
	low, high := !g.NoLow, !g.NoHigh
	if low {
		_ = src[last]
	}
	if high {
		_ = src[last+g.Hi]
	}
	_ = dst[(g.Rows-1)*g.DStep+width-1]
	a := bf16Args{rows: g.Rows, step: g.Step * 4, dstep: g.DStep * 4, hi: g.Hi * 4, order: &pairOrder}
	for j := 0; j < width; j += isa.PanelWidth {
		// Past the columns nothing is read, and the address must stay inside.
		a.dst, a.src = &dst[j], &src[min(j, cols-1)]
		a.words = ones(width-j, isa.PanelWidth)
		a.low, a.high = 0, 0
		if low {
			a.low = ones(cols-j, isa.PanelWidth)
		}
		if high {
			a.high = ones(cols-j, isa.PanelWidth)
		}
		p.pairRows(&a)
	}
}

// PairRows rounds neighboring rows of cols floats, stride floats apart, to rows of
// words, width words apart, with zeros after cols. An odd row is paired with zeros.
func (p Precision) PairRows(dst, src []float32, rows, cols, width, stride int) {
	p.Pairs(dst, src, Pairing{Rows: rows / 2, Cols: cols, Width: width, Step: 2 * stride, DStep: width, Hi: stride})
	if rows%2 == 1 {
		p.Pairs(dst[rows/2*width:], src[(rows-1)*stride:], Pairing{Rows: 1, Cols: cols, Width: width, NoHigh: true})
	}
}

// String returns the name of the precision.
func (p Precision) String() string {
	return [...]string{"float32", "native", "emulated"}[min(p, BF16Emulated)]
}
