package ref

import (
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// groupOf returns a function that maps an element of an array of shape s to its
// group, counted over all samples.
func groupOf(s tensor.Shape, groups int) func(i int) int {
	each := s[1:].Numel() / groups
	return func(i int) int { return i / each }
}

func groupNorm(o graph.GroupNorm, x, gamma, beta array) []array {
	of, ch := groupOf(x.shape, o.Groups), channel(x)
	mean, invstd := zeros(x.shape[0], o.Groups), zeros(x.shape[0], o.Groups)
	count := float64(len(x.f) / len(mean.f))
	for i, v := range x.f {
		mean.f[of(i)] += v / count
	}
	for i, v := range x.f {
		d := v - mean.f[of(i)]
		invstd.f[of(i)] += d * d / count
	}
	for i, v := range invstd.f {
		invstd.f[i] = 1 / math.Sqrt(v+float64(o.Eps))
	}
	y := zeros(x.shape...)
	for i, v := range x.f {
		y.f[i] = (v-mean.f[of(i)])*invstd.f[of(i)]*gamma.f[ch(i)] + beta.f[ch(i)]
	}
	return []array{y, mean, invstd}
}

func groupNormGrad(o graph.GroupNormGrad, dy, x, gamma, mean, invstd array) []array {
	of, ch := groupOf(x.shape, o.Groups), channel(x)
	count := float64(len(x.f) / len(mean.f))
	dx, dgamma, dbeta := zeros(x.shape...), zeros(gamma.shape...), zeros(gamma.shape...)
	sum, dot := make([]float64, len(mean.f)), make([]float64, len(mean.f))
	xhat := func(i int) float64 { return (x.f[i] - mean.f[of(i)]) * invstd.f[of(i)] }
	for i, d := range dy.f {
		dbeta.f[ch(i)] += d
		dgamma.f[ch(i)] += d * xhat(i)
		sum[of(i)] += d * gamma.f[ch(i)]
		dot[of(i)] += d * gamma.f[ch(i)] * xhat(i)
	}
	for i, d := range dy.f {
		g := of(i)
		dx.f[i] = invstd.f[g] * (d*gamma.f[ch(i)] - sum[g]/count - xhat(i)*dot[g]/count)
	}
	return []array{dx, dgamma, dbeta}
}
