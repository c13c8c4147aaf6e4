package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// ConvWeightGrad computes the gradient of a convolution with respect to its
// weights, compiled for one geometry and this machine. It is immutable; its
// tasks may run at the same time in any order.
//
// The gradient of the taps of kernel row r is a matrix of (s, c) by k, summed
// over output pixels: a TN call whose tile rows are neighbouring floats of a
// pixel's neighbourhood in x and whose columns are neighbouring channels of dy.
// The output rows of all images are cut into units small enough for the cache,
// and the units into chunks. A task takes one chunk and a block of input and
// output channels; where there are several chunks, each has its own copy of dw
// and Reduce adds them up in order.
type ConvWeightGrad struct {
	conv         Conv
	n, h, w      int // images, input height and width; flat 1x1 has rows of one pixel
	oh, ow       int
	sh, sw       int
	padT, padL   int
	cg, kg       int
	copyX        bool
	copyDY       bool
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

	imgBlock, rowBlock     int // a unit is a block of images and rows
	rowUnits, units        int
	chunks, cBlock, kBlock int
	cBlocks, kBlocks       int
}

const (
	unitPixels      = 208      // output pixels of a unit
	partialMax      = 4 << 20  // floats of all copies of dw that chunks have
	chunkPixels     = 800      // output pixels of a chunk, at least
	reduceFloats    = 16 << 10 // floats of dw that a Reduce task adds up
	channelBlockMax = 128
)

