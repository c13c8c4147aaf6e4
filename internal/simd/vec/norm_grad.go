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

// BatchNormGradReduceRecomputed is [BatchNormGradReduce] for a ReLU right after the
// batch norm: it recomputes y = x*scale + shift, as [ScaleShift] does and to the
// same bits, instead of reading it from memory. See [BatchNorm.Coefs].
func BatchNormGradReduceRecomputed(part, dy, x, mean, scale, shift []float32) {
	c := len(mean)
	isa.CheckLen(len(part), 2*c, "BatchNormGradReduceRecomputed part")
	isa.CheckLen(len(scale), c, "BatchNormGradReduceRecomputed scale")
	isa.CheckLen(len(shift), c, "BatchNormGradReduceRecomputed shift")
	isa.CheckLen(len(dy), len(x), "BatchNormGradReduceRecomputed dy")
	clear(part)
	if len(x) == 0 {
		return
	}
	rows := len(x) / c
	isa.CheckLen(len(x), rows*c, "BatchNormGradReduceRecomputed x")
	k := widen(c, rows)
	if k == 1 {
		gradReduceRecomputed(part[:c], part[c:], dy, x, mean, scale, shift)
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
	gradReduceRecomputed(s, t, dy[:full], x[:full], m, ws, wb)
	gradReduceRecomputed(s[:c], t[:c], dy[full:], x[full:], mean, scale, shift)
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

	// Fixed is set if the forward pass used fixed statistics, which are
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

// NormGradCoefs are the values for each channel that [BatchNormGradApply] reads.
type NormGradCoefs struct {
	Mean, A, B, C []float32
	Scale, Shift  []float32 // of the forward pass: [BatchNormGradApplyRecomputed] only
}

// BatchNormGradApply computes, for rows x c with c = len(Mean),
//
//	dx[r][ch] (+)= A[ch]*dy'[r][ch] + B[ch]*(x[r][ch]-Mean[ch]) + C[ch]
//
// with dy' as in [BatchNormGradReduce], or dy itself if y is nil (it has been masked
// already, or there is no ReLU). With accumulate the result is added to dx. dx
// may be dy, x or y.
func BatchNormGradApply(dx, dy, y, x []float32, k NormGradCoefs, accumulate bool) {
	n := len(k.Mean)
	isa.CheckLen(len(x), len(dx), "BatchNormGradApply x")
	isa.CheckLen(len(k.A), n, "BatchNormGradApply A")
	isa.CheckLen(len(k.B), n, "BatchNormGradApply B")
	isa.CheckLen(len(k.C), n, "BatchNormGradApply C")
	isa.CheckLen(len(dy), len(dx), "BatchNormGradApply dy")
	if y != nil {
		isa.CheckLen(len(y), len(dx), "BatchNormGradApply y")
	}
	if len(dx) == 0 {
		return
	}
	rows := len(dx) / n
	isa.CheckLen(len(dx), rows*n, "BatchNormGradApply dx")
	group := widen(n, rows)
	if group == 1 {
		gradApply(dx, dy, y, x, &k, accumulate)
		return
	}
	var room [4*maxWide + 16]float32
	buf := aligned(room[:])
	w := group * n
	wide := NormGradCoefs{Mean: buf[:w], A: buf[maxWide : maxWide+w], B: buf[2*maxWide : 2*maxWide+w], C: buf[3*maxWide : 3*maxWide+w]}
	repeat(wide.Mean, k.Mean)
	repeat(wide.A, k.A)
	repeat(wide.B, k.B)
	repeat(wide.C, k.C)
	full := rows / group * w
	gradApply(dx[:full], dy[:full], upTo(y, full), x[:full], &wide, accumulate)
	gradApply(dx[full:], dy[full:], from(y, full), x[full:], &k, accumulate)
}

// BatchNormGradApplyRecomputed is [BatchNormGradApply] for a ReLU right after the
// batch norm, with y recomputed as by [BatchNormGradReduceRecomputed]. dx may be
// dy or x.
func BatchNormGradApplyRecomputed(dx, dy, x []float32, k NormGradCoefs, accumulate bool) {
	n := len(k.Mean)
	isa.CheckLen(len(x), len(dx), "BatchNormGradApplyRecomputed x")
	isa.CheckLen(len(dy), len(dx), "BatchNormGradApplyRecomputed dy")
	for _, v := range [...][]float32{k.A, k.B, k.C, k.Scale, k.Shift} {
		isa.CheckLen(len(v), n, "BatchNormGradApplyRecomputed coefficient")
	}
	if len(dx) == 0 {
		return
	}
	rows := len(dx) / n
	isa.CheckLen(len(dx), rows*n, "BatchNormGradApplyRecomputed dx")
	group := widen(n, rows)
	if group == 1 {
		gradApplyRecomputed(dx, dy, x, &k, accumulate)
		return
	}
	var room [6*maxWide + 16]float32
	buf := aligned(room[:])
	w := group * n
	var v [6][]float32
	for i, row := range [...][]float32{k.Mean, k.A, k.B, k.C, k.Scale, k.Shift} {
		v[i] = buf[i*maxWide : i*maxWide+w]
		repeat(v[i], row)
	}
	wide := NormGradCoefs{Mean: v[0], A: v[1], B: v[2], C: v[3], Scale: v[4], Shift: v[5]}
	full := rows / group * w
	gradApplyRecomputed(dx[:full], dy[:full], x[:full], &wide, accumulate)
	gradApplyRecomputed(dx[full:], dy[full:], x[full:], &k, accumulate)
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

// gradReduce computes, for each of the rows of x,
//
//	s[ch] += dy'[r][ch]
//	t[ch] += dy'[r][ch]*(x[r][ch]-mean[ch])
//
// with dy' = dy, but 0 where y <= 0 unless y is nil, and sets dz to dy' unless dz is
// nil, which it must be where y is.
func gradReduce(s, t, dz, dy, y, x, mean []float32) {
	c, n := len(mean), len(x)
	if n == 0 {
		return
	}
	if y == nil && dz != nil {
		panic(badArgs)
	}
	s, t, dy = s[:c], t[:c], dy[:n]
	rows := n / c
	switch {
	case isa.Lanes() == 0:
		gradReduceGeneric(s, t, dz, dy, y, x, mean)
	case y == nil:
		gradReduceAsm(&dy[0], &x[0], &s[0], &t[0], &mean[0], rows, c)
	case dz == nil:
		gradReduceMaskAsm(&dy[0], &y[:n][0], &x[0], &s[0], &t[0], &mean[0], rows, c)
	default:
		gradReduceMaskOutAsm(&dz[:n][0], &dy[0], &y[:n][0], &x[0], &s[0], &t[0], &mean[0], rows, c)
	}
}

// gradReduceRecomputed is gradReduce with y = x*scale + shift, computed here.
func gradReduceRecomputed(s, t, dy, x, mean, scale, shift []float32) {
	c, n := len(mean), len(x)
	if n == 0 {
		return
	}
	s, t, dy, scale, shift = s[:c], t[:c], dy[:n], scale[:c], shift[:c]
	if isa.Lanes() == 0 {
		gradReduceRecomputedGeneric(s, t, dy, x, mean, scale, shift)
		return
	}
	gradReduceRecomputedAsm(&dy[0], &x[0], &s[0], &t[0], &mean[0], &scale[0], &shift[0], n/c, c)
}

// gradApplyRecomputed is gradApply with y = x*Scale + Shift, computed here.
func gradApplyRecomputed(dx, dy, x []float32, k *NormGradCoefs, accumulate bool) {
	ch, n := len(k.Mean), len(dx)
	if n == 0 {
		return
	}
	dy, x = dy[:n], x[:n]
	mean, a, b, c, scale, shift := k.Mean, k.A[:ch], k.B[:ch], k.C[:ch], k.Scale[:ch], k.Shift[:ch]
	switch {
	case isa.Lanes() == 0:
		gradApplyRecomputedGeneric(dx, dy, x, k, accumulate)
	case accumulate:
		gradApplyRecomputedAddAsm(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], &scale[0], &shift[0], n/ch, ch)
	default:
		gradApplyRecomputedAsm(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], &scale[0], &shift[0], n/ch, ch)
	}
}

// gradApply computes, for each of the rows of x,
//
//	dx[r][ch] (+)= A[ch]*dy'[r][ch] + (B[ch]*(x[r][ch]-Mean[ch]) + C[ch])
//
// with dy' = dy, but 0 where y <= 0 unless y is nil.
func gradApply(dx, dy, y, x []float32, k *NormGradCoefs, accumulate bool) {
	ch, n := len(k.Mean), len(dx)
	if n == 0 {
		return
	}
	dy, x = dy[:n], x[:n]
	mean, a, b, c := k.Mean, k.A[:ch], k.B[:ch], k.C[:ch]
	rows := n / ch
	switch {
	case isa.Lanes() == 0:
		gradApplyGeneric(dx, dy, y, x, k, accumulate)
	case y == nil && !accumulate:
		gradApplyAsm(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
	case y == nil:
		gradApplyAddAsm(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
	case !accumulate:
		gradApplyMaskAsm(&dx[0], &dy[0], &y[:n][0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
	default:
		gradApplyMaskAddAsm(&dx[0], &dy[0], &y[:n][0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
	}
}

// scaleGrad computes dx[r][ch] (+)= a[ch]*dy'[r][ch], with dy' as in gradApply.
func scaleGrad(dx, dy, y, a []float32, accumulate bool) {
	c, n := len(a), len(dx)
	if n == 0 {
		return
	}
	dy = dy[:n]
	rows := n / c
	switch {
	case isa.Lanes() == 0:
		scaleGradGeneric(dx, dy, y, a, accumulate)
	case y == nil && !accumulate:
		scaleGradAsm(&dx[0], &dy[0], &a[0], rows, c)
	case y == nil:
		scaleGradAddAsm(&dx[0], &dy[0], &a[0], rows, c)
	case !accumulate:
		scaleGradMaskAsm(&dx[0], &dy[0], &y[:n][0], &a[0], rows, c)
	default:
		scaleGradMaskAddAsm(&dx[0], &dy[0], &y[:n][0], &a[0], rows, c)
	}
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

func gradReduceRecomputedGeneric(s, t, dy, x, mean, scale, shift []float32) {
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

func gradApplyRecomputedGeneric(dx, dy, x []float32, k *NormGradCoefs, accumulate bool) {
	mean, a, b, c, scale, shift := k.Mean, k.A, k.B, k.C, k.Scale, k.Shift
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

func gradApplyGeneric(dx, dy, y, x []float32, k *NormGradCoefs, accumulate bool) {
	mean, a, b, c := k.Mean, k.A, k.B, k.C
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
