package vec

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
)

var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)),
	math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 1e-40, -1e-40, 88.8, -88.8, 103, -104, 1e-20, 1e20, -1e20, 5, -5, 9, -9,
}

func params(op UnaryOp) (a, b float32) {
	switch op {
	case OpClamp:
		return -0.5, 1.5
	case OpLeakyReLU:
		return 0.2, 0
	case OpHardSigmoid:
		return 1. / 6, 0.5
	case OpELU:
		return 1.25, 0
	}
	return 0, 0
}

// Every function at every length, against the portable one.
func TestUnary(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		for op := range unaryOps {
			a, b := params(op)
			for _, n := range isatest.Lengths() {
				buf := isatest.NewBuffers(t, uint64(n))
				buf.Next = n
				x := buf.In(buf.Normal(n, 0, 3))
				y := buf.Out(n)
				Unary(op, y, x, a, b)
				isatest.Near(t, "Unary", y, func(i int) float64 { return float64(unary1(op, x[i], a, b)) }, 4e-7, 4e-7)
				inPlace := buf.Inout(x)
				cut := n / 3
				Unary(op, inPlace[:cut], inPlace[:cut], a, b)
				Unary(op, inPlace[cut:], inPlace[cut:], a, b)
				isatest.SameBits(t, "in place and cut", inPlace, y)
				dy, old := buf.In(buf.Normal(n, 0, 1)), buf.Normal(n, 0, 1)
				for _, acc := range []bool{false, true} {
					dx := buf.Inout(old)
					UnaryGrad(op, dx, dy, x, y, a, b, acc)
					isatest.Near(t, "UnaryGrad", dx, func(i int) float64 {
						w := float64(unaryGrad1(op, dy[i], x[i], y[i], a, b))
						if acc {
							w += float64(old[i])
						}
						return w
					}, 2e-6, 1e-6)
				}
				if t.Failed() {
					t.Fatalf("op %d, length %d", op, n)
				}
				buf.Check()
			}
		}
	})
}

func TestUnarySpecial(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		for op := range unaryOps {
			a, b := params(op)
			y := make([]float32, len(specials))
			Unary(op, y, specials, a, b)
			for i, x := range specials {
				want := unary1(op, x, a, b)
				got := y[i]
				ok := got == want || (got != got && want != want) || math.Abs(float64(got)-float64(want)) <= 4e-7*math.Abs(float64(want))+3e-37
				if !ok {
					t.Errorf("op %d of %v is %v, want %v", op, x, got, want)
				}
			}
		}
	})
}

// The accuracy that the documentation of Unary states.
func TestUnaryAccuracy(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		const n = 1 << 14
		rng := rand.New(rand.NewPCG(1, 2))
		x, y := make([]float32, n), make([]float32, n)
		for _, k := range []struct {
			op     UnaryOp
			lo, hi float64
			ulp    float64 // of the result, or
			abs    float64 // of max(1, |x|)
		}{
			{op: OpExp, lo: -87, hi: 88.7, ulp: 3}, {op: OpSigmoid, lo: -80, hi: 30, ulp: 3}, {op: OpSiLU, lo: -80, hi: 30, ulp: 4},
			{op: OpTanh, lo: -12, hi: 12, abs: 4e-7}, {op: OpGELU, lo: -9, hi: 9, abs: 4e-7},
		} {
			for i := range x {
				x[i] = float32(k.lo + (k.hi-k.lo)*rng.Float64())
			}
			Unary(k.op, y, x, 0, 0)
			worst, at := 0.0, float32(0)
			for i, v := range x {
				u := float64(v)
				var w float64
				switch k.op {
				case OpExp:
					w = math.Exp(u)
				case OpSigmoid:
					w = sigmoid(u)
				case OpSiLU:
					w = u * sigmoid(u)
				case OpTanh:
					w = math.Tanh(u)
				case OpGELU:
					w = u * 0.5 * math.Erfc(-u*math.Sqrt2/2)
				}
				var e float64
				if k.ulp > 0 {
					_, exp := math.Frexp(w)
					e = math.Abs(float64(y[i])-w) / math.Ldexp(1, max(exp-24, -149)) / k.ulp
				} else {
					e = math.Abs(float64(y[i])-w) / max(1, math.Abs(u)) / k.abs
				}
				if e > worst {
					worst, at = e, v
				}
			}
			t.Logf("op %d: %.2f of the bound, at %v", k.op, worst, at)
			if !(worst <= 1) {
				t.Errorf("op %d of %v: error is %.2f times the stated bound", k.op, at, worst)
			}
		}
	})
}

