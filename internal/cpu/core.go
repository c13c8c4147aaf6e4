package cpu

// Core is what choices of algorithms and tiles need to know of a core besides
// its instruction sets. The zero value is the core that the constants of the
// kernels' cost models were fitted to: AVX-512 at full width, 2 MB of L2, and a
// first-level cache of so many ways that the rows of a tile never crowd a set.
type Core struct {
	// HalfWidth is set if the core computes a vector of 512 bits in two halves,
	// one after the other, as Zen 4 does.
	HalfWidth bool

	L1Bytes, L1Ways int // of the first-level data cache; 0: not known
}

// Cores of some processors, for tests of the plans that are made for them.
var (
	Zen3 = Core{L1Bytes: 32 << 10, L1Ways: 8}
	Zen4 = Core{HalfWidth: true, L1Bytes: 32 << 10, L1Ways: 8}
)

// Detected is the core of this machine, the zero value on other architectures.
var Detected Core

const lineBytes = 64 // of a cache line

// Crowds reports whether n lines that lie pitch bytes apart fall into so few sets of
// the first-level cache that it cannot hold them all.
func (c Core) Crowds(n, pitch int) bool {
	if c.L1Ways == 0 {
		return false
	}
	period := c.L1Bytes / c.L1Ways // addresses this far apart share a set
	sets := period / gcd(period, max(pitch, lineBytes))
	return n > sets*c.L1Ways
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
