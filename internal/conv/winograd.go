package conv

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// winograd is a 3x3 convolution of stride 1, dilated or not, that multiplies less: F(mxm,3x3) of
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016,
// arXiv:1509.09308), section 4.1. It transforms overlapping tiles of
// (m+2)x(m+2) inputs, multiplies the channels of each of the (m+2)² positions of
// the transform by a matrix of transformed weights, and transforms back to mxm
// outputs: 36 multiplications where 144 are needed for m=4, 16 where 36 are
// needed for m=2. The result differs from the direct sum by rounding. Of a convolution
// of bfloat16 products, transforms of inputs and weights are float32 and rounded then,
// see bf16.go.
//
// With a dilation d, a picture is d x d phases: the pixels that are d apart. Where d
// is large, a phase has few pixels, and most of a tile of 4x4 lies outside.
// F(3x3,3x3) fits phases of 5x5 and 6x6 (25 multiplications for 81), and closed
// tiles are phases of up to 3x3 (16 multiplications for 81) or 2x2 (9 for 36) with
// the padding around them.
type winograd struct {
	winogradShape
	tile    wino.Tile
	weights winogradWeights
}

// winogradWeights is how a [winograd] comes by its transformed weights.
type winogradWeights int

const (
	// storedWeights reads weights transformed ahead of time: no transform when it
	// runs, (t/3)² times the memory and the memory traffic.
	storedWeights winogradWeights = iota
	// pairedRows reads untransformed weights. It transforms those of some panels and
	// channels for two rows of positions into scratch memory, and multiplies them by
	// all tiles of the task.
	pairedRows
	// inRegisters reads untransformed weights, too. It transforms them in registers
	// and multiplies them by 4 or 8 tiles at once, so the transform is repeated for
	// each such group.
	inRegisters
)

// winogradTiles are the tiles of forward convolutions, trainTiles those that training
// uses, too.
var (
	winogradTiles = []wino.Tile{wino.F4, wino.F2, wino.F3, wino.Closed3, wino.Closed2}
	trainTiles    = winogradTiles[:2]
)

// Cycles of Winograd's algorithm, see cost.go.
const (
	cyclesPerInput4 = 160 // to transform 16 channels of a tile
	cyclesPerNarrow = 1.7 // to round 16 channels of a position of a tile to bfloat16

	// For the weights of 16 filters and a channel: to transform them to tiles of 4x4
	// ahead of time; while running, in pairs of rows; to transform them in registers
	// and multiply them by 4 and by 8 tiles.
	cyclesPerWeights              = 100
	cyclesPerPairs                = 170
	cyclesPerFour, cyclesPerEight = 138, 250
)

// transformCycles are what it takes to transform 16 channels of a tile of inputs and
// of outputs; of the tiles for dilation, in proportion to the others by
// BenchmarkTransforms of package wino.
var transformCycles = map[wino.Tile]struct{ in, out float64 }{
	wino.F4:      {cyclesPerInput4, 120},
	wino.F2:      {70, 60},
	wino.F3:      {110, 90},
	wino.Closed3: {60, 60},
	wino.Closed2: {35, 35},
}

// Bounds of the blocks.
const (
	winogradBlock = 96 << 10 // floats of a block's transform and of its products at a time
	minTasks      = 16       // tasks to aim at
	fewTiles      = 64       // up to which the panels are divided among the tasks, too
	fewBlock      = 24       // tiles, at least, of a block where there are few
)

// checkWinograd returns an error with the reason why a convolution cannot be computed
// by [winograd], nil if it can.
func (c *Conv) checkWinograd() error {
	if err := c.Check(); err != nil {
		return err
	}
	if c.R != 3 || c.S != 3 || c.StrideH != 1 || c.StrideW != 1 || c.Groups != 1 {
		return fmt.Errorf("convolution: Winograd wants a 3x3 kernel, stride 1, 1 group, got %dx%d, %dx%d, %d",
			c.R, c.S, c.StrideH, c.StrideW, c.Groups)
	}
	return nil
}

