package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// The cost model estimates what a convolution takes by each algorithm, in cycles
// of a core with AVX-512, a 2 MB L2 and 25 GB/s from beyond it. The constants,
// here and beside the algorithms, were fitted to the layers of ResNet-18 as they
// run in the network on such a core; testdata/fit.go times the layers and fits
// those of the direct algorithm and of Winograd's again. Only ratios matter.
// Narrower vectors need as many times the cycles, see [vectors].
const (
	directShare   = 0.93 // of the FMA peak
	winogradShare = 0.85
	bytesPerCycle = 8 // of weights that do not stay in L2

	// cyclesPerByte breaks ties: cycles charged per byte of packed weights, so that
	// of two nearly equal algorithms the smaller one wins.
	cyclesPerByte = 0.1
)

// vectors returns the number of vectors, as wide as the core computes at once, that
// hold a panel's 16 columns; of NEON, where there are twice as many, large cores do
// four per cycle instead of two.
func vectors() float64 {
	if machine := isa.Planned(); machine.AVX512 && !machine.Core.HalfWidth {
		return 1
	}
	return 2
}

// directCycles estimates the direct algorithm.
func (c *Conv) directCycles() float64 {
	panels := float64(isa.CeilDiv(c.K, isa.PanelWidth))
	sums := float64(c.N*c.OutH()*c.OutW()) * float64(c.R*c.S) * float64(c.C) * panels / 2 * vectors() * c.productCycles()
	return withWeights(sums/directShare, float64(c.R*c.S*c.Precision.Words(c.C))*panels*isa.PanelWidth)
}

// productCycles returns the cycles of a product of the convolution's precision, those
// of a float32 product being 1. An instruction of bfloat16 products has two for each
// lane. On cores of Intel it takes four times an FMA's time (Emerald Rapids), on Zen 4
// as long as an FMA. Emulated products count as this processor's, so that they show
// the accuracy that it has.
func (c *Conv) productCycles() float64 {
	switch {
	case c.Precision == gemm.FP32:
		return 1
	case vectors() == 1:
		return 2
	}
	return 0.5
}

// withWeights returns the cycles of sums that read the given number of floats of
// weights: those that do not stay in L2 arrive from beyond it meanwhile.
func withWeights(sums, weights float64) float64 {
	price := weights * 4 * cyclesPerByte
	if weights <= weightsFloats {
		return sums + price
	}
	load := weights * 4 / bytesPerCycle
	return max(sums, load) + 0.2*min(sums, load) + price
}
