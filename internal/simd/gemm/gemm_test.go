package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// tile is a case of a micro-kernel and its arrays.
type tile struct {
	tn             bool
	m, nz, cols    int // cols of the last panel
	k, batch       int
	as, ldc, bs    int // floats
	bias, res, act bool
	split          bool
}

func (c tile) String() string {
	type plain tile
	return fmt.Sprintf("%+v", plain(c))
}

func (c tile) n() int { return (c.nz-1)*isa.PanelWidth + c.cols }

// check runs one case with arrays from alloc and compares it with float64.
func (c tile) check(t *testing.T, r *rand.Rand, alloc func(n int) []float32) {
	t.Helper()
	fill := func(n int) []float32 {
		s := alloc(n)
		for i := range s {
			s[i] = float32(r.NormFloat64())
		}
		return s
	}
	// A: batch elements lie in reverse, to see that the offsets are used.
	span := (c.m-1)*c.as + c.k
	half := 0
	if c.split {
		half = 3 // floats more between the halves than the stride
		span += half
	}
	if c.tn {
		span = (c.k-1)*c.as + c.m
	}
	a := fill(c.batch * span)
	aoff := make([]int, c.batch)
	for b := range aoff {
		aoff[b] = (c.batch - 1 - b) * span * 4
	}
	steps := c.batch * c.k
	var b []float32
	if c.tn {
		b = fill((steps-1)*c.bs + c.nz*isa.PanelWidth)
	} else {
		b = fill((c.nz-1)*c.bs + steps*isa.PanelWidth)
	}
	out := (c.m-1)*c.ldc + c.n()
	row := func(i int) int { return i * c.ldc } // of c and res
	if c.split {
		out += 5
		row = func(i int) int {
			if i >= c.m/2 {
				return i*c.ldc + 5
			}
			return i * c.ldc
		}
	}
	dst := alloc(out)
	for i := range dst {
		dst[i] = float32(math.NaN())
	}
	var bias, res []float32
	g := Args{A: &a[0], AOff: &aoff[0], Batch: c.batch, K: c.k, AStride: c.as * 4, B: &b[0], BStride: c.bs * 4, C: &dst[0], LDC: c.ldc * 4, Tiles: 1}
	g.SetCols(c.cols)
	if c.split {
		g.A2 = &a[c.m/2*c.as+half]
		g.CJump = (c.ldc + 5) * 4
	}
	if c.bias {
		bias = fill(c.n())
		g.Bias = &bias[0]
	}
	if c.res {
		res = fill(out)
		g.Res = &res[0]
	}
	g.SetAct(isa.ActNone)
	if c.act {
		g.SetAct(isa.ActReLU6)
	}
	if c.tn {
		g.NoPrefetch()
		TN(c.m, c.nz, &g)
	} else if c.split {
		NNSplit(c.m, c.nz, &g)
	} else {
		NN(c.m, c.nz, &g)
	}
	for i := range c.m {
		for j := range c.n() {
			var want float64
			for q := range c.batch {
				for k := range c.k {
					var av, bv float32
					if c.tn {
						av, bv = a[aoff[q]/4+k*c.as+i], b[(q*c.k+k)*c.bs+j]
					} else {
						at := i*c.as + k
						if c.split && i >= c.m/2 {
							at += half
						}
						av, bv = a[aoff[q]/4+at], b[j/isa.PanelWidth*c.bs+(q*c.k+k)*isa.PanelWidth+j%isa.PanelWidth]
					}
					want += float64(av) * float64(bv)
				}
			}
			if c.bias {
				want += float64(bias[j])
			}
			if c.res {
				want += float64(res[row(i)+j])
			}
			if c.act {
				want = min(max(want, 0), 6)
			}
			got := float64(dst[row(i)+j])
			if !(math.Abs(got-want) <= 2e-6*math.Sqrt(float64(steps)+2)+1e-6*math.Abs(want)) {
				t.Fatalf("%v: c[%d][%d] = %v, want %v", c, i, j, got, want)
			}
		}
	}
	for i := range c.m - 1 {
		for j := row(i) + c.n(); j < row(i+1); j++ {
			if v := dst[j]; v == v {
				t.Fatalf("%v: wrote %v between rows, at %d after row %d", c, v, j-row(i), i)
			}
		}
	}
}

