//go:build !purego

package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// shiftedSums adds the sums over the rows of x-origin and of its square to sum
// and sq.
func shiftedSums(sum, sq, x, origin []float32) {
	c := len(sum)
	if c == 0 || len(x) < c {
		return
	}
	sq, origin = sq[:c], origin[:c]
	if isa.UseAVX512 {
		shiftedSumsAVX512(&x[0], &sum[0], &sq[0], &origin[0], len(x)/c, c)
	} else if isa.UseAVX2 {
		shiftedSumsAVX2(&x[0], &sum[0], &sq[0], &origin[0], len(x)/c, c)
	} else {
		shiftedSumsGeneric(sum, sq, x, origin)
	}
}

// scaleShift computes y = x*scale + shift, + res or + (res*rs + rb) if those
// are not nil, then ReLU if relu, on whole rows.
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
	case !isa.UseAVX2 && !isa.UseAVX512:
		scaleShiftGeneric(y, x, scale, shift, res, rs, rb, relu)
	case res == nil && isa.UseAVX512:
		scaleShiftAVX512(&y[0], &x[0], &scale[0], &shift[0], rows, c, floor)
	case res == nil:
		scaleShiftAVX2(&y[0], &x[0], &scale[0], &shift[0], rows, c, floor)
	case rs == nil && isa.UseAVX512:
		res = res[:n]
		scaleShiftAddAVX512(&y[0], &x[0], &res[0], &scale[0], &shift[0], rows, c, floor)
	case rs == nil:
		res = res[:n]
		scaleShiftAddAVX2(&y[0], &x[0], &res[0], &scale[0], &shift[0], rows, c, floor)
	default:
		res, rs, rb = res[:n], rs[:c], rb[:c]
		if isa.UseAVX512 {
			scaleShiftAddScaledAVX512(&y[0], &x[0], &res[0], &scale[0], &shift[0], &rs[0], &rb[0], rows, c, floor)
		} else {
			scaleShiftAddScaledAVX2(&y[0], &x[0], &res[0], &scale[0], &shift[0], &rs[0], &rb[0], rows, c, floor)
		}
	}
}

// gradReduce adds the sums over the rows of dy' and dy'*(x-mean) to s and t; y
// and dz may be nil, dz only with y.
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
	case !isa.UseAVX2 && !isa.UseAVX512:
		gradReduceGeneric(s, t, dz, dy, y, x, mean)
	case y == nil && isa.UseAVX512:
		gradReduceAVX512(&dy[0], &x[0], &s[0], &t[0], &mean[0], rows, c)
	case y == nil:
		gradReduceAVX2(&dy[0], &x[0], &s[0], &t[0], &mean[0], rows, c)
	case dz == nil && isa.UseAVX512:
		gradReduceMaskAVX512(&dy[0], &y[:n][0], &x[0], &s[0], &t[0], &mean[0], rows, c)
	case dz == nil:
		gradReduceMaskAVX2(&dy[0], &y[:n][0], &x[0], &s[0], &t[0], &mean[0], rows, c)
	case isa.UseAVX512:
		gradReduceMaskOutAVX512(&dz[:n][0], &dy[0], &y[:n][0], &x[0], &s[0], &t[0], &mean[0], rows, c)
	default:
		gradReduceMaskOutAVX2(&dz[:n][0], &dy[0], &y[:n][0], &x[0], &s[0], &t[0], &mean[0], rows, c)
	}
}

// gradReduceAgain is gradReduce of dy where not x*scale+shift <= 0.
func gradReduceAgain(s, t, dy, x, mean, scale, shift []float32) {
	c, n := len(mean), len(x)
	if n == 0 {
		return
	}
	s, t, dy, scale, shift = s[:c], t[:c], dy[:n], scale[:c], shift[:c]
	if isa.UseAVX512 {
		gradReduceAgainAVX512(&dy[0], &x[0], &s[0], &t[0], &mean[0], &scale[0], &shift[0], n/c, c)
	} else if isa.UseAVX2 {
		gradReduceAgainAVX2(&dy[0], &x[0], &s[0], &t[0], &mean[0], &scale[0], &shift[0], n/c, c)
	} else {
		gradReduceAgainGeneric(s, t, dy, x, mean, scale, shift)
	}
}