func TestBinary(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		for op := range binaryOps {
			for _, n := range isatest.Lengths() {
				buf := isatest.NewBuffers(t, uint64(n))
				buf.Next = n
				av, bv := buf.Normal(n, 0, 2), buf.Positive(n)
				for i := range av {
					if op == OpPow {
						av[i] = float32(math.Abs(float64(av[i])))
					} else if i%11 == 5 {
						av[i] = specials[i%len(specials)]
					} else if i%7 == 3 {
						bv[i] = specials[(i/2)%len(specials)]
					}
				}
				a, b, y := buf.In(av), buf.In(bv), buf.Out(n)
				Binary(op, y, a, b)
				want := make([]float32, n)
				for i := range want {
					want[i] = binary1(op, a[i], b[i])
				}
				isatest.Near(t, "Binary", y, func(i int) float64 { return float64(want[i]) }, 0, 0)
				inPlace := buf.Inout(b)
				Binary(op, inPlace, a, inPlace)
				isatest.Near(t, "Binary in place", inPlace, func(i int) float64 { return float64(want[i]) }, 0, 0)
				for _, s := range []float32{1.5, float32(math.NaN()), 0} {
					BinaryScalar(op, y, a, s)
					isatest.Near(t, "BinaryScalar", y, func(i int) float64 { return float64(binary1(op, a[i], s)) }, 0, 0)
				}
				inPlace = buf.Inout(buf.Normal(n, 0, 1))
				old := append([]float32{}, inPlace...)
				Axpy(inPlace, b, 0.75)
				isatest.Near(t, "Axpy", inPlace, func(i int) float64 { return float64(float32(float64(old[i]) + 0.75*float64(b[i]))) }, 1e-7, 2e-7)
				if t.Failed() {
					t.Fatalf("op %d, length %d", op, n)
				}
				buf.Check()
			}
		}
	})
}

func TestBinaryRowCol(t *testing.T) {
	isatest.EachShape(t, func(t *testing.T, b *isatest.Buffers, rows, c int) {
		a, row, col := b.In(b.Normal(rows*c, 0, 1)), b.In(b.Positive(c)), b.In(b.Positive(rows))
		for op := range OpPow {
			y := b.Out(rows * c)
			BinaryRow(op, y, a, row)
			isatest.Near(t, "BinaryRow", y, func(i int) float64 { return float64(binary1(op, a[i], row[i%c])) }, 0, 0)
			BinaryCol(op, y, a, col, c)
			isatest.Near(t, "BinaryCol", y, func(i int) float64 { return float64(binary1(op, a[i], col[i/c])) }, 0, 0)
		}
	})
}

