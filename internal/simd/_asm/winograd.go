package main

// The lines of Winograd's transforms, which the kernels of avx_winograd*.go and
// neon_winograd*.go apply to columns and then to rows of a tile. They are those of
// package wino, see there; k is an operand that holds the number in every lane.

// winoTile is a wino.Tile: the edges of its inputs, positions and outputs.
type winoTile struct {
	suffix, doc            string
	inputs, positions, out int
}

// winoTile4 is wino.F4, the only tile of the gradients and of [avx.winogradPair].
var winoTile4 = winoTile{"4", "tiles of 4x4 outputs", 6, 6, 4}

// winoTiles are all tiles.
var winoTiles = []winoTile{
	{"2", "tiles of 2x2 outputs", 4, 4, 2},
	winoTile4,
	{"3", "tiles of 3x3 outputs", 5, 5, 3},
	{"Closed2", "closed tiles of 2x2", 2, 3, 2},
	{"Closed3", "closed tiles of 3x3", 3, 4, 3},
}

// winoA to winoD are wino.winogradA to winogradD: the points ±a and ±b of tiles of
// 4x4, ±c and d of tiles of 3x3. winoE and winoF are wino.closedE and closedF.
const (
	winoA, winoB = 0.625, 1.5
	winoC, winoD = 0.75, 2
	winoE, winoF = 1.5, 0.5
)

// inputNumbers are the numbers that inputLine multiplies with.
func (t winoTile) inputNumbers() []float64 {
	const a, b, c, d = winoA, winoB, winoC, winoD
	return map[string][]float64{"4": {a, b, a * a, b * b, a*a + b*b, a * a * b * b}, "3": {c, d, c * c}, "Closed3": {winoE, winoF}}[t.suffix]
}

// outputNumbers are those of outputLine.
func (t winoTile) outputNumbers() []float64 {
	const a, b, c, d = winoA, winoB, winoC, winoD
	return map[string][]float64{"4": {a, b, a * a, b * b, a * a * a, b * b * b}, "3": {c, d, c * c, d * d}, "Closed3": {winoE, winoF}}[t.suffix]
}

// weightNumbers are those of weightLine.
func (t winoTile) weightNumbers() []float64 {
	const c, d = winoC, winoD
	return map[string][]float64{
		"2": {0.5}, "4": winoFactors, "3": {c, c * c, d, d * d, winoOrigin, winoPlusC, winoMinusC, winoAtD}, "Closed3": {0.25, winoEven, winoOdd},
	}[t.suffix]
}

// The factors of wino.weightLine: of the point 0, and of ±a and ±b before they are
// multiplied by powers of the point.
const (
	winoF0 = 1 / (winoA * winoA * winoB * winoB)
	winoFA = 1 / (2 * winoA * winoA * (winoA*winoA - winoB*winoB))
	winoFB = 1 / (2 * winoB * winoB * (winoB*winoB - winoA*winoA))
)

// Those of weightLine for tiles of 3x3 and for closed tiles of 3x3.
const (
	winoOrigin = 1 / (winoC * winoC * winoD)
	winoPlusC  = 1 / (2 * winoC * winoC * (winoC - winoD))
	winoMinusC = -1 / (2 * winoC * winoC * (winoC + winoD))
	winoAtD    = 1 / (winoD * (winoD*winoD - winoC*winoC))
	winoEven   = 1 / (4 * winoE)
	winoOdd    = 1 / (4 * winoF)
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
	switch len(d) {
	case 2:
		return []V{d[0], e.add(d[0], d[1]), d[1]}
	case 3:
		s, r, h := e.add(d[0], d[2]), e.sub(d[2], d[0]), e.mul(d[1], k[winoF])
		v2, v3 := e.add(h, r), e.sub(h, r)
		v0 := e.fma(d[1], k[winoE], e.copyOf(s))
		return []V{v0, e.fnma(d[1], k[winoE], s), v2, v3}
	case 4:
		return []V{e.sub(d[0], d[2]), e.add(d[1], d[2]), e.sub(d[2], d[1]), e.sub(d[3], d[1])}
	case 5:
		const c = winoC
		q3, q2 := e.fnma(d[3], k[winoD], d[4]), e.fnma(d[2], k[winoD], e.copyOf(d[3]))
		r3 := e.fnma(d[1], k[c*c], d[3])
		q1, q0 := e.fnma(d[1], k[winoD], d[2]), e.fnma(d[0], k[winoD], d[1])
		r4 := e.fnma(q1, k[c*c], q3)
		r0, r1 := e.fnma(q0, k[c*c], e.copyOf(q2)), e.fma(q1, k[c], e.copyOf(q2))
		return []V{r0, r1, e.fnma(q1, k[c], q2), r3, r4}
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
func outputLine[V, M any](e machine[V, M], k map[float64]V, t winoTile, m []V) []V {
	switch t.suffix {
	case "Closed2":
		return []V{e.add(m[1], m[2]), e.add(m[0], m[1])}
	case "Closed3":
		s, d, r, f := e.add(m[0], m[1]), e.sub(m[0], m[1]), e.add(m[2], m[3]), e.sub(m[2], m[3])
		return []V{e.add(s, r), e.fma(f, k[winoF], e.mul(d, k[winoE])), e.sub(s, r)}
	case "2":
		return []V{e.add(m[0], e.add(m[1], m[2])), e.add(m[3], e.sub(m[1], m[2]))}
	case "3":
		s, d := e.add(m[1], m[2]), e.sub(m[1], m[2])
		o0 := e.add(m[0], e.add(s, m[3]))
		o1 := e.fma(m[3], k[winoD], e.mul(d, k[winoC]))
		return []V{o0, o1, e.fma(m[3], k[winoD*winoD], e.fma(s, k[winoC*winoC], m[4]))}
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
func weightLine[V, M any](e machine[V, M], k func(float64) V, t winoTile, g []V) []V {
	switch t.suffix {
	case "Closed2":
		return []V{e.sub(g[0], g[1]), g[1], e.sub(g[2], g[1])}
	case "Closed3":
		even, middle, odd := e.add(g[0], g[2]), e.mul(g[1], k(0.25)), e.mul(e.sub(g[2], g[0]), k(winoOdd))
		u2, u3 := e.sub(odd, middle), e.add(odd, middle)
		u0 := e.fma(even, k(winoEven), e.copyOf(middle))
		return []V{u0, e.fnma(even, k(winoEven), middle), u2, u3}
	case "2":
		h := e.mul(e.add(g[0], g[2]), k(0.5))
		u1 := e.fma(g[1], k(0.5), e.copyOf(h))
		return []V{g[0], u1, e.fnma(g[1], k(0.5), h), g[2]}
	case "3":
		const c, d = winoC, winoD
		even := e.fma(g[2], k(c*c), e.copyOf(g[0]))
		u1 := e.mul(e.fma(g[1], k(c), e.copyOf(even)), k(winoPlusC))
		u2 := e.mul(e.fnma(g[1], k(c), even), k(winoMinusC))
		u3 := e.mul(e.fma(g[1], k(d), e.fma(g[2], k(d*d), e.copyOf(g[0]))), k(winoAtD))
		return []V{e.mul(g[0], k(winoOrigin)), u1, u2, u3, g[2]}
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
