package main

import "github.com/resnet-go/resnet/internal/simd/_asm/layout"

// Structs of package vec that kernels read.
var (
	window     = layout.Of("vec", "window")
	filters    = layout.Of("vec", "filters")
	columnSums = layout.Of("vec", "StatsSums")
)

// machine is an instruction set that a kernel is written for: the vectors of
// amd64 (avx) or of arm64 (neon). V is a vector in a register, or what an
// instruction takes instead of one, M an address. Kernels over arrays are
// functions of a machine and are written once; kernels whose loops differ
// (pooling, depthwise convolution, transposition, dropout, the tiles of Winograd) are in the files
// avx_*.go and neon_*.go.
//
// Each method emits its instructions where it is called, in the order that the
// machine wants.
type machine[V, M any] interface {
	// The loops. In the tail of a loop, loads and stores touch only the elements
	// that are left.

	// flat writes a kernel over n elements. body gets the address of each stream.
	flat(k kernel, body func(at func(stream string) M))
	// rows writes a kernel over rows x c elements with operands for each channel.
	rows(k kernel, body func(at func(name string) M))
	// sums writes a kernel that reduces rows x c elements to one value a channel,
	// block rows at a time. body gets the addresses in each row of the block and
	// those of the channels.
	sums(k kernel, block int, body func(rows int, at func(stream string, row int) M, ch func(name string) M))

	ld(m M) V
	st(v V, m M)

	// Operands.

	argument(name string) V                // a float32 argument, in all lanes
	coefs(name string, n int) []V          // n float32 at a pointer argument, each in all lanes
	constant(f float64) V                  // a register
	float(f float64) V                     // a last operand, which may be memory
	zeros() V                              // zeros; the kernel sets zero
	copyOf(a V) V                          // a new register
	addend(a V) V                          // a register that horner may overwrite
	accumulators(n int, start float64) []V // registers that live through the loop
	result(name string, v func() V)        // stores a vector at a pointer argument, after the loop

	// Arithmetic, of one or two instructions each.

	add(a, b V) V
	sub(a, b V) V
	mul(a, b V) V
	div(a, b V) V
	sqrt(a V) V
	neg(a V) V
	abs(a V) V
	max(a, b V) V    // b if either is NaN on amd64, NaN on arm64
	min(a, b V) V    // the same
	maxNaN(a, b V) V // NaN if either is
	minNaN(a, b V) V
	round(a V) V       // to the nearest integer, ties to even
	scaleBy2(p, n V) V // p * 2^n for integral n
	withSign(a, x V) V // a, which is not negative, with the sign of x

	fma(a, b, acc V) V             // acc += a*b
	fnma(a, b, acc V) V            // acc -= a*b
	mulSub(p, k, c V) V            // p*k - c
	horner(p, x, c V) V            // p*x + c; may overwrite p or c
	mulAdds(list ...[3]M) []V      // a*b + c of each, loaded
	mulAddTo(a func() V, b, c M) V // a*b + c, b and c loaded
	addTo(acc, x V)                // acc += x
	addLanes(acc, x V, stored M)   // acc += x in the lanes in use, which have just been stored
	maxLanes(acc V, m M)           // acc = max(acc, m) in the lanes in use

	// Comparisons with zero or another vector, for choose.

	negative(x V) any
	positive(x V) any
	less(a, b V) any
	choose(where any, yes, no V) V
	unless(v, y V) V // v, but 0 where y <= 0
}

// kernel is what flat, rows and sums loop over.
type kernel struct {
	name, doc string
	streams   []string // arrays that the kernel runs through
	channels  []string // arrays of one value a channel, of rows and sums
	scalars   []string // float32 arguments
	extra     string   // more arguments, for setup and finish
	consts    bool     // NEON: the body uses constants
	zero      bool     // AVX: the body uses zeros, from a register set before the loop
	setup     func()
	finish    func()
	unroll    int
}

// signature lists the arguments as Go declares them; counts are those of the
// loop.
func (k *kernel) signature(counts string) string {
	s := ""
	for _, n := range append(append([]string{}, k.streams...), k.channels...) {
		s += n + " *float32, "
	}
	s += counts
	for _, n := range k.scalars {
		s += ", " + n + " float32"
	}
	if k.extra != "" {
		s += ", " + k.extra
	}
	return s
}

// tree adds the vectors in pairs.
func tree[V, M any](e machine[V, M], list []V) V {
	if len(list) == 1 {
		return list[0]
	}
	return e.add(tree(e, list[:len(list)/2]), tree(e, list[len(list)/2:]))
}

// sumProducts adds the products a[i]*b[i] to acc, over two chains.
func sumProducts[V, M any](e machine[V, M], a, b []V, acc V) V {
	e.fma(a[0], b[0], acc)
	if len(a) == 1 {
		return acc
	}
	odd := e.mul(a[1], b[1])
	for i := 2; i < len(a); i++ {
		if i&1 == 0 {
			e.fma(a[i], b[i], acc)
		} else {
			e.fma(a[i], b[i], odd)
		}
	}
	return e.add(acc, odd)
}

// poly evaluates a polynomial of x, the highest coefficient first.
func poly[V, M any](e machine[V, M], x V, coefs ...float64) V {
	p := e.constant(coefs[0])
	for _, c := range coefs[1:] {
		p = e.horner(p, x, e.float(c))
	}
	return p
}
