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

// matMul is a [MatMul] compiled for this machine.
type matMul struct {
	MatMul
	rowBlocks   blocks
	panelBlocks blocks
	kBlock      int
	nz, maxM    int
	zero        [1]int
}

// matMulK bounds the inner products that one call sums before they go through c.
const matMulK = 512

// PlanMatMul compiles a product: Args.X is a, Args.Packed is b as it is, Args.Y is
// c. For a b that stays the same, a [Linear] convolution with packed weights is
// faster. The error names the size that is not positive.
func PlanMatMul(m MatMul) (*Plan, error) {
	for _, f := range []struct {
		name string
		v    int
	}{{"Batch", m.Batch}, {"M", m.M}, {"N", m.N}, {"K", m.K}} {
		if f.v < 1 || f.v > 1<<30 {
			return nil, fmt.Errorf("matrix product: %s is %d, must be 1 to 2^30", f.name, f.v)
		}
	}
	if m.Batch*m.M > maxFloats/max(m.N, m.K) || m.Batch*m.N > maxFloats/m.K {
		return nil, fmt.Errorf("matrix product %d x %dx%dx%d: %w", m.Batch, m.M, m.N, m.K, errTooLarge)
	}
	p := newMatMul(m)
	return &Plan{Steps: []Step{{
		Tasks: m.Batch * p.rowBlocks.count * p.panelBlocks.count, Scratch: p.kBlock * p.panelBlocks.size * isa.PanelWidth,
		FLOPs: 2 * int64(m.Batch) * int64(m.M) * int64(m.N) * int64(m.K), Reads: []Arg{ArgX, ArgPacked, ArgResidual}, Writes: []Arg{ArgY},
		Run: func(w *Worker, task int, a Args) { p.run(task, w.Scratch, &a) },
	}}}, nil
}

func newMatMul(m MatMul) *matMul {
	p := &matMul{MatMul: m}
	panels := isa.CeilDiv(m.N, isa.PanelWidth)
	maxRows := gemm.MaxRows
	if m.TransA {
		maxRows = maxTNRows
	}
	p.nz, p.maxM = choosePanels(panels, maxRows, func(nz, rows int) float64 {
		tiles := isa.CeilDiv(m.M, rows)
		return float64(tiles) * tileCost(isa.CeilDiv(m.M, tiles), nz) * float64(isa.CeilDiv(panels, nz))
	})
	p.kBlock = isa.CeilDiv(m.K, isa.CeilDiv(m.K, matMulK))
	nBlock, mBlock := min(panels, 16), min(m.M, 512)
	target := int(min(targetTasks, 2*float64(m.Batch)*float64(m.M)*float64(m.N)*float64(m.K)/minTaskFLOPs))
	for {
		p.rowBlocks, p.panelBlocks = newBlocks(m.M, mBlock), newBlocks(panels, nBlock)
		if m.Batch*p.rowBlocks.count*p.panelBlocks.count >= target {
			return p
		}
		// B is packed for each block of rows, so columns are divided first.
		switch {
		case nBlock > 2*p.nz:
			nBlock = max(2*p.nz, isa.CeilDiv(nBlock/2, p.nz)*p.nz)
		case mBlock > 4*p.maxM:
			mBlock = (mBlock + 1) / 2
		case nBlock > p.nz:
			nBlock = p.nz
		default:
			return p
		}
	}
}

// maxTNRows is [gemm.MaxRows] of the TN kernel.
func maxTNRows(nz int) int {
	if nz > gemm.MaxTNPanels {
		return 0
	}
	return gemm.MaxRows(nz)
}

// run computes one task.
func (p *matMul) run(task int, scratch []float32, args *Args) {
	isa.CheckMin("scratch", scratch, p.kBlock*p.panelBlocks.size*isa.PanelWidth)
	isa.CheckFloats("a", args.X, p.Batch*p.M*p.K)
	isa.CheckFloats("b", args.Packed, p.Batch*p.K*p.N)
	isa.CheckFloats("c", args.Y, p.Batch*p.M*p.N)
	p0, p1, task := p.panelBlocks.take(task)
	m0, m1, n := p.rowBlocks.take(task)
	a := args.X[n*p.M*p.K:][:p.M*p.K]
	c := args.Y[n*p.M*p.N:][:p.M*p.N]
	sum := args.Residual
	if sum != nil {
		sum = sum[n*p.M*p.N:][:p.M*p.N]
	}
	b := panelsOfB{matMul: p, b: args.Packed[n*p.K*p.N:][:p.K*p.N], j1: min(p.N, p1*isa.PanelWidth)}

	var g gemm.Args
	g.SetAct(isa.ActNone)
	g.AOff, g.Batch = &p.zero[0], 1
	g.LDC = p.N * 4
	for k0 := 0; k0 < p.K; k0 += p.kBlock {
		b.k0, b.k1 = k0, min(p.K, k0+p.kBlock)
		g.K = b.k1 - k0
		group := p.nz * isa.PanelWidth
		for i := p0; i < p1; i += p.nz {
			nz := min(p.nz, p1-i)
			b.pack(scratch, i, nz)
			g.SetCols(min(isa.PanelWidth, b.j1-(i+nz-1)*isa.PanelWidth))
			row := m0
			for _, t := range split(m1-m0, p.maxM) {
				if t.n == 0 {
					continue
				}
				g.Tiles, g.CStep = t.n, t.rows*p.N*4
				at := row*p.N + i*isa.PanelWidth
				g.C, g.Res = &c[at], nil
				if sum != nil {
					g.Res = &sum[at]
				}
				g.B = &scratch[0]
				g.NoPrefetch()
				if p.TransA {
					g.A, g.AStride, g.BStride, g.AStep = &a[k0*p.M+row], p.M*4, group*4, t.rows*4
					gemm.TN(t.rows, nz, &g)
				} else {
					g.A, g.AStride, g.BStride, g.AStep = &a[row*p.K+k0], p.K*4, g.K*isa.PanelWidth*4, t.rows*p.K*4
					gemm.NN(t.rows, nz, &g)
				}
				row += t.n * t.rows
			}
		}
		sum = c
	}
}

// panelsOfB packs panels of rows k0 to k1-1 of b, of columns before j1.
type panelsOfB struct {
	*matMul
	b          []float32
	j1, k0, k1 int
}

// pack lays nz panels from the first on out: for NN one after another, for TN
// p.nz of them side by side.
func (p *panelsOfB) pack(dst []float32, first, nz int) {
	kn := p.k1 - p.k0
	for i := range nz {
		j := (first + i) * isa.PanelWidth
		cols := min(isa.PanelWidth, p.j1-j)
		d, pitch := dst[i*kn*isa.PanelWidth:], isa.PanelWidth
		if p.TransA {
			d, pitch = dst[i*isa.PanelWidth:], p.nz*isa.PanelWidth
		}
		if p.TransB {
			if cols < isa.PanelWidth {
				for k := range kn {
					clear(d[k*pitch:][:isa.PanelWidth])
				}
			}
			vec.TransposeStrided(d, pitch, p.b[j*p.K+p.k0:], p.K, cols, kn)
			continue
		}
		src := p.b[p.k0*p.N+j:]
		for k := range kn {
			row := d[k*pitch:][:isa.PanelWidth]
			if cols == isa.PanelWidth {
				*(*[isa.PanelWidth]float32)(row) = *(*[isa.PanelWidth]float32)(src[k*p.N:])
				continue
			}
			clear(row[copy(row, src[k*p.N:][:cols]):])
		}
	}
}
