package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// DropoutKey selects the random numbers of a dropout: one operation in one step of a
// run with this seed.
type DropoutKey struct {
	Seed, Step uint64
	Op         uint32 // below 2^31
}

// dropoutStream distinguishes the operations of this package from other users of the
// same seed, which number their operations from 0.
const dropoutStream = 1 << 31

// counter returns the Philox counter of block 0, and the key.
func (k DropoutKey) counter() (ctr [4]uint32, key [2]uint32) {
	return [4]uint32{0, dropoutStream | k.Op, uint32(k.Step), uint32(k.Step >> 32)},
		[2]uint32{uint32(k.Seed), uint32(k.Seed >> 32)}
}

// Dropout computes y[i] = x[i]/(1-p) with probability 1-p, else 0 (Srivastava
// et al., JMLR 15, 2014). x is part of a larger array, first the index there of
// x[0]: element i of the whole takes word i%4 of block i/4 of Philox4x32-10
// (at most 2^34 elements), so the mask is the same however the array is cut.
// The gradient is the same call on dy. p = 1 gives zeros. y may be x.
func Dropout(y, x []float32, p float32, key DropoutKey, first int) {
	isa.CheckLen(len(y), len(x), "Dropout y")
	if p <= 0 {
		copy(y, x)
		return
	}
	if p >= 1 {
		clear(y)
		return
	}
	ctr, k := key.counter()
	limit := uint32(min(math.RoundToEven(float64(p)*(1<<32)), math.MaxUint32))
	scale := float32(1 / (1 - float64(p)))
	// Elements before the first whole block.
	if head := min((4-first&3)&3, len(x)); head > 0 {
		dropoutGeneric(y[:head], x[:head], limit, scale, ctr, k, first)
		y, x, first = y[head:], x[head:], first+head
	}
	dropout(y, x, limit, scale, ctr, k, first)
}

// DropPath sets factor[i] to 1/(1-p) with probability 1-p, else to 0, for the
// samples first, first+1, ...: what a residual branch of each sample is
// multiplied with (stochastic depth, Huang et al., arXiv 1603.09382, scaled
// while training as torchvision does).
func DropPath(factor []float32, p float32, key DropoutKey, first int) {
	Fill(factor, 1)
	Dropout(factor, factor, p, key, first)
}

// dropout is dropoutGeneric from a whole block on.
func dropout(y, x []float32, limit uint32, scale float32, ctr [4]uint32, key [2]uint32, first int) {
	if n := len(x) &^ 31; n > 0 && isa.Lanes() > 0 {
		ctr[0] = uint32(first >> 2)
		var keys [20]uint32
		k := key
		for i := 0; i < len(keys); i += 2 {
			keys[i], keys[i+1] = k[0], k[1]
			k[0] += 0x9E3779B9 // the Weyl constants of Philox
			k[1] += 0xBB67AE85
		}
		dropoutAsm(&y[0], &x[0], n, limit, scale, &ctr[0], &keys[0])
		y, x, first = y[n:], x[n:], first+n
	}
	dropoutGeneric(y, x, limit, scale, ctr, key, first)
}

// dropoutGeneric keeps the elements whose random word is at least limit.
func dropoutGeneric(y, x []float32, limit uint32, scale float32, ctr [4]uint32, key [2]uint32, first int) {
	var r [4]uint32
	for i, v := range x {
		at := first + i
		if i == 0 || at&3 == 0 {
			ctr[0] = uint32(at >> 2)
			r = philox.Block(ctr, key)
		}
		if r[at&3] < limit {
			v = 0
		} else {
			v *= scale
		}
		y[i] = v
	}
}
