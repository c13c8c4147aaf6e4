package kernel

import (
	"errors"
	"fmt"
	"math"
)

// Winograd is a 3x3 convolution of stride 1 that multiplies less: F(mxm,3x3) of
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016,
// arXiv:1509.09308), section 4.1. It transforms overlapping tiles of
// (m+2)x(m+2) inputs, multiplies the channels of each of the (m+2)² positions of
// the transform by a matrix of transformed weights, and transforms back to mxm
// outputs: 36 multiplications where 144 are needed for m=4, 16 where 36 are
// needed for m=2. The result differs from that of [ConvForward] by rounding.
//
// A Winograd is compiled for one geometry and this machine. It is immutable;
// its tasks may run at the same time in any order.
type Winograd struct {
	conv   Conv
	m, t   int // edge of a tile of outputs, of inputs
	oh, ow int
	th, tw int // tiles of an image: rows, columns
	tiles  int // of all images
	panels int

	tileBlock, panelBlock   int // of a task
	tileBlocks, panelBlocks int
	nz, maxM                int
	vPos, mPos              int  // floats between positions of the transformed inputs and of the products
	heavy                   bool // the weights do not stay in the second-level cache
	zero                    [1]int
	zeros                   []float32
}

// Bounds of the blocks.
const (
	winogradBlock = 96 << 10 // floats of a block's transform and of its products at a time
	minTasks      = 16       // tasks to aim at
	maxShared     = 64       // tiles up to which tasks share their transform
)

// WinogradTiles are the sizes of tiles of outputs that [PlanWinograd] takes.
var WinogradTiles = []int{4, 2}

// CheckWinograd returns an error that says why a convolution cannot be done by
// [Winograd], nil if it can.
func (c Conv) CheckWinograd() error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.Products != FP32 {
		return errors.New("convolution: Winograd multiplies float32 only")
	}
	if c.R != 3 || c.S != 3 || c.StrideH != 1 || c.StrideW != 1 || c.DilH != 1 || c.DilW != 1 || c.Groups != 1 {
		return fmt.Errorf("convolution: Winograd wants a 3x3 kernel, stride 1, dilation 1, 1 group, got %dx%d, %dx%d, %dx%d, %d",
			c.R, c.S, c.StrideH, c.StrideW, c.DilH, c.DilW, c.Groups)
	}
	return nil
}

// PlanWinograd compiles a convolution by tiles of tile x tile outputs, tile
// being 2 or 4. The error is that of [Conv.CheckWinograd], or names the tile.
func PlanWinograd(c Conv, tile int) (*Winograd, error) {
	if err := c.CheckWinograd(); err != nil {
		return nil, err
	}
	if tile != 2 && tile != 4 {
		return nil, fmt.Errorf("convolution: Winograd wants tiles of 2 or 4, got %d", tile)
	}
	f := &Winograd{conv: c, m: tile, t: tile + 2, oh: c.OutH(), ow: c.OutW(), panels: ceilDiv(c.K, panelWidth)}
	f.th, f.tw = ceilDiv(f.oh, tile), ceilDiv(f.ow, tile)
	f.tiles = c.N * f.th * f.tw
	f.zeros = make([]float32, max(f.t*c.C, f.t*f.panels*panelWidth))
	f.cut()
	return f, nil
}

// padded returns a stride of at least n floats that does not put the positions
// of a tile into the same few sets of a cache.
func padded(n int) int { return ceilDiv(n, 32)*32 + 16 }

// positions is the number of positions of a tile.
func (f *Winograd) positions() int { return f.t * f.t }

// fused says that each task transforms its own inputs; otherwise the tasks of
// [Winograd.Transform] do, before those of [Winograd.Run].
func (f *Winograd) fused() bool { return f.panelBlocks == 1 }

// PackedLen returns the number of floats of the transformed weights.
func (f *Winograd) PackedLen() int { return f.panels * f.positions() * f.conv.C * panelWidth }

// PackTasks returns the number of independent pieces of Pack.
func (f *Winograd) PackTasks() int { return f.panels }

// Pack transforms piece task of w, [3][3][C][K], into dst, which has PackedLen
// floats: [panel][position][C][16].
func (f *Winograd) Pack(task int, dst, w []float32) {
	checkFloats("packed weights", dst, f.PackedLen())
	checkFloats("weights", w, f.conv.WLen())
	size := f.positions() * f.conv.C * panelWidth
	k := task * panelWidth
	f.packPanel(dst[task*size:][:size], w[k:], min(panelWidth, f.conv.K-k), f.conv.K)
}

// PackOIHW is Pack for weights in PyTorch's order, [K][C][3][3], each filter
// multiplied by its scale unless scale is nil; see [Packing.RunOIHW].
func (f *Winograd) PackOIHW(task int, dst, w []float32, scale []float64) {
	checkFloats("packed weights", dst, f.PackedLen())
	checkFloats("weights", w, f.conv.WLen())
	size := f.positions() * f.conv.C * panelWidth
	panel := make([]float32, 9*f.conv.C*panelWidth)
	f.conv.packPanel(task, panel, w, scale)
	f.packPanel(dst[task*size:][:size], panel, panelWidth, panelWidth)
}

