package conv

import (
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// stride2 is a 3x3 convolution of stride 2 that multiplies less. In one
// dimension, two outputs are sums over two filters: one of 2 taps over the 3
// inputs with even numbers, for which Karatsuba's formulas F(2,2) need 3
// multiplications instead of 4, and one of 1 tap over the 2 inputs with odd
// numbers:
//
//	y0 = (d0-d2)·g0 + d2·(g0+g2) + d1·g1
//	y1 = d2·(g0+g2) - (d2-d4)·g2 + d3·g1
//
// Of both dimensions that makes 25 multiplications instead of 36, and hardly
// any rounding, as the transforms only add. The products of odd inputs share
// their weights: there are 16 matrices of them. See Huang et al., "DWM: A
// Decomposable Winograd Method for Convolution Acceleration" (2020,
// arXiv:2002.00552), section 3.
type stride2 struct{ winogradShape }

// stride2Block bounds the transformed inputs of a block, in floats.
const stride2Block = 96 << 10

// Cycles of stride2, see cost.go: the share of the FMA peak that the products
// reach, and what the transforms of 16 channels of a tile cost; fitted to the
// layers of ResNet-18 and -50. It must be clearly faster than the direct
// algorithm to be chosen.
const (
	stride2Share                      = 0.87
	stride2PerInput, stride2PerOutput = 60, 50
	stride2Margin                     = 0.95

	stride2Edge = 4 // of the square of matrices of weights
)

// stride2Name is the name of the algorithm: that of tiles of as many outputs with
// stride 1, which no convolution has the choice of.
func (c *Conv) stride2Name() string { return c.winogradName(wino.F2) }

// checkStride2 returns an error with the reason why a convolution cannot be computed
// by [stride2], nil if it can.
func (c *Conv) checkStride2() error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.R != 3 || c.S != 3 || c.StrideH != 2 || c.StrideW != 2 || c.DilH != 1 || c.DilW != 1 || c.Groups != 1 {
		return fmt.Errorf("convolution: Winograd of stride 2 wants a 3x3 kernel, stride 2, dilation 1, 1 group, got %dx%d, %dx%d, %dx%d, %d",
			c.R, c.S, c.StrideH, c.StrideW, c.DilH, c.DilW, c.Groups)
	}
	return nil
}

// winogradStride2 is the algorithm of a forward convolution of stride 2 with
// constant weights.
func winogradStride2(c Conv, w Want) (k candidate, err error) {
	if !w.Fast {
		return k, errExact
	}
	if !w.ConstantWeights || w.Stats {
		return k, errors.New("convolution: Winograd of stride 2 is for inference only")
	}
	if err := c.checkStride2(); err != nil {
		return k, err
	}
	panels := float64(isa.CeilDiv(c.K, isa.PanelWidth))
	tiles := float64(c.N * isa.CeilDiv(c.OutH(), wino.Stride2M) * isa.CeilDiv(c.OutW(), wino.Stride2M))
	sums := tiles * wino.Stride2Positions * float64(c.C) * panels / 2
	transforms := tiles * (float64(isa.CeilDiv(c.C, isa.PanelWidth))*stride2PerInput + panels*stride2PerOutput)
	words := wino.Stride2Matrices * float64(c.Precision.Words(c.C)) * panels * isa.PanelWidth
	cycles := withWeights(sums*vectors()*c.productCycles()/stride2Share, words) + transforms*vectors()
	if c.Precision != gemm.FP32 {
		cycles += c.narrowCycles(tiles * wino.Stride2Positions)
	}
	return candidate{name: c.stride2Name(), cycles: cycles, margin: stride2Margin, plan: func() *Plan {
		return newStride2(c).plan(w)
	}}, nil
}

// newStride2 chooses the blocks of a task as [newWinograd] does.
func newStride2(c Conv) *stride2 {
	f := &stride2{newWinogradShape(c, wino.Stride2M, wino.Stride2T, wino.Stride2T, stride2Edge)}
	f.nz, f.maxM = gemm.PairOfPanels(f.panels)
	f.weightsExceedL2 = f.packedLen > weightsFloats
	if f.tiles <= fewTiles {
		f.setBlocks(f.tiles, isa.CeilDiv(isa.CeilDiv(f.panels, minTasks), f.nz)*f.nz)
		return f
	}
	tiles := max(f.maxM, stride2Block/(f.positions*c.C))
	if f.weightsExceedL2 {
		tiles = max(tiles, 2*f.maxM)
	}
	// An even number of blocks, eight at least.
	f.setBlocks(isa.CeilDiv(f.tiles, max(8, isa.CeilDiv(isa.CeilDiv(f.tiles, tiles), 2)*2)), f.panels)
	return f
}

// fused reports whether each task transforms its own inputs; otherwise a step
// before the products does.
func (f *stride2) fused() bool { return f.panelBlocks.count == 1 }

// packing returns how transformed weights are packed.
func (f *stride2) packing() *Packing {
	return f.transformedPacking("winograd of stride 2", func(dst, w []float32, cols, stride int) {
		wino.Stride2Weights(dst, w, f.conv.C, cols, stride)
	})
}

