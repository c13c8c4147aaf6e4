package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// convShapes are small geometries with every kind of edge.
var convShapes = []Conv{
	conv(1, 5, 5, 16, 16, 3, 1, 1),
	conv(2, 7, 7, 32, 48, 3, 1, 1),
	conv(1, 1, 1, 1, 1, 1, 1, 0),
	conv(3, 8, 8, 16, 16, 3, 1, 1),
	conv(2, 9, 11, 3, 20, 7, 2, 3),
	conv(2, 10, 10, 3, 64, 3, 1, 1),
	conv(2, 8, 8, 24, 40, 1, 1, 0),
	conv(2, 9, 8, 24, 40, 1, 2, 0),
	conv(2, 17, 19, 24, 40, 1, 2, 0), // rows long enough to stay where they are
	conv(1, 9, 9, 17, 31, 3, 2, 1),
	conv(2, 11, 10, 5, 7, 3, 3, 1),
	conv(1, 12, 12, 4, 130, 5, 3, 2),
	conv(1, 6, 6, 130, 9, 3, 1, 1),
	conv(1, 5, 5, 130, 140, 3, 2, 1),
	conv(3, 7, 7, 64, 64, 1, 1, 0),
	conv(3, 5, 6, 7, 33, 2, 1, 0),
	conv(1, 6, 6, 8, 8, 2, 3, 0), // windows with gaps between them
	conv(2, 6, 6, 8, 8, 1, 3, 1), // a padded 1x1
	conv(1, 30, 31, 20, 18, 3, 1, 1),
	conv(40, 1, 1, 50, 10, 1, 1, 0),
	conv(2, 5, 3, 1024, 144, 1, 1, 0), // crowded pixels: flat, with a stride, with a border
	conv(1, 5, 19, 512, 130, 1, 2, 0),
	conv(1, 3, 4, 1024, 130, 1, 1, 1),
	conv(1, 40, 40, 6, 5, 3, 1, 1),
	{N: 2, H: 9, W: 7, C: 12, K: 18, R: 3, S: 2, StrideH: 2, StrideW: 1, PadTop: 0, PadLeft: 1, PadBottom: 2, PadRight: 0, DilH: 1, DilW: 1, Groups: 1},
	{N: 1, H: 9, W: 12, C: 6, K: 18, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 2, PadLeft: 2, PadBottom: 2, PadRight: 2, DilH: 2, DilW: 2, Groups: 1},
	{N: 2, H: 13, W: 12, C: 6, K: 18, R: 3, S: 3, StrideH: 2, StrideW: 3, PadTop: 3, PadLeft: 2, PadBottom: 1, PadRight: 4, DilH: 2, DilW: 3, Groups: 1},
	{N: 2, H: 13, W: 12, C: 4, K: 4, R: 3, S: 3, StrideH: 4, StrideW: 4, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 2, DilW: 2, Groups: 2},
	{N: 2, H: 8, W: 8, C: 32, K: 32, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 2},
	{N: 2, H: 8, W: 8, C: 32, K: 64, R: 3, S: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 8},
	{N: 2, H: 7, W: 8, C: 20, K: 20, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 20},
	{N: 2, H: 7, W: 8, C: 64, K: 96, R: 1, S: 1, StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 4},
	// Groups of few channels, which are merged: all, and all but the last.
	{N: 2, H: 7, W: 9, C: 32, K: 32, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 8},
	{N: 2, H: 8, W: 7, C: 40, K: 40, R: 3, S: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 5},
	{N: 1, H: 6, W: 20, C: 15, K: 35, R: 3, S: 2, StrideH: 1, StrideW: 1, PadTop: 2, PadLeft: 1, PadBottom: 2, PadRight: 0, DilH: 2, DilW: 1, Groups: 5},
	{N: 2, H: 5, W: 5, C: 12, K: 6, R: 3, S: 3, StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 6},
	{N: 3, H: 4, W: 4, C: 10, K: 35, R: 1, S: 1, StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 5},
	{N: 1, H: 3, W: 40, C: 3, K: 6, R: 1, S: 9, StrideH: 1, StrideW: 1, PadTop: 0, PadLeft: 4, PadBottom: 0, PadRight: 4, DilH: 1, DilW: 1, Groups: 1},
	{N: 1, H: 40, W: 3, C: 3, K: 6, R: 9, S: 1, StrideH: 2, StrideW: 2, PadTop: 4, PadLeft: 0, PadBottom: 4, PadRight: 0, DilH: 1, DilW: 1, Groups: 1},
	{N: 2, H: 4, W: 4, C: 3, K: 6, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 9, PadLeft: 8, PadBottom: 7, PadRight: 6, DilH: 1, DilW: 1, Groups: 1},
	Linear(1, 70, 37), Linear(33, 19, 100), Linear(130, 64, 10),
}

