package kernel

// What the parts of a convolution cost, in cycles of a core with AVX-512, a 2 MB
// second-level cache and 25 GB/s from beyond it; fitted to the layers of
// ResNet-18. Only the ratios matter, and with narrower vectors those of
// arithmetic stay.
const (
	directShare   = 0.93 // of the FMA peak
	winogradShare = 0.85
	bytesPerCycle = 8 // of weights that do not stay in the second-level cache

	cyclesPerInput4, cyclesPerOutput4 = 160, 120 // to transform 16 channels of a tile
	cyclesPerInput2, cyclesPerOutput2 = 70, 60
)

// FastestTile returns the size of tiles with which [Winograd] is expected to
// compute the convolution in the least time, or 0 where the direct way is, or
// where Winograd cannot.
func (c Conv) FastestTile() int {
	if c.CheckWinograd() != nil {
		return 0
	}
	best, tile := c.directCycles(), 0
	for _, m := range WinogradTiles {
		if cycles := c.winogradCycles(m); cycles < best {
			best, tile = cycles, m
		}
	}
	return tile
}

func (c Conv) directCycles() float64 {
	panels := float64(ceilDiv(c.K, panelWidth))
	sums := float64(c.N*c.OutH()*c.OutW()) * 9 * float64(c.C) * panels / 2
	return overlapped(sums/directShare, float64(9*c.C)*panels*panelWidth)
}

func (c Conv) winogradCycles(m int) float64 {
	panels := float64(ceilDiv(c.K, panelWidth))
	tiles := float64(c.N * ceilDiv(c.OutH(), m) * ceilDiv(c.OutW(), m))
	positions := float64((m + 2) * (m + 2))
	in, out := float64(cyclesPerInput4), float64(cyclesPerOutput4)
	if m == 2 {
		in, out = cyclesPerInput2, cyclesPerOutput2
	}
	sums := tiles * positions * float64(c.C) * panels / 2
	transforms := tiles * (float64(ceilDiv(c.C, panelWidth))*in + panels*out)
	return overlapped(sums/winogradShare, positions*float64(c.C)*panels*panelWidth) + transforms
}

// overlapped returns the cycles of sums while weights arrive from beyond the
// second-level cache, if they do not stay in it.
func overlapped(sums, weights float64) float64 {
	if weights <= weightsFloats {
		return sums
	}
	load := weights * 4 / bytesPerCycle
	return max(sums, load) + 0.2*min(sums, load)
}