func (f *stride2) plan(w Want) *Plan {
	p := &Plan{Algorithm: f.conv.stride2Name(), Packed: f.packing()}
	reads := []Arg{ArgX, ArgPacked}
	if !f.fused() {
		inputs := f.tileBlocks.count * f.blockFloats()
		p.Floats[ArgInputs] = inputs
		reads = append(reads, ArgInputs)
		p.Steps = append(p.Steps, Step{
			Name: "input transform", Tasks: f.tiles, Scratch: f.scratchFloats(), Reads: []Arg{ArgX}, Writes: []Arg{ArgInputs},
			Run: func(worker *Worker, task int, a Args) {
				isa.CheckFloats("x", a.X, f.conv.XLen())
				isa.CheckFloats("transformed inputs", a.Inputs, inputs)
				isa.CheckMin("scratch", worker.Scratch, f.scratchFloats())
				block := a.Inputs[task/f.tileBlocks.size*f.blockFloats():][:f.blockFloats()]
				f.transformTiles(worker.Scratch, a.X, block, task, task+1, task%f.tileBlocks.size)
			},
		})
	}
	step := f.conv.products(w, reads...)
	step.Tasks, step.Scratch = f.tasks(), f.scratchFloats()
	step.Run = func(worker *Worker, task int, a Args) {
		f.conv.check(&a, f.packedLen)
		f.run(task, worker.Scratch, &a)
	}
	p.Steps = append(p.Steps, step)
	return p
}

// transformTiles transforms tiles lo..hi-1 to places at.. of a block. tmp has the scratch
// of the transform, and behind it [winogradShape.wideFloats].
func (f *stride2) transformTiles(tmp, x, block []float32, lo, hi, at int) {
	c := &f.conv
	in := wino.Stride2Tile{Pixel: c.C * 4}
	tmp, wide := tmp[:wino.Stride2ScratchFloats], tmp[wino.Stride2ScratchFloats:][:f.wideFloats()]
	step := c.C // channels transformed at a time
	if len(wide) > 0 {
		step = wideChannels
	}
	place := f.place(lo)
	for tile := lo; tile < hi; tile++ {
		iy, ix := 2*f.rows[place.ty].first-c.PadTop, 2*f.cols[place.tx].first-c.PadLeft
		in.Left, in.Right = max(0, -ix), min(f.t, c.W-ix)
		for c0 := 0; c0 < c.C; c0 += step {
			for i := range f.t {
				in.Rows[i] = &f.zeros[0]
				if y := iy + i; y >= 0 && y < c.H && in.Left < in.Right {
					in.Rows[i] = &x[((place.n*c.H+y)*c.W+ix+in.Left)*c.C+c0]
				}
			}
			to, n := block[(at+tile-lo)*f.pitch+c.Precision.Words(c0):], min(step, c.C-c0)
			if len(wide) == 0 {
				wino.Stride2Input(&to[0], f.vPos*4, &in, n, &tmp[0])
				continue
			}
			wino.Stride2Input(&wide[0], wideChannels*4, &in, n, &tmp[0])
			c.Precision.Narrow(to, wide, f.positions, n, wideChannels, f.vPos)
		}
		f.next(&place)
	}
}

// scratchFloats returns what one task needs.
func (f *stride2) scratchFloats() int {
	n := wino.Stride2ScratchFloats + f.wideFloats() + f.positions*f.mPos
	if f.fused() {
		n += f.blockFloats()
	}
	return n
}

// run computes one task.
func (f *stride2) run(task int, scratch []float32, a *Args) {
	isa.CheckMin("scratch", scratch, f.scratchFloats())
	o := f.output(a)
	p0, p1, tb := f.panelBlocks.take(task)
	t0, t1 := f.tileBlocks.span(tb)
	tmp, scratch := scratch[:wino.Stride2ScratchFloats+f.wideFloats()], scratch[wino.Stride2ScratchFloats+f.wideFloats():]
	products := scratch[:f.positions*f.mPos]
	block := scratch[len(products):]
	o.tmp = tmp
	if f.fused() {
		block = block[:f.blockFloats()]
		f.transformTiles(tmp, a.X, block, t0, t1, 0)
	} else {
		isa.CheckFloats("transformed inputs", a.Inputs, f.tileBlocks.count*f.blockFloats())
		block = a.Inputs[tb*f.blockFloats():][:f.blockFloats()]
	}
	for p := p0; p < p1; p += f.nz {
		nz := min(f.nz, p1-p)
		f.multiply(block, a.Packed, products, t1-t0, p, nz)
		f.setPanels(&o, p, nz)
		place := f.place(t0)
		for tile := t0; tile < t1; tile++ {
			f.setTile(&o, &place)
			wino.Stride2Output(&products[(tile-t0)*f.nz*isa.PanelWidth], f.mPos*4, &o.tile, o.cols, &tmp[0])
			f.next(&place)
		}
	}
}
