package conv

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/cpu"
	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/gemm8"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// naiveInt8 is the definition: sums in int64, the epilogue of [gemm8.Epilogue], and
// the scaled sums. scale is that of the sums, relative to what they are rounded to.
func naiveInt8(c Conv, x []uint8, w []int8, scale []float32, l *Quant, res []uint8, act isa.Act) (q []uint8, f []float32, scaled []float32) {
	cg, kg := c.C/c.Groups, c.K/c.Groups
	for n := range c.N {
		for oy := range c.OutH() {
			for ox := range c.OutW() {
				for k := range c.K {
					sum := int64(l.Bias[k])
					for r := range c.R {
						for s := range c.S {
							iy, ix := oy*c.StrideH+r*c.DilH-c.PadTop, ox*c.StrideW+s*c.DilW-c.PadLeft
							if iy < 0 || iy >= c.H || ix < 0 || ix >= c.W {
								continue
							}
							for i := range cg {
								v := int64(x[((n*c.H+iy)*c.W+ix)*c.C+k/kg*cg+i]) - int64(l.X.Zero)
								sum += v * int64(w[((r*c.S+s)*cg+i)*c.K+k])
							}
						}
					}
					v := float32(float32(sum) * scale[k])
					scaled = append(scaled, v)
					if res != nil {
						rs := l.Residual.Scale
						if !l.Real {
							rs /= l.Y.Scale
						}
						v += float32((float32(res[len(q)]) - float32(l.Residual.Zero)) * rs)
					}
					if act == isa.ActReLU && v < 0 {
						v = 0
					}
					f = append(f, v)
					q = append(q, uint8(min(max(math.RoundToEven(float64(v))+float64(l.Y.Zero), 0), 255)))
				}
			}
		}
	}
	return q, f, scaled
}

func TestInt8ConvAgainstNaive(t *testing.T) {
	base := Conv{N: 1, H: 9, W: 11, C: 8, K: 16, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 1}
	with := func(f func(c *Conv)) Conv { c := base; f(&c); return c }
	shapes := []Conv{
		base,
		Linear(1, 5, 3), Linear(3, 64, 10), Linear(33, 130, 65), Linear(1, 512, 1000),
		with(func(c *Conv) { c.C, c.K = 3, 33; c.StrideH, c.StrideW = 2, 2 }),
		with(func(c *Conv) {
			c.R, c.S, c.C, c.K, c.H, c.W = 7, 7, 3, 64, 23, 30
			c.StrideH, c.StrideW, c.PadTop, c.PadLeft = 2, 2, 3, 3
		}),
		with(func(c *Conv) {
			c.N, c.R, c.S, c.C, c.K = 2, 1, 1, 64, 80
			c.PadTop, c.PadLeft, c.PadBottom, c.PadRight = 0, 0, 0, 0
		}),
		with(func(c *Conv) {
			c.N, c.R, c.S, c.C, c.K = 3, 1, 1, 12, 48
			c.PadTop, c.PadLeft, c.PadBottom, c.PadRight = 0, 0, 0, 0
			c.StrideH, c.StrideW = 2, 2
		}),
		with(func(c *Conv) { c.N, c.C, c.K = 2, 16, 17; c.PadTop, c.PadLeft, c.PadBottom, c.PadRight = 0, 0, 0, 0 }),
		with(func(c *Conv) { c.C, c.K, c.Groups = 12, 36, 3 }),
		with(func(c *Conv) { c.C, c.K, c.Groups = 8, 8, 8 }),
		with(func(c *Conv) { c.C, c.K, c.DilH, c.DilW, c.PadTop, c.PadLeft = 5, 20, 2, 3, 2, 3 }),
		with(func(c *Conv) { c.N, c.H, c.W, c.C, c.K = 2, 7, 7, 128, 128 }),
	}
	r := rand.New(rand.NewPCG(8, 8))
	for range 40 {
		c := Conv{N: 1 + r.IntN(3), H: 1 + r.IntN(14), W: 1 + r.IntN(34), C: 1 + r.IntN(20), K: 1 + r.IntN(70), R: 1 + r.IntN(4), S: 1 + r.IntN(4),
			StrideH: 1 + r.IntN(3), StrideW: 1 + r.IntN(3), PadTop: r.IntN(3), PadLeft: r.IntN(3), PadBottom: r.IntN(3), PadRight: r.IntN(3), DilH: 1 + r.IntN(2), DilW: 1 + r.IntN(2), Groups: 1}
		if r.IntN(4) == 0 {
			c.Groups = 2
			c.C, c.K = 2*c.C, 2*c.K
		}
		if r.IntN(4) == 0 { // which are merged
			c.Groups = 2 + r.IntN(14)
			c.C, c.K = c.Groups*(1+r.IntN(9)), c.Groups*(1+r.IntN(10))
		}
		if c.Check() == nil {
			shapes = append(shapes, c)
		}
	}
	for range 40 {
		ch := 2 + r.IntN(70)
		c := Conv{N: 1 + r.IntN(3), H: 1 + r.IntN(14), W: 1 + r.IntN(20), C: ch, K: ch, Groups: ch, R: 1 + r.IntN(5), S: 1 + r.IntN(9),
			StrideH: 1 + r.IntN(3), StrideW: 1 + r.IntN(4), PadTop: r.IntN(4), PadLeft: r.IntN(6), PadBottom: r.IntN(4), PadRight: r.IntN(6), DilH: 1 + r.IntN(2), DilW: 1 + r.IntN(3)}
		if c.Check() == nil {
			shapes = append(shapes, c)
		}
	}
	isatest.EachISA(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for i, c := range shapes {
			t.Run(fmt.Sprintf("%d", i), func(t *testing.T) { checkInt8(t, r, c, i) })
		}
	}, isatest.VNNI)
}