// gradApplyAgain is gradApply of dy where not x*scale+shift <= 0.
func gradApplyAgain(dx, dy, x, mean, a, b, c, scale, shift []float32, accumulate bool) {
	ch, n := len(mean), len(dx)
	if n == 0 {
		return
	}
	dy, x = dy[:n], x[:n]
	a, b, c, scale, shift = a[:ch], b[:ch], c[:ch], scale[:ch], shift[:ch]
	switch {
	case !isa.UseAVX2 && !isa.UseAVX512:
		gradApplyAgainGeneric(dx, dy, x, mean, a, b, c, scale, shift, accumulate)
	case isa.UseAVX512 && accumulate:
		gradApplyAgainAddAVX512(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], &scale[0], &shift[0], n/ch, ch)
	case isa.UseAVX512:
		gradApplyAgainAVX512(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], &scale[0], &shift[0], n/ch, ch)
	case accumulate:
		gradApplyAgainAddAVX2(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], &scale[0], &shift[0], n/ch, ch)
	default:
		gradApplyAgainAVX2(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], &scale[0], &shift[0], n/ch, ch)
	}
}

// gradApply computes dx (+)= a*dy' + (b*(x-mean) + c) on whole rows; y may be
// nil.
func gradApply(dx, dy, y, x, mean, a, b, c []float32, accumulate bool) {
	ch, n := len(mean), len(dx)
	if n == 0 {
		return
	}
	dy, x, a, b, c = dy[:n], x[:n], a[:ch], b[:ch], c[:ch]
	rows := n / ch
	if isa.UseAVX512 {
		switch {
		case y == nil && !accumulate:
			gradApplyAVX512(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
		case y == nil:
			gradApplyAddAVX512(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
		case !accumulate:
			gradApplyMaskAVX512(&dx[0], &dy[0], &y[:n][0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
		default:
			gradApplyMaskAddAVX512(&dx[0], &dy[0], &y[:n][0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
		}
	} else if isa.UseAVX2 {
		switch {
		case y == nil && !accumulate:
			gradApplyAVX2(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
		case y == nil:
			gradApplyAddAVX2(&dx[0], &dy[0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
		case !accumulate:
			gradApplyMaskAVX2(&dx[0], &dy[0], &y[:n][0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
		default:
			gradApplyMaskAddAVX2(&dx[0], &dy[0], &y[:n][0], &x[0], &mean[0], &a[0], &b[0], &c[0], rows, ch)
		}
	} else {
		gradApplyGeneric(dx, dy, y, x, mean, a, b, c, accumulate)
	}
}

// scaleGrad computes dx (+)= a*dy' on whole rows; y may be nil.
func scaleGrad(dx, dy, y, a []float32, accumulate bool) {
	c, n := len(a), len(dx)
	if n == 0 {
		return
	}
	dy = dy[:n]
	rows := n / c
	if isa.UseAVX512 {
		switch {
		case y == nil && !accumulate:
			scaleGradAVX512(&dx[0], &dy[0], &a[0], rows, c)
		case y == nil:
			scaleGradAddAVX512(&dx[0], &dy[0], &a[0], rows, c)
		case !accumulate:
			scaleGradMaskAVX512(&dx[0], &dy[0], &y[:n][0], &a[0], rows, c)
		default:
			scaleGradMaskAddAVX512(&dx[0], &dy[0], &y[:n][0], &a[0], rows, c)
		}
	} else if isa.UseAVX2 {
		switch {
		case y == nil && !accumulate:
			scaleGradAVX2(&dx[0], &dy[0], &a[0], rows, c)
		case y == nil:
			scaleGradAddAVX2(&dx[0], &dy[0], &a[0], rows, c)
		case !accumulate:
			scaleGradMaskAVX2(&dx[0], &dy[0], &y[:n][0], &a[0], rows, c)
		default:
			scaleGradMaskAddAVX2(&dx[0], &dy[0], &y[:n][0], &a[0], rows, c)
		}
	} else {
		scaleGradGeneric(dx, dy, y, a, accumulate)
	}
}

// sumRows adds the sums over the rows of a, or of a*b if b is not nil, to out.
func sumRows(out, a, b []float32) {
	c := len(out)
	if c == 0 || len(a) < c {
		return
	}
	rows := len(a) / c
	switch {
	case !isa.UseAVX2 && !isa.UseAVX512:
		sumRowsGeneric(out, a, b)
	case b == nil && isa.UseAVX512:
		sumRowsAVX512(&a[0], &out[0], rows, c)
	case b == nil:
		sumRowsAVX2(&a[0], &out[0], rows, c)
	case isa.UseAVX512:
		sumMulRowsAVX512(&a[0], &b[:len(a)][0], &out[0], rows, c)
	default:
		sumMulRowsAVX2(&a[0], &b[:len(a)][0], &out[0], rows, c)
	}
}
