package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// BatchNormStats computes the statistics of a piece of rows x c:
//
//	part[ch]   = mean of x[r][ch] over the rows r
//	part[c+ch] = sum of (x[r][ch]-mean)^2
//
// It takes the first row as the origin of the sums, so values far from zero
// lose no precision (mean 1000 with deviation 1 is as good as mean 0). Pieces
// are joined by [BatchNorm.Finalize] with the formula of Chan, Golub and
// LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
// Variances" (1979). len(part) = 2c.
func BatchNormStats(part, x []float32, c int) {
	isa.CheckLen(len(part), 2*c, "BatchNormStats part")
	if c == 0 {
		return
	}
	rows := len(x) / c
	isa.CheckLen(len(x), rows*c, "BatchNormStats x")
	clear(part)
	if rows == 0 {
		return
	}
	sum, sq := part[:c], part[c:]
	origin := x[:c]
	if k := widen(c, rows); k > 1 {
		var room [3*maxWide + 16]float32
		buf := aligned(room[:])
		w := k * c
		o, s, q := buf[:w], buf[maxWide:maxWide+w], buf[2*maxWide:2*maxWide+w]
		repeat(o, origin)
		full := rows / k * w
		shiftedSums(s, q, x[:full], o)
		shiftedSums(s[:c], q[:c], x[full:], o[:c])
		fold(sum, s)
		fold(sq, q)
	} else {
		shiftedSums(sum, sq, x, origin)
	}
	inv := 1 / float64(rows)
	sq, origin = sq[:len(sum)], origin[:len(sum)]
	for ch, s := range sum {
		s, q := float64(s), float64(sq[ch])
		d := s * inv
		sum[ch] = float32(float64(origin[ch]) + d)
		// Rounding may leave a constant channel a little below zero; NaN stays.
		if q -= s * d; q < 0 {
			q = 0
		}
		sq[ch] = float32(q)
	}
}

// fold adds the groups of len(dst) values in wide: dst[i] = sum of wide[g*c+i].
func fold(dst, wide []float32) {
	c := len(dst)
	for i := range dst {
		t := 0.0
		for j := i; j < len(wide); j += c {
			t += float64(wide[j])
		}
		dst[i] = float32(t)
	}
}

// BatchNorm is the state of one batch norm over C channels. Each slice has
// length C or, where so said, is nil.
type BatchNorm struct {
	Gamma, Beta             []float32 // nil: ones, zeros
	RunningMean, RunningVar []float32 // nil: not kept
	Eps                     float32
	// Momentum is the weight of the new statistics, torch's sense:
	// running = (1-Momentum)*running + Momentum*batch.
	Momentum float32

	Mean, InvStd []float32 // out: statistics in use, InvStd = 1/sqrt(var+Eps)
	Scale, Shift []float32 // out: y = x*Scale + Shift
}

// Finalize joins the parts that [BatchNormStats] made of the pieces of rows x C,
// in their order, and sets Mean, InvStd (of the biased variance), Scale and
// Shift. The running statistics, if kept, move toward the batch's mean and
// unbiased variance (Ioffe and Szegedy, arXiv 1502.03167, algorithm 2; torch's
// convention of momentum). With a single row the unbiased variance is taken as
// the biased one, where torch refuses.
func (b *BatchNorm) Finalize(parts []float32, rows, pieceRows int) {
	c := len(b.Mean)
	n := Pieces(rows, pieceRows)
	isa.CheckLen(len(parts), n*2*c, "BatchNorm.Finalize parts")
	total := float64(rows)
	for first := 0; first < c; first += foldChannels {
		var mean, m2 [foldChannels]float64
		w := min(foldChannels, c-first)
		for i := 0; i < n; i++ {
			lo, hi := PieceBounds(i, pieceRows, rows)
			k := float64(hi - lo)
			for j, v := range parts[2*c*i+first:][:w] {
				mean[j] += k * float64(v)
			}
		}
		for j := range mean {
			mean[j] /= total
		}
		for i := 0; i < n; i++ {
			lo, hi := PieceBounds(i, pieceRows, rows)
			k := float64(hi - lo)
			q := parts[2*c*i+c+first:][:w]
			for j, v := range parts[2*c*i+first:][:w] {
				d := float64(v) - mean[j]
				m2[j] += float64(q[j]) + k*d*d
			}
		}
		for j := 0; j < w; j++ {
			ch := first + j
			b.set(ch, mean[j], m2[j]/total)
			if b.RunningMean == nil {
				continue
			}
			m := float64(b.Momentum)
			b.RunningMean[ch] = float32((1-m)*float64(b.RunningMean[ch]) + m*mean[j])
			unbiased := m2[j] / float64(max(rows-1, 1))
			b.RunningVar[ch] = float32((1-m)*float64(b.RunningVar[ch]) + m*unbiased)
		}
	}
}