// Winograd's algorithm is planned for geometries for which its estimate is not the lowest,
// too.
func TestInt8WinogradAgainstNaive(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		if gemm8.MaxSumRows() == 0 {
			t.Skip("there is no algorithm by numbers of 16 bits")
		}
		defer func(list []algorithm) { algorithms[QuantForward] = list }(algorithms[QuantForward])
		r := rand.New(rand.NewPCG(6, 7))
		for i := range 30 {
			c := Conv{N: 1 + r.IntN(3), H: 1 + r.IntN(14), W: 1 + r.IntN(34), C: 16 * (1 + r.IntN(3)), K: 1 + r.IntN(70), R: 3, S: 3,
				StrideH: 1, StrideW: 1, PadTop: r.IntN(4), PadLeft: r.IntN(4), PadBottom: r.IntN(4), PadRight: r.IntN(4), DilH: 1, DilW: 1, Groups: 1}
			switch i {
			case 0: // runs of tiles, and more than one block
				c.W = 4*int8Run + 5
			case 3: // as deep as the bytes allow where all are the largest
				c.C, c.H, c.W = 112, 4, 4
			}
			if c.Check() != nil {
				continue
			}
			for _, tile := range []wino.Tile{wino.F4, wino.F2} {
				algorithms[QuantForward] = []algorithm{int8WinogradForward(tile)}
				t.Run(fmt.Sprintf("%d %v", i, tile), func(t *testing.T) { checkInt8(t, r, c, i) })
			}
		}
	}, isatest.VNNI)
}

