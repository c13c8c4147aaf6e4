// Package philox gives counter-based random numbers: Philox4x32-10 of Salmon,
// Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC'11).
//
// A number is a pure function of a key and a counter. A random decision that is
// keyed by what it belongs to (seed, epoch, sample, operation) is therefore the
// same for every worker and every order, and a run can continue from any step
// without replaying the steps before.
package philox

import (
	"math"
	"math/bits"
)

const (
	mul0   = 0xD2511F53
	mul1   = 0xCD9E8D57
	weyl0  = 0x9E3779B9
	weyl1  = 0xBB67AE85
	rounds = 10
)

// Block returns the four words that Philox4x32-10 gives for a counter and a
// key; word 0 is the least significant of each.
func Block(ctr [4]uint32, key [2]uint32) [4]uint32 {
	c0, c1, c2, c3 := ctr[0], ctr[1], ctr[2], ctr[3]
	k0, k1 := key[0], key[1]
	for range rounds {
		p0 := uint64(mul0) * uint64(c0)
		p1 := uint64(mul1) * uint64(c2)
		c0, c1, c2, c3 = uint32(p1>>32)^c1^k0, uint32(p1), uint32(p0>>32)^c3^k1, uint32(p0)
		k0 += weyl0
		k1 += weyl1
	}
	return [4]uint32{c0, c1, c2, c3}
}

// Rand is one stream of random numbers. It is a small value without pointers:
// copy it to remember a position. The zero Rand is New(0, 0). A Rand must not
// be used by two goroutines at once; give each its own stream instead.
type Rand struct {
	key [2]uint32
	ctr [4]uint32 // of the next block
	buf [4]uint32
	n   int // unused words at the end of buf
}

// New returns the stream of that number for a seed. Streams of one seed do not
// overlap: the stream is the upper half of the 128-bit counter, and the lower
// half counts up to 2^64 blocks of four words.
func New(seed, stream uint64) Rand {
	return Rand{
		key: [2]uint32{uint32(seed), uint32(seed >> 32)},
		ctr: [4]uint32{0, 0, uint32(stream), uint32(stream >> 32)},
	}
}

// Keyed returns the stream that belongs to one operation on one item of one
// epoch (for dropout: layer, step, replica). Different arguments never share
// numbers as long as each stream uses fewer than 2^32 blocks. Keyed with op 0
// is the stream epoch<<32|item of [New].
func Keyed(seed uint64, op, epoch, item uint32) Rand {
	return Rand{
		key: [2]uint32{uint32(seed), uint32(seed >> 32)},
		ctr: [4]uint32{0, op, item, epoch},
	}
}

// Skip moves n blocks of four words forward, as if 4n words had been drawn, and
// drops the rest of a block that is partly used.
func (r *Rand) Skip(n uint64) {
	r.n = 0
	lo := uint64(r.ctr[0]) | uint64(r.ctr[1])<<32
	lo += n
	r.ctr[0], r.ctr[1] = uint32(lo), uint32(lo>>32)
}

// Uint32 returns 32 random bits.
func (r *Rand) Uint32() uint32 {
	if r.n == 0 {
		r.buf = Block(r.ctr, r.key)
		r.Skip(1)
		r.n = 4
	}
	v := r.buf[4-r.n]
	r.n--
	return v
}

// Uint64 returns 64 random bits.
func (r *Rand) Uint64() uint64 {
	lo := uint64(r.Uint32())
	return lo | uint64(r.Uint32())<<32
}

// Float32 returns a number in [0, 1), a multiple of 2^-24.
func (r *Rand) Float32() float32 { return float32(r.Uint32()>>8) * (1.0 / (1 << 24)) }

// Float64 returns a number in [0, 1), a multiple of 2^-53.
func (r *Rand) Float64() float64 { return float64(r.Uint64()>>11) * (1.0 / (1 << 53)) }

// Uniform returns a number in [lo, hi).
func (r *Rand) Uniform(lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }

// IntN returns a number in [0, n), each equally likely. It panics if n <= 0.
func (r *Rand) IntN(n int) int {
	if n <= 0 {
		panic("philox: IntN of a number below 1")
	}
	// Lemire, "Fast Random Integer Generation in an Interval" (2019): reject
	// the few products that would favor some numbers.
	un := uint64(n)
	hi, lo := bits.Mul64(r.Uint64(), un)
	if lo < un {
		for limit := -un % un; lo < limit; {
			hi, lo = bits.Mul64(r.Uint64(), un)
		}
	}
	return int(hi)
}

// Norm returns a number of the standard normal distribution (Box and Muller,
// one of the pair).
func (r *Rand) Norm() float64 {
	u := 1 - r.Float64() // (0, 1]
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*r.Float64())
}

// Gamma returns a number of the gamma distribution with that shape and scale 1
// (Marsaglia and Tsang, "A Simple Method for Generating Gamma Variables",
// 2000). It panics if shape is not above 0.
func (r *Rand) Gamma(shape float64) float64 {
	if !(shape > 0) {
		panic("philox: Gamma of a shape that is not above 0")
	}
	if shape < 1 {
		u := 1 - r.Float64()
		return r.Gamma(shape+1) * math.Pow(u, 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.Norm()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		u := 1 - r.Float64()
		if math.Log(u) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// Beta returns a number of the beta distribution, in [0, 1]. It panics if a or
// b is not above 0.
func (r *Rand) Beta(a, b float64) float64 {
	x := r.Gamma(a)
	y := r.Gamma(b)
	if x+y == 0 { // both underflowed, for tiny a and b: the mass is at the ends
		return float64(r.IntN(2))
	}
	return x / (x + y)
}

// Shuffle puts n things in a random order by swapping (Fisher and Yates).
func (r *Rand) Shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, r.IntN(i+1))
	}
}

// Permutation returns the numbers 0 to n-1 in a random order.
func (r *Rand) Permutation(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	r.Shuffle(n, func(i, j int) { p[i], p[j] = p[j], p[i] })
	return p
}
