package ref

import (
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/philox"
)

func dropout(o graph.Dropout, x, rng array) array {
	seed, step := uint64(rng.i[0]), uint64(rng.i[1])
	y := zeros(x.shape...)
	keep := func(i int) bool {
		r := philox.Block([4]uint32{uint32(i / 4), 1<<31 | o.Key, uint32(step), uint32(step >> 32)},
			[2]uint32{uint32(seed), uint32(seed >> 32)})
		return float64(r[i%4]) >= math.Min(math.RoundToEven(float64(o.P)*(1<<32)), math.MaxUint32)
	}
	sample := 1
	if o.PerSample {
		_, sample = around(x.shape, 0)
	}
	for at, v := range x.f {
		i := at
		switch {
		case o.PerSample:
			i = at / sample
		case len(x.shape) == 4:
			i = channelsLast(x.shape, at)
		}
		if keep(i) {
			y.f[at] = v / (1 - float64(o.P))
		}
	}
	return y
}

// channelsLast returns the position in N, H, W, C order of the element at a
// position in N, C, H, W order.
func channelsLast(s []int, at int) int {
	w := at % s[3]
	h := at / s[3] % s[2]
	c := at / (s[3] * s[2]) % s[1]
	n := at / (s[3] * s[2] * s[1])
	return ((n*s[2]+h)*s[3]+w)*s[1] + c
}