// checkTile returns an error with the reason why a tile does not fit what is wanted of
// a convolution that [Conv.checkWinograd] admits, nil if it does.
func (c *Conv) checkTile(tile wino.Tile, w Want) error {
	if c.Precision != gemm.FP32 && tile != wino.F4 {
		return errors.New("convolution: Winograd multiplies bfloat16 numbers with tiles of 4x4 only")
	}
	if slices.Contains(trainTiles, tile) {
		return nil
	}
	if c.DilH == 1 && c.DilW == 1 || !w.ConstantWeights || w.Stats {
		return fmt.Errorf("convolution: Winograd's tiles of %v are for inference with dilation", tile)
	}
	if tile.Closed() {
		return c.checkClosed(tile)
	}
	return nil
}

// checkClosed returns an error with the reason why the phases of a convolution with
// their padding are no closed tiles of the kind, nil if they are.
func (c *Conv) checkClosed(tile wino.Tile) error {
	if c.PadTop != c.DilH || c.PadLeft != c.DilW || c.OutH() != c.H || c.OutW() != c.W {
		return errors.New("convolution: Winograd's closed tiles want a padding of a dilation on each side")
	}
	if m := tile.Outputs(); c.H > m*c.DilH || c.W > m*c.DilW {
		return fmt.Errorf("convolution: Winograd's tiles of %v want at most %d pixels of a phase in each direction", tile, m)
	}
	return nil
}

// winogradForward is the algorithm of a forward convolution with tiles of a kind.
func winogradForward(tile wino.Tile) algorithm {
	return func(c Conv, w Want) (candidate, error) {
		return winogradCandidate(c, tile, w, c.FLOPs(), c.inFloat32().forwardPacking)
	}
}

// winogradCandidate estimates and plans the convolution c, which is counted as
// flops operations and whose weights come in the given panels unless they are
// constant.
func winogradCandidate(c Conv, tile wino.Tile, w Want, flops int64, panels func() *Packing) (k candidate, err error) {
	if !w.Fast {
		return k, errExact
	}
	if err := c.checkWinograd(); err != nil {
		return k, err
	}
	if err := c.checkTile(tile, w); err != nil {
		return k, err
	}
	weights, cycles := c.winogradWeights(tile, nil)
	if one := c; w.BatchInvariant && c.N > 1 {
		one.N = 1
		alone, _ := one.winogradWeights(tile, nil)
		weights, cycles = c.winogradWeights(tile, func(way winogradWeights) bool { return c.sumsEqual(way, alone) })
	}
	if weights == storedWeights && !(w.Op == Forward && w.ConstantWeights) {
		cycles += float64(isa.CeilDiv(c.K, isa.PanelWidth)*c.C) * cyclesPerWeights
	}
	return candidate{name: c.winogradName(tile), cycles: cycles, plan: func() *Plan {
		return newWinograd(c, tile, weights).plan(w, flops, panels())
	}}, nil
}

// errExact is why the direct algorithm alone is a candidate.
var errExact = errors.New("convolution: Winograd rounds differently from the sum of the products")

// sumsEqual reports whether two ways to come by the weights give the same bits. The
// weights are equal in all, but pairedRows adds up the channels in parts of pairDepth.
func (c *Conv) sumsEqual(a, b winogradWeights) bool {
	return c.C <= pairDepth || (a == pairedRows) == (b == pairedRows)
}