// packPanel transforms the panel of the first cols columns of w, [3][3][C][stride].
func (f *Winograd) packPanel(dst, w []float32, cols, stride int) {
	winogradWeights(f.t, &dst[0], f.conv.C*panelWidth*4, &w[0], f.conv.C*stride*4, stride*4, f.conv.C, cols)
}

// TransformTasks returns the number of independent tasks of Transform; 0 means
// that Run does what it would do.
func (f *Winograd) TransformTasks() int {
	if f.fused() {
		return 0
	}
	return f.tiles
}

// TransformFloats returns the length of the transformed inputs.
func (f *Winograd) TransformFloats() int {
	if f.fused() {
		return 0
	}
	return f.tileBlocks * f.blockFloats()
}

// blockFloats is the length of the transformed inputs of a block of tiles.
func (f *Winograd) blockFloats() int { return f.positions() * f.vPos }

// Transform transforms one task's part of x, [N][H][W][C], into v. All its tasks
// come before those of Run. scratch is that of Run. It allocates nothing.
func (f *Winograd) Transform(task int, scratch, x, v []float32) {
	checkMin("scratch", scratch, f.ScratchFloats())
	checkFloats("x", x, f.conv.XLen())
	checkFloats("transformed inputs", v, f.TransformFloats())
	block := v[task/f.tileBlock*f.blockFloats():][:f.blockFloats()]
	f.transform(scratch, x, block, task, task+1, task%f.tileBlock)
}

// transform transforms tiles lo..hi-1 to places at.. of a block.
func (f *Winograd) transform(tmp, x, block []float32, lo, hi, at int) {
	f.transformChannels(tmp, x, block[at*f.conv.C:], lo, hi, f.conv.C, f.vPos, 0, f.conv.C)
}

// transformChannels transforms channels c0..c1-1 of tiles lo..hi-1, pitch floats
// from tile to tile and pos from position to position.
func (f *Winograd) transformChannels(tmp, x, v []float32, lo, hi, pitch, pos, c0, c1 int) {
	c := &f.conv
	var in inputTile
	in.pixel = c.C * 4
	for tile := lo; tile < hi; tile++ {
		n, ty, tx := f.place(tile)
		iy, ix := ty*f.m-c.PadTop, tx*f.m-c.PadLeft
		in.left, in.right = max(0, -ix), min(f.t, c.W-ix)
		for i := range f.t {
			in.rows[i] = &f.zeros[0]
			if y := iy + i; y >= 0 && y < c.H && in.left < in.right {
				in.rows[i] = &x[((n*c.H+y)*c.W+ix+in.left)*c.C+c0]
			}
		}
		winogradInput(f.t, &v[(tile-lo)*pitch], pos*4, &in, c1-c0, &tmp[0])
	}
}

// place returns the image, row and column of a tile.
func (f *Winograd) place(tile int) (n, ty, tx int) {
	tx = tile % f.tw
	tile /= f.tw
	return tile / f.th, tile % f.th, tx
}

// Tasks returns the number of independent tasks; it does not depend on the
// number of threads.
func (f *Winograd) Tasks() int { return f.tileBlocks * f.panelBlocks }

// ScratchFloats returns the length of the scratch memory that each worker
// hands to Run and Transform.
func (f *Winograd) ScratchFloats() int {
	n := winogradFloats + f.positions()*f.mPos
	if f.fused() {
		n += f.blockFloats()
	}
	return n
}

// Run computes one task of
//
//	y = act(conv(x, w) + bias + residual)
//
// with x [N][H][W][C], v its transform or nil if there are no TransformTasks,
// the weights packed by Pack, bias [K] or nil, residual [N][OutH][OutW][K] or
// nil. residual may be y itself; no other argument may overlap y. The order of
// the sums is fixed, so the result does not depend on who runs which task. It
// allocates nothing.
func (f *Winograd) Run(task int, scratch, x, v, packed, bias, residual, y []float32, act Act) {
	f.run(task, scratch, x, v, packed, bias, residual, y, act, nil)
}

// run is Run, and RunStats if stats is not nil.
func (f *Winograd) run(task int, scratch, x, v, packed, bias, residual, y []float32, act Act, stats []float32) {
	c := &f.conv
	checkMin("scratch", scratch, f.ScratchFloats())
	checkFloats("x", x, c.XLen())
	checkFloats("transformed inputs", v, f.TransformFloats())
	checkFloats("packed weights", packed, f.PackedLen())
	checkFloats("y", y, c.YLen())
	if bias != nil {
		checkFloats("bias", bias, c.K)
	} else {
		bias = f.zeros
	}
	if residual != nil {
		checkFloats("residual", residual, c.YLen())
	}
	t0, t1 := span(task/f.panelBlocks, f.tileBlock, f.tiles)
	p0, p1 := span(task%f.panelBlocks, f.panelBlock, f.panels)
	tmp, scratch := scratch[:winogradFloats], scratch[winogradFloats:]
	products := scratch[:f.positions()*f.mPos]
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
		k := p * panelWidth
		cols := min(c.K-k, nz*panelWidth)
		f.store(tmp, products, bias[k:], residual, y, t0, t1, k, cols, act)
		if stats != nil {
			f.stats(stats[task/f.panelBlocks*2*c.K:], y, t0, t1, k, cols)
		}
	}
}

