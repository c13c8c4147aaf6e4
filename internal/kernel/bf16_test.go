package kernel

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
)

// rounded returns s as the products take it.
func (p Products) rounded(s []float32) []float32 {
	if p == FP32 {
		return s
	}
	d := make([]float32, len(s))
	for i, v := range s {
		d[i] = math.Float32frombits(bf16Bits(v) << 16)
	}
	return d
}

// bf16Products are those that this machine can compute with.
func bf16Products() []Products {
	if haveBF16 {
		return []Products{BF16Emulated, BF16}
	}
	return []Products{BF16Emulated}
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
	if !useAVX512 {
		t.Skip("this machine or build has no AVX-512: the Go reference is all there is")
	}
	for _, p := range bf16Products() {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, uint64(p)))
			eachTile(r, func(c tile) { c.checkBF16(t, p, r) })
		})
	}
}

// checkBF16 runs one case on words and compares bits, those around the tile too.
func (c tile) checkBF16(t *testing.T, p Products, r *rand.Rand) {
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
	b := words((c.nz-1)*c.bs + steps*panelWidth)
	if c.tn {
		b = words((steps-1)*c.bs + c.nz*panelWidth)
	}
	size := c.m*(c.ldc+5) + panelWidth
	bias, res, start := randomFloats(r.Uint64(), c.nz*panelWidth), randomFloats(r.Uint64(), size), randomFloats(r.Uint64(), size)
	var out [2][]float32
	for i := range out {
		out[i] = append([]float32{}, start...)
		g := gemmArgs{a: &a[0], aoff: &aoff[0], batch: c.batch, k: c.k, as: c.as * 4, b: &b[0], bs: c.bs * 4, c: &out[i][0], ldc: c.ldc * 4, tiles: 1}
		g.setCols(c.cols)
		g.noAhead()
		if c.split {
			g.a2, g.cjump = &a[c.m/2*c.as+half], (c.ldc+5)*4
		}
		if c.bias {
			g.bias = &bias[0]
		}
		if c.res {
			g.res = &res[0]
		}
		g.setAct(ActNone)
		if c.act {
			g.setAct(ActReLU6)
		}
		switch {
		case i == 0:
			bf16Tile(c.tn, c.m, c.nz, &g)
		case c.tn:
			p.gemmTN(c.m, c.nz, &g)
		case c.split:
			p.gemmNNSplit(c.m, c.nz, &g)
		default:
			p.gemmNN(c.m, c.nz, &g)
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
	eachISA(t, func(t *testing.T) {
		for _, p := range bf16Products() {
			r := rand.New(rand.NewPCG(6, uint64(p)))
			for range 3000 {
				rows, n := 1+r.IntN(5), 1+r.IntN(130)
				hi := r.IntN(200)
				step := n + r.IntN(5)
				src := make([]float32, rows*step+hi)
				for i := range src {
					src[i] = edgyFloat(r)
				}
				if words := p.words(n); r.IntN(2) == 0 {
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
					p.narrow(dst, src[:(rows-1)*step+n], rows, n, step, dstep)
					sameBits(t, fmt.Sprintf("narrow %d rows of %d", rows, n), dst, want)
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
				p.pairs(dst, src, rows, n, width, step, dstep, hi, low, high)
				sameBits(t, fmt.Sprintf("pairs %d rows of %d", rows, n), dst, want)
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

// All directions of convolutions of bfloat16 products agree with sums of the
// rounded numbers in float64 within the rounding of float32, at any number of
// threads.
func TestBF16Conv(t *testing.T) {
	one, two := parallel.NewPool(1), parallel.NewPool(2)
	defer one.Close()
	defer two.Close()
	shapes := append([]Conv{
		conv(2, 8, 7, 15, 20, 3, 1, 1),
		conv(2, 9, 9, 6, 20, 1, 2, 0),
		conv(1, 14, 14, 70, 300, 1, 1, 0),
		conv(2, 1, 9, 33, 18, 1, 1, 0),
		conv(1, 7, 7, 512, 40, 3, 1, 1), // a sum in chunks
	}, convShapes...)
	for _, p := range bf16Products() {
		var cases []*convCase
		for _, c := range shapes {
			c.Products = p
			cases = append(cases, newConvCase(c))
		}
		eachISA(t, func(t *testing.T) {
			for _, c := range cases {
				if useAVX512 || c.FLOPs() < 1<<19 { // without, the products are slow
					t.Run(c.String(), func(t *testing.T) { c.test(t, one, two) })
				}
			}
		})
	}
}

// Weights in PyTorch's order are packed to the same words.
func TestBF16PackOIHW(t *testing.T) {
	for _, p := range bf16Products() {
		for _, c := range convShapes {
			c.Products = p
			w, oihw := randomFloats(8, c.WLen()), make([]float32, c.WLen())
			cg := c.C / c.Groups
			scale := make([]float64, c.K)
			for k := range c.K {
				scale[k] = 0.5 + float64(k%7)
				for i := range c.R * c.S * cg {
					oihw[(k*cg+i%cg)*c.R*c.S+i/cg] = w[i*c.K+k]
				}
			}
			f := c.ForwardPacking()
			want, got, scaled, wantScaled := nans(f.Len()), nans(f.Len()), nans(f.Len()), nans(f.Len())
			for i := range w {
				w[i] *= float32(scale[i%c.K])
			}
			for task := range f.Tasks() {
				f.Run(task, wantScaled, w)
				f.RunOIHW(task, scaled, oihw, scale)
				f.RunOIHW(task, got, oihw, nil)
			}
			sameBits(t, c.String()+" scaled", scaled, wantScaled)
			for i := range oihw {
				k, rest := i/(cg*c.R*c.S), i%(cg*c.R*c.S)
				w[(rest%(c.R*c.S)*cg+rest/(c.R*c.S))*c.K+k] = oihw[i]
			}
			for task := range f.Tasks() {
				f.Run(task, want, w)
			}
			sameBits(t, c.String(), got, want)
		}
	}
}

func TestBF16Check(t *testing.T) {
	c := conv(1, 5, 5, 4, 4, 3, 1, 1)
	c.Products = BF16Emulated
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if err := c.CheckWinograd(); err == nil {
		t.Error("Winograd takes bfloat16 products")
	}
	c.StrideH, c.StrideW = 2, 2
	if err := c.CheckWinogradStride2(); err == nil {
		t.Error("Winograd of stride 2 takes bfloat16 products")
	}
	had := haveBF16
	defer func() { haveBF16 = had }()
	c.Products = BF16
	haveBF16 = false
	if err := c.Check(); err == nil {
		t.Error("no error on a processor without the instruction")
	}
	haveBF16 = true
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}
