package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// WinogradWeightGrad is the gradient of a 3x3 convolution of stride 1 with
// respect to its weights that multiplies less: the adjoint of F(4x4,3x3), see
// [Winograd]. With V the transform of the input's tiles and D that of the tiles
// of dy, the gradient of the transformed weights is, for each of the 36
// positions, the sum over tiles of V's channels by D's: 36 multiplications where
// 144 are needed. The result differs from that of [ConvWeightGrad] by rounding.
//
// A task takes a chunk of the tiles and a block of input and output channels;
// where there are several chunks, each has its own copy of dw and Reduce adds
// them up in order. It is compiled for one geometry and this machine, and
// immutable; its tasks may run at the same time in any order.
type WinogradWeightGrad struct {
	forward Winograd // the geometry of the tiles

	unit             int // tiles transformed at a time
	units            int
	chunks           int
	cBlock, kBlock   int
	cBlocks, kBlocks int
	nz, maxM         int
	vPitch, dPitch   int // floats between tiles of V and D
	vPos, dPos       int // floats between positions
	uPitch, uPos     int // floats between rows and positions of the gradient
	zero             [1]int
}

const (
	gradChannels = 64 // input and output channels of a block
	gradUnit     = 32 // tiles of a unit at full blocks: all of a task stays in the second-level cache
	gradChunk    = 64 // tiles of a chunk, at least
)

// PlanWinogradWeightGrad compiles the weight gradient of a convolution. The
// error is that of [Conv.CheckWinograd].
func PlanWinogradWeightGrad(c Conv) (*WinogradWeightGrad, error) {
	f, err := PlanWinograd(c, 4)
	if err != nil {
		return nil, err
	}
	g := &WinogradWeightGrad{forward: *f}
	g.cBlock, g.cBlocks = evenBlocks(c.C, gradChannels, 1)
	g.kBlock, g.kBlocks = evenBlocks(c.K, gradChannels, isa.PanelWidth)
	g.unit = gradUnit * 2 * gradChannels / (g.cBlock + isa.CeilDiv(g.kBlock, isa.PanelWidth)*isa.PanelWidth)
	g.unit = min(g.unit, 2*gradUnit, f.tiles)
	g.units = isa.CeilDiv(f.tiles, g.unit)
	g.unit = isa.CeilDiv(f.tiles, g.units)
	g.units = isa.CeilDiv(f.tiles, g.unit)
	blocks := g.cBlocks * g.kBlocks
	g.chunks = max(1, min(isa.CeilDiv(targetTasks, blocks), f.tiles/gradChunk, g.units, partialMax/c.WLen()))
	g.nz, g.maxM = gemm.PairOfPanels(isa.CeilDiv(g.kBlock, isa.PanelWidth))
	// Odd numbers of cache lines keep neighbouring tiles out of each other's sets.
	odd := func(n int) int { return isa.CeilDiv(n, isa.PanelWidth)*isa.PanelWidth | isa.PanelWidth }
	g.vPitch, g.dPitch = odd(g.cBlock), odd(g.kBlock)
	g.vPos, g.dPos = padded(g.unit*g.vPitch), padded(g.unit*g.dPitch)
	g.uPitch = odd(g.kBlock)
	g.uPos = padded(g.cBlock * g.uPitch)
	return g, nil
}

// evenBlocks cuts n into blocks of at most most, a multiple of step, as even as
// that allows.
func evenBlocks(n, most, step int) (size, count int) {
	count = isa.CeilDiv(n, most)
	size = min(n, isa.CeilDiv(isa.CeilDiv(n, count), step)*step)
	return size, isa.CeilDiv(n, size)
}

// Tasks returns the number of independent tasks; it does not depend on the
// number of threads.
func (g *WinogradWeightGrad) Tasks() int { return g.chunks * g.cBlocks * g.kBlocks }

// ScratchFloats returns the length of the scratch memory that each worker
// hands to Run.
func (g *WinogradWeightGrad) ScratchFloats() int {
	return wino.ScratchFloats + g.forward.positions()*(g.vPos+g.dPos+g.uPos)
}

// PartialFloats returns the length of the memory that all tasks share for the
// sums of each chunk. It may be 0.
func (g *WinogradWeightGrad) PartialFloats() int {
	if g.chunks == 1 {
		return 0
	}
	return g.chunks * g.forward.conv.WLen()
}