// PlanConvWeightGrad compiles the weight gradient of a convolution. The error
// is that of [Conv.Check].
func PlanConvWeightGrad(c Conv) (*ConvWeightGrad, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	g := &ConvWeightGrad{
		conv: c, n: c.N, h: c.H, w: c.W, oh: c.OutH(), ow: c.OutW(), sh: c.StrideH, sw: c.StrideW,
		padT: c.PadTop, padL: c.PadLeft, cg: c.C / c.Groups, kg: c.K / c.Groups,
	}
	if c.unpadded1x1() {
		g.h, g.w = c.N*c.H*c.W, 1
		g.oh, g.ow, g.n = g.h, 1, 1
	}
	g.cBlock, g.kBlock = g.cg, g.kg
	if g.cg > channelBlockMax {
		g.cBlock = isa.CeilDiv(g.cg, isa.CeilDiv(g.cg, channelBlockMax))
	}
	if g.kg > channelBlockMax {
		g.kBlock = isa.CeilDiv(isa.CeilDiv(g.kg, isa.CeilDiv(g.kg, channelBlockMax)), isa.PanelWidth) * isa.PanelWidth
	}
	// Chunks are worth their partial sums where there are many pixels to an
	// element of dw; elsewhere tasks get smaller blocks.
	pixels := c.N * c.OutH() * c.OutW()
	blocks := func() int { return c.Groups * isa.CeilDiv(g.cg, g.cBlock) * isa.CeilDiv(g.kg, g.kBlock) }
	tasks := min(targetTasks, float64(c.FLOPs())/minTaskFLOPs)
	chunks := min(isa.CeilDiv(targetTasks, blocks()), int(tasks), pixels/chunkPixels, partialMax/c.WLen())
	for float64(max(1, chunks)*blocks()) < tasks/2 && g.kBlock > 2*isa.PanelWidth {
		g.kBlock = isa.CeilDiv(g.kBlock/2, isa.PanelWidth) * isa.PanelWidth
	}
	g.cBlocks, g.kBlocks = isa.CeilDiv(g.cg, g.cBlock), isa.CeilDiv(g.kg, g.kBlock)

	g.nz, g.maxM = gemm.PairOfPanels(isa.CeilDiv(g.kBlock, isa.PanelWidth))

	inside := c.PadTop == 0 && c.PadLeft == 0 && (g.oh-1)*g.sh+(c.R-1)*c.DilH < g.h && (g.ow-1)*g.sw+(c.S-1)*c.DilW < g.w
	g.copyX = !inside || (c.R == 1 && g.sh > 1) || (c.S == 1 && g.sw > 1)
	// Pixels that lie a multiple of the page size apart share a few sets of the
	// first-level cache; a copy pays for itself there, and sooner where each
	// element is used by several taps. Panels that the kernel would read past
	// the end of dy are copied in any case.
	g.copyX = g.copyX || c.C%1024 == 0
	half := c.Precision != gemm.FP32
	g.copyX = g.copyX || half
	g.copyDY = half || g.kg%isa.PanelWidth != 0 || c.K%1024 == 0 || (c.R*c.S > 1 && c.K%512 == 0)
	g.stepH, g.stepW, g.inCols = g.sh, g.sw, g.w
	g.xPitch, g.yPitch = c.C, c.K
	if g.copyX {
		g.xPitch = g.cBlock
		if c.R == 1 {
			g.stepH = 1
		}
		if c.S == 1 {
			g.stepW = 1
		}
		g.inCols = (g.ow-1)*g.stepW + (c.S-1)*c.DilW + 1
	}
	// Enough pixels to make up for the trips of dw to the registers and back, and
	// few enough for the nz panels of dy to stay in the first-level cache.
	g.rowBlock = min(g.oh, max(1, unitPixels/g.ow))
	g.rowBlock = isa.CeilDiv(g.oh, isa.CeilDiv(g.oh, g.rowBlock))
	g.imgBlock = 1
	if g.rowBlock == g.oh {
		g.imgBlock = min(g.n, max(1, unitPixels/(g.oh*g.ow)))
	}
	g.groupPitch = g.nz * isa.PanelWidth
	if g.copyDY {
		g.yPitch = g.nz * isa.PanelWidth
	}
	g.merged = c.R == 1 && c.S == 1 && g.stepH == 1 && g.stepW == 1 && g.inCols == g.ow && (!half || c.unpadded1x1())
	g.kStep = g.stepW * g.xPitch
	if half {
		g.pairing()
	}
	if g.copyDY {
		g.groupPitch = g.yWords(g.imgBlock*g.rowBlock) * g.yPitch
	}

	g.rowUnits = isa.CeilDiv(g.oh, g.rowBlock)
	g.units = g.rowUnits * isa.CeilDiv(g.n, g.imgBlock)
	g.inRows = (g.rowBlock-1)*g.stepH + (c.R-1)*c.DilH + 1
	g.chunks = max(1, min(chunks, g.units))

	rowPitch := g.inCols * g.xPitch
	imgPitch := g.h * rowPitch
	if g.copyX {
		imgPitch = g.inRows * rowPitch
	}
	if g.merged {
		g.aoff = []int{0}
	} else {
		for n := range g.imgBlock {
			for y := range g.rowBlock {
				g.aoff = append(g.aoff, 4*(n*imgPitch+y*g.stepH*rowPitch))
			}
		}
	}
	return g, nil
}

// Tasks returns the number of independent tasks; it does not depend on the
// number of threads.
func (g *ConvWeightGrad) Tasks() int { return g.chunks * g.conv.Groups * g.cBlocks * g.kBlocks }

// ScratchFloats returns the length of the scratch memory that each worker
// hands to Run. It may be 0.
func (g *ConvWeightGrad) ScratchFloats() int { return g.scratchX() + g.scratchDY() }

func (g *ConvWeightGrad) scratchX() int {
	if !g.copyX {
		return 0
	}
	if g.merged && g.conv.Precision != gemm.FP32 {
		return g.yWords(g.imgBlock*g.rowBlock) * g.xPitch
	}
	return g.imgBlock * g.inRows * g.inCols * g.xPitch
}

func (g *ConvWeightGrad) scratchDY() int {
	if !g.copyDY {
		return 0
	}
	return isa.CeilDiv(isa.CeilDiv(g.kBlock, isa.PanelWidth), g.nz) * g.groupPitch
}

