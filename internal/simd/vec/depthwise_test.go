package vec

import (
	"math"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestDepthwise(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		for round, p := range poolShapes(isatest.NewBuffers(t, 9)) {
			b := isatest.NewBuffers(t, uint64(round))
			xv := b.Normal(p.N*p.H*p.W*p.C, 0, 1)
			if round%3 == 0 {
				xv[len(xv)/2] = float32(math.NaN())
			}
			x, w, bias := b.In(xv), b.In(b.Normal(p.KH*p.KW*p.C, 0, 1)), b.In(b.Normal(p.C, 0, 1))
			lo, hi := [...]isa.Act{isa.ActNone, isa.ActReLU, isa.ActReLU6}[round%3].Bounds()
			outs := p.N * p.OH * p.OW * p.C
			y, want := b.Out(outs), make([]float64, outs)
			i := 0
			for n := range p.N {
				for oh := range p.OH {
					for ow := range p.OW {
						for ch := range p.C {
							sum := float64(bias[ch])
							p.inputs(n, oh, ow, func(tap, at int) { sum += float64(x[at+ch]) * float64(w[tap*p.C+ch]) })
							want[i] = float64(clamp(float32(sum), lo, hi))
							i++
						}
					}
				}
			}
			d, rows, cut := Depthwise{p}, p.N*p.OH, p.N*p.OH/3
			row := p.OW * p.C
			d.Run(y[cut*row:], x, w, bias, lo, hi, cut, rows)
			d.Run(y[:cut*row], x, w, bias, lo, hi, 0, cut)
			isatest.Near(t, "Depthwise", y, func(i int) float64 { return want[i] }, 1e-6, 4e-6)
			b.Check()
			isatest.NoAllocs(t, "Depthwise", func() { d.Run(y[:row], x, w, bias, lo, hi, 0, 1) })
		}
	})
}

// A window may lie in the padding alone.
func TestDepthwiseOfPadding(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		d := Depthwise{PoolShape{N: 1, H: 2, W: 2, C: 9, KH: 1, KW: 1, SH: 1, SW: 1, PadTop: 1, PadLeft: 1, OH: 4, OW: 4}}
		x, w, bias, y := make([]float32, 2*2*9), make([]float32, 9), make([]float32, 9), make([]float32, 4*4*9)
		for i := range bias {
			bias[i], w[i] = float32(i)-4, 2
		}
		for i := range x {
			x[i] = 1
		}
		d.Run(y, x, w, bias, 0, 6, 0, 4)
		for i, v := range y {
			want := bias[i%9]
			if px := i / 9; px/4%3 > 0 && px%4%3 > 0 {
				want += 2
			}
			if want = clamp(want, 0, 6); v != want {
				t.Fatalf("y[%d] is %v, want %v", i, v, want)
			}
		}
	})
}