// winogradWeights returns the fastest way to come by the weights for a kind of tile, of
// those that ok admits, unless it is nil, and the cycles of the convolution.
func (c *Conv) winogradWeights(tile wino.Tile, ok func(winogradWeights) bool) (winogradWeights, float64) {
	panels := float64(isa.CeilDiv(c.K, isa.PanelWidth))
	count := c.tileCount(tile.Outputs())
	tiles, positions := float64(count), float64(tile.Positions()*tile.Positions())
	cycles := transformCycles[tile]
	transforms := tiles * (float64(isa.CeilDiv(c.C, isa.PanelWidth))*cycles.in + panels*cycles.out) * vectors()
	rows := float64(c.C) * panels // of 16 weights, for each tap or position
	sums := rows * tiles * positions / 2 / winogradShare * vectors()
	if c.Precision != gemm.FP32 {
		words := float64(c.Precision.Words(c.C)) * panels * positions * isa.PanelWidth
		return storedWeights, withWeights(sums*c.productCycles(), words) + transforms + c.narrowCycles(tiles*positions)
	}
	weights, best := storedWeights, withWeights(sums, rows*positions*isa.PanelWidth)
	if ok == nil {
		ok = func(winogradWeights) bool { return true }
	} else if !ok(storedWeights) {
		best = math.Inf(1)
	}
	// The others transform to tiles of 4x4 only, by assembly.
	machine := isa.Planned()
	if tile == wino.F4 && (machine.AVX2 || machine.NEON) && ok(pairedRows) {
		blocks := float64(newWinograd(*c, tile, pairedRows).tileBlocks.count)
		pairs := withWeights(sums+rows*blocks*cyclesPerPairs*vectors(), rows*9*isa.PanelWidth)
		if pairs < best {
			weights, best = pairedRows, pairs
		}
	}
	if tile == wino.F4 && machine.AVX512 && ok(inRegisters) {
		groups := math.Floor(tiles/wino.MaxGroup) * cyclesPerEight
		if rest := count % wino.MaxGroup; rest > 0 && wino.GroupOf(rest) == wino.MaxGroup {
			groups += cyclesPerEight
		} else if rest > 0 {
			groups += cyclesPerFour
		}
		if registers := withWeights(rows*groups*vectors(), rows*9*isa.PanelWidth); registers < best {
			weights, best = inRegisters, registers
		}
	}
	return weights, best + transforms
}

// narrowCycles is what it takes to round the transformed inputs at a number of positions
// of tiles to bfloat16.
func (c *Conv) narrowCycles(positions float64) float64 {
	return positions * float64(isa.CeilDiv(c.C, isa.PanelWidth)) * cyclesPerNarrow * vectors()
}

// newWinograd plans the blocks of a task, from the geometry and the instruction
// set alone. A block of tiles is so large that each weight read does the work of
// many tiles, and so small that its transform stays in L2. Where there are few
// tiles in all, each task has some of the panels only. Neighboring tasks have the
// same tiles and mostly the same worker, which transforms them once.
func newWinograd(c Conv, tile wino.Tile, weights winogradWeights) *winograd {
	edge := tile.Positions()
	f := &winograd{winogradShape: newWinogradShape(c, tile.Outputs(), tile.Inputs(), edge, edge), tile: tile, weights: weights}
	f.nz, f.maxM = gemm.PairOfPanels(f.panels)
	if weights == inRegisters {
		f.nz, f.maxM = gemm.PairOfPanels(1)
	}
	if f.untransformed() {
		f.packedLen = c.forwardPacking().Len
	}
	f.weightsExceedL2 = f.packedLen > weightsFloats
	tiles := f.blockTiles()
	if weights == inRegisters {
		tiles = min(wino.MaxGroup, f.tiles)
	}
	f.setBlocks(tiles, f.blockPanels(tiles))
	if weights == inRegisters {
		f.vPos, f.mPos = wino.Grouped(tiles)*isa.CeilDiv(c.C, wino.TilesDepth)*wino.TilesDepth, wino.GroupOf(tiles)*isa.PanelWidth
	}
	return f
}

// untransformed reports whether the packed weights are panels of the direct
// algorithm, which are transformed as they are read.
func (f *winograd) untransformed() bool { return f.weights != storedWeights }

// packing returns how transformed weights are packed: [panel][position][C][16].
func (f *winograd) packing() *Packing {
	return f.transformedPacking(f.conv.winogradName(f.tile), func(dst, w []float32, cols, stride int) {
		f.transformWeights(dst, w, cols, stride)
	})
}

