package conv

import (
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// WinogradStride2 is a 3x3 convolution of stride 2 that multiplies less. In one
// dimension, two outputs are sums over two filters: one of 2 taps over the 3
// inputs with even numbers, for which Karatsuba's formulas F(2,2) need 3
// multiplications in place of 4, and one of 1 tap over the 2 inputs with odd
// numbers:
//
//	y0 = (d0-d2)·g0 + d2·(g0+g2) + d1·g1
//	y1 = d2·(g0+g2) - (d2-d4)·g2 + d3·g1
//
// Of both dimensions that makes 25 multiplications in place of 36, and hardly
// any rounding, as the transforms only add. The products of odd inputs share
// their weights: there are 16 matrices of them. See Huang et al., "DWM: A
// Decomposable Winograd Method for Convolution Acceleration" (2020,
// arXiv:2002.00552), section 3.
//
// A WinogradStride2 is compiled for one geometry and this machine. It is
// immutable; its tasks may run at the same time in any order.
type WinogradStride2 struct {
	conv   Conv
	oh, ow int
	tileGrid
	panels int

	tileBlock, panelBlock   int // of a task
	tileBlocks, panelBlocks int
	nz, maxM                int
	vPos, mPos              int  // floats between positions of the transformed inputs and of the products
	heavy                   bool // the weights do not stay in the second-level cache
	zero                    [1]int
	zeros                   []float32
}

// stride2Block bounds the transformed inputs of a block, in floats.
const stride2Block = 96 << 10

// CheckWinogradStride2 returns an error that says why a convolution cannot be
// done by [WinogradStride2], nil if it can.
func (c Conv) CheckWinogradStride2() error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.Precision != gemm.FP32 {
		return errors.New("convolution: Winograd multiplies float32 only")
	}
	if c.R != 3 || c.S != 3 || c.StrideH != 2 || c.StrideW != 2 || c.DilH != 1 || c.DilW != 1 || c.Groups != 1 {
		return fmt.Errorf("convolution: Winograd of stride 2 wants a 3x3 kernel, stride 2, dilation 1, 1 group, got %dx%d, %dx%d, %dx%d, %d",
			c.R, c.S, c.StrideH, c.StrideW, c.DilH, c.DilW, c.Groups)
	}
	return nil
}

// PlanWinogradStride2 compiles a convolution. The error is that of
// [Conv.CheckWinogradStride2].
func PlanWinogradStride2(c Conv) (*WinogradStride2, error) {
	if err := c.CheckWinogradStride2(); err != nil {
		return nil, err
	}
	f := &WinogradStride2{conv: c, oh: c.OutH(), ow: c.OutW(), panels: isa.CeilDiv(c.K, isa.PanelWidth)}
	f.tileGrid = newTileGrid(c.N, f.oh, f.ow, wino.Stride2M)
	f.zeros = make([]float32, max(wino.Stride2T*c.C, f.panels*isa.PanelWidth))
	f.cut()
	return f, nil
}

// What the transforms cost in cycles for 16 channels of a tile, and the share of
// the FMA peak that the products reach; fitted to the layers of ResNet-18 and 50.
const (
	stride2Share                      = 0.87
	stride2PerInput, stride2PerOutput = 60, 50
)

// WinogradStride2Faster says whether [WinogradStride2] is expected to compute the
// convolution in clearly less time than the direct way.
func (c Conv) WinogradStride2Faster() bool {
	if c.CheckWinogradStride2() != nil {
		return false
	}
	panels := float64(isa.CeilDiv(c.K, isa.PanelWidth))
	tiles := float64(c.N * isa.CeilDiv(c.OutH(), wino.Stride2M) * isa.CeilDiv(c.OutW(), wino.Stride2M))
	sums := tiles * wino.Stride2Positions * float64(c.C) * panels / 2
	transforms := tiles * (float64(isa.CeilDiv(c.C, isa.PanelWidth))*stride2PerInput + panels*stride2PerOutput)
	cycles := withWeights(sums*vectors()/stride2Share, wino.Stride2Matrices*float64(c.C)*panels*isa.PanelWidth) + transforms*vectors()
	return cycles < 0.95*c.directCycles()
}

// cut chooses the blocks of a task as [Winograd.cut] does.
func (f *WinogradStride2) cut() {
	f.nz, f.maxM = gemm.PairOfPanels(f.panels)
	f.heavy = f.PackedLen() > weightsFloats
	f.panelBlock = f.panels
	if f.tiles <= fewTiles {
		f.tileBlock = f.tiles
		f.panelBlock = isa.CeilDiv(isa.CeilDiv(f.panels, minTasks), f.nz) * f.nz
	} else {
		f.tileBlock = max(f.maxM, stride2Block/(wino.Stride2Positions*f.conv.C))
		if f.heavy {
			f.tileBlock = max(f.tileBlock, 2*f.maxM)
		}
		// An even number of blocks, eight at least.
		f.tileBlock = isa.CeilDiv(f.tiles, max(8, isa.CeilDiv(isa.CeilDiv(f.tiles, f.tileBlock), 2)*2))
	}
	f.tileBlocks, f.panelBlocks = isa.CeilDiv(f.tiles, f.tileBlock), isa.CeilDiv(f.panels, f.panelBlock)
	f.vPos, f.mPos = padded(f.tileBlock*f.conv.C), padded(f.tileBlock*f.nz*isa.PanelWidth)
}