func TestBinaryStrided(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 3))
		for round := range 400 {
			n := rng.IntN(maxDims + 1)
			shape, as, bs := make([]int, n), make([]int, n), make([]int, n)
			size, an, bn := 1, 1, 1
			for d := n - 1; d >= 0; d-- {
				shape[d] = 1 + rng.IntN(4)
				if round%17 == 0 && d == n-1 {
					shape[d] = 0
				}
				if d == n-1 && round%3 == 0 {
					shape[d] += 20
				}
				size *= shape[d]
				if rng.IntN(3) > 0 {
					as[d] = an
					an *= shape[d]
				}
				if rng.IntN(3) > 0 {
					bs[d] = bn
					bn *= shape[d]
				}
			}
			buf := isatest.NewBuffers(t, uint64(round))
			a, b := buf.In(buf.Normal(max(an, 1), 0, 1)), buf.In(buf.Positive(max(bn, 1)))
			op := BinaryOp(rng.IntN(int(OpPow)))
			outer := 1
			if n > 0 {
				outer = shape[0]
			}
			y := buf.Out(size)
			cut := outer / 2
			BinaryStrided(op, y, a, b, Broadcast{shape, as, bs}, cut, outer)
			BinaryStrided(op, y, a, b, Broadcast{shape, as, bs}, 0, cut)
			isatest.Near(t, "BinaryStrided", y, func(i int) float64 {
				ai, bi := 0, 0
				for d := n - 1; d >= 0; d-- {
					ai += i % shape[d] * as[d]
					bi += i % shape[d] * bs[d]
					i /= shape[d]
				}
				return float64(binary1(op, a[ai], b[bi]))
			}, 0, 0)
			buf.Check()
		}
	})
}

func TestFill(t *testing.T) {
	for _, n := range isatest.Lengths() {
		y := make([]float32, n)
		for _, v := range []float32{3, 0, float32(math.Copysign(0, -1))} {
			Fill(y, v)
			want := make([]float32, n)
			for i := range want {
				want[i] = v
			}
			isatest.SameBits(t, "Fill", y, want)
		}
	}
}

func TestDropout(t *testing.T) {
	key := DropoutKey{Seed: 0x0123456789abcdef, Step: 7 << 33, Op: 12}
	var want []float32
	isatest.EachISA(t, func(t *testing.T) {
		for _, p := range []float32{0, 0.1, 0.5, 0.9, 1} {
			const n = 5000
			b := isatest.NewBuffers(t, 1)
			x := b.In(b.Positive(n))
			y := b.Out(n)
			Dropout(y, x, p, key, 0)
			dropped := 0
			for i, v := range y {
				switch {
				case v == 0:
					dropped++
				case math.Abs(float64(v)-float64(x[i])/(1-float64(p))) > 1e-5:
					t.Fatalf("p %v: %v became %v", p, x[i], v)
				}
			}
			if d := float64(dropped)/n - float64(p); math.Abs(d) > 5*math.Sqrt(float64(p)*(1-float64(p))/n) {
				t.Errorf("p %v: dropped %d of %d", p, dropped, n)
			}
			// Any cutting, any alignment: the same bits.
			for at := 0; at < n; {
				k := min(1+b.Rng.IntN(90), n-at)
				piece := b.Inout(x[at : at+k])
				Dropout(piece, piece, p, key, at)
				isatest.SameBits(t, "piece", piece, y[at:at+k])
				at += k
			}
			other := b.Out(n)
			Dropout(other, x, p, DropoutKey{Seed: key.Seed, Step: key.Step + 1, Op: key.Op}, 0)
			same := 0
			for i := range y {
				if y[i] == other[i] {
					same++
				}
			}
			if p == 0.5 && (same < n*45/100 || same > n*55/100) {
				t.Errorf("another step shares %d of %d decisions", same, n)
			}
			if p == 0.5 {
				if want == nil {
					want = append([]float32{}, y...)
				}
				isatest.SameBits(t, "across instruction sets", y, want)
			}
			b.Check()
		}
		factor := make([]float32, 100)
		DropPath(factor, 0.25, key, 0)
		for i, v := range factor {
			if v != 0 && math.Abs(float64(v)-4./3) > 1e-6 {
				t.Errorf("factor %d is %v", i, v)
			}
		}
		isatest.NoAllocs(t, "Dropout", func() { Dropout(factor, factor, 0.5, key, 3) })
	})
}
