package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// SumRows computes out[ch] = scale * sum over the rows r of x[r][ch], for rows x
// c. With scale 1/(H*W) and the rows of one image it is the global average
// pool. Rows are added in float32 eight at a time: arrays of many rows should
// be cut into pieces that [CombineSums] joins.
func SumRows(out, x []float32, c int, scale float32) {
	isa.CheckLen(len(out), c, "SumRows out")
	sumRowsWide(out, x, nil, scale)
}

// SumMulRows computes out[ch] = scale * sum over the rows r of
// a[r][ch]*b[r][ch]: the gradient of a gate per channel. See [SumRows].
func SumMulRows(out, a, b []float32, c int, scale float32) {
	isa.CheckLen(len(out), c, "SumMulRows out")
	isa.CheckLen(len(b), len(a), "SumMulRows b")
	if b == nil {
		b = a // both empty
	}
	sumRowsWide(out, a, b, scale)
}

func sumRowsWide(out, a, b []float32, scale float32) {
	clear(out)
	c := len(out)
	if len(a) == 0 {
		return
	}
	rows := len(a) / c
	isa.CheckLen(len(a), rows*c, "SumRows x")
	if k := widen(c, rows); k > 1 {
		var room [maxWide + 16]float32
		buf := aligned(room[:])
		w := k * c
		s := buf[:w]
		full := rows / k * w
		sumRows(s, a[:full], upTo(b, full))
		sumRows(s[:c], a[full:], from(b, full))
		fold(out, s)
	} else {
		sumRows(out, a, b)
	}
	if scale != 1 {
		for i := range out {
			out[i] *= scale
		}
	}
}

// MaxRows computes out[ch] = the largest x[r][ch] over the rows r of rows x c;
// NaN if there is one, -Inf if there is no row.
func MaxRows(out, x []float32, c int) {
	isa.CheckLen(len(out), c, "MaxRows out")
	Fill(out, float32(math.Inf(-1)))
	for ; len(x) > 0; x = x[c:] {
		binary(OpMax, out, out, x[:c])
	}
}

// MinRows computes out[ch] = the smallest x[r][ch] over the rows r of rows x c;
// NaN if there is one, +Inf if there is no row.
func MinRows(out, x []float32, c int) {
	isa.CheckLen(len(out), c, "MinRows out")
	Fill(out, float32(math.Inf(1)))
	for ; len(x) > 0; x = x[c:] {
		binary(OpMin, out, out, x[:c])
	}
}

// SumCols computes out[r] = scale * sum over the channels of x[r][ch], for rows
// x c, over 16 or more float32 partial sums if c is large.
func SumCols(out, x []float32, c int, scale float32) {
	isa.CheckLen(len(x), len(out)*c, "SumCols x")
	for r := range out {
		out[r] = float32(rowSum(x[r*c:r*c+c]) * float64(scale))
	}
}

// SumMulCols computes out[r] = scale * sum over the channels of
// a[r][ch]*b[r][ch]: the gradient of a gate per pixel. See [SumCols].
func SumMulCols(out, a, b []float32, c int, scale float32) {
	isa.CheckLen(len(a), len(out)*c, "SumMulCols a")
	isa.CheckLen(len(b), len(a), "SumMulCols b")
	for r := range out {
		out[r] = float32(rowDot(a[r*c:r*c+c], b[r*c:r*c+c]) * float64(scale))
	}
}

// MaxCols computes out[r] = the largest x[r][ch] over the channels; NaN if
// there is one.
func MaxCols(out, x []float32, c int) {
	isa.CheckLen(len(x), len(out)*c, "MaxCols x")
	for r := range out {
		row := x[r*c : r*c+c]
		m := rowMax(row)
		for _, v := range row {
			if v != v {
				m = v
				break
			}
		}
		out[r] = m
	}
}

