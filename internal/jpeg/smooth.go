package jpeg

// Of a progressive file that ends before its scans are complete, libjpeg-turbo
// estimates the coefficients that are not known from the DC values of the 5x5 blocks
// around (its extension of section K.8; jdcoefct.c, "interblock smoothing").

// smoothed is how many coefficients in zig-zag order take part.
const smoothed = 10

// window is the weights, or the DC values, of the 5x5 blocks, row by row.
type window [25]int16

// Where something is known of the coefficients, five of them are estimated by
// sharpAC; where nothing is, nine by softAC, and the DC value by softDC. The index is that
// in zig-zag order, less 1. Weights are in 1/256.
var (
	sharpAC = [5]window{
		{10: -7, 11: 50, 13: -50, 14: 7},
		{2: -7, 7: 50, 17: -50, 22: 7},
		{2: -1, 7: 13, 12: -24, 17: 13, 22: -1},
		{1: -1, 3: 1, 5: -1, 6: 10, 8: -10, 9: 1, 15: 1, 16: -10, 18: 10, 19: -1, 21: 1, 23: -1},
		{10: -1, 11: 13, 12: -24, 13: 13, 14: -1},
	}
	softAC = [9]window{
		{-1, -1, 0, 1, 1, -3, 13, 0, -13, 3, -3, 38, 0, -38, 3, -3, 13, 0, -13, 3, -1, -1, 0, 1, 1},
		{-1, -3, -3, -3, -1, -1, 13, 38, 13, -1, 0, 0, 0, 0, 0, 1, -13, -38, -13, 1, 1, 3, 3, 3, 1},
		{2: 1, 6: 2, 7: 7, 8: 2, 11: -5, 12: -14, 13: -5, 16: 2, 17: 7, 18: 2, 22: 1},
		{0: -1, 4: 1, 6: 9, 8: -9, 16: -9, 18: 9, 20: 1, 24: -1},
		{6: 2, 7: -5, 8: 2, 10: 1, 11: 7, 12: -14, 13: 7, 14: 1, 16: 2, 17: -5, 18: 2},
		{6: 1, 8: -1, 11: 2, 13: -2, 16: 1, 18: -1},
		{6: 1, 7: -3, 8: 1, 16: -1, 17: 3, 18: -1},
		{6: 1, 8: -1, 11: -3, 13: 3, 16: 1, 18: -1},
		{6: 1, 7: 2, 8: 1, 16: -1, 17: -2, 18: -1},
	}
	softDC = window{-2, -6, -8, -6, -2, -6, 6, 42, 6, -6, -8, 42, 152, 42, -8, -6, 6, 42, 6, -6, -2, -6, -8, -6, -2}
)

// nothing is what is known of coefficients before the first scan.
var nothing = func() (low [blockSize]int8) {
	for zig := range low {
		low[zig] = -1
	}
	return low
}()

// smooths reports whether blocks are smoothed: all DC values are known, and some of the
// other coefficients are not wholly.
func (d *Decoder) smooths() bool {
	if !d.frame.progressive {
		return false
	}
	useful := false
	for i := range d.comp[:d.frame.nComp] {
		c := &d.comp[i]
		for zig, low := range c.lowest[:smoothed] {
			if c.quant[unzig[zig]] == 0 || zig == 0 && low < 0 {
				return false
			}
			useful = useful || zig > 0 && low != 0
		}
	}
	return useful
}

// smooth estimates what is not known of b, a copy of the block in column bx and row by.
func (d *Decoder) smooth(c *component, b *block, bx, by int) {
	mxx, myy := d.units()
	known, soft := &c.lowest, true
	if by/c.v > d.frame.lastGood { // which the last scan did not reach
		if known = &c.before; d.frame.scans == 1 {
			known = &nothing
		}
	}
	for _, low := range known[1:smoothed] {
		soft = soft && low == -1
	}
	// Beyond an edge are the blocks at the edge. As in libjpeg-turbo, the lower edge is that
	// of all units, but for the last row of units.
	last, at := c.v*myy-1, by
	if rows := c.bh % c.v; by/c.v == myy-1 && rows > 0 {
		last, at = rows*myy-1, by/c.v*rows+by%c.v
	}
	var dc window
	for y := range 5 {
		row := by + min(max(y-2, -at), last-at)
		for x := range 5 {
			dc[5*y+x] = c.coeffs[row*mxx*c.h+min(max(bx+x-2, 0), c.bw-1)][0]
		}
	}
	weights := sharpAC[:]
	if soft {
		weights = softAC[:]
	}
	for i := range weights {
		zig := i + 1
		if at := unzig[zig]; known[zig] != 0 && b[at] == 0 {
			b[at] = predicted(&dc, &weights[i], c.quant[0], c.quant[at], known[zig])
		}
	}
	if soft {
		b[0] = predicted(&dc, &softDC, c.quant[0], c.quant[0], -1)
	}
}

// predicted is the coefficient of step q, which is below 1 << low if its higher bits are
// known to be zero (low is above 0).
func predicted(dc, weights *window, q0, q int16, low int8) int16 {
	sum := int64(0)
	for i, w := range weights {
		sum += int64(w) * int64(dc[i])
	}
	sum *= int64(uint16(q0))
	step := int64(uint16(q))
	v := int32((step<<7 + max(sum, -sum)) / (step << 8))
	if low > 0 {
		v = min(v, 1<<low-1)
	}
	if sum < 0 {
		v = -v
	}
	return int16(v)
}
