package conv

import (
	"errors"
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/gemm8"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// int8Winograd is a 3x3 convolution of quantized values that multiplies a quarter or 4/9
// as often: F(4x4,3x3) or F(2x2,3x3) of integers (see package wino), whose sums are those
// of the products. It multiplies numbers of 16 bits, half as many at a time as bytes by
// VNNI, as many as of bytes where these are [gemm8.Wide].
//
// Transformed inputs are [position][tile][C]int16, weights [panel][position][C/2][16][2]
// int16, products [position][tile][16]int32 of one panel at a time.
type int8Winograd struct {
	winogradShape
	tile wino.Tile
}

// int8WinogradName is what profiles show.
func int8WinogradName(tile wino.Tile) string { return "int8 " + winogradName(tile) }

// Cycles of the algorithms of integers, see cost.go. The transforms are of AVX2 on every
// processor.
const (
	int8CyclesPerPixel = 10 // to round and store 16 channels

	// The estimate must be below this share of the best other, for up to eight times the
	// memory of the weights as bytes.
	int8WinogradMargin = 0.75
)

// int8TransformCycles are what it takes to transform 16 channels of a tile of inputs, and
// of products.
var int8TransformCycles = map[wino.Tile]struct{ in, out float64 }{wino.F4: {100, 140}, wino.F2: {40, 50}}

// int8WordCycles returns the cycles of the products of a word, of bytes or of two numbers
// of 16 bits, by 16 columns.
func int8WordCycles() float64 {
	if gemm8.Wide() {
		return 1.5
	}
	return 0.5 * vectors()
}

// int8WinogradForward is the algorithm of quantized 3x3 convolutions. Its results are the
// same bits, so that it needs no [Want.Fast].
func int8WinogradForward(tile wino.Tile) algorithm {
	return func(c Conv, w Want) (candidate, error) {
		if gemm8.MaxSumRows() == 0 {
			return candidate{}, errors.New("convolution: this instruction set has no products of numbers of 16 bits")
		}
		if err := c.checkWinograd(); err != nil {
			return candidate{}, err
		}
		if c.DilH > 1 || c.DilW > 1 || c.C%isa.PanelWidth != 0 {
			return candidate{}, errors.New("convolution: Winograd of integers wants no dilation and whole panels of input channels")
		}
		if w.Quant.largestSum(c.K) > wino.MaxIntSum(tile) {
			return candidate{}, errors.New("convolution: the sums are too large for Winograd of integers")
		}
		return candidate{name: int8WinogradName(tile), cycles: c.int8WinogradCycles(tile), margin: int8WinogradMargin, plan: func() *Plan {
			return newInt8Winograd(c, tile).plan(w.Quant)
		}}, nil
	}
}

// largestSum bounds the magnitudes of the sums of products of k output channels.
func (l *Quant) largestSum(k int) (largest int64) {
	isa.CheckLen(len(l.WSum), k, "sums of weights")
	isa.CheckLen(len(l.WAbs), k, "sums of magnitudes of weights")
	below, above := int64(l.X.Zero), int64(255-l.X.Zero) // inputs are -below to above
	for i, abs := range l.WAbs {
		positive, negative := int64(abs+l.WSum[i])/2, int64(abs-l.WSum[i])/2
		largest = max(largest, positive*above+negative*below, negative*above+positive*below)
	}
	return largest
}

func (c *Conv) int8WinogradCycles(tile wino.Tile) float64 {
	outputs, cycles := float64(tile.Outputs()*tile.Outputs()), int8TransformCycles[tile]
	panels, inputs := float64(isa.CeilDiv(c.K, isa.PanelWidth)), float64(c.C/isa.PanelWidth)
	tiles, positions := float64(c.tileCount(tile.Outputs())), float64(tile.Positions()*tile.Positions())
	words := panels * positions * float64(c.C/2)
	return withWeights(tiles*words*int8WordCycles(), words*isa.PanelWidth) + tiles*(inputs*cycles.in+panels*(cycles.out+outputs*int8CyclesPerPixel))
}

// int8Cycles estimates [int8Conv].
func (c *Conv) int8Cycles() float64 {
	panels, pixels := float64(isa.CeilDiv(c.K, isa.PanelWidth)), float64(c.N*c.OutH()*c.OutW())
	words := panels * float64(c.R*c.S) * float64(isa.CeilDiv(c.C/c.Groups, 4/gemm8.Size()))
	return withWeights(pixels*words*int8WordCycles(), words*isa.PanelWidth) + pixels*panels*int8CyclesPerPixel
}

func newInt8Winograd(c Conv, tile wino.Tile) *int8Winograd {
	edge := tile.Positions()
	f := &int8Winograd{newWinogradShape(c, tile.Outputs(), tile.Inputs(), edge, edge), tile}
	f.depth = c.C / 2
	f.packedLen = f.panels * f.panelFloats()
	f.nz, f.maxM = 1, gemm8.MaxSumRows()
	f.weightsExceedL2 = f.packedLen > weightsFloats
	tiles := f.blockTiles()
	f.setBlocks(tiles, f.blockPanels(tiles))
	return f
}

func (f *int8Winograd) plan(l *Quant) *Plan {
	ch := l.channels(f.conv.K)
	p := &Plan{Algorithm: int8WinogradName(f.tile), Packed: f.packing()}
	run := &int8WinogradRun{f: f, l: l, large: ch.large, scale: make([]float32, f.panels*isa.PanelWidth), bias: make([][isa.PanelWidth]int32, f.panels)}
	copy(run.scale, ch.scale)
	for k, b := range l.Bias {
		run.bias[k/isa.PanelWidth][k%isa.PanelWidth] = b
	}
	run.outside = make([]uint8, f.t*f.conv.C)
	fill(run.outside, l.X.Zero)
	p.Steps = []Step{{
		Tasks: f.tasks(), Scratch: f.scratchFloats(), FLOPs: f.conv.FLOPs(),
		Reads: []Arg{ArgX, ArgPacked, ArgResidual}, Writes: []Arg{ArgY},
		Run: func(worker *Worker, task int, a Args) {
			isa.CheckFloats("x", a.X, FloatsOf(f.conv.XLen()))
			f.conv.checkBytes(&a, f.packedLen, l.Real)
			run.task(worker.previous(task), task, worker.Scratch, &a)
		},
	}}
	return p
}

// packing transforms the filters.
func (f *int8Winograd) packing() *Packing {
	c := &f.conv
	return &Packing{
		Len: f.packedLen, Tasks: f.panels, Key: c.key(int8WinogradName(f.tile)), OIHW: true, weights: c.WLen(),
		pack: func(task int, dst []float32, w Weights) {
			panel := int16sOf(dst[task*f.panelFloats():][:f.panelFloats()])
			clear(panel)
			channelStride, tapStride, outStride := c.K, c.C*c.K, 1
			if w.Order == OIHW {
				channelStride, tapStride, outStride = 9, 1, 9*c.C
			}
			_, k0, cols := c.panel(task)
			var g [3][3]int8
			u := make([]int16, f.positions)
			for col := range cols {
				for ch := range c.C {
					from := w.Data[(k0+col)*outStride+ch*channelStride:]
					for tap := range 9 {
						g[tap/3][tap%3] = int8(from[tap*tapStride])
					}
					wino.IntWeights(f.tile, u, &g)
					for pos, u := range u {
						panel[((pos*f.depth+ch/2)*isa.PanelWidth+col)*2+ch%2] = u
					}
				}
			}
		},
	}
}

// int16sOf views floats as numbers of 16 bits, int32sOf as integers.
func int16sOf(f []float32) []int16 {
	return unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(f))), 2*len(f))
}