// CombineSums joins the per-channel sums of pieces, len(parts)/c of them, in
// their order and in float64: out[ch] (+)= scale * sum over i of parts[i][ch].
func CombineSums(out, parts []float32, c int, scale float32, accumulate bool) {
	isa.CheckLen(len(out), c, "CombineSums out")
	for first := 0; first < c; first += foldChannels {
		var sum [foldChannels]float64
		w := min(foldChannels, c-first)
		for i := first; i < len(parts); i += c {
			for j, v := range parts[i:][:w] {
				sum[j] += float64(v)
			}
		}
		for j, s := range sum[:w] {
			s *= float64(scale)
			if accumulate {
				s += float64(out[first+j])
			}
			out[first+j] = float32(s)
		}
	}
}

// BroadcastRow computes dx[r][ch] (+)= scale*row[ch] for rows x c, c =
// len(row): the gradient of [SumRows].
func BroadcastRow(dx, row []float32, scale float32, accumulate bool) {
	c := len(row)
	if len(dx) == 0 {
		return
	}
	isa.CheckLen(len(dx), len(dx)/c*c, "BroadcastRow dx")
	if accumulate {
		for ; len(dx) > 0; dx = dx[c:] {
			axpy(dx[:c], row, scale)
		}
		return
	}
	Scale(dx[:c], row, scale)
	for n := c; n < len(dx); n *= 2 {
		copy(dx[n:], dx[:n])
	}
}

// sumRows computes, for each of the rows, out[ch] += a[r][ch], times b[r][ch] if b
// is not nil.
func sumRows(out, a, b []float32) {
	c := len(out)
	if c == 0 || len(a) < c {
		return
	}
	rows := len(a) / c
	switch {
	case isa.Lanes() == 0:
		sumRowsGeneric(out, a, b)
	case b == nil:
		sumRowsAsm(&a[0], &out[0], rows, c)
	default:
		sumMulRowsAsm(&a[0], &b[:len(a)][0], &out[0], rows, c)
	}
}

// rowSum returns the sum of x.
func rowSum(x []float32) float64 {
	n := len(x)
	if n < 32 || isa.Lanes() == 0 {
		return sum64(x)
	}
	var lane [maxLanes]float32
	laneSumAsm(&x[0], n, &lane[0])
	return laneTotal(&lane)
}

// rowDot returns the sum of a*b.
func rowDot(a, b []float32) float64 {
	n := len(a)
	if n < 32 || isa.Lanes() == 0 {
		return dot64(a, b)
	}
	b = b[:n]
	var lane [maxLanes]float32
	laneDotAsm(&a[0], &b[0], n, &lane[0])
	return laneTotal(&lane)
}

// maxLanes is the number of float32 of the longest vector.
const maxLanes = 16

// laneTotal adds the sums of the lanes of a vector.
func laneTotal(lane *[maxLanes]float32) float64 {
	if isa.UseNEON {
		return sum64(lane[:4])
	}
	sum := 0.0
	for _, v := range lane {
		sum += float64(v)
	}
	return sum
}

func sumRowsGeneric(out, a, b []float32) {
	c := len(out)
	for r := 0; r+c <= len(a) && c > 0; r += c {
		x := a[r : r+c]
		if b == nil {
			for i := range out {
				out[i] += x[i]
			}
			continue
		}
		y := b[r : r+c]
		for i := range out {
			out[i] += x[i] * y[i]
		}
	}
}

// sum64 returns the sum of x in float64, over 4 interleaved parts.
func sum64(x []float32) float64 {
	var s0, s1, s2, s3 float64
	for ; len(x) >= 4; x = x[4:] {
		s0 += float64(x[0])
		s1 += float64(x[1])
		s2 += float64(x[2])
		s3 += float64(x[3])
	}
	for _, v := range x {
		s0 += float64(v)
	}
	return (s0 + s1) + (s2 + s3)
}

// dot64 returns the sum of a[i]*b[i] in float64, over 4 interleaved parts.
func dot64(a, b []float32) float64 {
	var s0, s1, s2, s3 float64
	for ; len(a) >= 4 && len(b) >= 4; a, b = a[4:], b[4:] {
		s0 += float64(a[0]) * float64(b[0])
		s1 += float64(a[1]) * float64(b[1])
		s2 += float64(a[2]) * float64(b[2])
		s3 += float64(a[3]) * float64(b[3])
	}
	for i, v := range a {
		s0 += float64(v) * float64(b[i])
	}
	return (s0 + s1) + (s2 + s3)
}