// conv returns a square-kernel convolution with equal pads.
func conv(n, h, w, c, k, rs, stride, pad int) Conv {
	return Conv{N: n, H: h, W: w, C: c, K: k, R: rs, S: rs, StrideH: stride, StrideW: stride,
		PadTop: pad, PadLeft: pad, PadBottom: pad, PadRight: pad, DilH: 1, DilW: 1, Groups: 1}
}

func (c Conv) String() string {
	products := ""
	if c.Precision != gemm.FP32 {
		products = "_bf16" + c.Precision.String()
	}
	return fmt.Sprintf("%dx%dx%dx%d-%d_%dx%d_s%dx%d_p%d.%d.%d.%d_d%dx%d_g%d", c.N, c.H, c.W, c.C, c.K, c.R, c.S,
		c.StrideH, c.StrideW, c.PadTop, c.PadLeft, c.PadBottom, c.PadRight, c.DilH, c.DilW, c.Groups) + products
}

// naive calls f with the indices of x, w and y of every multiplication.
func naive(c Conv, f func(x, w, y int)) {
	oh, ow, cg, kg := c.OutH(), c.OutW(), c.C/c.Groups, c.K/c.Groups
	for n := range c.N {
		for oy := range oh {
			for ox := range ow {
				for r := range c.R {
					iy := oy*c.StrideH + r*c.DilH - c.PadTop
					if iy < 0 || iy >= c.H {
						continue
					}
					for s := range c.S {
						ix := ox*c.StrideW + s*c.DilW - c.PadLeft
						if ix < 0 || ix >= c.W {
							continue
						}
						for k := range c.K {
							for i := range cg {
								f(((n*c.H+iy)*c.W+ix)*c.C+k/kg*cg+i, ((r*c.S+s)*cg+i)*c.K+k, ((n*oh+oy)*ow+ox)*c.K+k)
							}
						}
					}
				}
			}
		}
	}
}

// closeTo fails unless got is want within the rounding of sums of terms products
// of numbers of size 1.
func closeTo(t *testing.T, what string, got []float32, want []float64, terms int) {
	t.Helper()
	tol := 4e-6 * math.Sqrt(float64(terms)+4)
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= tol+2e-6*math.Abs(want[i])) {
			t.Fatalf("%s[%d] = %v, want %v (tolerance %v)", what, i, got[i], want[i], tol)
		}
	}
}

func convForward(t *testing.T, p *parallel.Pool, c Conv, x, w, bias, res []float32, act isa.Act) (y, mean, variance []float32) {
	t.Helper()
	plan := planned(t, directForward, c, Want{Stats: true})
	y, mean, variance = isatest.Nans(c.YLen()), make([]float32, c.K), make([]float32, c.K)
	runPlan(p, plan, Args{X: x, Packed: packWith(p, plan.Packed, w), Bias: bias, Residual: res, Y: y, Mean: mean, Variance: variance, Act: act})
	return y, mean, variance
}