func int32sOf(f []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(f))), len(f))
}

// int8Run is the number of tiles of a row whose outputs are rounded and stored together.
const int8Run = 16

// sumFloats is the length of the sums of some tiles of a row.
func (f *int8Winograd) sumFloats() int {
	m := f.tile.Outputs()
	return m * m * min(int8Run, len(f.cols)) * isa.PanelWidth
}

func (f *int8Winograd) scratchFloats() int {
	return wino.IntScratch + f.blockFloats() + f.positions*f.mPos + f.sumFloats()
}

// int8WinogradRun is what the tasks of a plan read.
type int8WinogradRun struct {
	f       *int8Winograd
	l       *Quant
	bias    [][isa.PanelWidth]int32 // by panel; sums are relative to the zero point
	scale   []float32               // of whole panels
	large   bool
	outside []uint8 // pixels outside of the picture
	zeros   [isa.PanelWidth]int32
}

// task computes one task. previous is the task that has last written to scratch, or -1.
func (r *int8WinogradRun) task(previous, task int, scratch []float32, a *Args) {
	f := r.f
	isa.CheckMin("scratch", scratch, f.scratchFloats())
	p0, p1, tb := f.panelBlocks.take(task)
	t0, t1 := f.tileBlocks.span(tb)
	part := func(n int) (p []float32) {
		p, scratch = scratch[:n:n], scratch[n:]
		return p
	}
	tmp := int32sOf(part(wino.IntScratch))
	block, products, sums := part(f.blockFloats()), int32sOf(part(f.positions*f.mPos)), int32sOf(part(f.sumFloats()))
	if previous < 0 || previous/f.panelBlocks.count != tb {
		r.transform(tmp, bytesOf(a.X, f.conv.XLen()), block, t0, t1)
	}
	g := gemm8.Args{AOff: &f.zero[0], Batch: 1, K: f.depth, AStride: 4 * f.pitch, Corr: &r.zeros[0]}
	g.SetEpilogue(r.l.epilogue(f.conv.K, a.Act, r.large))
	for p := p0; p < p1; p++ {
		g.SetPanels(1, f.conv.K-p*isa.PanelWidth)
		r.multiply(&g, block, a.Packed[p*f.panelFloats():][:f.panelFloats()], products, t1-t0)
		r.store(&g, a, tmp, products, sums, p, t0, t1)
	}
}