// Run computes one task of the gradient with respect to w, as
// [ConvWeightGrad.Run] does. x is [N][H][W][C], dy is [N][OutH][OutW][K] and dw
// [3][3][C][K]. If ReduceTasks is not 0, dw is right after the tasks of Reduce
// have run. It allocates nothing.
func (g *WinogradWeightGrad) Run(task int, scratch, partial, x, dy, dw []float32) {
	c := &g.forward.conv
	isa.CheckMin("scratch", scratch, g.ScratchFloats())
	isa.CheckMin("partial sums", partial, g.PartialFloats())
	isa.CheckFloats("x", x, c.XLen())
	isa.CheckFloats("dy", dy, c.YLen())
	isa.CheckFloats("dw", dw, c.WLen())
	kb := task % g.kBlocks
	task /= g.kBlocks
	cb, chunk := task%g.cBlocks, task/g.cBlocks
	k0, k1 := isa.Span(kb, g.kBlock, c.K)
	c0, c1 := isa.Span(cb, g.cBlock, c.C)
	if g.chunks > 1 {
		dw = partial[chunk*c.WLen():][:c.WLen()]
	}
	positions := g.forward.positions()
	tmp, scratch := scratch[:wino.ScratchFloats], scratch[wino.ScratchFloats:]
	u, scratch := scratch[:positions*g.uPos], scratch[positions*g.uPos:]
	v, d := scratch[:positions*g.vPos], scratch[positions*g.vPos:]
	first, end := chunk*g.units/g.chunks, (chunk+1)*g.units/g.chunks
	for n := first; n < end; n++ {
		t0, t1 := isa.Span(n, g.unit, g.forward.tiles)
		g.forward.transformChannels(tmp, x, v, t0, t1, g.vPitch, g.vPos, c0, c1)
		g.transformGrad(tmp, dy, d, t0, t1, k0, k1)
		g.multiply(v, d, u, t1-t0, c1-c0, k1-k0, n > first)
	}
	tap := c.C * c.K * 4
	for i := range c1 - c0 {
		wino.WeightGrad(&dw[(c0+i)*c.K+k0], tap, &u[i*g.uPitch], g.uPos*4, k1-k0, &tmp[0])
	}
}

// transformGrad transforms channels k0..k1-1 of tiles lo..hi-1 of dy.
func (g *WinogradWeightGrad) transformGrad(tmp, dy, d []float32, lo, hi, k0, k1 int) {
	f := &g.forward
	k := f.conv.K
	in := wino.GradTile{Pixel: k * 4}
	for tile := lo; tile < hi; tile++ {
		n, ty, tx := f.place(tile)
		oy, ox := ty*f.m, tx*f.m
		in.Width = min(f.m, f.ow-ox)
		for i := range in.Rows {
			in.Rows[i] = &f.zeros[0]
			if oy+i < f.oh {
				in.Rows[i] = &dy[((n*f.oh+oy+i)*f.ow+ox)*k+k0]
			}
		}
		wino.OutputGrad(&d[(tile-lo)*g.dPitch], g.dPos*4, &in, k1-k0, &tmp[0])
	}
}

// multiply adds to u, or with accumulate unset sets it to, the sums over tiles
// of c channels of v by k channels of d, for all positions.
func (g *WinogradWeightGrad) multiply(v, d, u []float32, tiles, c, k int, accumulate bool) {
	var a gemm.Args
	a.SetAct(isa.ActNone)
	a.AOff, a.Batch, a.K = &g.zero[0], 1, tiles
	a.AStride, a.BStride, a.LDC = g.vPitch*4, g.dPitch*4, g.uPitch*4
	rows := isa.CeilDiv(c, g.maxM)
	m, larger := c/rows, c%rows
	panels := isa.CeilDiv(k, isa.PanelWidth)
	for pos := range g.forward.positions() {
		for p := 0; p < panels; p += g.nz {
			nz := min(g.nz, panels-p)
			a.SetCols(min(isa.PanelWidth, k-(p+nz-1)*isa.PanelWidth))
			a.B = &d[pos*g.dPos+p*isa.PanelWidth]
			a.NoPrefetch()
			at := 0
			for mt, n := m+1, larger; mt >= m; mt, n = mt-1, rows-larger {
				if n == 0 {
					continue
				}
				a.A, a.C, a.Res = &v[pos*g.vPos+at], &u[pos*g.uPos+at*g.uPitch+p*isa.PanelWidth], nil
				if accumulate {
					a.Res = a.C
				}
				a.Tiles, a.AStep, a.CStep = n, mt*4, mt*a.LDC
				at += n * mt
				gemm.TN(mt, nz, &a)
			}
		}
	}
}

// ReduceTasks returns the number of tasks of Reduce, 0 if Run leaves dw right.
func (g *WinogradWeightGrad) ReduceTasks() int {
	if g.chunks == 1 {
		return 0
	}
	return isa.CeilDiv(g.forward.conv.WLen(), reduceFloats)
}

// Reduce adds up the partial sums that all tasks of Run left, for one piece of
// dw, in the order of the chunks. It allocates nothing.
func (g *WinogradWeightGrad) Reduce(task int, partial, dw []float32) {
	isa.CheckMin("partial sums", partial, g.PartialFloats())
	isa.CheckFloats("dw", dw, g.forward.conv.WLen())
	reducePartials(task, g.chunks, partial, dw, false)
}