// transformWeights transforms the panel of the first cols columns of w,
// [3][3][C][stride].
func (f *winograd) transformWeights(dst, w []float32, cols, stride int) {
	wino.Weights(f.tile, &dst[0], f.conv.C*isa.PanelWidth*4, &w[0], f.conv.C*stride*4, stride*4, f.conv.C, cols)
}

// plan returns the steps: the products, after a transform of the weights if they
// are transformed in each run.
func (f *winograd) plan(w Want, flops int64, panels *Packing) *Plan {
	p := &Plan{Algorithm: f.conv.winogradName(f.tile), Packed: panels}
	from := ArgPacked
	switch {
	case f.untransformed():
	case w.Op == Forward && w.ConstantWeights:
		p.Packed = f.packing()
	default:
		from = ArgWeights
		p.Floats[ArgWeights] = f.packedLen
		p.Steps = append(p.Steps, Step{
			Name: "weight transform", Tasks: f.panels, Scratch: f.widePanel(), Reads: []Arg{ArgPacked}, Writes: []Arg{ArgWeights},
			Run: func(w *Worker, task int, a Args) { f.transformPanel(task, a.Weights, a.Packed, w.Scratch) },
		})
	}
	step := f.conv.products(w, ArgX, from)
	step.Tasks, step.Scratch, step.FLOPs = f.tasks(), f.scratchFloats(), flops
	step.Run = func(worker *Worker, task int, a Args) {
		if from == ArgWeights {
			a.Packed = a.Weights
		}
		f.conv.check(&a, f.packedLen)
		f.run(worker.previous(task), task, worker.Scratch, &a, w.Stats)
	}
	p.Steps = append(p.Steps, step)
	if w.Stats {
		p.statistics(f.conv.K, f.tileBlocks.count, f.statsRows)
	}
	return p
}

// transformPanel transforms a panel of the direct algorithm's packed weights of float32.
// wide has the length of [winograd.widePanel].
func (f *winograd) transformPanel(task int, dst, panels, wide []float32) {
	isa.CheckFloats("transformed weights", dst, f.packedLen)
	isa.CheckFloats("packed weights", panels, f.panels*9*f.conv.C*isa.PanelWidth)
	dst = dst[task*f.panelFloats():][:f.panelFloats()]
	f.narrowed(dst, wide, func(u []float32) {
		f.transformWeights(u, panels[task*9*f.conv.C*isa.PanelWidth:], isa.PanelWidth, isa.PanelWidth)
	})
}

// scratchFloats returns what one task needs.
func (f *winograd) scratchFloats() int {
	return wino.ScratchFloats + f.blockFloats() + f.positions*f.mPos + f.pairFloats() + f.wideFloats()
}

// run computes one task. previous is the task that has last written to scratch,
// or -1.
func (f *winograd) run(previous, task int, scratch []float32, a *Args, stats bool) {
	isa.CheckMin("scratch", scratch, f.scratchFloats())
	o := f.output(a)
	p0, p1, tb := f.panelBlocks.take(task)
	t0, t1 := f.tileBlocks.span(tb)
	part := func(n int) (p []float32) {
		p, scratch = scratch[:n:n], scratch[n:]
		return p
	}
	tmp, block := part(wino.ScratchFloats), part(f.blockFloats())
	products, pairs, wide := part(f.positions*f.mPos), part(f.pairFloats()), part(f.wideFloats())
	o.tmp = tmp
	if previous < 0 || previous/f.panelBlocks.count != tb {
		f.transformInput(tmp, a.X, block, wide, t0, t1)
	}
	for p := p0; p < p1; p += f.nz {
		nz := min(f.nz, p1-p)
		f.setPanels(&o, p, nz)
		switch f.weights {
		case storedWeights:
			f.multiply(block, a.Packed, products, t1-t0, p, nz)
		case pairedRows:
			f.multiplyPairs(block, a.Packed, products, pairs, t1-t0, p, nz)
		case inRegisters:
			for t := t0; t < t1; {
				group := wino.GroupOf(t1 - t)
				f.multiplyGroup(group, block[(t-t0)*f.vTile():], a.Packed, products, p)
				f.store(&o, products, group*isa.PanelWidth, t, min(t+group, t1))
				t += group
			}
		}
		if f.weights != inRegisters {
			f.store(&o, products, f.mPos, t0, t1)
		}
		if stats {
			f.stats(tb, a, t0, t1, o.k, o.cols)
		}
	}
}

