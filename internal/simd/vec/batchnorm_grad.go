package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

// BatchNormGradReduce computes the two sums that the gradient of batch norm
// needs, of a piece of rows x c with c = len(mean):
//
//	part[ch]   = sum of dy'[r][ch] over the rows r
//	part[c+ch] = sum of dy'[r][ch]*(x[r][ch]-mean[ch])
//
// dy' is dy, but 0 where y <= 0: y is the output of the ReLU that
// follows the batch norm (and the residual addition); nil means no ReLU. If dz
// is not nil it receives dy', the gradient of the other branch of the addition;
// dz may be dy. len(part) = 2c.
func BatchNormGradReduce(part, dz, dy, y, x, mean []float32) {
	c := len(mean)
	isa.CheckLen(len(part), 2*c, "BatchNormGradReduce part")
	clear(part)
	isa.CheckLen(len(dy), len(x), "BatchNormGradReduce dy")
	if y != nil {
		isa.CheckLen(len(y), len(x), "BatchNormGradReduce y")
	}
	if dz != nil {
		isa.CheckLen(len(dz), len(x), "BatchNormGradReduce dz")
	}
	if len(x) == 0 {
		return
	}
	rows := len(x) / c
	isa.CheckLen(len(x), rows*c, "BatchNormGradReduce x")
	if y == nil && dz != nil {
		copy(dz, dy)
		dz = nil
	}
	k := widen(c, rows)
	if k == 1 {
		gradReduce(part[:c], part[c:], dz, dy, y, x, mean)
		return
	}
	var room [3*maxWide + 16]float32
	buf := aligned(room[:])
	w := k * c
	m, s, t := buf[:w], buf[maxWide:maxWide+w], buf[2*maxWide:2*maxWide+w]
	repeat(m, mean)
	full := rows / k * w
	gradReduce(s, t, upTo(dz, full), dy[:full], upTo(y, full), x[:full], m)
	gradReduce(s[:c], t[:c], from(dz, full), dy[full:], from(y, full), x[full:], m[:c])
	fold(part[:c], s)
	fold(part[c:], t)
}

// BatchNormGradReduceAgain is [BatchNormGradReduce] for a ReLU right after the
// batch norm: it computes y = x*scale + shift again, as [ScaleShift] does and to
// the same bits, rather than read it from memory. See [BatchNorm.Coefs].
func BatchNormGradReduceAgain(part, dy, x, mean, scale, shift []float32) {
	c := len(mean)
	isa.CheckLen(len(part), 2*c, "BatchNormGradReduceAgain part")
	isa.CheckLen(len(scale), c, "BatchNormGradReduceAgain scale")
	isa.CheckLen(len(shift), c, "BatchNormGradReduceAgain shift")
	isa.CheckLen(len(dy), len(x), "BatchNormGradReduceAgain dy")
	clear(part)
	if len(x) == 0 {
		return
	}
	rows := len(x) / c
	isa.CheckLen(len(x), rows*c, "BatchNormGradReduceAgain x")
	k := widen(c, rows)
	if k == 1 {
		gradReduceAgain(part[:c], part[c:], dy, x, mean, scale, shift)
		return
	}
	var room [5*maxWide + 16]float32
	buf := aligned(room[:])
	w := k * c
	m, s, t := buf[:w], buf[maxWide:maxWide+w], buf[2*maxWide:2*maxWide+w]
	ws, wb := buf[3*maxWide:3*maxWide+w], buf[4*maxWide:4*maxWide+w]
	repeat(m, mean)
	repeat(ws, scale)
	repeat(wb, shift)
	full := rows / k * w
	gradReduceAgain(s, t, dy[:full], x[:full], m, ws, wb)
	gradReduceAgain(s[:c], t[:c], dy[full:], x[full:], mean, scale, shift)
	fold(part[:c], s)
	fold(part[c:], t)
}

// upTo returns s[:n], and nil for nil.
func upTo(s []float32, n int) []float32 {
	if s == nil {
		return nil
	}
	return s[:n]
}

// from returns s[n:], and nil for nil.
func from(s []float32, n int) []float32 {
	if s == nil {
		return nil
	}
	return s[n:]
}

// BatchNormGrad turns the sums of [BatchNormGradReduce] into the gradients of
// the parameters and the coefficients of [BatchNormGradApply]. Each slice has
// length C or, where so said, is nil.
type BatchNormGrad struct {
	Gamma        []float32 // nil: ones
	Mean, InvStd []float32 // as used in the forward pass

	// Fixed says that the forward pass used fixed statistics, which are
	// constants to the gradient: dx = dy'*A, with B and C zero.
	Fixed bool

	DGamma, DBeta []float32 // out; nil: not wanted
	Accumulate    bool      // add to DGamma and DBeta
	A, B, C       []float32 // out; B and C may be nil if Fixed
}

