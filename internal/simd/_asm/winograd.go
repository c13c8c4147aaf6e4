package main

// The lines of Winograd's transforms, which the kernels of avx_winograd*.go and
// neon_winograd*.go apply to columns and then to rows of a tile. They are those of
// package wino, see there; k is an operand that holds the number in every lane.

// winoA and winoB are wino.winogradA and winogradB: the points ±a and ±b.
const winoA, winoB = 0.625, 1.5

// The factors of wino.weightLine: of the point 0, and of ±a and ±b before they are
// multiplied by powers of the point.
const (
	winoF0 = 1 / (winoA * winoA * winoB * winoB)
	winoFA = 1 / (2 * winoA * winoA * (winoA*winoA - winoB*winoB))
	winoFB = 1 / (2 * winoB * winoB * (winoB*winoB - winoA*winoA))
)

// winoWeights are the factors of the taps g0, g1 and g2 at a and at b.
var winoWeights = [2][3]float64{
	{winoFA, winoA * winoFA, winoA * winoA * winoFA},
	{winoFB, winoB * winoFB, winoB * winoB * winoFB},
}

// winoFactors are all factors of weightLine.
var winoFactors = append(append([]float64{winoF0}, winoWeights[0][:]...), winoWeights[1][:]...)

// inputLine is wino.inputLine of a line d, which it overwrites.
func inputLine[V, M any](e machine[V, M], k map[float64]V, d []V) []V {
	if len(d) == 4 {
		return []V{e.sub(d[0], d[2]), e.add(d[1], d[2]), e.sub(d[2], d[1]), e.sub(d[3], d[1])}
	}
	const a, b = winoA, winoB
	r0 := e.fnma(d[2], k[a*a+b*b], e.fma(d[0], k[a*a*b*b], e.copyOf(d[4])))
	pa, pb := e.fnma(d[2], k[b*b], e.copyOf(d[4])), e.fnma(d[2], k[a*a], d[4])
	r5 := e.fnma(d[3], k[a*a+b*b], e.fma(d[1], k[a*a*b*b], d[5]))
	qa, qb := e.fnma(d[1], k[b*b], e.copyOf(d[3])), e.fnma(d[1], k[a*a], d[3])
	r1, r2 := e.fma(qa, k[a], e.copyOf(pa)), e.fnma(qa, k[a], pa)
	r3, r4 := e.fma(qb, k[b], e.copyOf(pb)), e.fnma(qb, k[b], pb)
	return []V{r0, r1, r2, r3, r4, r5}
}

// outputLine is wino.outputLine.
func outputLine[V, M any](e machine[V, M], k map[float64]V, m []V) []V {
	if len(m) == 4 {
		return []V{e.add(m[0], e.add(m[1], m[2])), e.add(m[3], e.sub(m[1], m[2]))}
	}
	const a, b = winoA, winoB
	s1, d1, s2, d2 := e.add(m[1], m[2]), e.sub(m[1], m[2]), e.add(m[3], m[4]), e.sub(m[3], m[4])
	o0 := e.add(m[0], e.add(s1, s2))
	o3 := e.fma(d2, k[b*b*b], e.fma(d1, k[a*a*a], m[5]))
	o1 := e.fma(d2, k[b], e.mul(d1, k[a]))
	o2 := e.fma(s2, k[b*b], e.mul(s1, k[a*a]))
	return []V{o0, o1, o2, o3}
}

// weightLine is wino.weightLine: the same operations in the same order, so that
// its results are the same bits.
func weightLine[V, M any](e machine[V, M], k func(float64) V, t int, g []V) []V {
	if t == 4 {
		h := e.mul(e.add(g[0], g[2]), k(0.5))
		u1 := e.fma(g[1], k(0.5), e.copyOf(h))
		return []V{g[0], u1, e.fnma(g[1], k(0.5), h), g[2]}
	}
	u1, u2 := weightPoint(e, k, winoWeights[0], g)
	u3, u4 := weightPoint(e, k, winoWeights[1], g)
	return []V{e.mul(g[0], k(winoF0)), u1, u2, u3, u4, g[2]}
}

// weightPoint returns the values of a filter at a point and at its negative.
func weightPoint[V, M any](e machine[V, M], k func(float64) V, f [3]float64, g []V) (plus, minus V) {
	even := e.fma(g[2], k(f[2]), e.mul(g[0], k(f[0])))
	plus = e.fma(g[1], k(f[1]), e.copyOf(even))
	return plus, e.fnma(g[1], k(f[1]), even)
}

// outputGradLine is wino.outputGradLine.
func outputGradLine[V, M any](e machine[V, M], k map[float64]V, d []V) []V {
	const a, b = winoA, winoB
	ea, eb := e.fma(d[2], k[a*a], e.copyOf(d[0])), e.fma(d[2], k[b*b], e.copyOf(d[0]))
	oa, ob := e.fma(d[3], k[a*a*a], e.mul(d[1], k[a])), e.fma(d[3], k[b*b*b], e.mul(d[1], k[b]))
	return []V{d[0], e.add(ea, oa), e.sub(ea, oa), e.add(eb, ob), e.sub(eb, ob), d[3]}
}

// weightGradLine is wino.weightGradLine.
func weightGradLine[V, M any](e machine[V, M], k map[float64]V, u []V) []V {
	const a, b = winoA, winoB
	sa, da, sb, db := e.add(u[1], u[2]), e.sub(u[1], u[2]), e.add(u[3], u[4]), e.sub(u[3], u[4])
	g0 := e.fma(sb, k[winoFB], e.fma(sa, k[winoFA], e.mul(u[0], k[winoF0])))
	g1 := e.fma(db, k[b*winoFB], e.mul(da, k[a*winoFA]))
	g2 := e.fma(sb, k[b*b*winoFB], e.fma(sa, k[a*a*winoFA], u[5]))
	return []V{g0, g1, g2}
}