// fused says that each task transforms its own inputs; otherwise the tasks of
// Transform do, before those of Run.
func (f *WinogradStride2) fused() bool { return f.panelBlocks == 1 }

// PackedLen returns the number of floats of the transformed weights.
func (f *WinogradStride2) PackedLen() int {
	return f.panels * wino.Stride2Matrices * f.conv.C * isa.PanelWidth
}

// PackTasks returns the number of independent pieces of Pack.
func (f *WinogradStride2) PackTasks() int { return f.panels }

// Pack transforms piece task of w, [3][3][C][K], into dst, which has PackedLen
// floats: [panel][matrix][C][16].
func (f *WinogradStride2) Pack(task int, dst, w []float32) {
	isa.CheckFloats("packed weights", dst, f.PackedLen())
	isa.CheckFloats("weights", w, f.conv.WLen())
	k := task * isa.PanelWidth
	f.packPanel(task, dst, w[k:], min(isa.PanelWidth, f.conv.K-k), f.conv.K)
}

// PackOIHW is Pack for weights in PyTorch's order, [K][C][3][3], each filter
// multiplied by its scale unless scale is nil; see [Packing.RunOIHW].
func (f *WinogradStride2) PackOIHW(task int, dst, w []float32, scale []float64) {
	isa.CheckFloats("packed weights", dst, f.PackedLen())
	isa.CheckFloats("weights", w, f.conv.WLen())
	panel := make([]float32, 9*f.conv.C*isa.PanelWidth)
	f.conv.packPanel(task, panel, w, scale)
	f.packPanel(task, dst, panel, isa.PanelWidth, isa.PanelWidth)
}

// packPanel transforms the panel of the first cols columns of w, [3][3][C][stride].
func (f *WinogradStride2) packPanel(task int, dst, w []float32, cols, stride int) {
	size := f.conv.C * isa.PanelWidth // of a matrix
	wino.Stride2Weights(dst[task*wino.Stride2Matrices*size:][:wino.Stride2Matrices*size], w, f.conv.C, cols, stride)
}

// TransformTasks returns the number of independent tasks of Transform; 0 means
// that Run does what it would do.
func (f *WinogradStride2) TransformTasks() int {
	if f.fused() {
		return 0
	}
	return f.tiles
}

// TransformFloats returns the length of the transformed inputs.
func (f *WinogradStride2) TransformFloats() int {
	if f.fused() {
		return 0
	}
	return f.tileBlocks * f.blockFloats()
}

// blockFloats is the length of the transformed inputs of a block of tiles.
func (f *WinogradStride2) blockFloats() int { return wino.Stride2Positions * f.vPos }

// Transform transforms one task's part of x, [N][H][W][C], into v. All its tasks
// come before those of Run. scratch is that of Run. It allocates nothing.
func (f *WinogradStride2) Transform(task int, scratch, x, v []float32) {
	isa.CheckMin("scratch", scratch, f.ScratchFloats())
	isa.CheckFloats("x", x, f.conv.XLen())
	isa.CheckFloats("transformed inputs", v, f.TransformFloats())
	block := v[task/f.tileBlock*f.blockFloats():][:f.blockFloats()]
	f.transform(scratch, x, block, task, task+1, task%f.tileBlock)
}

// transform transforms tiles lo..hi-1 to places at.. of a block.
func (f *WinogradStride2) transform(tmp, x, block []float32, lo, hi, at int) {
	c := &f.conv
	in := wino.Stride2Tile{Pixel: c.C * 4}
	for tile := lo; tile < hi; tile++ {
		n, ty, tx := f.place(tile)
		iy, ix := 2*ty*wino.Stride2M-c.PadTop, 2*tx*wino.Stride2M-c.PadLeft
		in.Left, in.Right = max(0, -ix), min(wino.Stride2T, c.W-ix)
		for i := range wino.Stride2T {
			in.Rows[i] = &f.zeros[0]
			if y := iy + i; y >= 0 && y < c.H && in.Left < in.Right {
				in.Rows[i] = &x[((n*c.H+y)*c.W+ix+in.Left)*c.C]
			}
		}
		wino.Stride2Input(&block[(at+tile-lo)*c.C], f.vPos*4, &in, c.C, &tmp[0])
	}
}

// Tasks returns the number of independent tasks; it does not depend on the
// number of threads.
func (f *WinogradStride2) Tasks() int { return f.tileBlocks * f.panelBlocks }

// ScratchFloats returns the length of the scratch memory that each worker
// hands to Run and Transform.
func (f *WinogradStride2) ScratchFloats() int {
	n := wino.Stride2ScratchFloats + wino.Stride2Positions*f.mPos
	if f.fused() {
		n += f.blockFloats()
	}
	return n
}

