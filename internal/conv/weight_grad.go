package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// weightGrad is the gradient of a convolution with respect to its weights,
//
//	dw[r][s][c][k] = Σ_n Σ_oh Σ_ow x[n][oh*StrideH+r*DilH-PadTop][ow*StrideW+s*DilW-PadLeft][g*C/Groups+c] * dy[n][oh][ow][k]
//
// The gradient of the taps of kernel row r is a matrix of (s, c) by k, summed
// over output pixels: a TN call whose tile rows are neighboring floats of a
// pixel's neighborhood in x and whose columns are neighboring channels of dy.
// The output rows of all images are cut into units small enough for the cache,
// and the units into chunks. A task takes one chunk and a block of input and
// output channels; where there are several chunks, each has its own copy of dw,
// and a second step adds them up in order.
type weightGrad struct {
	conv         Conv
	n, h, w      int // images, input height and width; flat 1x1 has rows of one pixel
	oh, ow       int
	sh, sw       int
	padT, padL   int
	cg, kg       int
	unitPixels   int  // output pixels of a unit, at most
	uncrowded    bool // x and dy are copied where their pixels crowd the first-level cache
	copyX        bool
	copyDY       bool
	wholeDY      bool // the copy of dy has pixels of all channels of a block, not of those of a call
	merged       bool // the pixels of a unit are one long row
	stepH, stepW int  // input rows and pixels between outputs, as the kernel sees them
	inCols       int  // pixels of a row of x, as the kernel sees it
	inRows       int  // rows of an image of a full unit, in scratch
	xPitch       int  // floats between pixels of x, as the kernel sees them
	yPitch       int  // floats between pixels of dy, as the kernel sees them
	groupPitch   int  // floats between groups of nz panels of dy
	kStep        int  // floats between steps of the sum in x, as the kernel sees them
	aoff         []int
	nz, maxM     int

	imageBlocks, rowBlocks blocks // a unit is a block of images and rows
	units, chunks          int
	cBlocks, kBlocks       blocks // channels of a group
}

const (
	partialMax   = 4 << 20  // floats of all copies of dw that chunks have
	chunkPixels  = 800      // output pixels of a chunk, at least
	reduceFloats = 16 << 10 // floats of dw that a Reduce task adds up

	// Output pixels of a unit and channels of a block. With the tiles of AVX2, which
	// read each number of x more often, a copy of both that crowds no cache pays, the
	// more so the more channels use it. With those of AVX-512 it was as fast at best.
	unitPixels, channelBlock         = 208, 128
	unitPixelsAVX2, channelBlockAVX2 = 128, 256
	uncopiedChannels                 = 64 // too few channels of the other side for a copy to pay
)

// directWeightGrad is the algorithm [Direct] of a weight gradient.
func directWeightGrad(c Conv, _ Want) (candidate, error) {
	kp := float64(isa.CeilDiv(c.K, isa.PanelWidth))
	cycles := float64(c.N*c.OutH()*c.OutW()) * float64(c.R*c.S) * float64(c.C) * kp / 2 / directShare * c.productCycles()
	return candidate{name: Direct, cycles: cycles, plan: func() *Plan {
		g := newWeightGrad(c)
		p := &Plan{Algorithm: c.directName()}
		p.sumOfChunks(&c, g.chunks, Step{Tasks: g.tasks(), Scratch: g.scratchFloats(), Run: func(w *Worker, task int, a Args) {
			g.run(task, w.Scratch, &a)
		}})
		return p
	}}, nil
}

