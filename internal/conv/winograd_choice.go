package conv

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// What the parts of a convolution cost, in cycles of a core with AVX-512, a 2 MB
// second-level cache and 25 GB/s from beyond it; fitted to the layers of
// ResNet-18 as they run in the network. Only the ratios matter. Narrower vectors
// need as many times the cycles, see [vectors].
const (
	directShare   = 0.93 // of the FMA peak
	winogradShare = 0.85
	bytesPerCycle = 8 // of weights that do not stay in the second-level cache

	// What a byte of memory for weights is worth: where two ways are nearly as
	// fast, the one that needs less of it is taken.
	cyclesPerByte = 0.1

	cyclesPerInput4, cyclesPerOutput4 = 160, 120 // to transform 16 channels of a tile
	cyclesPerInput2, cyclesPerOutput2 = 70, 60

	// For the weights of 16 filters and a channel: to transform them to tiles of
	// 4x4 and store them in a cache; to transform and multiply them in registers by
	// 4 and by 8 tiles.
	cyclesPerPairs                = 170
	cyclesPerFour, cyclesPerEight = 138, 250
)

// vectors is how many vectors hold a panel's 16 columns; twice as many of NEON,
// of which large cores do four a cycle in place of two.
func vectors() float64 {
	if isa.UseAVX512 {
		return 1
	}
	return 2
}

// FastestTile returns the size of tiles with which [Winograd] is expected to
// compute the convolution in the least time, or 0 where the direct way is, or
// where Winograd cannot. Memory for weights counts as time.
func (c Conv) FastestTile() int { return c.fastestTile(0) }

// fastestTile is FastestTile where it takes so many cycles to store transformed
// weights.
func (c Conv) fastestTile(store float64) int {
	if c.CheckWinograd() != nil {
		return 0
	}
	best, tile := c.directCycles(), 0
	for _, m := range WinogradTiles {
		way, cycles := c.winogradWay(m)
		if way == storedWeights {
			cycles += store
		}
		if cycles < best {
			best, tile = cycles, m
		}
	}
	return tile
}

func (c Conv) directCycles() float64 {
	panels := float64(isa.CeilDiv(c.K, isa.PanelWidth))
	sums := float64(c.N*c.OutH()*c.OutW()) * 9 * float64(c.C) * panels / 2 * vectors()
	return withWeights(sums/directShare, float64(9*c.C)*panels*isa.PanelWidth)
}

// winogradWay returns the best way for tiles of m, and the cycles of the
// convolution.
func (c Conv) winogradWay(m int) (winogradWay, float64) {
	panels := float64(isa.CeilDiv(c.K, isa.PanelWidth))
	count := c.N * isa.CeilDiv(c.OutH(), m) * isa.CeilDiv(c.OutW(), m)
	tiles, positions := float64(count), float64((m+2)*(m+2))
	in, out := float64(cyclesPerInput4), float64(cyclesPerOutput4)
	if m == 2 {
		in, out = cyclesPerInput2, cyclesPerOutput2
	}
	transforms := tiles * (float64(isa.CeilDiv(c.C, isa.PanelWidth))*in + panels*out) * vectors()
	rows := float64(c.C) * panels // of 16 weights, for each tap or position
	sums := rows * tiles * positions / 2 / winogradShare * vectors()
	way, best := storedWeights, withWeights(sums, rows*positions*isa.PanelWidth)
	// The other ways transform to tiles of 4x4 only, by assembly.
	if m == 4 && (isa.UseAVX2 || isa.UseNEON) {
		blocks := float64(planWinograd(c, m, pairedRows).tileBlocks)
		pairs := withWeights(sums+rows*blocks*cyclesPerPairs*vectors(), rows*9*isa.PanelWidth)
		if pairs < best {
			way, best = pairedRows, pairs
		}
	}
	if m == 4 && isa.UseAVX512 {
		groups := math.Floor(tiles/wino.MaxGroup) * cyclesPerEight
		if rest := count % wino.MaxGroup; rest > 0 && wino.GroupOf(rest) == wino.MaxGroup {
			groups += cyclesPerEight
		} else if rest > 0 {
			groups += cyclesPerFour
		}
		if registers := withWeights(rows*groups, rows*9*isa.PanelWidth); registers < best {
			way, best = inRegisters, registers
		}
	}
	return way, best + transforms
}

// withWeights returns the cycles of sums and of that many weights: those that do
// not stay in the second-level cache arrive from beyond it meanwhile.
func withWeights(sums, weights float64) float64 {
	price := weights * 4 * cyclesPerByte
	if weights <= weightsFloats {
		return sums + price
	}
	load := weights * 4 / bytesPerCycle
	return max(sums, load) + 0.2*min(sums, load) + price
}
