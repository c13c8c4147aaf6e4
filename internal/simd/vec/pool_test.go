package vec

import (
	"math"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func poolShapes(b *isatest.Buffers) []PoolShape {
	shapes := []PoolShape{
		{N: 2, H: 12, W: 11, C: 64, KH: 3, KW: 3, SH: 2, SW: 2, PadTop: 1, PadLeft: 1},
		{N: 1, H: 1, W: 1, C: 5, KH: 1, KW: 1, SH: 1, SW: 1},
		{N: 1, H: 6, W: 9, C: 33, KH: 2, KW: 3, SH: 3, SW: 1, PadLeft: 1},
		{N: 1, H: 13, W: 13, C: 17, KH: 5, KW: 5, SH: 1, SW: 1, PadTop: 2, PadLeft: 2},
	}
	for range 60 {
		p := PoolShape{
			N: 1 + b.Rng.IntN(2), H: 1 + b.Rng.IntN(12), W: 1 + b.Rng.IntN(12), C: 1 + b.Rng.IntN(40),
			KH: 1 + b.Rng.IntN(4), KW: 1 + b.Rng.IntN(4), SH: 1 + b.Rng.IntN(3), SW: 1 + b.Rng.IntN(3),
			PadTop: b.Rng.IntN(3), PadLeft: b.Rng.IntN(3), DH: b.Rng.IntN(3), DW: b.Rng.IntN(3),
		}
		shapes = append(shapes, p)
	}
	var ok []PoolShape
	for _, p := range shapes {
		p.PadBottom, p.PadRight = p.PadTop, p.PadLeft
		p.OH = (p.H+2*p.PadTop-max(p.DH, 1)*(p.KH-1)-1)/p.SH + 1
		p.OW = (p.W+2*p.PadLeft-max(p.DW, 1)*(p.KW-1)-1)/p.SW + 1
		if p.Check() == nil {
			ok = append(ok, p)
		}
	}
	return ok
}

// inputs calls f for every tap of output (n, oh, ow) that lies in the input.
func (p *PoolShape) inputs(n, oh, ow int, f func(tap, at int)) {
	for kh := range p.KH {
		for kw := range p.KW {
			h, w := oh*p.SH-p.PadTop+kh*max(p.DH, 1), ow*p.SW-p.PadLeft+kw*max(p.DW, 1)
			if h >= 0 && h < p.H && w >= 0 && w < p.W {
				f(kh*p.KW+kw, ((n*p.H+h)*p.W+w)*p.C)
			}
		}
	}
}

func TestPool(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		all := poolShapes(isatest.NewBuffers(t, 8))
		if len(all) < 30 {
			t.Fatalf("only %d shapes are valid", len(all))
		}
		for round, p := range all {
			b := isatest.NewBuffers(t, uint64(round))
			xv := b.Normal(p.N*p.H*p.W*p.C, 0, 2)
			for i := range xv {
				xv[i] = float32(math.Round(float64(xv[i])))
				if round%3 == 0 && i%37 == 5 {
					xv[i] = float32(math.NaN())
				}
			}
			x := b.In(xv)
			outs := p.N * p.OH * p.OW * p.C
			y, avg, dy := b.Out(outs), b.Out(outs), b.In(b.Normal(outs, 0, 1))
			arg := make([]uint16, outs+2)
			arg[0], arg[outs+1] = 0xbeef, 0xbeef
			arg = arg[1 : outs+1]
			wantY, wantAvg, wantArg := make([]float64, outs), make([]float64, outs), make([]uint16, outs)
			wantDX, wantAvgDX := make([]float64, len(x)), make([]float64, len(x))
			pad := round%2 == 0
			i := 0
			for n := range p.N {
				for oh := range p.OH {
					for ow := range p.OW {
						for ch := range p.C {
							best, bestAt, first, sum, count := float32(0), 0, true, 0.0, 0.0
							p.inputs(n, oh, ow, func(tap, at int) {
								v := x[at+ch]
								sum += float64(v)
								count++
								if first || v > best || v != v {
									best, bestAt, first = v, at+ch, false
									wantArg[i] = uint16(tap)
								}
							})
							if pad {
								count = float64(p.KH * p.KW)
							}
							wantY[i], wantAvg[i] = float64(best), sum/count
							wantDX[bestAt] += float64(dy[i])
							p.inputs(n, oh, ow, func(_, at int) { wantAvgDX[at+ch] += float64(dy[i]) / count })
							i++
						}
					}
				}
			}
			rows, cut := p.N*p.OH, p.N*p.OH/3
			MaxPool(y, arg, x, &p, cut, rows)
			MaxPool(y, arg, x, &p, 0, cut)
			isatest.Near(t, "MaxPool", y, func(i int) float64 { return wantY[i] }, 0, 0)
			for i := range arg {
				if arg[i] != wantArg[i] {
					t.Fatalf("%+v: arg %d is %d, want %d", p, i, arg[i], wantArg[i])
				}
			}
			y2 := b.Out(outs)
			MaxPool(y2, nil, x, &p, 0, rows)
			isatest.Near(t, "MaxPool without arg", y2, func(i int) float64 { return wantY[i] }, 0, 0)
			if arg = arg[:outs+1]; arg[outs] != 0xbeef {
				t.Fatal("wrote after arg")
			}
			AvgPool(avg, x, &p, pad, cut, rows)
			AvgPool(avg, x, &p, pad, 0, cut)
			isatest.Near(t, "AvgPool", avg, func(i int) float64 { return wantAvg[i] }, 1e-6, 1e-6)

			rows, cut = p.N*p.H, p.N*p.H/3
			for _, acc := range []bool{false, true} {
				old := b.Normal(len(x), 0, 1)
				dx := b.Inout(old)
				add := func(w []float64) func(i int) float64 {
					return func(i int) float64 { return w[i] + float64(old[i])*float64(b2f(acc)) }
				}
				MaxPoolGrad(dx, dy, arg, &p, cut, rows, acc)
				MaxPoolGrad(dx, dy, arg, &p, 0, cut, acc)
				isatest.Near(t, "MaxPoolGrad", dx, add(wantDX), 2e-6, 1e-6)
				dx = b.Inout(old)
				AvgPoolGrad(dx, dy, &p, pad, cut, rows, acc)
				AvgPoolGrad(dx, dy, &p, pad, 0, cut, acc)
				isatest.Near(t, "AvgPoolGrad", dx, add(wantAvgDX), 2e-6, 1e-6)
			}
			b.Check()
			isatest.NoAllocs(t, "MaxPool", func() { MaxPool(y, arg, x, &p, 0, 1) })
		}
	})
}

func TestPoolCheck(t *testing.T) {
	good := PoolShape{N: 1, H: 8, W: 8, C: 1, KH: 3, KW: 3, SH: 2, SW: 2, PadTop: 1, PadLeft: 1, OH: 4, OW: 4}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(p *PoolShape){
		"stride width":  func(p *PoolShape) { p.SW = 0 },
		"output row":    func(p *PoolShape) { p.OH = 6 },
		"output column": func(p *PoolShape) { p.PadLeft = 3 },
		"65536":         func(p *PoolShape) { p.KH, p.KW = 300, 300 },
	} {
		p := good
		change(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want one about %q", p, err, want)
		}
	}
}