// foldChannels is how many channels the final steps join at a time: the parts
// of a channel are far apart, the parts of neighboring channels share cache lines.
const foldChannels = 64

// Fixed sets Mean, InvStd, Scale and Shift from the running statistics, as for
// evaluation and for frozen layers.
func (b *BatchNorm) Fixed() {
	for ch := range b.Mean {
		b.set(ch, float64(b.RunningMean[ch]), float64(b.RunningVar[ch]))
	}
}

func (b *BatchNorm) set(ch int, mean, variance float64) {
	b.Mean[ch], b.InvStd[ch] = float32(mean), float32(1/math.Sqrt(variance+float64(b.Eps)))
	b.coefs(ch)
}

// Coefs sets Scale and Shift from Mean, InvStd, Gamma and Beta, to the same
// bits as Finalize and Fixed do: for a backward pass that kept the statistics
// only.
func (b *BatchNorm) Coefs() {
	for ch := range b.Mean {
		b.coefs(ch)
	}
}

func (b *BatchNorm) coefs(ch int) {
	gamma, beta := 1.0, 0.0
	if b.Gamma != nil {
		gamma = float64(b.Gamma[ch])
	}
	if b.Beta != nil {
		beta = float64(b.Beta[ch])
	}
	// The shift belongs to the scale as rounded, else a large mean would turn
	// the rounding of the scale into an offset.
	b.Scale[ch] = float32(gamma * float64(b.InvStd[ch]))
	b.Shift[ch] = float32(beta - float64(b.Mean[ch])*float64(b.Scale[ch]))
}

// ScaleShift computes, for rows x c with c = len(scale),
//
//	y[r][ch] = x[r][ch]*scale[ch] + shift[ch]
//
// and, if relu, max(0, .) of it. NaN stays NaN. y may be x.
func ScaleShift(y, x, scale, shift []float32, relu bool) {
	scaleShiftWide(y, x, scale, shift, nil, nil, nil, relu)
}

// ScaleShiftAdd computes y = x*scale + shift + res, then ReLU if relu: batch
// norm, residual addition and activation in one pass. y may be x or res.
func ScaleShiftAdd(y, x, scale, shift, res []float32, relu bool) {
	isa.CheckLen(len(res), len(x), "ScaleShiftAdd res")
	scaleShiftWide(y, x, scale, shift, res, nil, nil, relu)
}

// ScaleShiftAddScaled computes y = x*scale + shift + (res*resScale + resShift),
// then ReLU if relu: as [ScaleShiftAdd] where the shortcut is a convolution
// with its own batch norm. y may be x or res.
func ScaleShiftAddScaled(y, x, scale, shift, res, resScale, resShift []float32, relu bool) {
	isa.CheckLen(len(res), len(x), "ScaleShiftAddScaled res")
	isa.CheckLen(len(resScale), len(scale), "ScaleShiftAddScaled resScale")
	isa.CheckLen(len(resShift), len(scale), "ScaleShiftAddScaled resShift")
	scaleShiftWide(y, x, scale, shift, res, resScale, resShift, relu)
}

