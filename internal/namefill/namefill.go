// Package namefill fills tensors with numbers that depend only on their names,
// so that whole models need no stored weights: PyTorch, filled the same way by
// internal/golden/golden.py, must compute the same.
package namefill

import (
	"fmt"
	"hash/fnv"
	"math"
	"strings"

	"github.com/resnet-go/resnet/tensor"
)

// Kind is how [Fill] scales its uniform numbers.
type Kind int

// With u uniform in [-1, 1):
const (
	Input       Kind = iota // u
	Weight                  // u*sqrt(6/fanIn), fanIn = elements / first extent: He's variance 2/fanIn
	BNWeight                // 1 + 0.1*u
	Bias                    // 0.1*u: biases of batch norms and linear layers
	RunningMean             // 0.1*u
	RunningVar              // 1 + 0.4*|u|
)

// KindOf returns the kind of a state-dict key of a residual network, given the
// tensor's rank. Batch norm's num_batches_tracked is not filled (it is 0), so
// it has no kind and gives an error.
func KindOf(key string, rank int) (Kind, error) {
	switch last := key[strings.LastIndexByte(key, '.')+1:]; {
	case last == "running_mean":
		return RunningMean, nil
	case last == "running_var":
		return RunningVar, nil
	case last == "bias":
		return Bias, nil
	case last == "weight" && rank > 1:
		return Weight, nil
	case last == "weight":
		return BNWeight, nil
	}
	return 0, fmt.Errorf("namefill: no kind of fill for %q", key)
}

// Fill sets the elements of the float32 tensor t to numbers that depend only on
// the name, the kind and the shape, the same bits as golden.py's fill:
// splitmix64 (Steele, Lea, Flood 2014) started from the name's 64-bit FNV-1a
// hash; the top 24 bits of each output make u in [-1, 1); then the kind's
// formula in float64, rounded once to float32.
func Fill(name string, t *tensor.Tensor, kind Kind) {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	state := h.Sum64()
	v := t.Float32s()
	scale := 1.0
	if kind == Weight {
		scale = math.Sqrt(6 / float64(len(v)/t.Shape()[0]))
	}
	for i := range v {
		u := float64(splitmix64(&state)>>40)*0x1p-23 - 1 // exact
		// The conversions keep the compiler from fusing product and sum.
		switch kind {
		case Input, Weight:
			u *= scale
		case BNWeight:
			u = 1 + float64(0.1*u)
		case Bias, RunningMean:
			u *= 0.1
		case RunningVar:
			u = 1 + float64(0.4*math.Abs(u))
		}
		v[i] = float32(u)
	}
}

func splitmix64(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	z := *state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