// sumOfChunks appends s, the products of a weight gradient. Where there are
// several chunks, each of which writes its own copy of dw to Args.Partial, it also
// appends the step that adds up the copies in their order.
func (p *Plan) sumOfChunks(c *Conv, chunks int, s Step) {
	s.FLOPs, s.Reads, s.Writes = c.FLOPs(), []Arg{ArgX, ArgDY, ArgResidual}, []Arg{ArgY, ArgPartial}
	p.Steps = append(p.Steps, s)
	if chunks == 1 {
		return
	}
	n := c.WLen()
	p.Floats[ArgPartial] = chunks * n
	p.Steps = append(p.Steps, Step{
		Name: "sum", Tasks: isa.CeilDiv(n, reduceFloats), Reads: []Arg{ArgPartial, ArgResidual}, Writes: []Arg{ArgY},
		Run: func(_ *Worker, task int, a Args) {
			isa.CheckFloats("partial sums", a.Partial, chunks*n)
			isa.CheckFloats("dw", a.Y, n)
			lo, hi := isa.Span(task, reduceFloats, n)
			d := a.Y[lo:hi]
			if a.Residual == nil {
				copy(d, a.Partial[lo:hi])
			} else {
				copy(d, a.Residual[lo:hi])
				vec.AddTo(d, a.Partial[lo:hi])
			}
			for i := 1; i < chunks; i++ {
				vec.AddTo(d, a.Partial[i*n+lo:i*n+hi])
			}
		},
	})
}

// chunkOf returns what the tasks of a chunk write: y, or a copy of it, and what
// they add to, or nil.
func (c *Conv) chunkOf(chunk, chunks int, a *Args) (y, sum []float32) {
	if chunks == 1 {
		return a.Y, a.Residual
	}
	isa.CheckFloats("partial sums", a.Partial, chunks*c.WLen())
	return a.Partial[chunk*c.WLen():][:c.WLen()], nil
}

// newWeightGrad chooses how a weight gradient is computed, and cuts it into
// tasks.
func newWeightGrad(c Conv) *weightGrad {
	g := &weightGrad{
		conv: c, n: c.N, h: c.H, w: c.W, oh: c.OutH(), ow: c.OutW(), sh: c.StrideH, sw: c.StrideW,
		padT: c.PadTop, padL: c.PadLeft, cg: c.C / c.Groups, kg: c.K / c.Groups,
	}
	if c.unpadded1x1() {
		g.h, g.w = c.N*c.H*c.W, 1
		g.oh, g.ow, g.n = g.h, 1, 1
	}
	most := channelBlock
	g.unitPixels = unitPixels
	if machine := isa.Planned(); machine.AVX2 && !machine.AVX512 && c.Precision == gemm.FP32 {
		g.unitPixels, most, g.uncrowded = unitPixelsAVX2, channelBlockAVX2, true
	}
	chunks := g.cutChannels(most)
	g.nz, g.maxM = pairOfPanels(g.kBlocks.size)
	g.layOut()
	g.cutPixels()
	g.chunks = max(1, min(chunks, g.units))
	return g
}

// cutChannels chooses the blocks of channels, of at most most, and returns how
// many chunks are worth their partial sums: those pay where there are many pixels
// to an element of dw; elsewhere tasks get smaller blocks.
func (g *weightGrad) cutChannels(most int) (chunks int) {
	c := &g.conv
	cBlock, kBlock := g.cg, g.kg
	if g.cg > most {
		cBlock = isa.CeilDiv(g.cg, isa.CeilDiv(g.cg, most))
	}
	if g.kg > most {
		kBlock = isa.CeilDiv(isa.CeilDiv(g.kg, isa.CeilDiv(g.kg, most)), isa.PanelWidth) * isa.PanelWidth
	}
	pixels := c.N * c.OutH() * c.OutW()
	blocks := func() int { return c.Groups * isa.CeilDiv(g.cg, cBlock) * isa.CeilDiv(g.kg, kBlock) }
	tasks := min(targetTasks, float64(c.FLOPs())/minTaskFLOPs)
	chunks = min(isa.CeilDiv(targetTasks, blocks()), int(tasks), pixels/chunkPixels, partialMax/c.WLen())
	for float64(max(1, chunks)*blocks()) < tasks/2 && kBlock > 2*isa.PanelWidth {
		kBlock = isa.CeilDiv(kBlock/2, isa.PanelWidth) * isa.PanelWidth
	}
	g.cBlocks, g.kBlocks = newBlocks(g.cg, cBlock), newBlocks(g.kg, kBlock)
	return chunks
}