// convInputGrad adds to dx where accumulate is set, as convWeightGrad adds to dw.
func convInputGrad(t *testing.T, p *parallel.Pool, c Conv, dy, w, dx []float32, accumulate bool) {
	t.Helper()
	plan := planned(t, directInputGrad, c, Want{Op: InputGrad, Residual: accumulate})
	a := Args{X: dy, Packed: packWith(p, plan.Packed, w), Y: dx}
	if accumulate {
		a.Residual = dx
	}
	runPlan(p, plan, a)
}

func convWeightGrad(t *testing.T, p *parallel.Pool, c Conv, x, dy, dw []float32, accumulate bool) {
	t.Helper()
	a := Args{X: x, DY: dy, Y: dw}
	if accumulate {
		a.Residual = dw
	}
	runPlan(p, planned(t, directWeightGrad, c, Want{Op: WeightGrad, Residual: accumulate}), a)
}

// convCase is a geometry with its arrays and, in float64, what comes out.
type convCase struct {
	Conv
	x, w, dy, bias, res []float32
	y64, dx64, dw64     []float64
}

func newConvCase(c Conv) *convCase {
	k := &convCase{
		Conv: c, x: isatest.RandomFloats(1, c.XLen()), w: isatest.RandomFloats(2, c.WLen()), dy: isatest.RandomFloats(3, c.YLen()),
		bias: isatest.RandomFloats(4, c.K), res: isatest.RandomFloats(5, c.YLen()),
		y64: make([]float64, c.YLen()), dx64: make([]float64, c.XLen()), dw64: make([]float64, c.WLen()),
	}
	for i := range k.x {
		if c.C >= 1024 && i%17 > 0 {
			k.x[i] = 0 // sums of so many terms round more than closeTo allows
		}
	}
	x, w, dy := rounded(c.Precision, k.x), rounded(c.Precision, k.w), rounded(c.Precision, k.dy)
	naive(c, func(xi, wi, yi int) {
		k.y64[yi] += float64(x[xi]) * float64(w[wi])
		k.dx64[xi] += float64(dy[yi]) * float64(w[wi])
		k.dw64[wi] += float64(dy[yi]) * float64(x[xi])
	})
	return k
}

func TestConvAgainstNaive(t *testing.T) {
	one, two, eight := parallel.NewPool(1), parallel.NewPool(2), parallel.NewPool(8)
	defer one.Close()
	defer two.Close()
	defer eight.Close()
	var cases []*convCase
	for _, c := range convShapes {
		cases = append(cases, newConvCase(c))
	}
	isatest.EachISA(t, func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.String(), func(t *testing.T) { c.test(t, one, two, eight) })
		}
	})
}