// Finalize joins the parts of the pieces of rows x C in their order:
//
//	DBeta = sum dy', DGamma = sum dy'*xhat, xhat = (x-Mean)*InvStd
//	dx = Gamma*InvStd*(dy' - DBeta/rows - xhat*DGamma/rows)
//	   = A*dy' + B*(x-Mean) + C
//
// (Ioffe and Szegedy, arXiv 1502.03167, section 3.)
func (b *BatchNormGrad) Finalize(parts []float32, rows, pieceRows int) {
	c := len(b.Mean)
	n := Pieces(rows, pieceRows)
	isa.CheckLen(len(parts), n*2*c, "BatchNormGrad.Finalize parts")
	for first := 0; first < c; first += foldChannels {
		var dbeta, dgamma [foldChannels]float64
		w := min(foldChannels, c-first)
		for i := 0; i < n; i++ {
			q := parts[2*c*i+c+first:][:w]
			for j, v := range parts[2*c*i+first:][:w] {
				dbeta[j] += float64(v)
				dgamma[j] += float64(q[j])
			}
		}
		for j := 0; j < w; j++ {
			b.set(first+j, dbeta[j], dgamma[j]*float64(b.InvStd[first+j]), rows)
		}
	}
}

func (b *BatchNormGrad) set(ch int, dbeta, dgamma float64, rows int) {
	inv := float64(b.InvStd[ch])
	a := inv
	if b.Gamma != nil {
		a *= float64(b.Gamma[ch])
	}
	b.A[ch] = float32(a)
	switch {
	case !b.Fixed:
		b.B[ch] = float32(-a * inv * dgamma / float64(rows))
		b.C[ch] = float32(-a * dbeta / float64(rows))
	case b.B != nil:
		b.B[ch], b.C[ch] = 0, 0
	}
	if b.DGamma != nil {
		if b.Accumulate {
			dgamma += float64(b.DGamma[ch])
		}
		b.DGamma[ch] = float32(dgamma)
	}
	if b.DBeta != nil {
		if b.Accumulate {
			dbeta += float64(b.DBeta[ch])
		}
		b.DBeta[ch] = float32(dbeta)
	}
}

// BatchNormGradApply computes, for rows x c with c = len(mean),
//
//	dx[r][ch] (+)= a[ch]*dy'[r][ch] + b[ch]*(x[r][ch]-mean[ch]) + c[ch]
//
// with dy' as in [BatchNormGradReduce], or dy itself if y is nil (it has been masked
// already, or there is no ReLU). With accumulate the result is added to dx. dx
// may be dy, x or y.
func BatchNormGradApply(dx, dy, y, x, mean, a, b, c []float32, accumulate bool) {
	n := len(mean)
	isa.CheckLen(len(x), len(dx), "BatchNormGradApply x")
	isa.CheckLen(len(a), n, "BatchNormGradApply a")
	isa.CheckLen(len(b), n, "BatchNormGradApply b")
	isa.CheckLen(len(c), n, "BatchNormGradApply c")
	isa.CheckLen(len(dy), len(dx), "BatchNormGradApply dy")
	if y != nil {
		isa.CheckLen(len(y), len(dx), "BatchNormGradApply y")
	}
	if len(dx) == 0 {
		return
	}
	rows := len(dx) / n
	isa.CheckLen(len(dx), rows*n, "BatchNormGradApply dx")
	k := widen(n, rows)
	if k == 1 {
		gradApply(dx, dy, y, x, mean, a, b, c, accumulate)
		return
	}
	var room [4*maxWide + 16]float32
	buf := aligned(room[:])
	w := k * n
	wm, wa, wb, wc := buf[:w], buf[maxWide:maxWide+w], buf[2*maxWide:2*maxWide+w], buf[3*maxWide:3*maxWide+w]
	repeat(wm, mean)
	repeat(wa, a)
	repeat(wb, b)
	repeat(wc, c)
	full := rows / k * w
	gradApply(dx[:full], dy[:full], upTo(y, full), x[:full], wm, wa, wb, wc, accumulate)
	gradApply(dx[full:], dy[full:], from(y, full), x[full:], mean, a, b, c, accumulate)
}

