package conv

import (
	"fmt"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/vec"
)

// cyclesPerWeights is what it costs to transform 16 filters of an input channel
// to tiles of 4x4, cyclesPerGrad to transform 16 channels of a tile of gradients.
const cyclesPerWeights, cyclesPerGrad = 100, 140

// FastestTrainingTile is [Conv.FastestTile] for weights that change from run to
// run and are transformed in each.
func (c Conv) FastestTrainingTile() int {
	return c.fastestTile(float64(isa.CeilDiv(c.K, isa.PanelWidth)*c.C) * cyclesPerWeights)
}

// FastestInputGradTile returns the size of tiles for [PlanWinogradInputGrad], or
// 0 where [ConvInputGrad] is expected to be faster.
func (c Conv) FastestInputGradTile() int {
	g, err := c.inputGrad()
	if err != nil {
		return 0
	}
	return g.FastestTrainingTile()
}

// FastestWeightGrad says whether [WinogradWeightGrad] is expected to be faster
// than [ConvWeightGrad].
func (c Conv) FastestWeightGrad() bool {
	if c.CheckWinograd() != nil {
		return false
	}
	tiles := float64(c.N * isa.CeilDiv(c.OutH(), 4) * isa.CeilDiv(c.OutW(), 4))
	cp, kp := float64(isa.CeilDiv(c.C, isa.PanelWidth)), float64(isa.CeilDiv(c.K, isa.PanelWidth))
	_, cBlocks := evenBlocks(c.C, gradChannels, 1)
	_, kBlocks := evenBlocks(c.K, gradChannels, isa.PanelWidth)
	sums := tiles * 36 * float64(c.C) * kp / 2 / winogradShare
	transforms := tiles * (cp*float64(kBlocks)*cyclesPerInput4 + kp*float64(cBlocks)*cyclesPerGrad)
	direct := float64(c.N*c.OutH()*c.OutW()) * 9 * float64(c.C) * kp / 2 / directShare
	return sums+transforms+float64(c.C)*kp*cyclesPerWeights < direct
}

// PackPanels transforms piece task of weights that [Conv.ForwardPacking] has
// brought into panels, or [Conv.InputGradPacking] where f is of
// [PlanWinogradInputGrad], into dst, which has PackedLen floats. It allocates
// nothing.
func (f *Winograd) PackPanels(task int, dst, panels []float32) {
	isa.CheckFloats("transformed weights", dst, f.PackedLen())
	isa.CheckFloats("packed weights", panels, f.panels*9*f.conv.C*isa.PanelWidth)
	size := f.conv.C * isa.PanelWidth
	if f.Plain() {
		copy(dst[task*9*size:][:9*size], panels[task*9*size:])
		return
	}
	f.packPanel(dst[task*f.positions()*size:], panels[task*9*size:], isa.PanelWidth, isa.PanelWidth)
}

// StatsFloats returns the length of the stats that RunStats fills.
func (f *Winograd) StatsFloats() int { return f.tileBlocks * 2 * f.conv.K }

// RunStats is Run, and leaves the statistics of the task's part of y in stats,
// as [ConvForward.RunStats] does.
func (f *Winograd) RunStats(prev, task int, scratch, x, packed, bias, residual, y []float32, act isa.Act, stats []float32) {
	isa.CheckFloats("stats", stats, f.StatsFloats())
	f.run(prev, task, scratch, x, packed, bias, residual, y, act, stats)
}

// stats puts the statistics of cols channels from channel k on, of tiles
// t0..t1-1, into the stats of their block.
func (f *Winograd) stats(stats, y []float32, t0, t1, k, cols int) {
	kk := f.conv.K
	for end := k + cols; k < end; k += vec.StatsColumns {
		cols := min(vec.StatsColumns, end-k)
		var s vec.StatsSums
		rows := 0
		f.spans(t0, t1, func(pixel, pixels int) {
			part := y[pixel*kk+k:]
			if rows == 0 {
				s.Start(part, cols)
			}
			s.Add(part, cols, pixels, kk)
			rows += pixels
		})
		s.Finish(stats[k:k+cols], stats[kk+k:][:cols], rows)
	}
}

// spans calls do with the rows of neighbouring output pixels that make up tiles
// t0..t1-1.
func (f *Winograd) spans(t0, t1 int, do func(pixel, pixels int)) {
	for t0 < t1 {
		n, ty, tx := f.place(t0)
		tiles := min(t1-t0, f.tw-tx)
		for oy := ty * f.m; oy < min(ty*f.m+f.m, f.oh); oy++ {
			do((n*f.oh+oy)*f.ow+tx*f.m, min(tiles*f.m, f.ow-tx*f.m))
		}
		t0 += tiles
	}
}

// ReduceStatsTasks returns the number of independent tasks of ReduceStats.
func (f *Winograd) ReduceStatsTasks() int { return reduceStatsTasks(f.conv.K) }

// ReduceStats combines, for some channels of y, the partial statistics of all
// tasks of RunStats, in the order of the tasks, into the mean [K] and the biased
// variance [K] of each channel.
func (f *Winograd) ReduceStats(task int, stats, mean, variance []float32) {
	isa.CheckFloats("stats", stats, f.StatsFloats())
	isa.CheckFloats("mean", mean, f.conv.K)
	isa.CheckFloats("variance", variance, f.conv.K)
	k0, k1 := reduceStatsRange(task, f.conv.K)
	combineStats(stats, f.tileBlocks, func(block int) (rows int) {
		t0, t1 := isa.Span(block, f.tileBlock, f.tiles)
		f.spans(t0, t1, func(_, pixels int) { rows += pixels })
		return rows
	}, mean, variance, k0, k1)
}

// PlanWinogradInputGrad compiles the input gradient of c by tiles of tile x tile
// pixels of it: the convolution of dy, [N][OutH][OutW][K], with the flipped and
// transposed weights is dx, [N][H][W][C]. The weights are packed by
// [Conv.InputGradPacking], then by [Winograd.PackPanels]; dx is added to where
// it is its own residual. The error is that of [Conv.CheckWinograd], or says
// that the padding is above 2.
func PlanWinogradInputGrad(c Conv, tile int) (*Winograd, error) {
	g, err := c.inputGrad()
	if err != nil {
		return nil, err
	}
	return PlanWinograd(g, tile)
}

// inputGrad returns the convolution that is the input gradient of c.
func (c Conv) inputGrad() (Conv, error) {
	if err := c.CheckWinograd(); err != nil {
		return c, err
	}
	if p := max(c.PadTop, c.PadLeft, c.PadBottom, c.PadRight); p > 2 {
		return c, fmt.Errorf("convolution: Winograd's input gradient wants a padding of at most 2, got %d", p)
	}
	g := c
	g.H, g.W, g.C, g.K = c.OutH(), c.OutW(), c.K, c.C
	g.PadTop, g.PadLeft, g.PadBottom, g.PadRight = 2-c.PadTop, 2-c.PadLeft, 2-c.PadBottom, 2-c.PadRight
	return g, nil
}