// PartialFloats returns the length of the memory that all tasks share for the
// sums of each chunk. It may be 0.
func (g *ConvWeightGrad) PartialFloats() int {
	if g.chunks == 1 {
		return 0
	}
	return g.chunks * g.conv.WLen()
}

// Run computes one task of the gradient with respect to w,
//
//	dw[r][s][c][k] = Σ_n Σ_oh Σ_ow x[n][oh*StrideH+r*DilH-PadTop][ow*StrideW+s*DilW-PadLeft][g*C/Groups+c] * dy[n][oh][ow][k]
//
// or, with accumulate, adds it to dw. x is [N][H][W][C], dy is
// [N][OutH][OutW][K] and dw [R][S][C/Groups][K]. If ReduceTasks is not 0, dw is
// right after the tasks of Reduce have run, with the same accumulate. It
// allocates nothing.
func (g *ConvWeightGrad) Run(task int, scratch, partial, x, dy, dw []float32, accumulate bool) {
	c := &g.conv
	isa.CheckMin("scratch", scratch, g.ScratchFloats())
	isa.CheckMin("partial sums", partial, g.PartialFloats())
	isa.CheckFloats("x", x, c.XLen())
	isa.CheckFloats("dy", dy, c.YLen())
	isa.CheckFloats("dw", dw, c.WLen())
	kb := task % g.kBlocks
	task /= g.kBlocks
	cb := task % g.cBlocks
	task /= g.cBlocks
	grp, chunk := task%c.Groups, task/c.Groups
	k0, k1 := isa.Span(kb, g.kBlock, g.kg)
	c0, c1 := isa.Span(cb, g.cBlock, g.cg)
	if g.chunks > 1 {
		dw, accumulate = partial[chunk*c.WLen():][:c.WLen()], false
	}
	var a gemm.Args
	a.SetAct(isa.ActNone)
	a.AOff = &g.aoff[0]
	a.AStride = g.kStep * 4
	a.BStride = g.yPitch * 4
	a.LDC = c.K * 4
	end := (chunk + 1) * g.units / g.chunks
	for u := chunk * g.units / g.chunks; u < end; u++ {
		var next unitFetch
		if u+1 < end && c.Precision == gemm.FP32 {
			next = g.fetch(u+1, x, dy, grp*g.cg+c0, c1-c0, grp*g.kg+k0, k1-k0)
		}
		oy0, oy1 := isa.Span(u%g.rowUnits, g.rowBlock, g.oh)
		n0, n1 := isa.Span(u/g.rowUnits, g.imgBlock, g.n)
		xs, ys := scratch[:g.scratchX()], dy[(n0*g.oh+oy0)*g.ow*c.K+grp*g.kg+k0:]
		if g.copyX {
			g.copyInput(xs, x, n0, n1, oy0, oy1, grp*g.cg+c0, c1-c0)
		} else {
			xs = x[((n0*g.h+oy0*g.sh)*g.w)*c.C+grp*g.cg+c0:]
		}
		if g.copyDY {
			d := scratch[g.scratchX():][:g.scratchDY()]
			g.packDY(d, ys, (n1-n0)*(oy1-oy0)*g.ow, k1-k0)
			ys = d
		}
		a.Batch = (n1 - n0) * (oy1 - oy0)
		if a.K = g.yWords(a.Batch) / a.Batch; g.merged {
			a.Batch, a.K = 1, g.yWords(a.Batch)
		}
		g.unit(&a, &next, xs, ys, dw, grp*g.kg, c0, c1, k0, k1, accumulate)
		accumulate = true
	}
}

// unitFetch says what is left to bring into the second-level cache of the unit
// after the one being computed: columns of cache lines, of x and of dy, in halves.
// A tile fetches a half column, a line for every other of its pixels, so that
// the reads of memory are spread over the products instead of stopping them.
type unitFetch struct {
	parts [4]struct {
		at    uintptr // first line of the next half column
		lines int     // half columns left
		pitch int     // bytes between lines of a column
	}
	part int
}