// The algorithms of the 3x3 convolutions of a ResNet at 224 pixels, as plans choose them
// for each instruction set.
func TestInt8Choice(t *testing.T) {
	defer func() { isa.PlanFor = nil }()
	four, two := int8WinogradName(wino.F4), int8WinogradName(wino.F2)
	for _, set := range []struct {
		isa.Set
		batch1, batch8 [4]string // of 56, 28, 14 and 7 pixels
	}{
		{isa.Set{AVX2: true}, [4]string{four, four, four, two}, [4]string{four, four, four, four}},
		{isa.Set{AVX2: true, AVX512: true}, [4]string{four, four, four, two}, [4]string{four, four, four, four}},
		{isa.Set{AVX2: true, AVX512: true, VNNI: true}, [4]string{int8Name, int8Name, int8Name, int8Name}, [4]string{four, four, int8Name, int8Name}},
		{isa.Set{AVX2: true, AVX512: true, VNNI: true, Core: cpu.Zen4}, [4]string{four, four, int8Name, int8Name}, [4]string{four, four, four, int8Name}},
		{isa.Set{NEON: true}, [4]string{int8Name, int8Name, int8Name, int8Name}, [4]string{int8Name, int8Name, int8Name, int8Name}},
	} {
		isa.PlanFor = &set.Set
		choice := func(c Conv) string {
			p, err := Choose(c, Want{Op: QuantForward, Quant: &Quant{
				X: vec.Quant{Scale: 1}, WScale: make([]float32, c.K), WSum: make([]int32, c.K), WAbs: make([]int32, c.K), Bias: make([]int32, c.K),
			}})
			if err != nil {
				t.Fatal(err)
			}
			return p.Algorithm
		}
		for i := range 4 {
			one := conv(1, 56>>i, 56>>i, 64<<i, 64<<i, 3, 1, 1)
			eight := one
			eight.N = 8
			if a, b := choice(one), choice(eight); a != set.batch1[i] || b != set.batch8[i] {
				t.Errorf("%+v, %s: %s and %s, want %s and %s", set.Set, one.Geometry(), a, b, set.batch1[i], set.batch8[i])
			}
		}
		for _, c := range []Conv{conv(1, 56, 56, 128, 128, 3, 2, 1), conv(1, 56, 56, 64, 256, 1, 1, 0), conv(1, 56, 56, 72, 64, 3, 1, 1)} {
			if a := choice(c); a != int8Name {
				t.Errorf("%+v, %s: %s", set.Set, c.Geometry(), a)
			}
		}
	}
}

// Sums that 25 bits may not hold are added up one by one. The bound is that of the worst
// inputs for the weights.
func TestInt8WinogradBound(t *testing.T) {
	isa.PlanFor = &isa.Set{AVX2: true}
	defer func() { isa.PlanFor = nil }()
	c := conv(1, 8, 8, 16, 16, 3, 1, 1)
	r := rand.New(rand.NewPCG(2, 3))
	for range 100 {
		var zero, worst int64 = int64(r.IntN(256)), 0
		l := &Quant{X: vec.Quant{Scale: 1, Zero: uint8(zero)}, WSum: make([]int32, 16), WAbs: make([]int32, 16)}
		for k := range 16 {
			var most, least int64
			for range 50 {
				w := int64(r.IntN(5001) - 1000)
				l.WSum[k] += int32(w)
				l.WAbs[k] += int32(max(w, -w))
				most += max(w*(255-zero), -w*zero)
				least += min(w*(255-zero), -w*zero)
			}
			worst = max(worst, most, -least)
		}
		if got := l.largestSum(16); got != worst {
			t.Fatalf("zero point %d: bound %d, want %d", zero, got, worst)
		}
		if _, err := int8WinogradForward(wino.F4)(c, Want{Quant: l}); (err == nil) != (worst <= wino.MaxIntSum(wino.F4)) {
			t.Errorf("sums of up to %d: %v", worst, err)
		}
	}
}