// transform transforms the inputs of tiles lo..hi-1 to a block.
func (r *int8WinogradRun) transform(tmp []int32, x []uint8, block []float32, lo, hi int) {
	f := r.f
	c := &f.conv
	in := wino.IntTile{Pixel: c.C, Zero: r.l.X.Zero}
	place := f.place(lo)
	for tile := lo; tile < hi; tile++ {
		iy, ix := f.rows[place.ty].first-c.PadTop, f.cols[place.tx].first-c.PadLeft
		in.Left, in.Right = max(0, -ix), min(f.t, max(0, c.W-ix))
		for i := range f.t {
			in.Rows[i] = &r.outside[0]
			if y := iy + i; y >= 0 && y < c.H && in.Left < in.Right {
				in.Rows[i] = &x[((place.n*c.H+y)*c.W+ix+in.Left)*c.C]
			}
		}
		wino.IntInput(f.tile, &int16sOf(block[(tile-lo)*f.pitch:])[0], 4*f.vPos, &in, c.C, &tmp[0])
		f.next(&place)
	}
}

// multiply computes the products of all positions of some tiles with a panel.
func (r *int8WinogradRun) multiply(g *gemm8.Args, block, panel []float32, products []int32, tiles int) {
	f := r.f
	for pos := range f.positions {
		g.B = (*int8)(unsafe.Pointer(&panel[pos*f.depth*isa.PanelWidth]))
		at := 0
		for _, t := range split(tiles, f.maxM) {
			for range t.n {
				g.A = (*uint8)(unsafe.Pointer(&block[pos*f.vPos+at*f.pitch]))
				g.C = &products[pos*f.mPos+at*isa.PanelWidth]
				g.Sum(t.rows)
				at += t.rows
			}
		}
	}
}

// store transforms the products of tiles t0..t1-1 with panel p, and rounds and stores the
// sums.
func (r *int8WinogradRun) store(g *gemm8.Args, a *Args, tmp, products, sums []int32, p, t0, t1 int) {
	f := r.f
	y, residual := a.Y, bytesOf(a.Residual, len(a.Residual)*4)
	m, k := f.tile.Outputs(), f.conv.K
	g.Scale = &r.scale[p*isa.PanelWidth]
	place := f.place(t0)
	for tile := t0; tile < t1; {
		n := min(t1-tile, len(f.cols)-place.tx, int8Run)
		width := n * m
		wino.IntOutput(f.tile, &sums[0], 4*width*isa.PanelWidth, &products[(tile-t0)*isa.PanelWidth], 4*f.mPos, &r.bias[p], n, &tmp[0])
		rows, col := f.rows[place.ty], f.cols[place.tx].first
		for i := range rows.count {
			at := ((place.n*f.oh+rows.first+i)*f.ow+col)*k + p*isa.PanelWidth
			g.C = &sums[i*width*isa.PanelWidth]
			if r.l.Real {
				g.Out = unsafe.Pointer(&y[at])
			} else {
				g.Out = unsafe.Pointer(&bytesOf(y, f.conv.YLen())[at])
			}
			if a.Residual != nil {
				g.Res = &residual[at]
			}
			g.Store(min(width, f.ow-col))
		}
		for range n {
			f.next(&place)
		}
		tile += n
	}
}