// fetch returns what unit u reads. Input rows with a stride are left to demand.
func (g *ConvWeightGrad) fetch(u int, x, dy []float32, c0, cn, k0, kn int) (f unitFetch) {
	c := &g.conv
	oy, n := u%g.rowUnits*g.rowBlock, u/g.rowUnits*g.imgBlock
	half := g.imgBlock * g.rowBlock * g.ow / 2
	columns := func(part int, first uintptr, channels, pitch int) {
		for i := range 2 {
			p := &f.parts[part+i]
			p.at, p.lines, p.pitch = first+uintptr(i*half*pitch), isa.CeilDiv(channels, isa.PanelWidth), pitch
		}
	}
	if g.sh == 1 && g.sw == 1 {
		// With much padding the rows of a unit may lie outside the input.
		iy := min(max(oy-g.padT, 0), g.h-1)
		columns(0, isa.Address(&x[(n*g.h+iy)*g.w*c.C+c0]), cn, 4*c.C)
	}
	columns(2, isa.Address(&dy[(n*g.oh+oy)*g.ow*c.K+k0]), kn, 4*c.K)
	return f
}

// take has the next call fetch half a column with each of its tiles, and returns
// how many of n tiles the call may have.
func (f *unitFetch) take(a *gemm.Args, n int) int {
	for f.part < len(f.parts) && f.parts[f.part].lines == 0 {
		f.part++
	}
	if f.part == len(f.parts) {
		a.NoPrefetch()
		return n
	}
	p := &f.parts[f.part]
	n = min(n, p.lines)
	a.Prefetch, a.PrefetchStep, a.PrefetchK = p.at, 64, p.pitch
	p.at += uintptr(64 * n)
	p.lines -= n
	return n
}

// unit adds the product of one unit to dw, and fetches from next meanwhile.
func (g *ConvWeightGrad) unit(a *gemm.Args, next *unitFetch, xs, ys, dw []float32, kOff, c0, c1, k0, k1 int, accumulate bool) {
	c := &g.conv
	// With all channels of a pixel in one block the taps of a row are one span.
	length, taps := c1-c0, c.S
	if length == g.cg && g.xPitch == g.cg && c.DilW == 1 {
		length, taps = c.S*g.cg, 1
	}
	tiles := isa.CeilDiv(length, g.maxM)
	m, larger := length/tiles, length%tiles
	panels := isa.CeilDiv(k1-k0, isa.PanelWidth)
	for p := 0; p < panels; p += g.nz {
		nz := min(g.nz, panels-p)
		a.SetCols(min(isa.PanelWidth, k1-k0-(p+nz-1)*isa.PanelWidth))
		a.B = &ys[p/g.nz*g.groupPitch]
		for r := range c.R {
			for s := range taps {
				from := (r*c.DilH*g.inCols + s*c.DilW) * g.xPitch
				at := ((r*c.S+s)*g.cg+c0)*c.K + kOff + k0 + p*isa.PanelWidth
				for mt, left := m+1, larger; mt >= m; mt, left = mt-1, tiles-larger {
					for left > 0 {
						n := next.take(a, left)
						left -= n
						a.A, a.C, a.Res = &xs[from], &dw[at], nil
						if accumulate {
							a.Res = a.C
						}
						a.Tiles, a.AStep, a.CStep = n, mt*4, mt*c.K*4
						c.Precision.TN(mt, nz, a)
						from += n * mt
						at += n * mt * c.K
					}
				}
			}
		}
	}
}