// checkInt8 runs one shape; i varies the epilogue and makes extreme values.
func checkInt8(t *testing.T, r *rand.Rand, c Conv, i int) {
	x, w := make([]uint8, c.XLen()), make([]int8, c.WLen())
	for j := range x {
		x[j] = uint8(r.IntN(256))
		if i%3 == 0 {
			x[j] = 255 // with ±127 and -128: where pairs of 16 bits would saturate
		}
	}
	for j := range w {
		w[j] = int8(r.IntN(256) - 128)
		if i%3 == 0 {
			w[j] = [3]int8{-128, 127, 127}[r.IntN(3)]
		}
	}
	l := Quant{
		X:      vec.Quant{Scale: 0.9, Zero: uint8([]int{0, 128, 255, 7}[i%4])},
		Y:      vec.Quant{Scale: 0.7, Zero: uint8([]int{0, 100, 255}[i%3])},
		WScale: make([]float32, c.K), WSum: make([]int32, c.K), WAbs: make([]int32, c.K), Bias: make([]int32, c.K),
	}
	for k := range c.K {
		l.Bias[k] = int32(r.IntN(20001) - 10000)
		l.WScale[k] = float32((0.5 + r.Float64()) / 40 / math.Sqrt(float64(c.R*c.S*c.C/c.Groups)))
		for j := k; j < len(w); j += c.K {
			l.WSum[k] += int32(w[j])
			l.WAbs[k] += max(int32(w[j]), -int32(w[j]))
		}
	}
	// scales returns the factors of the sums, which are rounded to numbers of this scale.
	scales := func(to float32) []float32 {
		list := make([]float32, c.K)
		for k := range list {
			list[k] = float32(l.X.Scale*l.WScale[k]) / to
		}
		return list
	}
	act := isa.ActNone
	if i&1 != 0 {
		act = isa.ActReLU
	}
	var res []uint8
	if i&2 != 0 {
		res, l.Residual = make([]uint8, c.YLen()), vec.Quant{Scale: 0.3, Zero: uint8(i)}
		for j := range res {
			res[j] = uint8(r.IntN(256))
		}
	}
	if res != nil {
		if a, ok := PlanQuantAdd(vec.Quant{Scale: 0.7, Zero: l.X.Zero}, l.Residual, vec.Quant{Scale: 0.9, Zero: uint8([]int{0, 100}[i&1])}, act); ok {
			sum := l
			sum.Add = a
			_, _, scaled := naiveInt8(c, x, w, scales(a.Y.Scale), &l, nil, isa.ActNone)
			got, _ := runInt8(t, c, x, w, &sum, res, act)
			for j, v := range scaled {
				y := uint8(min(max(math.RoundToEven(float64(v))+float64(a.Y.Zero), 0), 255))
				if want := naiveAdd(a, y, res[j]); got[j] != want {
					t.Fatalf("%+v: sum %d is %d, want %d", c, j, got[j], want)
				}
			}
		} else {
			t.Error("no constants for an addition")
		}
	}
	for _, toReal := range []bool{false, true} {
		l.Real = toReal
		to := l.Y.Scale
		if l.Real {
			to = 1
		}
		wantQ, wantF, _ := naiveInt8(c, x, w, scales(to), &l, res, act)
		gotQ, gotF := runInt8(t, c, x, w, &l, res, act)
		for j := range wantQ {
			if l.Real && gotF[j] != wantF[j] {
				t.Fatalf("%+v: float output %d of %d is %v, want %v", c, j, len(wantF), gotF[j], wantF[j])
			} else if !l.Real && gotQ[j] != wantQ[j] {
				t.Fatalf("%+v: output %d of %d is %d, want %d", c, j, len(wantQ), gotQ[j], wantQ[j])
			}
		}
	}
}

// naiveAdd adds two bytes as their definition has it.
func naiveAdd(a *QuantAdd, y, res uint8) uint8 {
	dy := (float32(y) - float32(a.Y.Zero)) * a.Y.Scale
	dr := (float32(res) - float32(a.Res.Zero)) * a.Res.Scale
	v := float32(dy) + float32(dr)
	if a.Act == isa.ActReLU && v < 0 {
		v = 0
	}
	return uint8(min(max(math.RoundToEven(float64(v/a.Out.Scale))+float64(a.Out.Zero), 0), 255))
}

