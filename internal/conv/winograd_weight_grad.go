package conv

import (
	"errors"

	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// winogradGrad is the gradient of a 3x3 convolution of stride 1 with respect to
// its weights that multiplies less: the adjoint of F(4x4,3x3), see [winograd].
// With V the transform of the input's tiles and D the transform of the tiles of
// dy, the gradient of the transformed weights is, for each of the 36 positions,
//
//	u[position][c][k] = Σ_tile V[position][tile][c] * D[position][tile][k]
//
// which needs 36 multiplications where the direct sum needs 144. The result
// differs from the direct sum by rounding.
//
// A task takes a chunk of the tiles and a block of input and output channels;
// where there are several chunks, each has its own copy of dw, and a second step
// adds them up in order.
type winogradGrad struct {
	forward *winograd // the geometry of the tiles

	unitBlocks       blocks // of tiles transformed at a time
	chunks           int
	cBlocks, kBlocks blocks
	nz, maxM         int
	vPitch, dPitch   int // floats between tiles of V and D, or between words of two tiles
	vPos, dPos       int // floats between positions
	widePitch        int // floats between the two tiles that are yet to be rounded to words, 0 if they are not
	uPitch, uPos     int // floats between rows and positions of the gradient
	zero             [1]int
}

// cyclesPerGrad is the cost of transforming 16 channels of a tile of dy.
const cyclesPerGrad = 140

const (
	gradChannels = 64 // input and output channels of a block
	gradUnit     = 32 // tiles of a unit at full blocks: all of a task stays in the second-level cache
	gradChunk    = 64 // tiles of a chunk, at least
)

// winogradWeightGrad is the algorithm of a weight gradient. Its cost leaves out
// what does not depend on the algorithm: the traffic of x and dy.
func winogradWeightGrad(c Conv, w Want) (k candidate, err error) {
	if !w.Fast {
		return k, errExact
	}
	if err := c.checkWinograd(); err != nil {
		return k, err
	}
	if w.Residual {
		return k, errors.New("convolution: Winograd's weight gradient cannot be added to a residual")
	}
	tiles := float64(c.tileCount(4))
	cp, kp := float64(isa.CeilDiv(c.C, isa.PanelWidth)), float64(isa.CeilDiv(c.K, isa.PanelWidth))
	cBlocks, kBlocks := gradBlocks(&c)
	sums := tiles * 36 * float64(c.C) * kp / 2 / winogradShare
	inputs, grads := float64(cyclesPerInput4), float64(cyclesPerGrad)
	if c.Precision != gemm.FP32 {
		sums, inputs, grads = sums*c.productCycles(), inputs+36*cyclesPerNarrow, grads+36*cyclesPerNarrow
	}
	transforms := tiles * (cp*float64(kBlocks.count)*inputs + kp*float64(cBlocks.count)*grads)
	return candidate{name: c.winogradName(wino.F4), cycles: sums + transforms + float64(c.C)*kp*cyclesPerWeights, plan: func() *Plan {
		g := newWinogradGrad(c)
		p := &Plan{Algorithm: c.winogradName(wino.F4)}
		p.sumOfChunks(&c, g.chunks, Step{Tasks: g.tasks(), Scratch: g.scratchFloats(), Run: func(w *Worker, task int, a Args) {
			g.run(task, w.Scratch, &a)
		}})
		return p
	}}, nil
}

// gradBlocks returns the blocks of input and output channels.
func gradBlocks(c *Conv) (in, out blocks) {
	return evenBlocks(c.C, gradChannels, 1), evenBlocks(c.K, gradChannels, isa.PanelWidth)
}

func newWinogradGrad(c Conv) *winogradGrad {
	f := newWinograd(c, wino.F4, storedWeights)
	g := &winogradGrad{forward: f}
	g.cBlocks, g.kBlocks = gradBlocks(&c)
	unit := gradUnit * 2 * gradChannels / (g.cBlocks.size + isa.CeilDiv(g.kBlocks.size, isa.PanelWidth)*isa.PanelWidth)
	unit = min(unit, 2*gradUnit)
	inWord := 1
	if c.Precision != gemm.FP32 {
		inWord = 2
	}
	unit = min(unit*inWord, f.tiles)
	even := isa.CeilDiv(f.tiles, isa.CeilDiv(f.tiles, unit))
	g.unitBlocks = newBlocks(f.tiles, isa.CeilDiv(even, inWord)*inWord)
	blocks := g.cBlocks.count * g.kBlocks.count
	g.chunks = max(1, min(isa.CeilDiv(targetTasks, blocks), f.tiles/gradChunk, g.unitBlocks.count, partialMax/c.WLen()))
	g.nz, g.maxM = pairOfPanels(g.kBlocks.size)
	// Odd numbers of cache lines keep neighboring tiles out of each other's sets.
	odd := func(n int) int { return isa.CeilDiv(n, isa.PanelWidth)*isa.PanelWidth | isa.PanelWidth }
	g.vPitch, g.dPitch = odd(g.cBlocks.size), odd(g.kBlocks.size)
	words := c.Precision.Words(g.unitBlocks.size)
	g.vPos, g.dPos = padded(words*g.vPitch), padded(words*g.dPitch)
	if c.Precision != gemm.FP32 {
		g.widePitch = max(g.vPitch, g.dPitch)
	}
	g.uPitch = odd(g.kBlocks.size)
	g.uPos = padded(g.cBlocks.size * g.uPitch)
	return g
}

func (g *winogradGrad) tasks() int { return g.chunks * g.cBlocks.count * g.kBlocks.count }

// scratchFloats returns what one task needs.
func (g *winogradGrad) scratchFloats() int {
	return wino.ScratchFloats + g.forward.positions*(g.vPos+g.dPos+g.uPos+2*g.widePitch)
}

// run computes one task.
func (g *winogradGrad) run(task int, scratch []float32, a *Args) {
	c := &g.forward.conv
	c.checkWeightGrad(a)
	isa.CheckMin("scratch", scratch, g.scratchFloats())
	k0, k1, task := g.kBlocks.take(task)
	c0, c1, chunk := g.cBlocks.take(task)
	dw, _ := c.chunkOf(chunk, g.chunks, a)
	positions := g.forward.positions
	tmp, scratch := scratch[:wino.ScratchFloats], scratch[wino.ScratchFloats:]
	u, scratch := scratch[:positions*g.uPos], scratch[positions*g.uPos:]
	v, scratch := scratch[:positions*g.vPos], scratch[positions*g.vPos:]
	d, wide := scratch[:positions*g.dPos], scratch[positions*g.dPos:]
	units := g.unitBlocks.count
	first, end := chunk*units/g.chunks, (chunk+1)*units/g.chunks
	for n := first; n < end; n++ {
		t0, t1 := g.unitBlocks.span(n)
		if g.widePitch > 0 {
			g.transformPairs(tmp, wide, v, d, a, t0, t1, channels{c0, c1, 0, 0}, channels{k0, k1, 0, 0})
		} else {
			g.forward.transformTiles(tmp, a.X, v, t0, t1, channels{c0, c1, g.vPitch, g.vPos})
			g.transformGrad(tmp, a.DY, d, t0, t1, channels{k0, k1, g.dPitch, g.dPos})
		}
		g.multiply(gradProduct{v, d, u, c1 - c0, k1 - k0, t1 - t0, n > first})
	}
	tap := c.C * c.K * 4
	for i := range c1 - c0 {
		wino.WeightGrad(&dw[(c0+i)*c.K+k0], tap, &u[i*g.uPitch], g.uPos*4, k1-k0, &tmp[0])
	}
}

// transformPairs transforms tiles lo..hi-1 of x and dy and rounds neighboring ones to
// words of two, a pair at a time, which stays in the first-level cache.
func (g *winogradGrad) transformPairs(tmp, wide, v, d []float32, a *Args, lo, hi int, x, dy channels) {
	x.pitch, x.pos = g.widePitch, 2*g.widePitch
	dy.pitch, dy.pos = x.pitch, x.pos
	for tile := lo; tile < hi; tile += 2 {
		end, word := min(tile+2, hi), (tile-lo)/2
		pairs := gemm.Pairing{Rows: g.forward.positions, Step: 2 * g.widePitch, Hi: g.widePitch, NoHigh: tile+1 == hi}
		g.forward.transformTiles(tmp, a.X, wide, tile, end, x)
		pairs.Cols, pairs.Width, pairs.DStep = x.c1-x.c0, x.c1-x.c0, g.vPos
		g.forward.conv.Precision.Pairs(v[word*g.vPitch:], wide, pairs)
		g.transformGrad(tmp, a.DY, wide, tile, end, dy)
		pairs.Cols, pairs.Width, pairs.DStep = dy.c1-dy.c0, dy.c1-dy.c0, g.dPos
		g.forward.conv.Precision.Pairs(d[word*g.dPitch:], wide, pairs)
	}
}

// transformGrad transforms channels of tiles lo..hi-1 of dy.
func (g *winogradGrad) transformGrad(tmp, dy, d []float32, lo, hi int, ch channels) {
	f := g.forward
	k := f.conv.K
	in := wino.GradTile{Pixel: f.conv.DilW * k * 4}
	place := f.place(lo)
	for tile := lo; tile < hi; tile++ {
		row, col := f.rows[place.ty], f.cols[place.tx]
		in.Width = col.count
		for i := range in.Rows {
			in.Rows[i] = &f.zeros[0]
			if i < row.count {
				in.Rows[i] = &dy[((place.n*f.oh+row.first+i*f.conv.DilH)*f.ow+col.first)*k+ch.c0]
			}
		}
		wino.OutputGrad(&d[(tile-lo)*ch.pitch], ch.pos*4, &in, ch.c1-ch.c0, &tmp[0])
		f.next(&place)
	}
}

// gradProduct is, for all positions, the product of c channels of v by k channels
// of d, summed over tiles. It is added to u with accumulate, and stored otherwise.
type gradProduct struct {
	v, d, u     []float32
	c, k, tiles int
	accumulate  bool
}

func (g *winogradGrad) multiply(q gradProduct) {
	var a gemm.Args
	a.SetAct(isa.ActNone)
	a.AOff, a.Batch, a.K = &g.zero[0], 1, g.forward.conv.Precision.Words(q.tiles)
	a.AStride, a.BStride, a.LDC = g.vPitch*4, g.dPitch*4, g.uPitch*4
	panels, tilesOf := isa.CeilDiv(q.k, isa.PanelWidth), split(q.c, g.maxM)
	for pos := range g.forward.positions {
		for p := 0; p < panels; p += g.nz {
			nz := min(g.nz, panels-p)
			a.SetCols(min(isa.PanelWidth, q.k-(p+nz-1)*isa.PanelWidth))
			a.B = &q.d[pos*g.dPos+p*isa.PanelWidth]
			a.NoPrefetch()
			at := 0
			for i := range tilesOf {
				t := &tilesOf[i]
				if t.n == 0 {
					continue
				}
				a.A, a.C, a.Res = &q.v[pos*g.vPos+at], &q.u[pos*g.uPos+at*g.uPitch+p*isa.PanelWidth], nil
				if q.accumulate {
					a.Res = a.C
				}
				a.Tiles, a.AStep, a.CStep = t.n, t.rows*4, t.rows*a.LDC
				at += t.n * t.rows
				g.forward.conv.Precision.TN(t.rows, nz, &a)
			}
		}
	}
}