// layOut chooses what is copied to scratch, and how the kernel sees x and dy.
func (g *weightGrad) layOut() {
	c := &g.conv
	inside := c.PadTop == 0 && c.PadLeft == 0 && (g.oh-1)*g.sh+(c.R-1)*c.DilH < g.h && (g.ow-1)*g.sw+(c.S-1)*c.DilW < g.w
	half := c.Precision != gemm.FP32
	// Pixels that lie a multiple of the page size apart share a few sets of the
	// first-level cache; a copy pays for itself there, and sooner where each
	// element is used by several taps. Panels that the kernel would read past
	// the end of dy are copied in any case.
	g.copyX = !inside || (c.R == 1 && g.sh > 1) || (c.S == 1 && g.sw > 1) || c.C%1024 == 0 || half
	g.copyDY = half || g.kg%isa.PanelWidth != 0 || c.K%1024 == 0 || (c.R*c.S > 1 && c.K%512 == 0)
	if g.uncrowded {
		taps := c.R * c.S
		g.copyX = g.copyX || taps*g.kBlocks.size > uncopiedChannels && crowds(g.unitPixels, c.C)
		g.copyDY = g.copyDY || taps*g.cBlocks.size > uncopiedChannels && crowds(g.unitPixels, c.K)
		g.wholeDY = g.copyDY
	}
	g.stepH, g.stepW, g.inCols = g.sh, g.sw, g.w
	g.xPitch, g.yPitch = c.C, c.K
	if g.copyX {
		g.xPitch = g.cBlocks.size
		if g.uncrowded {
			g.xPitch = apart(g.unitPixels, g.xPitch)
		}
		if c.R == 1 {
			g.stepH = 1
		}
		if c.S == 1 {
			g.stepW = 1
		}
		g.inCols = (g.ow-1)*g.stepW + (c.S-1)*c.DilW + 1
	}
	if g.copyDY {
		g.yPitch = g.nz * isa.PanelWidth
	}
	if g.wholeDY {
		g.yPitch = apart(g.unitPixels, isa.CeilDiv(g.kBlocks.size, isa.PanelWidth)*isa.PanelWidth)
	}
	g.merged = c.R == 1 && c.S == 1 && g.stepH == 1 && g.stepW == 1 && g.inCols == g.ow && (!half || c.unpadded1x1())
	g.kStep = g.stepW * g.xPitch
	if half {
		g.kStep = g.pairStep()
	}
}

// cutPixels cuts the output pixels into units.
func (g *weightGrad) cutPixels() {
	c := &g.conv
	// Enough pixels to make up for the trips of dw to the registers and back, and
	// few enough for the nz panels of dy to stay in the first-level cache.
	rows := min(g.oh, max(1, g.unitPixels/g.ow))
	g.rowBlocks = newBlocks(g.oh, isa.CeilDiv(g.oh, isa.CeilDiv(g.oh, rows)))
	g.imageBlocks = newBlocks(g.n, 1)
	if g.rowBlocks.count == 1 {
		g.imageBlocks = newBlocks(g.n, min(g.n, max(1, g.unitPixels/(g.oh*g.ow))))
	}
	g.units = g.rowBlocks.count * g.imageBlocks.count
	g.inRows = (g.rowBlocks.size-1)*g.stepH + (c.R-1)*c.DilH + 1
	g.groupPitch = g.nz * isa.PanelWidth
	if g.copyDY && !g.wholeDY {
		g.groupPitch = g.yWords(g.unitRows()) * g.yPitch
	}
	rowPitch := g.inCols * g.xPitch
	imgPitch := g.h * rowPitch
	if g.copyX {
		imgPitch = g.inRows * rowPitch
	}
	if g.merged {
		g.aoff = []int{0}
		return
	}
	for n := range g.imageBlocks.size {
		for y := range g.rowBlocks.size {
			g.aoff = append(g.aoff, 4*(n*imgPitch+y*g.stepH*rowPitch))
		}
	}
}

// unitRows returns the number of output rows of a full unit.
func (g *weightGrad) unitRows() int { return g.imageBlocks.size * g.rowBlocks.size }