// For scales as networks have them there are constants that give the result of
// each of the 65,536 pairs, and for scales that make many results lie in the
// middle of two integers as well.
func TestQuantAddOfAllPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	scale := func() float32 { return float32(math.Exp2(3*r.Float64() - 6)) }
	// Scales of a network whose nearest constants do not do.
	if _, ok := PlanQuantAdd(vec.Quant{Scale: 0.013413122, Zero: 128}, vec.Quant{Scale: 0.023342485, Zero: 0}, vec.Quant{Scale: 0.025215775, Zero: 0}, isa.ActReLU); !ok {
		t.Error("no constants for the scales of a network")
	}
	found, all := 0, 80
	for i := range all {
		y, res, out := vec.Quant{Scale: scale(), Zero: uint8(r.IntN(256))}, vec.Quant{Scale: scale(), Zero: uint8(r.IntN(256))}, vec.Quant{Scale: scale(), Zero: uint8(r.IntN(256))}
		act := isa.ActNone
		switch i % 4 {
		case 0:
			act, res.Zero, out.Zero = isa.ActReLU, 0, 0
		case 1:
			act, res.Zero, out.Zero = isa.ActReLU, 128, 128
		case 2:
			y.Scale, res.Scale, out.Scale, out.Zero = 0.25, 0.5, 1, out.Zero&^1
		}
		a, ok := PlanQuantAdd(y, res, out, act)
		if !ok {
			continue
		}
		found++
		if i%10 > 2 {
			continue // all pairs take long
		}
		for y := range 256 {
			for res := range 256 {
				if got, want := a.fused(y, res), int(naiveAdd(a, uint8(y), uint8(res))); got != want {
					t.Fatalf("%+v: %d and %d give %d, want %d", a, y, res, got, want)
				}
			}
		}
	}
	if found < all-3 {
		t.Errorf("constants found for %d of %d additions", found, all)
	}
	if _, ok := PlanQuantAdd(vec.Quant{Scale: 1, Zero: 0}, vec.Quant{Scale: 1, Zero: 0}, vec.Quant{Scale: 1e-9, Zero: 0}, isa.ActNone); ok {
		t.Error("sums that float32 cannot round to integers have constants")
	}
}

// The one rounding of fma32, against exact arithmetic.
func TestFMA32(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200_000 {
		x, y := float32(r.NormFloat64()), float32(r.NormFloat64())
		z := float32(r.NormFloat64() * math.Exp2(float64(r.IntN(80)-40)))
		if r.IntN(3) == 0 { // nearly the middle of two float32
			z = float32(math.Exp2(float64(r.IntN(60) - 30)))
		}
		exact := new(big.Float).SetPrec(300).Mul(big.NewFloat(float64(x)), big.NewFloat(float64(y)))
		want, _ := exact.Add(exact, big.NewFloat(float64(z))).Float32()
		if got := isa.FMA(x, y, z); got != want {
			t.Fatalf("fma32(%g, %g, %g) = %g, want %g", x, y, z, got, want)
		}
	}
}

// bytesInFloats returns n bytes, and the floats whose memory they are.
func bytesInFloats(n int) ([]uint8, []float32) {
	f := make([]float32, FloatsOf(n))
	return bytesOf(f, n), f
}

// quantPlan chooses a plan and returns the arrays for it, packed if there are
// weights [R][S][C/Groups][K].
func quantPlan(t testing.TB, c Conv, w []int8, l *Quant) (*Plan, Args) {
	t.Helper()
	p, err := Choose(c, Want{Op: QuantForward, Quant: l, ConstantWeights: true})
	if err != nil {
		t.Fatal(err)
	}
	_, x := bytesInFloats(c.XLen())
	_, y := bytesInFloats(c.YLen())
	a := Args{X: x, Packed: make([]float32, p.Packed.Len), Inputs: make([]float32, p.Floats[ArgInputs]), Y: y}
	if l.Real {
		a.Y = make([]float32, c.YLen())
	}
	if w != nil {
		pack(p, a.Packed, Weights{Data: floatsOf(w)})
	}
	return p, a
}

func floatsOf(w []int8) []float32 {
	f := make([]float32, len(w))
	for i, v := range w {
		f[i] = float32(v)
	}
	return f
}

func pack(p *Plan, dst []float32, w Weights) {
	for task := range p.Packed.Tasks {
		p.Packed.Pack(task, dst, w)
	}
}

// runSteps runs all tasks of a plan.
func runSteps(p *Plan, a Args, scratch []float32) {
	for i := range p.Steps {
		worker := Worker{Scratch: scratch}
		for task := range p.Steps[i].Tasks {
			p.Steps[i].Run(&worker, task, a)
		}
	}
}

