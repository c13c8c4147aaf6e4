package conv

import (
	"fmt"

	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// MatMul is the geometry of a batch of matrix products,
//
//	c[b][i][j] = Σ_k A[b][i][k] * B[b][k][j],   i < M, j < N, k < K
//
// a is [Batch][M][K], or [Batch][K][M] with TransA; b is [Batch][K][N], or
// [Batch][N][K] with TransB; c is [Batch][M][N], all dense.
type MatMul struct {
	Batch, M, N, K int
	TransA, TransB bool
}

// MatMulPlan is a MatMul compiled for this machine. It is immutable; its tasks
// may run at the same time in any order. For a B that stays the same, a
// [Linear] convolution with packed weights is faster.
type MatMulPlan struct {
	mm             MatMul
	mBlock, nBlock int // rows and panels of a task
	ms, ns         int // number of blocks
	kBlock         int
	nz, maxM       int
	zero           [1]int
}

// matMulK is how many inner products one call sums before it goes through c.
const matMulK = 512

// PlanMatMul compiles a product. The error names the size that is not positive.
func PlanMatMul(m MatMul) (*MatMulPlan, error) {
	for _, f := range []struct {
		name string
		v    int
	}{{"Batch", m.Batch}, {"M", m.M}, {"N", m.N}, {"K", m.K}} {
		if f.v < 1 || f.v > 1<<30 {
			return nil, fmt.Errorf("matrix product: %s is %d, want 1 to 2^30", f.name, f.v)
		}
	}
	if m.Batch*m.M > maxFloats/max(m.N, m.K) || m.Batch*m.N > maxFloats/m.K {
		return nil, fmt.Errorf("matrix product %d x %dx%dx%d: %w", m.Batch, m.M, m.N, m.K, errTooLarge)
	}
	p := &MatMulPlan{mm: m}
	panels := isa.CeilDiv(m.N, isa.PanelWidth)
	best := 0.0
	maxPanels := isa.MaxPanels
	if m.TransA {
		maxPanels = gemm.MaxTNPanels
	}
	for nz := 1; nz <= min(maxPanels, panels) && gemm.MaxRows(nz) > 0; nz++ {
		tiles := isa.CeilDiv(m.M, gemm.MaxRows(nz))
		cost := float64(tiles) * tileCost(isa.CeilDiv(m.M, tiles), nz) * float64(isa.CeilDiv(panels, nz))
		if p.nz == 0 || cost < best {
			p.nz, p.maxM, best = nz, gemm.MaxRows(nz), cost
		}
	}
	p.kBlock = isa.CeilDiv(m.K, isa.CeilDiv(m.K, matMulK))
	p.nBlock = min(panels, 16)
	p.mBlock = min(m.M, 512)
	target := int(min(targetTasks, 2*float64(m.Batch)*float64(m.M)*float64(m.N)*float64(m.K)/minTaskFLOPs))
	for {
		p.ms, p.ns = isa.CeilDiv(m.M, p.mBlock), isa.CeilDiv(panels, p.nBlock)
		if m.Batch*p.ms*p.ns >= target {
			break
		}
		// B is packed for each block of rows, so columns are divided first.
		if p.nBlock > 2*p.nz {
			p.nBlock = max(2*p.nz, isa.CeilDiv(p.nBlock/2, p.nz)*p.nz)
		} else if p.mBlock > 4*p.maxM {
			p.mBlock = (p.mBlock + 1) / 2
		} else if p.nBlock > p.nz {
			p.nBlock = p.nz
		} else {
			break
		}
	}
	return p, nil
}

// Tasks returns the number of independent tasks; it does not depend on the
// number of threads.
func (p *MatMulPlan) Tasks() int { return p.mm.Batch * p.ms * p.ns }

// ScratchFloats returns the length of the scratch memory that each worker
// hands to Run.
func (p *MatMulPlan) ScratchFloats() int { return p.kBlock * p.nBlock * isa.PanelWidth }

// Run computes one task of the products; with accumulate it adds them to c. It
// allocates nothing.
func (p *MatMulPlan) Run(task int, scratch, a, b, c []float32, accumulate bool) {
	mm := &p.mm
	isa.CheckMin("scratch", scratch, p.ScratchFloats())
	isa.CheckFloats("a", a, mm.Batch*mm.M*mm.K)
	isa.CheckFloats("b", b, mm.Batch*mm.K*mm.N)
	isa.CheckFloats("c", c, mm.Batch*mm.M*mm.N)
	nb := task % p.ns
	task /= p.ns
	mb := task % p.ms
	n := task / p.ms
	a = a[n*mm.M*mm.K:][:mm.M*mm.K]
	b = b[n*mm.K*mm.N:][:mm.K*mm.N]
	c = c[n*mm.M*mm.N:][:mm.M*mm.N]
	m0, m1 := isa.Span(mb, p.mBlock, mm.M)
	j0, j1 := nb*p.nBlock*isa.PanelWidth, min(mm.N, (nb+1)*p.nBlock*isa.PanelWidth)
	panels := isa.CeilDiv(j1-j0, isa.PanelWidth)

	var g gemm.Args
	g.SetAct(isa.ActNone)
	g.AOff, g.Batch = &p.zero[0], 1
	g.LDC = mm.N * 4
	tiles := isa.CeilDiv(m1-m0, p.maxM)
	for k0 := 0; k0 < mm.K; k0 += p.kBlock {
		k1 := min(mm.K, k0+p.kBlock)
		g.K = k1 - k0
		group := p.nz * isa.PanelWidth
		for i := 0; i < panels; i += p.nz {
			nz := min(p.nz, panels-i)
			p.packB(scratch, b, i, nz, j0, j1, k0, k1)
			g.SetCols(min(isa.PanelWidth, j1-j0-(i+nz-1)*isa.PanelWidth))
			m, larger := (m1-m0)/tiles, (m1-m0)%tiles
			row := m0
			for mt, n := m+1, larger; mt >= m; mt, n = mt-1, tiles-larger {
				if n == 0 {
					continue
				}
				g.Tiles, g.CStep = n, mt*mm.N*4
				at := row*mm.N + j0 + i*isa.PanelWidth
				g.C, g.Res = &c[at], nil
				if accumulate || k0 > 0 {
					g.Res = g.C
				}
				g.B = &scratch[0]
				g.NoPrefetch()
				if mm.TransA {
					g.A, g.AStride, g.BStride, g.AStep = &a[k0*mm.M+row], mm.M*4, group*4, mt*4
					gemm.TN(mt, nz, &g)
				} else {
					g.A, g.AStride, g.BStride, g.AStep = &a[row*mm.K+k0], mm.K*4, g.K*isa.PanelWidth*4, mt*mm.K*4
					gemm.NN(mt, nz, &g)
				}
				row += n * mt
			}
		}
	}
}

// packB lays nz panels of B out: for NN one panel after another, for TN
// p.nz panels side by side.
func (p *MatMulPlan) packB(dst, b []float32, first, nz, j0, j1, k0, k1 int) {
	mm := &p.mm
	kn := k1 - k0
	for i := range nz {
		j := j0 + (first+i)*isa.PanelWidth
		cols := min(isa.PanelWidth, j1-j)
		d, pitch := dst[i*kn*isa.PanelWidth:], isa.PanelWidth
		if mm.TransA {
			d, pitch = dst[i*isa.PanelWidth:], p.nz*isa.PanelWidth
		}
		if mm.TransB {
			if cols < isa.PanelWidth {
				for k := range kn {
					clear(d[k*pitch:][:isa.PanelWidth])
				}
			}
			vec.TransposeStrided(d, pitch, b[j*mm.K+k0:], mm.K, cols, kn)
			continue
		}
		src := b[k0*mm.N+j:]
		for k := range kn {
			row := d[k*pitch:][:isa.PanelWidth]
			if cols == isa.PanelWidth {
				*(*[isa.PanelWidth]float32)(row) = *(*[isa.PanelWidth]float32)(src[k*mm.N:])
				continue
			}
			clear(row[copy(row, src[k*mm.N:][:cols]):])
		}
	}
}