// BatchNormGradApplyAgain is [BatchNormGradApply] for a ReLU right after the
// batch norm, with y computed again as by [BatchNormGradReduceAgain]. dx may be
// dy or x.
func BatchNormGradApplyAgain(dx, dy, x, mean, a, b, c, scale, shift []float32, accumulate bool) {
	n := len(mean)
	isa.CheckLen(len(x), len(dx), "BatchNormGradApplyAgain x")
	isa.CheckLen(len(dy), len(dx), "BatchNormGradApplyAgain dy")
	for _, v := range [...][]float32{a, b, c, scale, shift} {
		isa.CheckLen(len(v), n, "BatchNormGradApplyAgain coefficient")
	}
	if len(dx) == 0 {
		return
	}
	rows := len(dx) / n
	isa.CheckLen(len(dx), rows*n, "BatchNormGradApplyAgain dx")
	k := widen(n, rows)
	if k == 1 {
		gradApplyAgain(dx, dy, x, mean, a, b, c, scale, shift, accumulate)
		return
	}
	var room [6*maxWide + 16]float32
	buf := aligned(room[:])
	w := k * n
	var wide [6][]float32
	for i, v := range [...][]float32{mean, a, b, c, scale, shift} {
		wide[i] = buf[i*maxWide : i*maxWide+w]
		repeat(wide[i], v)
	}
	full := rows / k * w
	gradApplyAgain(dx[:full], dy[:full], x[:full], wide[0], wide[1], wide[2], wide[3], wide[4], wide[5], accumulate)
	gradApplyAgain(dx[full:], dy[full:], x[full:], mean, a, b, c, scale, shift, accumulate)
}

// ScaleGrad computes dx[r][ch] (+)= a[ch]*dy'[r][ch], the gradient of
// [ScaleShift], with dy' as in [BatchNormGradReduce], or dy if y is nil. c = len(a).
// dx may be dy or y.
func ScaleGrad(dx, dy, y, a []float32, accumulate bool) {
	n := len(a)
	isa.CheckLen(len(dy), len(dx), "ScaleGrad dy")
	if y != nil {
		isa.CheckLen(len(y), len(dx), "ScaleGrad y")
	}
	if len(dx) == 0 {
		return
	}
	rows := len(dx) / n
	isa.CheckLen(len(dx), rows*n, "ScaleGrad dx")
	k := widen(n, rows)
	if k == 1 {
		scaleGrad(dx, dy, y, a, accumulate)
		return
	}
	var room [maxWide + 16]float32
	buf := aligned(room[:])
	w := k * n
	repeat(buf[:w], a)
	full := rows / k * w
	scaleGrad(dx[:full], dy[:full], upTo(y, full), buf[:w], accumulate)
	scaleGrad(dx[full:], dy[full:], from(y, full), a, accumulate)
}

func gradReduceGeneric(s, t, dz, dy, y, x, mean []float32) {
	c := len(mean)
	s, t = s[:c], t[:c]
	for r := 0; r < len(x); r += c {
		for i := 0; i < c; i++ {
			g := dy[r+i]
			if y != nil && y[r+i] <= 0 {
				g = 0
			}
			if dz != nil {
				dz[r+i] = g
			}
			s[i] += g
			t[i] += g * (x[r+i] - mean[i])
		}
	}
}

func gradReduceAgainGeneric(s, t, dy, x, mean, scale, shift []float32) {
	c := len(mean)
	for r := 0; r < len(x); r += c {
		for i := 0; i < c; i++ {
			g := dy[r+i]
			if float32(x[r+i]*scale[i])+shift[i] <= 0 {
				g = 0
			}
			s[i] += g
			t[i] += g * (x[r+i] - mean[i])
		}
	}
}

func gradApplyAgainGeneric(dx, dy, x, mean, a, b, c, scale, shift []float32, accumulate bool) {
	n := len(mean)
	for r := 0; r < len(dx); r += n {
		for i := 0; i < n; i++ {
			g := dy[r+i]
			if float32(x[r+i]*scale[i])+shift[i] <= 0 {
				g = 0
			}
			v := a[i]*g + (b[i]*(x[r+i]-mean[i]) + c[i])
			if accumulate {
				v += dx[r+i]
			}
			dx[r+i] = v
		}
	}
}

func gradApplyGeneric(dx, dy, y, x, mean, a, b, c []float32, accumulate bool) {
	n := len(mean)
	for r := 0; r < len(dx); r += n {
		for i := 0; i < n; i++ {
			g := dy[r+i]
			if y != nil && y[r+i] <= 0 {
				g = 0
			}
			v := a[i]*g + (b[i]*(x[r+i]-mean[i]) + c[i])
			if accumulate {
				v += dx[r+i]
			}
			dx[r+i] = v
		}
	}
}

func scaleGradGeneric(dx, dy, y, a []float32, accumulate bool) {
	n := len(a)
	for r := 0; r < len(dx); r += n {
		for i := 0; i < n; i++ {
			g := dy[r+i]
			if y != nil && y[r+i] <= 0 {
				g = 0
			}
			v := a[i] * g
			if accumulate {
				v += dx[r+i]
			}
			dx[r+i] = v
		}
	}
}