func (g *weightGrad) tasks() int {
	return g.chunks * g.conv.Groups * g.cBlocks.count * g.kBlocks.count
}

// scratchFloats returns what one task needs.
func (g *weightGrad) scratchFloats() int { return g.scratchX() + g.scratchDY() }

func (g *weightGrad) scratchX() int {
	if !g.copyX {
		return 0
	}
	if g.merged && g.conv.Precision != gemm.FP32 {
		return g.yWords(g.unitRows()) * g.xPitch
	}
	return g.imageBlocks.size * g.inRows * g.inCols * g.xPitch
}

func (g *weightGrad) scratchDY() int {
	switch {
	case !g.copyDY:
		return 0
	case g.wholeDY:
		return g.unitRows() * g.ow * g.yPitch
	}
	return isa.CeilDiv(isa.CeilDiv(g.kBlocks.size, isa.PanelWidth), g.nz) * g.groupPitch
}

// weightGradTask is the state of one task of a [weightGrad].
type weightGradTask struct {
	*weightGrad
	g              gemm.Args
	grp            int
	c0, c1, k0, k1 int // channels of the group
	dw             []float32
	sum            []float32 // what is added to, like dw, or nil
	next           columnPrefetcher
}

// run computes one task.
func (g *weightGrad) run(task int, scratch []float32, a *Args) {
	c := &g.conv
	c.checkWeightGrad(a)
	isa.CheckMin("scratch", scratch, g.scratchFloats())
	t := weightGradTask{weightGrad: g}
	t.k0, t.k1, task = g.kBlocks.take(task)
	t.c0, t.c1, task = g.cBlocks.take(task)
	chunk := task / c.Groups
	t.grp = task % c.Groups
	t.dw, t.sum = c.chunkOf(chunk, g.chunks, a)
	t.g.SetAct(isa.ActNone)
	t.g.AOff = &g.aoff[0]
	t.g.AStride = g.kStep * 4
	t.g.BStride = g.yPitch * 4
	t.g.LDC = c.K * 4
	end := (chunk + 1) * g.units / g.chunks
	for u := chunk * g.units / g.chunks; u < end; u++ {
		t.next = columnPrefetcher{}
		if u+1 < end {
			t.prefetch(u+1, a.X, a.DY)
		}
		oy0, oy1, images := g.rowBlocks.take(u)
		n0, n1 := g.imageBlocks.span(images)
		xs, ys := scratch[:g.scratchX()], a.DY[(n0*g.oh+oy0)*g.ow*c.K+t.grp*g.kg+t.k0:]
		if g.copyX {
			t.copyInput(xs, a.X, n0, n1, oy0, oy1)
		} else {
			xs = a.X[((n0*g.h+oy0*g.sh)*g.w)*c.C+t.grp*g.cg+t.c0:]
		}
		if g.copyDY {
			d := scratch[g.scratchX():][:g.scratchDY()]
			g.packDY(d, ys, (n1-n0)*(oy1-oy0)*g.ow, t.k1-t.k0)
			ys = d
		}
		t.g.Batch = (n1 - n0) * (oy1 - oy0)
		if t.g.K = g.yWords(t.g.Batch) / t.g.Batch; g.merged {
			t.g.Batch, t.g.K = 1, g.yWords(t.g.Batch)
		}
		t.multiply(xs, ys)
		t.sum = t.dw
	}
}

// prefetch makes the tiles prefetch what unit u reads. Input rows with a stride
// are left to demand.
func (t *weightGradTask) prefetch(u int, x, dy []float32) {
	g, c := t.weightGrad, &t.conv
	oy, n := u%g.rowBlocks.count*g.rowBlocks.size, u/g.rowBlocks.count*g.imageBlocks.size
	half := g.unitRows() * g.ow / 2
	if g.sh == 1 && g.sw == 1 {
		// With much padding the rows of a unit may lie outside the input.
		iy := min(max(oy-g.padT, 0), g.h-1)
		t.next.add(0, &x[(n*g.h+iy)*g.w*c.C+t.grp*g.cg+t.c0], half, t.c1-t.c0, 4*c.C)
	}
	t.next.add(2, &dy[(n*g.oh+oy)*g.ow*c.K+t.grp*g.kg+t.k0], half, t.k1-t.k0, 4*c.K)
}

