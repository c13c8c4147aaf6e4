package conv

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// stride2Shapes are small geometries with every kind of edge.
var stride2Shapes = []Conv{
	conv(1, 1, 1, 1, 1, 3, 2, 1),
	conv(1, 3, 3, 16, 16, 3, 2, 0),
	conv(1, 1, 1, 17, 33, 3, 2, 2),
	conv(2, 7, 7, 32, 48, 3, 2, 1),
	conv(3, 16, 16, 16, 16, 3, 2, 1),
	conv(2, 5, 9, 3, 20, 3, 2, 1),
	conv(1, 4, 13, 24, 40, 3, 2, 2),
	conv(1, 6, 6, 130, 9, 3, 2, 1),
	conv(1, 9, 7, 1024, 20, 3, 2, 1),
	conv(1, 28, 28, 64, 96, 3, 2, 1),
	conv(5, 14, 14, 40, 72, 3, 2, 1),
	conv(1, 60, 61, 20, 18, 3, 2, 1),
	conv(1, 2, 50, 31, 15, 3, 2, 1),
	conv(2, 50, 3, 8, 130, 3, 2, 0),
	conv(1, 14, 14, 140, 300, 3, 2, 1), // weights that exceed L2
	{N: 2, H: 9, W: 7, C: 12, K: 18, R: 3, S: 3, StrideH: 2, StrideW: 2, PadTop: 0, PadLeft: 1, PadBottom: 2, PadRight: 0, DilH: 1, DilW: 1, Groups: 1},
	{N: 1, H: 4, W: 4, C: 3, K: 6, R: 3, S: 3, StrideH: 2, StrideW: 2, PadTop: 9, PadLeft: 8, PadBottom: 7, PadRight: 6, DilH: 1, DilW: 1, Groups: 1},
}

// inference is what a convolution of stride 2 by Winograd's algorithm is for.
var inference = Want{Fast: true, ConstantWeights: true}

// testStride2 compares a case with float64, run by one, and the bits that the
// other pools get with those.
func testStride2(t *testing.T, k *convCase, one *parallel.Pool, others ...*parallel.Pool) {
	terms := 2 * 9 * k.C
	f := planned(t, winogradStride2, k.Conv, inference)
	y := runForward(one, f, k, nil, nil, isa.ActNone)
	closeTo(t, "y", y, k.y64, terms)
	for _, many := range others {
		isatest.SameBits(t, "y", runForward(many, f, k, nil, nil, isa.ActNone), y)
	}
	for _, act := range []isa.Act{isa.ActNone, isa.ActReLU, isa.ActReLU6} {
		for _, res := range [][]float32{nil, k.res} {
			want := make([]float64, len(k.y64))
			for i, v := range k.y64 {
				v += float64(k.bias[i%k.K])
				if res != nil {
					v += float64(res[i])
				}
				if act != isa.ActNone {
					v = max(0, v)
				}
				if act == isa.ActReLU6 {
					v = min(v, 6)
				}
				want[i] = v
			}
			closeTo(t, "act(y+bias+residual)", runForward(one, f, k, k.bias, res, act), want, terms)
		}
	}
}

func TestWinogradStride2AgainstNaive(t *testing.T) {
	one, two, eight := parallel.NewPool(1), parallel.NewPool(2), parallel.NewPool(8)
	defer one.Close()
	defer two.Close()
	defer eight.Close()
	var cases []*convCase
	for _, c := range stride2Shapes {
		cases = append(cases, newConvCase(c))
	}
	isatest.EachISA(t, func(t *testing.T) {
		for _, k := range cases {
			t.Run(k.Conv.String(), func(t *testing.T) { testStride2(t, k, one, two, eight) })
		}
	})
}

// A random geometry on the fastest instruction set agrees with the naive sums.
func FuzzWinogradStride2(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(99))
	one, pool := parallel.NewPool(1), parallel.NewPool(2)
	f.Cleanup(one.Close)
	f.Cleanup(pool.Close)
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := Conv{
			N: 1 + r.IntN(3), H: 1 + r.IntN(28), W: 1 + r.IntN(35), C: 1 + r.IntN(40), K: 1 + r.IntN(70), R: 3, S: 3, StrideH: 2, StrideW: 2,
			PadTop: r.IntN(4), PadLeft: r.IntN(4), PadBottom: r.IntN(4), PadRight: r.IntN(4), DilH: 1, DilW: 1, Groups: 1,
		}
		if c.Check() != nil {
			t.Skip("the kernel is larger than the input")
		}
		testStride2(t, newConvCase(c), one, pool)
	})
}

// Weights in PyTorch's order become the same bits.
func TestWinogradStride2Packs(t *testing.T) {
	c := conv(1, 9, 9, 19, 37, 3, 2, 1)
	w := isatest.RandomFloats(1, c.WLen())
	oihw := make([]float32, len(w))
	for tap := range 9 {
		for i := range c.C {
			for k := range c.K {
				oihw[(k*c.C+i)*9+tap] = w[(tap*c.C+i)*c.K+k]
			}
		}
	}
	p := newStride2(c).packing()
	a, b := isatest.Nans(p.Len), isatest.Nans(p.Len)
	for task := range p.Tasks {
		p.Pack(task, a, Weights{Data: w})
		p.Pack(task, b, Weights{Data: oihw, Order: OIHW})
	}
	isatest.SameBits(t, "packed", b, a)
}

func TestWinogradStride2Refuses(t *testing.T) {
	for _, v := range []struct {
		conv Conv
		want string
	}{
		{conv(1, 8, 8, 4, 4, 3, 1, 1), "stride 2"},
		{conv(1, 8, 8, 4, 4, 5, 2, 1), "3x3"},
		{conv(0, 8, 8, 4, 4, 3, 2, 1), ""},
	} {
		if _, err := winogradStride2(v.conv, inference); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%v: error %v", v.conv, err)
		}
	}
}
