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
	case !isa.UseAVX2 && !isa.UseAVX512:
		sgdGeneric(p, v, g, k)
	case v == nil && isa.UseAVX512:
		sgdPlainAVX512(&p[0], &g[0], n, &k.gradScale)
	case v == nil:
		sgdPlainAVX2(&p[0], &g[0], n, &k.gradScale)
	case isa.UseAVX512:
		sgdMomentumAVX512(&p[0], &v[:n][0], &g[0], n, &k.gradScale)
	default:
		sgdMomentumAVX2(&p[0], &v[:n][0], &g[0], n, &k.gradScale)
	}
}

// adam is adamGeneric.
func adam(p, m, v, g []float32, k *adamCoefs) {
	n := len(p)
	if n == 0 {
		return
	}
	m, v, g = m[:n], v[:n], g[:n]
	if isa.UseAVX512 {
		adamAVX512(&p[0], &m[0], &v[0], &g[0], n, &k.gradScale)
	} else if isa.UseAVX2 {
		adamAVX2(&p[0], &m[0], &v[0], &g[0], n, &k.gradScale)
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
	if isa.UseAVX512 {
		emaAVX512(&avg[0], &p[0], n, decay, fresh)
	} else if isa.UseAVX2 {
		emaAVX2(&avg[0], &p[0], n, decay, fresh)
	} else {
		emaGeneric(avg, p, decay, fresh)
	}
}

// sumSquares adds the square of x[i] to lane[i%sumLanes].
func sumSquares(lane *[sumLanes]float64, x []float32) {
	if n := len(x) / sumLanes * sumLanes; n > 0 {
		if isa.UseAVX512 {
			sumSquaresAVX512(&lane[0], &x[0], n)
			x = x[n:]
		} else if isa.UseAVX2 {
			sumSquaresAVX2(&lane[0], &x[0], n)
			x = x[n:]
		}
	}
	sumSquaresGeneric(lane, x)
}