func scaleShiftWide(y, x, scale, shift, res, rs, rb []float32, relu bool) {
	c := len(scale)
	isa.CheckLen(len(shift), c, "ScaleShift shift")
	isa.CheckLen(len(y), len(x), "ScaleShift y")
	if len(x) == 0 {
		return
	}
	rows := len(x) / c
	isa.CheckLen(len(x), rows*c, "ScaleShift x")
	k := widen(c, rows)
	if k == 1 {
		scaleShift(y, x, scale, shift, res, rs, rb, relu)
		return
	}
	var room [4*maxWide + 16]float32
	buf := aligned(room[:])
	w := k * c
	ws, wb := buf[:w], buf[maxWide:maxWide+w]
	repeat(ws, scale)
	repeat(wb, shift)
	var wrs, wrb []float32
	if rs != nil {
		wrs, wrb = buf[2*maxWide:2*maxWide+w], buf[3*maxWide:3*maxWide+w]
		repeat(wrs, rs)
		repeat(wrb, rb)
	}
	full := rows / k * w
	if res == nil {
		scaleShift(y[:full], x[:full], ws, wb, nil, wrs, wrb, relu)
		scaleShift(y[full:], x[full:], scale, shift, nil, rs, rb, relu)
		return
	}
	scaleShift(y[:full], x[:full], ws, wb, res[:full], wrs, wrb, relu)
	scaleShift(y[full:], x[full:], scale, shift, res[full:], rs, rb, relu)
}

// shiftedSums computes, for each of the rows of x,
//
//	sum[ch] += x[r][ch]-origin[ch]
//	sq[ch]  += (x[r][ch]-origin[ch])^2
func shiftedSums(sum, sq, x, origin []float32) {
	c := len(sum)
	if c == 0 || len(x) < c {
		return
	}
	sq, origin = sq[:c], origin[:c]
	if isa.Lanes() == 0 {
		shiftedSumsGeneric(sum, sq, x, origin)
		return
	}
	shiftedSumsAsm(&x[0], &sum[0], &sq[0], &origin[0], len(x)/c, c)
}

// scaleShift computes, for each of the rows of x,
//
//	y[r][ch] = x[r][ch]*scale[ch] + shift[ch]                                  if res is nil
//	y[r][ch] = x[r][ch]*scale[ch] + shift[ch] + res[r][ch]                     if rs is nil
//	y[r][ch] = x[r][ch]*scale[ch] + shift[ch] + (res[r][ch]*rs[ch] + rb[ch])
//
// and, if relu, max(0, .) of it.
func scaleShift(y, x, scale, shift, res, rs, rb []float32, relu bool) {
	c, n := len(scale), len(x)
	if n == 0 {
		return
	}
	y, shift = y[:n], shift[:c]
	floor := float32(math.Inf(-1))
	if relu {
		floor = 0
	}
	rows := n / c
	switch {
	case isa.Lanes() == 0:
		scaleShiftGeneric(y, x, scale, shift, res, rs, rb, relu)
	case res == nil:
		scaleShiftAsm(&y[0], &x[0], &scale[0], &shift[0], rows, c, floor)
	case rs == nil:
		scaleShiftAddAsm(&y[0], &x[0], &res[:n][0], &scale[0], &shift[0], rows, c, floor)
	default:
		scaleShiftAddScaledAsm(&y[0], &x[0], &res[:n][0], &scale[0], &shift[0], &rs[:c][0], &rb[:c][0], rows, c, floor)
	}
}

func shiftedSumsGeneric(sum, sq, x, origin []float32) {
	c := len(sum)
	sq, origin = sq[:c], origin[:c]
	for ; len(x) >= c && c > 0; x = x[c:] {
		for i, v := range x[:c] {
			d := v - origin[i]
			sum[i] += d
			sq[i] += d * d
		}
	}
}

func scaleShiftGeneric(y, x, scale, shift, res, rs, rb []float32, relu bool) {
	c := len(scale)
	shift = shift[:c]
	for r := 0; r < len(x); r += c {
		yr, xr := y[r:r+c], x[r:r+c]
		switch {
		case res == nil:
			for i := range yr {
				yr[i] = float32(xr[i]*scale[i]) + shift[i]
			}
		case rs == nil:
			rr := res[r : r+c]
			for i := range yr {
				yr[i] = float32(xr[i]*scale[i]) + shift[i] + rr[i]
			}
		default:
			rr, rs, rb := res[r:r+c], rs[:c], rb[:c]
			for i := range yr {
				yr[i] = float32(xr[i]*scale[i]) + shift[i] + (float32(rr[i]*rs[i]) + rb[i])
			}
		}
		if relu {
			for i, v := range yr {
				if v < 0 {
					yr[i] = 0
				}
			}
		}
	}
}