// multiply adds the products of one unit to sum, into dw.
func (t *weightGradTask) multiply(xs, ys []float32) {
	g, c, a := t.weightGrad, &t.conv, &t.g
	// With all channels of a pixel in one block the taps of a row are one span.
	length, taps := t.c1-t.c0, c.S
	if length == g.cg && g.xPitch == g.cg && c.DilW == 1 {
		length, taps = c.S*g.cg, 1
	}
	panels := isa.CeilDiv(t.k1-t.k0, isa.PanelWidth)
	for p := 0; p < panels; p += g.nz {
		nz := min(g.nz, panels-p)
		a.SetCols(min(isa.PanelWidth, t.k1-t.k0-(p+nz-1)*isa.PanelWidth))
		a.B = &ys[p/g.nz*g.groupPitch]
		for r := range c.R {
			for s := range taps {
				from := (r*c.DilH*g.inCols + s*c.DilW) * g.xPitch
				at := ((r*c.S+s)*g.cg+t.c0)*c.K + t.grp*g.kg + t.k0 + p*isa.PanelWidth
				for _, tile := range split(length, g.maxM) {
					a.AStep, a.CStep = tile.rows*4, tile.rows*c.K*4
					for left := tile.n; left > 0; {
						n := t.next.set(a, left)
						left -= n
						a.A, a.C, a.Res = &xs[from], &t.dw[at], nil
						if t.sum != nil {
							a.Res = &t.sum[at]
						}
						a.Tiles = n
						c.Precision.TN(tile.rows, nz, a)
						from += n * tile.rows
						at += n * tile.rows * c.K
					}
				}
			}
		}
	}
}

// copyInput fills xs with the task's channels of the rows and pixels of x that
// the taps of a unit reach, with zeros for those outside.
func (t *weightGradTask) copyInput(xs, x []float32, n0, n1, oy0, oy1 int) {
	g, c := t.weightGrad, &t.conv
	c0 := t.grp*g.cg + t.c0
	w := window{
		h: g.h, w: g.w, pixel: c.C, y0: oy0*g.sh - g.padT, x0: -g.padL, jumpH: g.sh / g.stepH, jumpW: g.sw / g.stepW,
		rows: (oy1-oy0-1)*g.stepH + (c.R-1)*c.DilH + 1, cols: g.inCols, channels: t.c1 - t.c0, pitch: g.xPitch,
	}
	if c.Precision != gemm.FP32 && g.merged {
		g.pairRow(xs, x[oy0*c.C+c0:], oy1-oy0, w.channels)
		return
	}
	// Unit images lie inRows apart also where this unit has fewer rows.
	for n := n0; n < n1; n++ {
		dst, src := xs[(n-n0)*g.inRows*w.cols*w.pitch:], x[n*g.h*g.w*c.C+c0:]
		if c.Precision != gemm.FP32 {
			pairWindow(c.Precision, dst, src, &w, g.stepW)
			continue
		}
		copyWindow(dst, src, &w, 0)
	}
}

// packDY lays kn channels of px pixels of dy out as groups of nz panels,
// [group][pixel][nz*16], zero at the end of the last, or as they are, if wholeDY.
func (g *weightGrad) packDY(dst, src []float32, px, kn int) {
	if g.conv.Precision != gemm.FP32 {
		g.pairDY(dst, src, px, kn)
		return
	}
	if g.wholeDY {
		copyPixels(dst, src, px, kn, g.yPitch, g.conv.K, 0)
		return
	}
	for k := 0; k < kn; k += g.yPitch {
		copyPixels(dst[k/g.yPitch*g.groupPitch:], src[k:], px, min(g.yPitch, kn-k), g.yPitch, g.conv.K, 0)
	}
}
