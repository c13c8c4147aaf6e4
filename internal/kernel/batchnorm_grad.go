package kernel

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
	checkLen(len(part), 2*c, "BatchNormGradReduce part")
	clear(part)
	gradReduceWide(part, dz, dy, y, x, mean)
}

// BatchNormGradReduceRecompute is [BatchNormGradReduce] for a y that was not
// kept: it is x*scale + shift [+ res], computed as [ScaleShift] and
// [ScaleShiftAdd] do, hence the same bits. res may be nil.
func BatchNormGradReduceRecompute(part, dz, dy, x, mean, scale, shift, res []float32) {
	c := len(mean)
	checkLen(len(part), 2*c, "BatchNormGradReduceRecompute part")
	clear(part)
	if c == 0 {
		return
	}
	var buf [4096]float32
	if c > len(buf) {
		recomputeLongRows(part, dz, dy, x, mean, scale, shift, res, buf[:])
		return
	}
	step := len(buf) / c * c
	for lo := 0; lo < len(x); lo += step {
		hi := min(lo+step, len(x))
		y := buf[:hi-lo]
		if res == nil {
			ScaleShift(y, x[lo:hi], scale, shift, false)
		} else {
			ScaleShiftAdd(y, x[lo:hi], scale, shift, res[lo:hi], false)
		}
		var z []float32
		if dz != nil {
			z = dz[lo:hi]
		}
		gradReduceWide(part, z, dy[lo:hi], y, x[lo:hi], mean)
	}
}

// recomputeLongRows does the rows that are longer than buf part by part.
func recomputeLongRows(part, dz, dy, x, mean, scale, shift, res, buf []float32) {
	c := len(mean)
	for r := 0; r < len(x); r += c {
		for lo := 0; lo < c; lo += len(buf) {
			hi := min(lo+len(buf), c)
			y := buf[:hi-lo]
			var z, rr []float32
			if dz != nil {
				z = dz[r+lo : r+hi]
			}
			if res != nil {
				rr = res[r+lo : r+hi]
			}
			scaleShift(y, x[r+lo:r+hi], scale[lo:hi], shift[lo:hi], rr, nil, nil, false)
			gradReduce(part[lo:hi], part[c+lo:c+hi], z, dy[r+lo:r+hi], y, x[r+lo:r+hi], mean[lo:hi])
		}
	}
}

// gradReduceWide adds the sums to part.
func gradReduceWide(part, dz, dy, y, x, mean []float32) {
	c := len(mean)
	checkLen(len(dy), len(x), "BatchNormGradReduce dy")
	if y != nil {
		checkLen(len(y), len(x), "BatchNormGradReduce y")
	}
	if dz != nil {
		checkLen(len(dz), len(x), "BatchNormGradReduce dz")
	}
	if len(x) == 0 {
		return
	}
	rows := len(x) / c
	checkLen(len(x), rows*c, "BatchNormGradReduce x")
	if y == nil && dz != nil {
		copy(dz, dy)
		dz = nil
	}
	k := widen(c, rows)
	if k == 1 {
		gradReduce(part[:c], part[c:], dz, dy, y, x, mean)
		return
	}
	var buf [3 * maxWide]float32
	w := k * c
	m, s, t := buf[:w], buf[maxWide:maxWide+w], buf[2*maxWide:2*maxWide+w]
	repeat(m, mean)
	full := rows / k * w
	gradReduce(s, t, upTo(dz, full), dy[:full], upTo(y, full), x[:full], m)
	gradReduce(s[:c], t[:c], from(dz, full), dy[full:], from(y, full), x[full:], m[:c])
	for i := 0; i < c; i++ {
		a, b := float64(part[i]), float64(part[c+i])
		for j := i; j < w; j += c {
			a += float64(s[j])
			b += float64(t[j])
		}
		part[i], part[c+i] = float32(a), float32(b)
	}
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
	checkLen(len(parts), n*2*c, "BatchNormGrad.Finalize parts")
	for ch := 0; ch < c; ch++ {
		dbeta, dgamma := 0.0, 0.0
		for i := 0; i < n; i++ {
			dbeta += float64(parts[2*c*i+ch])
			dgamma += float64(parts[2*c*i+c+ch])
		}
		inv := float64(b.InvStd[ch])
		dgamma *= inv
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
		if b.Accumulate {
			if b.DGamma != nil {
				dgamma += float64(b.DGamma[ch])
			}
			if b.DBeta != nil {
				dbeta += float64(b.DBeta[ch])
			}
		}
		if b.DGamma != nil {
			b.DGamma[ch] = float32(dgamma)
		}
		if b.DBeta != nil {
			b.DBeta[ch] = float32(dbeta)
		}
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
	checkLen(len(x), len(dx), "BatchNormGradApply x")
	checkLen(len(a), n, "BatchNormGradApply a")
	checkLen(len(b), n, "BatchNormGradApply b")
	checkLen(len(c), n, "BatchNormGradApply c")
	checkLen(len(dy), len(dx), "BatchNormGradApply dy")
	if y != nil {
		checkLen(len(y), len(dx), "BatchNormGradApply y")
	}
	if len(dx) == 0 {
		return
	}
	rows := len(dx) / n
	checkLen(len(dx), rows*n, "BatchNormGradApply dx")
	k := widen(n, rows)
	if k == 1 {
		gradApply(dx, dy, y, x, mean, a, b, c, accumulate)
		return
	}
	var buf [4 * maxWide]float32
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

// ScaleGrad computes dx[r][ch] (+)= a[ch]*dy'[r][ch], the gradient of
// [ScaleShift], with dy' as in [BatchNormGradReduce], or dy if y is nil. c = len(a).
// dx may be dy or y.
func ScaleGrad(dx, dy, y, a []float32, accumulate bool) {
	n := len(a)
	checkLen(len(dy), len(dx), "ScaleGrad dy")
	if y != nil {
		checkLen(len(y), len(dx), "ScaleGrad y")
	}
	if len(dx) == 0 {
		return
	}
	rows := len(dx) / n
	checkLen(len(dx), rows*n, "ScaleGrad dx")
	k := widen(n, rows)
	if k == 1 {
		scaleGrad(dx, dy, y, a, accumulate)
		return
	}
	var buf [maxWide]float32
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