// test compares all directions with float64, run by one, and the bits that the
// other pools get with those.
func (k *convCase) test(t *testing.T, one *parallel.Pool, others ...*parallel.Pool) {
	c := k.Conv
	termsY, termsX, termsW := c.R*c.S*c.C/c.Groups, c.R*c.S*c.K/c.Groups, c.N*c.OutH()*c.OutW()

	y, mean, variance := convForward(t, one, c, k.x, k.w, nil, nil, isa.ActNone)
	closeTo(t, "y", y, k.y64, termsY)
	checkStats(t, y, c.K, mean, variance)
	dx, dw := isatest.Nans(c.XLen()), isatest.Nans(c.WLen())
	convInputGrad(t, one, c, k.dy, k.w, dx, false)
	closeTo(t, "dx", dx, k.dx64, termsX)
	convWeightGrad(t, one, c, k.x, k.dy, dw, false)
	closeTo(t, "dw", dw, k.dw64, termsW)

	for _, many := range others {
		y2, mean2, variance2 := convForward(t, many, c, k.x, k.w, nil, nil, isa.ActNone)
		isatest.SameBits(t, "y", y2, y)
		isatest.SameBits(t, "mean", mean2, mean)
		isatest.SameBits(t, "variance", variance2, variance)
		dx2, dw2 := isatest.Nans(c.XLen()), isatest.Nans(c.WLen())
		convInputGrad(t, many, c, k.dy, k.w, dx2, false)
		isatest.SameBits(t, "dx", dx2, dx)
		convWeightGrad(t, many, c, k.x, k.dy, dw2, false)
		isatest.SameBits(t, "dw", dw2, dw)
	}

	convInputGrad(t, one, c, k.dy, k.w, dx, true)
	closeTo(t, "dx+dx", dx, twice(k.dx64), termsX)
	convWeightGrad(t, one, c, k.x, k.dy, dw, true)
	closeTo(t, "dw+dw", dw, twice(k.dw64), termsW)
	for _, act := range []isa.Act{isa.ActReLU, isa.ActReLU6} {
		y, _, _ := convForward(t, one, c, k.x, k.w, k.bias, k.res, act)
		want := make([]float64, len(k.y64))
		for i, v := range k.y64 {
			v = max(0, v+float64(k.bias[i%c.K])+float64(k.res[i]))
			if act == isa.ActReLU6 {
				v = min(v, 6)
			}
			want[i] = v
		}
		closeTo(t, "act(y+bias+residual)", y, want, termsY)
	}
}

func twice(s []float64) []float64 {
	d := make([]float64, len(s))
	for i, v := range s {
		d[i] = 2 * v
	}
	return d
}

func checkStats(t *testing.T, y []float32, k int, mean, variance []float32) {
	t.Helper()
	n := float64(len(y) / k)
	for j := range k {
		var sum, sq float64
		for i := j; i < len(y); i += k {
			sum += float64(y[i])
		}
		mu := sum / n
		for i := j; i < len(y); i += k {
			sq += (float64(y[i]) - mu) * (float64(y[i]) - mu)
		}
		if math.Abs(float64(mean[j])-mu) > 2e-5*(math.Sqrt(sq/n)+math.Abs(mu)) {
			t.Fatalf("mean[%d] = %v, want %v", j, mean[j], mu)
		}
		if math.Abs(float64(variance[j])-sq/n) > 1e-4*sq/n+1e-6 {
			t.Fatalf("variance[%d] = %v, want %v", j, variance[j], sq/n)
		}
	}
}

func TestConvCheckNamesTheField(t *testing.T) {
	ok := conv(1, 4, 4, 4, 4, 3, 1, 1)
	for _, c := range []struct {
		want string
		edit func(c *Conv)
	}{
		{"N is 0", func(c *Conv) { c.N = 0 }},
		{"StrideW is -1", func(c *Conv) { c.StrideW = -1 }},
		{"PadLeft is -1", func(c *Conv) { c.PadLeft = -1 }},
		{"C=4 is not divisible by Groups=3", func(c *Conv) { c.Groups = 3 }},
		{"K=5 is not divisible by Groups=4", func(c *Conv) { c.Groups, c.K = 4, 5 }},
		{"kernel height 7", func(c *Conv) { c.DilH = 3 }},
		{"kernel width 9", func(c *Conv) { c.S = 9 }},
		{"more than 2^38 floats", func(c *Conv) { c.N, c.H, c.W = 1<<20, 1<<15, 1<<15 }},
	} {
		bad := ok
		c.edit(&bad)
		err := bad.Check()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
		for _, op := range []Op{Forward, InputGrad, WeightGrad} {
			if _, err := Choose(bad, Want{Op: op}); err == nil {
				t.Errorf("Choose took it for %v", op)
			}
		}
	}
}