func scratchOf(p *Plan) []float32 {
	most := 0
	for _, s := range p.Steps {
		most = max(most, s.Scratch)
	}
	return make([]float32, most)
}

// runInt8 computes a convolution; one of the results is nil.
func runInt8(t *testing.T, c Conv, x []uint8, w []int8, l *Quant, res []uint8, act isa.Act) ([]uint8, []float32) {
	t.Helper()
	p, a := quantPlan(t, c, w, l)
	a.Act = act
	copy(bytesOf(a.X, len(x)), x)
	if res != nil {
		var to []uint8
		to, a.Residual = bytesInFloats(len(res))
		copy(to, res)
	}
	runSteps(p, a, scratchOf(p))
	if l.Real {
		return nil, a.Y
	}
	return bytesOf(a.Y, c.YLen()), nil
}

func BenchmarkInt8Conv(b *testing.B) {
	for _, s := range []struct {
		name          string
		hw, c, k, r   int
		stride, batch int
		groups        int
	}{
		{"3x3x64at56", 56, 64, 64, 3, 1, 1, 1}, {"3x3x512at7", 7, 512, 512, 3, 1, 1, 1}, {"1x1x256to64at56", 56, 256, 64, 1, 1, 1, 1},
		{"1x1x64to256at56", 56, 64, 256, 1, 1, 1, 1}, {"1x1x2048to512at7", 7, 2048, 512, 1, 1, 1, 1}, {"7x7stem", 224, 3, 64, 7, 2, 1, 1}, {"3x3x128at56groups32", 56, 128, 128, 3, 1, 1, 32},
	} {
		b.Run(s.name, func(b *testing.B) {
			c := Conv{N: s.batch, H: s.hw, W: s.hw, C: s.c, K: s.k, R: s.r, S: s.r, StrideH: s.stride, StrideW: s.stride, DilH: 1, DilW: 1, Groups: s.groups}
			c.PadTop = s.r / 2
			c.PadLeft, c.PadBottom, c.PadRight = c.PadTop, c.PadTop, c.PadTop
			p, a := quantPlan(b, c, nil, &Quant{
				X: vec.Quant{Scale: 1}, Y: vec.Quant{Scale: 1},
				WScale: make([]float32, c.K), WSum: make([]int32, c.K), WAbs: make([]int32, c.K), Bias: make([]int32, c.K),
			})
			a.Act = isa.ActReLU
			scratch := scratchOf(p)
			for b.Loop() {
				runSteps(p, a, scratch)
			}
			b.ReportMetric(float64(c.FLOPs())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
		})
	}
}

// BenchmarkInt8Winograd compares the algorithm with the sum of all products.
func BenchmarkInt8Winograd(b *testing.B) {
	for _, c := range []Conv{conv(1, 56, 56, 64, 64, 3, 1, 1), conv(1, 28, 28, 128, 128, 3, 1, 1), conv(1, 14, 14, 256, 256, 3, 1, 1), conv(1, 7, 7, 512, 512, 3, 1, 1), conv(8, 14, 14, 256, 256, 3, 1, 1), conv(8, 7, 7, 512, 512, 3, 1, 1), conv(8, 56, 56, 64, 64, 3, 1, 1)} {
		for _, a := range []algorithm{int8WinogradForward(wino.F4), int8WinogradForward(wino.F2), int8Forward} {
			l := &Quant{X: vec.Quant{Scale: 1}, Y: vec.Quant{Scale: 1}, WScale: make([]float32, c.K), WSum: make([]int32, c.K), WAbs: make([]int32, c.K), Bias: make([]int32, c.K)}
			plan := planned(b, a, c, Want{Quant: l})
			b.Run(c.Geometry()+"/"+plan.Algorithm, func(b *testing.B) {
				p := parallel.NewPool(1)
				defer p.Close()
				args := Args{X: make([]float32, FloatsOf(c.XLen())), Packed: make([]float32, plan.Packed.Len), Inputs: make([]float32, plan.Floats[ArgInputs]), Y: make([]float32, FloatsOf(c.YLen())), Act: isa.ActReLU}
				run := prepared(p, plan, args)
				for b.Loop() {
					run()
				}
				b.ReportMetric(float64(c.FLOPs())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
			})
		}
	}
}

// BenchmarkInt8Depthwise compares the algorithm with that of any groups, and with
// float32's.
func BenchmarkInt8Depthwise(b *testing.B) {
	for _, c := range []Conv{conv(1, 112, 112, 32, 32, 3, 1, 1), conv(1, 56, 56, 144, 144, 3, 2, 1), conv(1, 14, 14, 384, 384, 3, 1, 1), conv(1, 28, 28, 120, 120, 5, 1, 2), conv(1, 7, 7, 960, 960, 3, 1, 1)} {
		c.Groups = c.C
		for _, a := range []algorithm{int8DepthwiseForward, int8Forward, depthwiseForward} {
			l := &Quant{X: vec.Quant{Scale: 1}, Y: vec.Quant{Scale: 1}, WScale: make([]float32, c.K), WSum: make([]int32, c.K), WAbs: make([]int32, c.K), Bias: make([]int32, c.K)}
			plan := planned(b, a, c, Want{Quant: l})
			b.Run(c.Geometry()+"/"+plan.Algorithm, func(b *testing.B) {
				p := parallel.NewPool(1)
				defer p.Close()
				args := Args{X: make([]float32, c.XLen()), Packed: make([]float32, plan.Packed.Len), Y: make([]float32, c.YLen()), Act: isa.ActReLU}
				if plan.Algorithm != Depthwise {
					args.X, args.Y = args.X[:FloatsOf(c.XLen())], args.Y[:FloatsOf(c.YLen())]
				}
				run := prepared(p, plan, args)
				for b.Loop() {
					run()
				}
				b.ReportMetric(float64(c.FLOPs())*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
			})
		}
	}
}

func BenchmarkQuantAddPlan(b *testing.B) {
	for b.Loop() {
		if _, ok := PlanQuantAdd(vec.Quant{Scale: 0.0213, Zero: 120}, vec.Quant{Scale: 0.0317, Zero: 0}, vec.Quant{Scale: 0.0333, Zero: 0}, isa.ActReLU); !ok {
			b.Fatal("no constants")
		}
	}
}

// Packed weights depend neither on the size of the images, though those of narrow
// ones are read tap by tap, nor on the order in which they are given.
func TestInt8PackedWeights(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for _, c := range []Conv{
		{C: 8, K: 20, R: 3, S: 3, StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 1},
		{C: 8, K: 20, R: 3, S: 3, StrideH: 2, StrideW: 2, DilH: 1, DilW: 1, Groups: 1},
		{C: 6, K: 36, R: 2, S: 3, StrideH: 1, StrideW: 1, DilH: 1, DilW: 1, Groups: 2},
		{C: 5, K: 17, R: 3, S: 2, StrideH: 1, StrideW: 1, DilH: 1, DilW: 2, Groups: 1},
	} {
		var first, hwio []float32
		for _, size := range []int{7, 30} {
			c.N, c.H, c.W = 1, size, size
			packing := newInt8(c).packing()
			packed := func(w Weights) []float32 {
				dst := make([]float32, packing.Len)
				for task := range packing.Tasks {
					packing.Pack(task, dst, w)
				}
				return dst
			}
			if first == nil {
				hwio = make([]float32, c.WLen())
				for i := range hwio {
					hwio[i] = float32(r.IntN(256) - 128)
				}
				first = packed(Weights{Data: hwio})
			}
			oihw := make([]float32, c.WLen())
			taps, in := c.R*c.S, c.C/c.Groups
			for i, v := range hwio { // [tap][channel][K]
				k, channel, tap := i%c.K, i/c.K%in, i/c.K/in
				oihw[(k*in+channel)*taps+tap] = v
			}
			got := packed(Weights{Data: oihw, Order: OIHW})
			if !bytes.Equal(bytesOf(got, 4*len(got)), bytesOf(first, 4*len(first))) {
				t.Errorf("%+v: packed weights differ from those of images of 7 pixels", c)
			}
		}
	}
}