// eachTile calls f with cases that cover every micro-kernel of the instruction
// set in use with every tail.
func eachTile(r *rand.Rand, f func(c tile)) {
	for kind := range 3 {
		tn, split := kind == 1, kind == 2
		for nz := 1; nz <= isa.MaxPanels; nz++ {
			for m := 1; m <= MaxRows(nz); m++ {
				if split && (m%2 == 1 || nz > MaxSplitPanels) || tn && nz > MaxTNPanels {
					continue
				}
				for cols := 1; cols <= isa.PanelWidth; cols++ {
					c := tile{tn: tn, split: split, m: m, nz: nz, cols: cols, k: 1 + r.IntN(13), batch: 1 + r.IntN(3)}
					c.bias, c.res, c.act = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
					c.ldc = c.n() + r.IntN(3)
					if tn {
						c.as, c.bs = m+r.IntN(4), nz*isa.PanelWidth+r.IntN(4)
					} else {
						c.as, c.bs = c.k+r.IntN(4), c.k*c.batch*isa.PanelWidth+r.IntN(4)
					}
					f(c)
				}
			}
		}
	}
}

// Every kernel with every tail, where the words around each array must stay as
// they are and the arrays start off any alignment.
func TestMicroKernels(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		eachTile(r, func(c tile) {
			var around [][]float32
			c.check(t, r, func(n int) []float32 {
				off := 4 + len(around)
				s := make([]float32, n+off+isa.PanelWidth)
				for i := range s {
					s[i] = guardFloat
				}
				around = append(around, s[:off], s[off+n:])
				return s[off : off+n : off+n]
			})
			for _, s := range around {
				for _, v := range s {
					if v != guardFloat {
						t.Fatalf("%v: wrote %v outside of an array", c, v)
					}
				}
			}
		})
	})
}

const guardFloat = 12345.5

// NaN and infinity go through the sums and the clamp like in plain Go.
func TestMicroKernelsPassNaN(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	isatest.EachISA(t, func(t *testing.T) {
		for nz := 1; nz <= isa.MaxPanels; nz++ {
			for m := 1; m <= MaxRows(nz); m++ {
				a := make([]float32, m*2)
				for i := range a {
					a[i] = 1
				}
				b := make([]float32, nz*2*isa.PanelWidth)
				for p := range nz {
					b[p*2*isa.PanelWidth] = nan
					b[p*2*isa.PanelWidth+1] = inf
					b[p*2*isa.PanelWidth+2] = -inf
					b[p*2*isa.PanelWidth+3] = inf
					b[p*2*isa.PanelWidth+isa.PanelWidth+3] = -inf
				}
				for _, act := range []isa.Act{isa.ActNone, isa.ActReLU, isa.ActReLU6} {
					c := make([]float32, m*nz*isa.PanelWidth)
					off := 0
					g := Args{A: &a[0], AOff: &off, Batch: 1, K: 2, AStride: 8, B: &b[0], BStride: 8 * isa.PanelWidth, C: &c[0], LDC: nz * isa.PanelWidth * 4, Tiles: 1}
					g.SetCols(isa.PanelWidth)
					g.SetAct(act)
					NN(m, nz, &g)
					want := map[isa.Act][5]float32{
						isa.ActNone:  {nan, inf, -inf, nan, 0},
						isa.ActReLU:  {nan, inf, 0, nan, 0},
						isa.ActReLU6: {nan, 6, 0, nan, 0},
					}[act]
					for i := range m {
						for p := range nz {
							for j, w := range want {
								v := c[i*nz*isa.PanelWidth+p*isa.PanelWidth+j]
								if v != w && !(v != v && w != w) {
									t.Fatalf("m=%d nz=%d act=%d: c[%d][%d] = %v, want %v", m, nz, act, i, p*isa.PanelWidth+j, v, w)
								}
							}
						}
					}
				}
			}
		}
	})
}