// A random geometry on the fastest instruction set agrees with the naive sums.
func FuzzConv(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(99))
	pool := parallel.NewPool(2)
	f.Cleanup(pool.Close)
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 7))
		groups := 1
		if r.IntN(4) == 0 {
			groups = 1 + r.IntN(4)
		}
		c := Conv{
			N: 1 + r.IntN(3), H: 1 + r.IntN(12), W: 1 + r.IntN(20), C: groups * (1 + r.IntN(20)), K: groups * (1 + r.IntN(40)), R: 1 + r.IntN(4), S: 1 + r.IntN(4),
			StrideH: 1 + r.IntN(3), StrideW: 1 + r.IntN(3), PadTop: r.IntN(4), PadLeft: r.IntN(4), PadBottom: r.IntN(4), PadRight: r.IntN(4),
			DilH: 1 + r.IntN(2), DilW: 1 + r.IntN(2), Groups: groups,
		}
		if c.Check() != nil {
			t.Skip("the kernel is larger than the input")
		}
		newConvCase(c).test(t, pool)
	})
}

func TestRunAllocatesNothing(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		c := conv(2, 9, 9, 17, 33, 3, 2, 1)
		x, w, y, a, b := make([]float32, c.XLen()), make([]float32, c.WLen()), make([]float32, c.YLen()), make([]float32, c.K), make([]float32, c.K)
		f, g := planned(t, directForward, c, Want{Stats: true}), planned(t, directInputGrad, c, Want{Op: InputGrad, Residual: true})
		h := planned(t, directWeightGrad, c, Want{Op: WeightGrad, Residual: true})
		m, err := PlanMatMul(MatMul{Batch: 1, M: 9, N: 17, K: 33, TransA: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []*Packing{f.Packed, g.Packed} {
			packed := make([]float32, k.Len)
			if n := testing.AllocsPerRun(10, func() { k.Pack(0, packed, Weights{Data: w}) }); n != 0 {
				t.Errorf("packing: %v allocations", n)
			}
		}
		taskAllocations(t, "forward", f, Args{X: x, Packed: make([]float32, f.Packed.Len), Residual: y, Y: y, Mean: a, Variance: b, Act: isa.ActReLU})
		taskAllocations(t, "input gradient", g, Args{X: y, Packed: make([]float32, g.Packed.Len), Residual: x, Y: x})
		taskAllocations(t, "weight gradient", h, Args{X: x, DY: y, Residual: w, Y: w})
		d := make([]float32, 9*17)
		taskAllocations(t, "matrix product", m, Args{X: make([]float32, 9*33), Packed: make([]float32, 17*33), Residual: d, Y: d})
		taskAllocations(t, "column sums", PlanColumnSums(c.YLen()/c.K, c.K), Args{X: y, Y: a})
	})
}

func TestGeometry(t *testing.T) {
	usual := Conv{N: 2, H: 7, W: 9, C: 3, K: 8, R: 3, S: 1, StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1}
	seen := map[string]bool{}
	for _, c := range []struct {
		change func(*Conv)
		want   string
	}{
		{func(*Conv) {}, "n2 7x9x3 3x1 k8"},
		{func(c *Conv) { c.PadTop, c.PadLeft, c.PadBottom, c.PadRight = 1, 1, 1, 1 }, "n2 7x9x3 3x1 k8 p1"},
		{func(c *Conv) { c.PadTop = 1 }, "n2 7x9x3 3x1 k8 p1,0,0,0"},
		{func(c *Conv) { c.StrideH, c.StrideW = 2, 2 }, "n2 7x9x3 3x1 k8 s2"},
		{func(c *Conv) { c.StrideH = 2 }, "n2 7x9x3 3x1 k8 s2,1"},
		{func(c *Conv) { c.DilW = 2 }, "n2 7x9x3 3x1 k8 d1,2"},
		{func(c *Conv) { c.Groups = 3 }, "n2 7x9x3 3x1 k8 g3"},
	} {
		changed := usual
		c.change(&changed)
		if got := changed.Geometry(); got != c.want || seen[got] {
			t.Errorf("%+v is %q, want %q", changed, got, c.want)
		}
		seen[c.want] = true
	}
}