// Run computes one task of
//
//	y = act(conv(x, w) + bias + residual)
//
// as [Winograd.Run] does.
func (f *WinogradStride2) Run(task int, scratch, x, v, packed, bias, residual, y []float32, act isa.Act) {
	c := &f.conv
	isa.CheckMin("scratch", scratch, f.ScratchFloats())
	isa.CheckFloats("x", x, c.XLen())
	isa.CheckFloats("transformed inputs", v, f.TransformFloats())
	isa.CheckFloats("packed weights", packed, f.PackedLen())
	isa.CheckFloats("y", y, c.YLen())
	if bias != nil {
		isa.CheckFloats("bias", bias, c.K)
	} else {
		bias = f.zeros
	}
	if residual != nil {
		isa.CheckFloats("residual", residual, c.YLen())
	}
	t0, t1 := isa.Span(task/f.panelBlocks, f.tileBlock, f.tiles)
	p0, p1 := isa.Span(task%f.panelBlocks, f.panelBlock, f.panels)
	tmp, scratch := scratch[:wino.Stride2ScratchFloats], scratch[wino.Stride2ScratchFloats:]
	products := scratch[:wino.Stride2Positions*f.mPos]
	block := scratch[len(products):]
	if f.fused() {
		block = block[:f.blockFloats()]
		f.transform(tmp, x, block, t0, t1, 0)
	} else {
		block = v[task/f.panelBlocks*f.blockFloats():][:f.blockFloats()]
	}
	for p := p0; p < p1; p += f.nz {
		nz := min(f.nz, p1-p)
		f.multiply(block, packed, products, t1-t0, p, nz)
		k := p * isa.PanelWidth
		f.store(tmp, products, bias[k:], residual, y, t0, t1, k, min(c.K-k, nz*isa.PanelWidth), act)
	}
}

// multiply computes the products of all positions of some tiles with nz panels.
// Of each line, the first three positions have a weight each, and the last two
// share the fourth.
func (f *WinogradStride2) multiply(block, packed, products []float32, tiles, p, nz int) {
	c, count := f.conv.C, isa.CeilDiv(tiles, f.maxM)
	var g gemm.Args
	g.SetAct(isa.ActNone)
	g.SetCols(isa.PanelWidth)
	g.AOff, g.Batch, g.K = &f.zero[0], 1, c
	g.AStride, g.BStride, g.LDC = c*4, wino.Stride2Matrices*c*isa.PanelWidth*4, f.nz*isa.PanelWidth*4
	m, larger := tiles/count, tiles%count
	var ahead fetch
	last := func(i int) int { // position after the last with weight i
		if i == 3 {
			return wino.Stride2T
		}
		return i + 1
	}
	for mat := range wino.Stride2Matrices {
		row, col := mat/4, mat%4
		from := (p*wino.Stride2Matrices + mat) * c * isa.PanelWidth
		g.B = &packed[from]
		ahead.begin(count * (last(row) - row) * (last(col) - col))
		if next := from + c*isa.PanelWidth; f.heavy {
			// The next matrix, or the first of the panels that follow.
			if mat == wino.Stride2Matrices-1 {
				next += (nz - 1) * wino.Stride2Matrices * c * isa.PanelWidth
			}
			for j := range nz {
				if at := next + j*wino.Stride2Matrices*c*isa.PanelWidth; at < len(packed) {
					ahead.add(isa.Address(&packed[at]), c*isa.PanelWidth*4)
				}
			}
		}
		for i := row; i < last(row); i++ {
			for j := col; j < last(col); j++ {
				pos, at := i*wino.Stride2T+j, 0
				for mt, n := m+1, larger; mt >= m; mt, n = mt-1, count-larger {
					g.AStep, g.CStep = mt*g.AStride, mt*g.LDC
					for n > 0 {
						g.Tiles = ahead.set(&g, n)
						n -= g.Tiles
						g.A, g.C, g.Res = &block[pos*f.vPos+at*c], &products[pos*f.mPos+at*f.nz*isa.PanelWidth], nil
						at += g.Tiles * mt
						gemm.NN(mt, nz, &g)
					}
				}
			}
		}
	}
}

// store transforms the products of tiles t0..t1-1 into cols channels of y from
// channel k on.
func (f *WinogradStride2) store(tmp, products, bias, residual, y []float32, t0, t1, k, cols int, act isa.Act) {
	kk := f.conv.K
	out := wino.OutputTile{Row: f.ow * kk * 4, Pixel: kk * 4, Bias: &bias[0]}
	out.Lo, out.Hi = act.Bounds()
	for tile := t0; tile < t1; tile++ {
		n, ty, tx := f.place(tile)
		oy, ox := ty*wino.Stride2M, tx*wino.Stride2M
		at := ((n*f.oh+oy)*f.ow+ox)*kk + k
		out.Y, out.Height, out.Width = &y[at], min(wino.Stride2M, f.oh-oy), min(wino.Stride2M, f.ow-ox)
		if residual != nil {
			out.Res = &residual[at]
		}
		wino.Stride2Output(&products[(tile-t0)*f.nz*isa.PanelWidth], f.mPos*4, &out, cols, &tmp[0])
	}
}