// multiply computes the products of all positions of some tiles with nz panels.
func (f *Winograd) multiply(block, packed, products []float32, tiles, p, nz int) {
	c := f.conv.C
	var g gemmArgs
	g.setAct(ActNone)
	g.setCols(panelWidth)
	g.aoff, g.batch, g.k = &f.zero[0], 1, c
	g.as, g.bs, g.ldc = c*4, f.positions()*c*panelWidth*4, f.nz*panelWidth*4
	count := ceilDiv(tiles, f.maxM)
	m, larger := tiles/count, tiles%count
	for pos := range f.positions() {
		from := (p*f.positions() + pos) * c * panelWidth
		g.b = &packed[from]
		// Weights that do not stay in cache are fetched one position ahead, a
		// panel with each tile.
		fetch, ahead := 0, from+c*panelWidth
		if pos == f.positions()-1 {
			ahead += (nz - 1) * f.positions() * c * panelWidth
		}
		if f.heavy && ahead < len(packed) {
			fetch = nz
			g.ahead, g.aheadStep = address(&packed[ahead]), g.bs
		} else {
			g.noAhead()
		}
		at := 0
		for mt, n := m+1, larger; mt >= m; mt, n = mt-1, count-larger {
			if n == 0 {
				continue
			}
			g.astep, g.cstep = mt*g.as, mt*g.ldc
			for n > 0 {
				g.tiles = n
				switch {
				case fetch > 0:
					g.tiles = min(n, fetch)
					fetch -= g.tiles
				case f.heavy:
					g.noAhead()
				}
				n -= g.tiles
				g.a, g.c, g.res = &block[pos*f.vPos+at*c], &products[pos*f.mPos+at*f.nz*panelWidth], nil
				at += g.tiles * mt
				gemmNN(mt, nz, &g)
			}
		}
	}
}

// store transforms the products of tiles t0..t1-1 into cols channels of y from
// channel k on.
func (f *Winograd) store(tmp, products, bias, residual, y []float32, t0, t1, k, cols int, act Act) {
	kk := f.conv.K
	out := outputTile{row: f.ow * kk * 4, pixel: kk * 4, bias: &bias[0]}
	out.lo, out.hi = act.bounds()
	for tile := t0; tile < t1; tile++ {
		n, ty, tx := f.place(tile)
		oy, ox := ty*f.m, tx*f.m
		at := ((n*f.oh+oy)*f.ow+ox)*kk + k
		out.y, out.height, out.width = &y[at], min(f.m, f.oh-oy), min(f.m, f.ow-ox)
		if residual != nil {
			out.res = &residual[at]
		}
		winogradOutput(f.t, &products[(tile-t0)*f.nz*panelWidth], f.mPos*4, &out, cols, &tmp[0])
	}
}

// bounds returns what the activation clamps to.
func (a Act) bounds() (lo, hi float32) {
	switch a {
	case ActNone:
		return float32(math.Inf(-1)), float32(math.Inf(1))
	case ActReLU:
		return 0, float32(math.Inf(1))
	case ActReLU6:
		return 0, 6
	}
	panic("kernel: unknown activation")
}

// cut chooses the blocks of a task, from the geometry and the instruction set
// alone. A block of tiles is so large that each weight read does the work of
// many tiles, and so small that its transform stays in the second-level cache;
// where there are few tiles in all, the tasks share their transform and each
// has some panels.
func (f *Winograd) cut() {
	f.nz = min(2, f.panels)
	for maxRows(f.nz) == 0 {
		f.nz--
	}
	f.maxM = maxRows(f.nz)
	f.heavy = f.PackedLen() > weightsFloats
	f.panelBlock = f.panels
	f.tileBlock = max(1, winogradBlock/(f.positions()*(f.conv.C+f.nz*panelWidth)))
	if f.heavy {
		f.tileBlock = max(f.tileBlock, 2*f.maxM)
	}
	f.tileBlock = min(f.tileBlock, max(f.maxM, f.tiles/minTasks))
	if f.tiles <= maxShared {
		f.tileBlock = f.tiles
		f.panelBlock = ceilDiv(ceilDiv(f.panels, minTasks), f.nz) * f.nz
	}
	f.tileBlock = ceilDiv(f.tiles, ceilDiv(f.tiles, f.tileBlock))
	f.tileBlocks, f.panelBlocks = ceilDiv(f.tiles, f.tileBlock), ceilDiv(f.panels, f.panelBlock)
	f.vPos, f.mPos = padded(f.tileBlock*f.conv.C), padded(f.tileBlock*f.nz*panelWidth)
}