// copyInput fills xs with channels c0 to c0+cn of the rows and pixels of x that
// the taps of a unit reach, with zeros for those outside.
func (g *ConvWeightGrad) copyInput(xs, x []float32, n0, n1, oy0, oy1, c0, cn int) {
	c := &g.conv
	rows := (oy1-oy0-1)*g.stepH + (c.R-1)*c.DilH + 1
	rowLen := g.inCols * g.xPitch
	jumpH, jumpW := g.sh/g.stepH, g.sw/g.stepW
	if c.Precision != gemm.FP32 && g.merged {
		g.pairRow(xs, x[oy0*c.C+c0:], oy1-oy0, cn)
		return
	}
	left := min(isa.CeilDiv(g.padL, jumpW), g.inCols)
	right := left
	if first := left*jumpW - g.padL; first < g.w {
		right = min(g.inCols, left+isa.CeilDiv(g.w-first, jumpW))
	}
	// Unit images lie inRows apart also where this unit has fewer rows.
	for n := n0; n < n1; n++ {
		dst := xs[(n-n0)*g.inRows*rowLen:][:rows*rowLen]
		for i := range rows {
			d := dst[i*rowLen:][:rowLen]
			iy := oy0*g.sh - g.padT + i*jumpH
			if iy < 0 || iy >= g.h || left == right {
				clear(d)
				continue
			}
			clear(d[:left*g.xPitch])
			clear(d[right*g.xPitch:])
			if c.Precision != gemm.FP32 {
				g.pairPixels(d, x[(n*g.h+iy)*g.w*c.C+c0:], cn, left, right)
				continue
			}
			s := x[((n*g.h+iy)*g.w+left*jumpW-g.padL)*c.C+c0:]
			d = d[left*g.xPitch : right*g.xPitch]
			if jumpW == 1 && cn == c.C && cn == g.xPitch {
				copy(d, s)
				continue
			}
			copyPixels(d, s, right-left, cn, g.xPitch, jumpW*c.C)
		}
	}
}

// packDY lays kn channels of px pixels of dy out as groups of nz panels,
// [group][pixel][nz*16], zero at the end of the last.
func (g *ConvWeightGrad) packDY(dst, src []float32, px, kn int) {
	if g.conv.Precision != gemm.FP32 {
		g.pairDY(dst, src, px, kn)
		return
	}
	for k := 0; k < kn; k += g.yPitch {
		copyPixels(dst[k/g.yPitch*g.groupPitch:], src[k:], px, min(g.yPitch, kn-k), g.yPitch, g.conv.K)
	}
}

// copyPixels copies n pixels of cn floats that lie pitch apart in src to dst,
// where they lie dpitch apart, the rest of it zero.
func copyPixels(dst, src []float32, n, cn, dpitch, pitch int) {
	for i := range n {
		d := dst[i*dpitch:][:dpitch]
		copy(d[:cn], src[i*pitch:])
		clear(d[cn:])
	}
}

// ReduceTasks returns the number of tasks of Reduce, 0 if Run leaves dw right.
func (g *ConvWeightGrad) ReduceTasks() int {
	if g.chunks == 1 {
		return 0
	}
	return isa.CeilDiv(g.conv.WLen(), reduceFloats)
}

// Reduce adds up the partial sums that all tasks of Run left, for one piece of
// dw, in the order of the chunks. It allocates nothing.
func (g *ConvWeightGrad) Reduce(task int, partial, dw []float32, accumulate bool) {
	isa.CheckMin("partial sums", partial, g.PartialFloats())
	isa.CheckFloats("dw", dw, g.conv.WLen())
	reducePartials(task, g.chunks, partial, dw, accumulate)
}

// reducePartials adds up the copies of dw in partial, one for each chunk, for
// piece task of reduceFloats.
func reducePartials(task, chunks int, partial, dw []float32, accumulate bool) {
	n := len(dw)
	lo, hi := isa.Span(task, reduceFloats, n)
	d := dw[lo:hi]
	if !accumulate {
		copy(d, partial[lo:hi])
	} else {
		vec.AddTo(d, partial[lo:hi])
	}
	for p := 1; p < chunks; p++ {
		vec.AddTo(d, partial[p*n+lo:p*n+hi])
	}
}
