package gemm

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// bf16Precisions are those that this machine can compute with.
func bf16Precisions() []Precision {
	if isa.HaveBF16 {
		return []Precision{BF16Emulated, BF16}
	}
	return []Precision{BF16Emulated}
}

// edgyFloat returns floats of every size, and now and then one of the edges.
func edgyFloat(r *rand.Rand) float32 {
	if r.IntN(8) == 0 {
		edges := []uint32{0, 1, 0x7fffff, 0x800000, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fc00000, 0x3f808000, 0x3f818000, 0x3f817fff, 0x7f7f7fff, 0x7f7f8000, 0x400000}
		return math.Float32frombits(edges[r.IntN(len(edges))] | r.Uint32()&(1<<31))
	}
	if r.IntN(2) == 0 {
		return math.Float32frombits(r.Uint32())
	}
	return float32(r.NormFloat64())
}

func TestBF16Bits(t *testing.T) {
	for _, c := range []struct{ in, want uint32 }{ // PyTorch's x.bfloat16(), denormals as documented for VCVTNE2PS2BF16
		{0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}, {0x3f818000, 0x3f82}, {0x3f817fff, 0x3f81},
		{0x7f7fffff, 0x7f80}, {0xff7f8000, 0xff80}, {0x7f7f7fff, 0x7f7f}, {0x7f800000, 0x7f80}, {0xff800000, 0xff80},
		{0, 0}, {0x80000000, 0x8000}, {1, 0}, {0x807fffff, 0x8000}, {0x00800000, 0x0080}, {0x80ffffff, 0x8100},
		{0x7f800001, 0x7fc0}, {0xffc12345, 0xffc1}, {0x40490fdb, 0x4049},
	} {
		if got := bf16Bits(math.Float32frombits(c.in)); got != c.want {
			t.Errorf("%#x becomes %#x, want %#x", c.in, got, c.want)
		}
	}
}

// fmaFlushed against exact arithmetic, with the products and sums at which two
// roundings, or a flushed denormal, would show.
func TestFMAFlushed(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	half := func() float32 { return math.Float32frombits(bf16Bits(edgyFloat(r)) << 16) }
	for n := range 300000 {
		a, b, c := half(), half(), edgyFloat(r)
		switch n % 4 {
		case 1: // a sum close to its product
			c = -a * b * (1 + float32(r.IntN(9)-4)*0x1p-23)
		case 2: // a tie of c and a small product
			c = math.Float32frombits(r.Uint32()&0x3fffff | 0x3f800000)
			a, b = math.Float32frombits(0x3f800000|r.Uint32()&0x70000), float32(math.Ldexp(1, -24-r.IntN(30)))
		case 3: // around the smallest normal number
			a, b = float32(math.Ldexp(1+float64(r.IntN(128))/128, -60)), float32(math.Ldexp(1+float64(r.IntN(128))/128, -66))
			c = math.Float32frombits(0x800000+r.Uint32()%4) * float32(1-2*r.IntN(2))
		}
		got, want := fmaFlushed(a, b, c), exactFMA(a, b, c)
		if math.Float32bits(got) != math.Float32bits(want) && !(got != got && want != want) {
			t.Fatalf("%x * %x + %x = %x, want %x", a, b, c, got, want)
		}
	}
}

func exactFMA(a, b, c float32) float32 {
	a, b, c = flush(a), flush(b), flush(c)
	f := float64(a)*float64(b) + float64(c)
	if math.IsNaN(f) || math.IsInf(f, 0) || f == 0 && (a == 0 || b == 0) {
		return float32(f)
	}
	exact := new(big.Float).SetPrec(2000).SetFloat64(float64(a))
	exact.Mul(exact, new(big.Float).SetFloat64(float64(b)))
	exact.Add(exact, new(big.Float).SetFloat64(float64(c)))
	if exact.Sign() == 0 {
		return 0
	}
	exact.SetMode(big.ToNearestEven).SetPrec(24)
	v, _ := exact.Float64()
	if math.Abs(v) < 0x1p-126 {
		return float32(math.Copysign(0, v))
	}
	return float32(v)
}

// The micro-kernels give the bits of the Go reference, with every tail.
func TestBF16MicroKernels(t *testing.T) {
	if !isa.HaveBF16 {
		t.Skip("this machine or build has no AVX512-BF16: the Go reference is all there is")
	}
	t.Run(fmt.Sprint(BF16), func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, uint64(BF16)))
		eachTile(r, func(c tile) { c.checkBF16(t, BF16, r) })
	})
}

