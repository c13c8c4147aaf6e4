package engine

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/simd/gemm"
)

// Tuning knows how long convolutions took on this machine; package
// engine/tuning keeps such times in a file. Only plans with [Options.Fast] use
// one. The choice between algorithms then depends on what was measured, and
// with it the last digits of results: they are the same in every run with the
// same times and the same number of threads, but not on another machine.
type Tuning interface {
	// Times returns the milliseconds that a convolution of this geometry took
	// on so many threads by each algorithm that can compute it; nil if that was
	// not measured. The geometry is that of [Step]. It is called by any number of
	// goroutines at once.
	Times(geometry string, threads int) map[string]float64
}

// Direct is the algorithm that adds up products one by one.
const Direct = "direct"

// Algorithms returns the names of all ways in which convolutions are computed,
// [Direct] first.
func Algorithms() []string {
	list := []string{Direct}
	for _, tile := range conv.WinogradTiles {
		list = append(list, algorithmName(tile))
	}
	return list
}

// algorithmName returns the name of Winograd's algorithm with tiles of this
// size, of the direct one for 0.
func algorithmName(tile int) string {
	if tile == 0 {
		return Direct
	}
	return winogradName(tile)
}

// minGain is what a measured time must be below that of the model's choice, as
// a share of it, to be preferred: less is noise, and would only make results
// differ between machines.
const minGain = 0.97

// geometry names what the time of a convolution depends on, such as
// "n8 14x14x256 3x3 k512 s2 p1": pictures, height, width and channels of the
// input, kernel, output channels, and what is not the usual of stride, padding
// (one for all sides, or top, left, bottom, right), dilation and groups.
func geometry(c conv.Conv) string {
	var b strings.Builder
	fmt.Fprintf(&b, "n%d %dx%dx%d %dx%d k%d", c.N, c.H, c.W, c.C, c.R, c.S, c.K)
	list := func(name string, usual int, values ...int) {
		first, same := values[0], true
		text := make([]string, len(values))
		for i, v := range values {
			same = same && v == first
			text[i] = strconv.Itoa(v)
		}
		switch {
		case same && first == usual:
		case same:
			fmt.Fprintf(&b, " %s%d", name, first)
		default:
			fmt.Fprintf(&b, " %s%s", name, strings.Join(text, ","))
		}
	}
	list("s", 1, c.StrideH, c.StrideW)
	list("p", 0, c.PadTop, c.PadLeft, c.PadBottom, c.PadRight)
	list("d", 1, c.DilH, c.DilW)
	list("g", 1, c.Groups)
	return b.String()
}

// describe names the convolution in its steps.
func (c *compiler) describe(steps []*step, shape conv.Conv, candidates []string) {
	for _, s := range steps {
		s.geometry, s.candidates = geometry(shape), candidates
	}
}

// candidates lists the algorithms that may compute a convolution or linear layer
// in this plan, [Direct] first. Those whose weights change have no choice here.
func (c *compiler) candidates(shape conv.Conv, w *graph.Value, op fusedConv) []string {
	list := []string{Direct}
	switch {
	case !c.fast || c.at[w].buf.kind != constant || shape.Precision != gemm.FP32:
	case shape.CheckWinograd() == nil:
		return Algorithms()
	case shape.CheckWinogradStride2() == nil && !op.stats:
		list = append(list, algorithmName(stride2Tile))
	}
	return list
}

// algorithm returns the size of Winograd's tiles that a convolution of stride 1
// is computed with, 0 for the direct way: in inference the one measured to be
// the fastest, else the one that the kernel's model of the machine expects to be.
func (c *compiler) algorithm(shape conv.Conv, w *graph.Value, op fusedConv) int {
	switch {
	case !c.fast || shape.CheckWinograd() != nil:
		return 0
	case c.at[w].buf.kind != constant:
		return shape.FastestTrainingTile()
	}
	name := c.fastest(shape, c.candidates(shape, w, op), algorithmName(shape.FastestTile()))
	for _, tile := range conv.WinogradTiles {
		if name == algorithmName(tile) {
			return tile
		}
	}
	return 0
}

// fastest returns which of some algorithms was measured to be the fastest, or
// model.
func (c *compiler) fastest(shape conv.Conv, names []string, model string) string {
	if c.tuning == nil {
		return model
	}
	return Fastest(c.tuning.Times(geometry(shape), c.plan.pool.Workers()), names, model)
}

// Fastest returns the algorithm whose time is the shortest of those named, if
// that is clearly below the time of model, the algorithm that is chosen without
// times; otherwise model, also if the time of one is missing.
func Fastest(times map[string]float64, names []string, model string) string {
	best := model
	for _, name := range names {
		t := times[name]
		if !(t > 0) {
			return model
		}
		if t < times[best] {
			best = name
		}
	}
	if times[best] < minGain*times[model] {
		return best
	}
	return model
}
