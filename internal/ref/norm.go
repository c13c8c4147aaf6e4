package ref

import (
	"math"

	"github.com/resnet-go/resnet/graph"
)

// channel returns a function that maps an element of a to its channel.
func channel(a array) func(i int) int {
	_, inner := around(a.shape, 1)
	c := a.shape[1]
	return func(i int) int { return i / inner % c }
}

func batchNorm(o graph.BatchNorm, in []array) array {
	x, gamma, beta, mean, variance := in[0], in[1], in[2], in[3], in[4]
	y := zeros(x.shape...)
	ch := channel(x)
	for i, v := range x.f {
		c := ch(i)
		y.f[i] = (v-mean.f[c])/math.Sqrt(variance.f[c]+float64(o.Eps))*gamma.f[c] + beta.f[c]
	}
	return y
}

func batchNormTrain(o graph.BatchNormTrain, in []array) []array {
	x, gamma, beta, runMean, runVar := in[0], in[1], in[2], in[3], in[4]
	channels := x.shape[1]
	count := float64(len(x.f) / channels)
	ch := channel(x)
	mean, variance := zeros(channels), zeros(channels)
	for i, v := range x.f {
		mean.f[ch(i)] += v / count
	}
	for i, v := range x.f {
		d := v - mean.f[ch(i)]
		variance.f[ch(i)] += d * d / count
	}
	invstd := zeros(channels)
	newMean, newVar := zeros(channels), zeros(channels)
	m := float64(o.Momentum)
	for c := range channels {
		invstd.f[c] = 1 / math.Sqrt(variance.f[c]+float64(o.Eps))
		newMean.f[c] = (1-m)*runMean.f[c] + m*mean.f[c]
		newVar.f[c] = (1-m)*runVar.f[c] + m*variance.f[c]*count/(count-1)
	}
	return []array{batchNormRecomputed(x, gamma, beta, mean, invstd), mean, invstd, newMean, newVar}
}

func batchNormRecomputed(x, gamma, beta, mean, invstd array) array {
	y, ch := zeros(x.shape...), channel(x)
	for i, v := range x.f {
		c := ch(i)
		y.f[i] = (v-mean.f[c])*invstd.f[c]*gamma.f[c] + beta.f[c]
	}
	return y
}

func batchNormGrad(in []array) []array {
	dy, x, gamma, mean, invstd := in[0], in[1], in[2], in[3], in[4]
	channels := x.shape[1]
	count := float64(len(x.f) / channels)
	ch := channel(x)
	dx, dgamma, dbeta := zeros(x.shape...), zeros(channels), zeros(channels)
	for i, d := range dy.f {
		c := ch(i)
		dbeta.f[c] += d
		dgamma.f[c] += d * (x.f[i] - mean.f[c]) * invstd.f[c]
	}
	for i, d := range dy.f {
		c := ch(i)
		xhat := (x.f[i] - mean.f[c]) * invstd.f[c]
		dx.f[i] = gamma.f[c] * invstd.f[c] * (d - dbeta.f[c]/count - xhat*dgamma.f[c]/count)
	}
	return []array{dx, dgamma, dbeta}
}
