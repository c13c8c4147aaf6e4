package conv

import (
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/wino"
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
	way    winogradWay
	m, t   int // edge of a tile of outputs, of inputs
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

// winogradWay says which weights a [Winograd] reads.
type winogradWay int

const (
	// storedWeights reads transformed weights: (t/3)² times the memory and the
	// traffic of plain ones, and no work.
	storedWeights winogradWay = iota
	// pairedRows reads plain weights. It transforms those of some panels and
	// channels for two rows of positions into scratch memory, and multiplies them by
	// all tiles of the task.
	pairedRows
	// inRegisters reads plain weights, too. It transforms them in registers and
	// multiplies them by 4 or 8 tiles at once, so the transform is repeated for each
	// such group.
	inRegisters
)

// WinogradTiles are the sizes of tiles of outputs that [PlanWinograd] takes.
var WinogradTiles = []int{4, 2}

// CheckWinograd returns an error that says why a convolution cannot be done by
// [Winograd], nil if it can.
func (c Conv) CheckWinograd() error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.Precision != gemm.FP32 {
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
	way, _ := c.winogradWay(tile)
	return planWinograd(c, tile, way), nil
}

func planWinograd(c Conv, tile int, way winogradWay) *Winograd {
	f := &Winograd{conv: c, way: way, m: tile, t: tile + 2, oh: c.OutH(), ow: c.OutW(), panels: isa.CeilDiv(c.K, isa.PanelWidth)}
	f.tileGrid = newTileGrid(c.N, f.oh, f.ow, tile)
	f.zeros = make([]float32, max(f.t*c.C, f.t*f.panels*isa.PanelWidth))
	f.cut()
	return f
}

// padded returns a stride of at least n floats that does not put the positions
// of a tile into the same few sets of a cache.
func padded(n int) int { return isa.CeilDiv(n, 32)*32 + 16 }

// positions is the number of positions of a tile.
func (f *Winograd) positions() int { return f.t * f.t }

// Plain says that the packed weights are those of [Conv.ForwardPacking], which
// are transformed when they are read.
func (f *Winograd) Plain() bool { return f.way != storedWeights }

// PackedLen returns the number of floats of the packed weights.
func (f *Winograd) PackedLen() int {
	if f.Plain() {
		return f.conv.ForwardPacking().Len()
	}
	return f.panels * f.positions() * f.conv.C * isa.PanelWidth
}

// PackTasks returns the number of independent pieces of Pack.
func (f *Winograd) PackTasks() int { return f.panels }

// Pack packs piece task of w, [3][3][C][K], into dst, which has PackedLen floats:
// [panel][position][C][16], or as [Packing.Run] does for Plain weights.
func (f *Winograd) Pack(task int, dst, w []float32) {
	if f.Plain() {
		f.conv.ForwardPacking().Run(task, dst, w)
		return
	}
	isa.CheckFloats("packed weights", dst, f.PackedLen())
	isa.CheckFloats("weights", w, f.conv.WLen())
	size := f.positions() * f.conv.C * isa.PanelWidth
	k := task * isa.PanelWidth
	f.packPanel(dst[task*size:][:size], w[k:], min(isa.PanelWidth, f.conv.K-k), f.conv.K)
}

// PackOIHW is Pack for weights in PyTorch's order, [K][C][3][3], each filter
// multiplied by its scale unless scale is nil; see [Packing.RunOIHW].
func (f *Winograd) PackOIHW(task int, dst, w []float32, scale []float64) {
	if f.Plain() {
		f.conv.ForwardPacking().RunOIHW(task, dst, w, scale)
		return
	}
	isa.CheckFloats("packed weights", dst, f.PackedLen())
	isa.CheckFloats("weights", w, f.conv.WLen())
	size := f.positions() * f.conv.C * isa.PanelWidth
	panel := make([]float32, 9*f.conv.C*isa.PanelWidth)
	f.conv.packPanel(task, panel, w, scale)
	f.packPanel(dst[task*size:][:size], panel, isa.PanelWidth, isa.PanelWidth)
}

// packPanel transforms the panel of the first cols columns of w, [3][3][C][stride].
func (f *Winograd) packPanel(dst, w []float32, cols, stride int) {
	wino.Weights(f.t, &dst[0], f.conv.C*isa.PanelWidth*4, &w[0], f.conv.C*stride*4, stride*4, f.conv.C, cols)
}

// blockFloats is the length of the transformed inputs of a block of tiles.
func (f *Winograd) blockFloats() int {
	return f.positions() * f.vPos
}

// vTile is the length of a tile's transformed inputs in the way inRegisters.
func (f *Winograd) vTile() int {
	return f.positions() * isa.CeilDiv(f.conv.C, wino.TilesDepth) * wino.TilesDepth
}

// transform transforms tiles lo..hi-1 to a block.
func (f *Winograd) transform(tmp, x, block []float32, lo, hi int) {
	if places := wino.Grouped(hi - lo); f.way == inRegisters && places > hi-lo {
		first := (hi - lo) / wino.MaxGroup * wino.MaxGroup
		clear(block[first*f.vTile() : places*f.vTile()]) // some are empty
	}
	if f.way != inRegisters {
		f.transformChannels(tmp, x, block, lo, hi, f.conv.C, f.vPos, 0, f.conv.C)
		return
	}
	for tile := lo; tile < hi; tile++ {
		first := (tile - lo) / wino.MaxGroup * wino.MaxGroup
		f.transformGroup(tmp, x, block[first*f.vTile():], tile, wino.GroupOf(hi-lo-first), tile-lo-first)
	}
}

// transformChannels transforms channels c0..c1-1 of tiles lo..hi-1, pitch floats
// from tile to tile and pos from position to position.
func (f *Winograd) transformChannels(tmp, x, v []float32, lo, hi, pitch, pos, c0, c1 int) {
	c := &f.conv
	var in wino.InputTile
	in.Pixel = c.C * 4
	for tile := lo; tile < hi; tile++ {
		n, ty, tx := f.place(tile)
		iy, ix := ty*f.m-c.PadTop, tx*f.m-c.PadLeft
		in.Left, in.Right = max(0, -ix), min(f.t, c.W-ix)
		for i := range f.t {
			in.Rows[i] = &f.zeros[0]
			if y := iy + i; y >= 0 && y < c.H && in.Left < in.Right {
				in.Rows[i] = &x[((n*c.H+y)*c.W+ix+in.Left)*c.C+c0]
			}
		}
		wino.Input(f.t, &v[(tile-lo)*pitch], pos*4, &in, c1-c0, &tmp[0])
	}
}

// tileGrid is how images of outputs are cut into tiles.
type tileGrid struct {
	th, tw int // tiles of an image: rows, columns
	tiles  int // of all images
}

// newTileGrid cuts n images of h x w outputs into tiles of m x m.
func newTileGrid(n, h, w, m int) tileGrid {
	th, tw := isa.CeilDiv(h, m), isa.CeilDiv(w, m)
	return tileGrid{th, tw, n * th * tw}
}

// place returns the image, row and column of a tile.
func (g *tileGrid) place(tile int) (n, ty, tx int) {
	tx = tile % g.tw
	tile /= g.tw
	return tile / g.th, tile % g.th, tx
}

// Tasks returns the number of independent tasks; it does not depend on the
// number of threads.
func (f *Winograd) Tasks() int { return f.tileBlocks * f.panelBlocks }

// ScratchFloats returns the length of the scratch memory that each worker
// hands to Run.
func (f *Winograd) ScratchFloats() int {
	return wino.ScratchFloats + f.blockFloats() + f.positions()*f.mPos + f.weightFloats()
}

// Run computes one task of
//
//	y = act(conv(x, w) + bias + residual)
//
// with x [N][H][W][C], the weights packed by Pack, bias [K] or nil, residual
// [N][OutH][OutW][K] or nil. residual may be y itself; no other argument may
// overlap y. prev is the task, of the same convolution of the same x, that has
// last written to scratch, or -1: tasks of the same tiles follow each other and
// need their transform only once. The order of the sums is fixed, so the result
// does not depend on who runs which task. It allocates nothing.
func (f *Winograd) Run(prev, task int, scratch, x, packed, bias, residual, y []float32, act isa.Act) {
	f.run(prev, task, scratch, x, packed, bias, residual, y, act, nil)
}

// run is Run, and RunStats if stats is not nil.
func (f *Winograd) run(prev, task int, scratch, x, packed, bias, residual, y []float32, act isa.Act, stats []float32) {
	c := &f.conv
	isa.CheckMin("scratch", scratch, f.ScratchFloats())
	isa.CheckFloats("x", x, c.XLen())
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
	tb := task / f.panelBlocks
	t0, t1 := isa.Span(tb, f.tileBlock, f.tiles)
	p0, p1 := isa.Span(task%f.panelBlocks, f.panelBlock, f.panels)
	part := func(n int) (p []float32) {
		p, scratch = scratch[:n:n], scratch[n:]
		return p
	}
	tmp, block := part(wino.ScratchFloats), part(f.blockFloats())
	products, weights := part(f.positions()*f.mPos), part(f.weightFloats())
	if prev < 0 || prev/f.panelBlocks != tb {
		f.transform(tmp, x, block, t0, t1)
	}
	for p := p0; p < p1; p += f.nz {
		nz := min(f.nz, p1-p)
		k := p * isa.PanelWidth
		cols := min(c.K-k, nz*isa.PanelWidth)
		switch f.way {
		case storedWeights:
			f.multiply(block, packed, products, t1-t0, p, nz)
		case pairedRows:
			f.multiplyPairs(block, packed, products, weights, t1-t0, p, nz)
		case inRegisters:
			for t := t0; t < t1; {
				group := wino.GroupOf(t1 - t)
				f.multiplyGroup(group, block[(t-t0)*f.vTile():], packed, products, p)
				f.store(tmp, products, group*isa.PanelWidth, bias[k:], residual, y, t, min(t+group, t1), k, cols, act)
				t += group
			}
		}
		if f.way != inRegisters {
			f.store(tmp, products, f.mPos, bias[k:], residual, y, t0, t1, k, cols, act)
		}
		if stats != nil {
			f.stats(stats[tb*2*c.K:], y, t0, t1, k, cols)
		}
	}
}

// store transforms the products of tiles t0..t1-1, whose positions are pos floats
// apart, into cols channels of y from channel k on.
func (f *Winograd) store(tmp, products []float32, pos int, bias, residual, y []float32, t0, t1, k, cols int, act isa.Act) {
	kk := f.conv.K
	out := wino.OutputTile{Row: f.ow * kk * 4, Pixel: kk * 4, Bias: &bias[0]}
	out.Lo, out.Hi = act.Bounds()
	for tile := t0; tile < t1; tile++ {
		n, ty, tx := f.place(tile)
		oy, ox := ty*f.m, tx*f.m
		at := ((n*f.oh+oy)*f.ow+ox)*kk + k
		out.Y, out.Height, out.Width = &y[at], min(f.m, f.oh-oy), min(f.m, f.ow-ox)
		if residual != nil {
			out.Res = &residual[at]
		}
		wino.Output(f.t, &products[(tile-t0)*f.nz*isa.PanelWidth], pos*4, &out, cols, &tmp[0])
	}
}