// transformInput transforms tiles lo..hi-1 to a block.
func (f *winograd) transformInput(tmp, x, block, wide []float32, lo, hi int) {
	if len(wide) > 0 {
		f.transformNarrow(tmp, x, block, wide, lo, hi)
		return
	}
	if f.weights != inRegisters {
		f.transformTiles(tmp, x, block, lo, hi, channels{0, f.conv.C, f.pitch, f.vPos})
		return
	}
	if places := wino.Grouped(hi - lo); places > hi-lo {
		first := (hi - lo) / wino.MaxGroup * wino.MaxGroup
		clear(block[first*f.vTile() : places*f.vTile()]) // some are empty
	}
	for tile := lo; tile < hi; tile++ {
		first := (tile - lo) / wino.MaxGroup * wino.MaxGroup
		f.transformGroup(tmp, x, block[first*f.vTile():], tile, wino.GroupOf(hi-lo-first), tile-lo-first)
	}
}

// transformNarrow is [winograd.transformInput] for bfloat16 products. The transform
// itself is of float32 numbers.
func (f *winograd) transformNarrow(tmp, x, block, wide []float32, lo, hi int) {
	for tile := lo; tile < hi; tile++ {
		for c0 := 0; c0 < f.conv.C; c0 += wideChannels {
			c1 := min(c0+wideChannels, f.conv.C)
			f.transformTiles(tmp, x, wide, tile, tile+1, channels{c0, c1, 0, wideChannels})
			f.conv.Precision.Narrow(block[(tile-lo)*f.pitch+c0/2:], wide, f.positions, c1-c0, wideChannels, f.vPos)
		}
	}
}

// channels are channels c0 to c1-1 of transformed tiles that lie pitch floats
// from tile to tile and pos from position to position.
type channels struct{ c0, c1, pitch, pos int }

// transformTiles transforms channels of tiles lo..hi-1 to v.
func (f *winograd) transformTiles(tmp, x, v []float32, lo, hi int, ch channels) {
	c := &f.conv
	in := wino.InputTile{Pixel: c.DilW * c.C * 4}
	top, left := c.PadTop, c.PadLeft
	if f.tile.Closed() {
		top, left = 0, 0 // the padding is no part of it
	}
	place := f.place(lo)
	for tile := lo; tile < hi; tile++ {
		iy, ix := f.rows[place.ty].first-top, f.cols[place.tx].first-left
		in.Left, in.Right = isa.CeilDiv(max(0, -ix), c.DilW), min(f.t, isa.CeilDiv(max(0, c.W-ix), c.DilW))
		for i := range f.t {
			in.Rows[i] = &f.zeros[0]
			if y := iy + i*c.DilH; y >= 0 && y < c.H && in.Left < in.Right {
				in.Rows[i] = &x[((place.n*c.H+y)*c.W+ix+in.Left*c.DilW)*c.C+ch.c0]
			}
		}
		wino.Input(f.tile, &v[(tile-lo)*ch.pitch], ch.pos*4, &in, ch.c1-ch.c0, &tmp[0])
		f.next(&place)
	}
}

// store transforms the products of tiles t0..t1-1, whose positions are pos floats
// apart, into y.
func (f *winograd) store(o *winogradOutput, products []float32, pos, t0, t1 int) {
	place := f.place(t0)
	for tile := t0; tile < t1; tile++ {
		f.setTile(o, &place)
		wino.Output(f.tile, &products[(tile-t0)*f.nz*isa.PanelWidth], pos*4, &o.tile, o.cols, &o.tmp[0])
		f.next(&place)
	}
}
