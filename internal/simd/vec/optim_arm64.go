//go:build !purego

package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

// sgd is sgdGeneric.
func sgd(p, v, g []float32, k *sgdCoefs) {
	n := len(p)
	if n == 0 {
		return
	}
	g = g[:n]
	switch {
	case !isa.UseNEON:
		sgdGeneric(p, v, g, k)
	case v == nil:
		sgdPlainNEON(&p[0], &g[0], n, &k.gradScale)
	default:
		sgdMomentumNEON(&p[0], &v[:n][0], &g[0], n, &k.gradScale)
	}
}

// adam is adamGeneric.
func adam(p, m, v, g []float32, k *adamCoefs) {
	n := len(p)
	if n == 0 {
		return
	}
	m, v, g = m[:n], v[:n], g[:n]
	if isa.UseNEON {
		adamNEON(&p[0], &m[0], &v[0], &g[0], n, &k.gradScale)
	} else {
		adamGeneric(p, m, v, g, k)
	}
}

// ema computes avg = decay*avg + fresh*p.
func ema(avg, p []float32, decay, fresh float32) {
	n := len(avg)
	if n == 0 {
		return
	}
	p = p[:n]
	if isa.UseNEON {
		emaNEON(&avg[0], &p[0], n, decay, fresh)
	} else {
		emaGeneric(avg, p, decay, fresh)
	}
}

// sumSquares adds the square of x[i] to lane[i%sumLanes].
func sumSquares(lane *[sumLanes]float64, x []float32) {
	if n := len(x) / sumLanes * sumLanes; n > 0 && isa.UseNEON {
		sumSquaresNEON(&lane[0], &x[0], n)
		x = x[n:]
	}
	sumSquaresGeneric(lane, x)
}