// checkBF16 runs one case on words and compares bits, those around the tile too.
func (c tile) checkBF16(t *testing.T, p Precision, r *rand.Rand) {
	t.Helper()
	special := r.IntN(4) == 0
	words := func(n int) []float32 {
		s := make([]float32, n)
		for i := range s {
			v := [2]float32{float32(r.NormFloat64()), float32(r.NormFloat64())}
			if special && r.IntN(16) == 0 {
				v[r.IntN(2)] = edgyFloat(r)
			}
			if special && r.IntN(4) == 0 { // small enough for denormal sums
				v[0] *= 0x1p-64
				v[1] *= 0x1p-64
			}
			s[i] = math.Float32frombits(bf16Bits(v[0]) | bf16Bits(v[1])<<16)
		}
		return s
	}
	half := 0
	if c.split {
		half = 3
	}
	span := (c.m-1)*c.as + c.k + half
	if c.tn {
		span = (c.k-1)*c.as + c.m
	}
	a := words(c.batch * span)
	aoff := make([]int, c.batch)
	for b := range aoff {
		aoff[b] = (c.batch - 1 - b) * span * 4
	}
	steps := c.batch * c.k
	b := words((c.nz-1)*c.bs + steps*isa.PanelWidth)
	if c.tn {
		b = words((steps-1)*c.bs + c.nz*isa.PanelWidth)
	}
	size := c.m*(c.ldc+5) + isa.PanelWidth
	bias, res, start := isatest.RandomFloats(r.Uint64(), c.nz*isa.PanelWidth), isatest.RandomFloats(r.Uint64(), size), isatest.RandomFloats(r.Uint64(), size)
	var out [2][]float32
	for i := range out {
		out[i] = append([]float32{}, start...)
		g := Args{A: &a[0], AOff: &aoff[0], Batch: c.batch, K: c.k, AStride: c.as * 4, B: &b[0], BStride: c.bs * 4, C: &out[i][0], LDC: c.ldc * 4, Tiles: 1}
		g.SetCols(c.cols)
		g.NoPrefetch()
		if c.split {
			g.A2, g.CJump = &a[c.m/2*c.as+half], (c.ldc+5)*4
		}
		if c.bias {
			g.Bias = &bias[0]
		}
		if c.res {
			g.Res = &res[0]
		}
		g.SetAct(isa.ActNone)
		if c.act {
			g.SetAct(isa.ActReLU6)
		}
		switch {
		case i == 0:
			bf16Tile(c.tn, c.m, c.nz, &g)
		case c.tn:
			p.TN(c.m, c.nz, &g)
		case c.split:
			p.NNSplit(c.m, c.nz, &g)
		default:
			p.NN(c.m, c.nz, &g)
		}
	}
	sameOrNaN(t, c.String(), out[1], out[0])
}

// sameOrNaN compares bits, and takes any NaN for another.
func sameOrNaN(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && !(got[i] != got[i] && want[i] != want[i]) {
			t.Fatalf("%s: [%d] = %v (%#x), want %v (%#x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// The kernels that round give what the rounding of single numbers gives, and
// write nothing else.
func TestBF16Packing(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		for _, p := range bf16Precisions() {
			r := rand.New(rand.NewPCG(6, uint64(p)))
			for range 3000 {
				rows, n := 1+r.IntN(5), 1+r.IntN(130)
				hi := r.IntN(200)
				step := n + r.IntN(5)
				src := make([]float32, rows*step+hi)
				for i := range src {
					src[i] = edgyFloat(r)
				}
				if words := p.Words(n); r.IntN(2) == 0 {
					dstep := words + r.IntN(5)
					dst := filled(rows * dstep)
					want := append([]float32{}, dst...)
					for i := range rows {
						for j := range words {
							w := bf16Bits(src[i*step+2*j])
							if 2*j+1 < n {
								w |= bf16Bits(src[i*step+2*j+1]) << 16
							}
							want[i*dstep+j] = math.Float32frombits(w)
						}
					}
					p.Narrow(dst, src[:(rows-1)*step+n], rows, n, step, dstep)
					isatest.SameBits(t, fmt.Sprintf("narrow %d rows of %d", rows, n), dst, want)
					continue
				}
				width := n + r.IntN(40)
				dstep := width + r.IntN(5)
				low, high := r.IntN(3) > 0, r.IntN(3) > 0
				dst := filled(rows * dstep)
				want := append([]float32{}, dst...)
				for i := range rows {
					for j := range width {
						w := uint32(0)
						if low && j < n {
							w = bf16Bits(src[i*step+j])
						}
						if high && j < n {
							w |= bf16Bits(src[i*step+hi+j]) << 16
						}
						want[i*dstep+j] = math.Float32frombits(w)
					}
				}
				p.Pairs(dst, src, Pairing{Rows: rows, Cols: n, Width: width, Step: step, DStep: dstep, Hi: hi, NoLow: !low, NoHigh: !high})
				isatest.SameBits(t, fmt.Sprintf("pairs %d rows of %d", rows, n), dst, want)
			}
		}
	})
}

func filled(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = guardFloat
	}
	return s
}
