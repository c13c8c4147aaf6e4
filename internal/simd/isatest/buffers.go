package isatest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

const guardWord = 0x7fa5a5a5 // a NaN that no kernel makes

// Buffers makes arrays that catch a kernel which reads or writes outside of
// them: each starts off alignment behind guard words, and either guard words
// or a page that may not be touched follow.
type Buffers struct {
	t    testing.TB
	Rng  *rand.Rand
	all  []*guarded
	Next int
}

type guarded struct {
	whole    []float32
	off, n   int
	original []float32 // of an input
}

func NewBuffers(t testing.TB, seed uint64) *Buffers {
	return &Buffers{t: t, Rng: rand.New(rand.NewPCG(seed, 17))}
}

func (b *Buffers) make(n int) *guarded {
	b.Next++
	off := 1 + b.Next%7
	g := &guarded{off: off, n: n}
	if b.Next%2 == 0 {
		g.whole = make([]float32, off+n+9)
	} else {
		g.whole = pageEnd(b.t, off+n)
	}
	for i := range g.whole {
		g.whole[i] = math.Float32frombits(guardWord)
	}
	b.all = append(b.all, g)
	return g
}

// Out returns an array for results, full of NaN.
func (b *Buffers) Out(n int) []float32 {
	g := b.make(n)
	s := g.whole[g.off : g.off+n : g.off+n]
	for i := range s {
		s[i] = float32(math.NaN())
	}
	return s
}

// In returns an array with these values, which check finds unchanged.
func (b *Buffers) In(v []float32) []float32 {
	g := b.make(len(v))
	s := g.whole[g.off : g.off+g.n : g.off+g.n]
	copy(s, v)
	g.original = append([]float32{}, v...)
	return s
}

// Inout returns an array with these values that may change.
func (b *Buffers) Inout(v []float32) []float32 {
	s := b.In(v)
	b.all[len(b.all)-1].original = nil
	return s
}

// Normal returns n random values of the given mean and deviation, some 0.
func (b *Buffers) Normal(n int, mean, std float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(mean + std*b.Rng.NormFloat64())
		if mean == 0 && b.Rng.IntN(9) == 0 {
			v[i] = 0
		}
	}
	return v
}

func (b *Buffers) Positive(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(0.1 + 2*b.Rng.Float64())
	}
	return v
}

// Check fails the test if a guard word or an input has changed.
func (b *Buffers) Check() {
	b.t.Helper()
	for k, g := range b.all {
		for i, v := range g.whole {
			if (i < g.off || i >= g.off+g.n) && math.Float32bits(v) != guardWord {
				b.t.Fatalf("array %d of %d: wrote at index %d", k, g.n, i-g.off)
			}
		}
		for i, v := range g.original {
			if math.Float32bits(v) != math.Float32bits(g.whole[g.off+i]) {
				b.t.Fatalf("array %d: input %d changed from %v to %v", k, i, v, g.whole[g.off+i])
			}
		}
	}
	b.all = b.all[:0]
}

// Near fails the test unless got[i] is within abs + rel*|want(i)| of want(i);
// NaN must meet NaN, an infinity itself.
func Near(t testing.TB, what string, got []float32, want func(i int) float64, abs, rel float64) {
	t.Helper()
	for i, g := range got {
		w := want(i)
		switch {
		case math.IsNaN(w) && g != g:
		case math.IsInf(w, 0) && float64(g) == w:
		case math.Abs(float64(g)-w) <= abs+rel*math.Abs(w):
		default:
			t.Fatalf("%s: element %d of %d is %v, want %v", what, i, len(got), g, w)
		}
	}
}

// SameBits fails the test unless the arrays are equal bit for bit.
func SameBits(t testing.TB, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d of %d is %v, want %v", what, i, len(got), got[i], want[i])
		}
	}
}

// shapes are rows and channels: tails of every vector width, rows that are
// handled several at a time, long rows.
var shapes = [][2]int{
	{0, 4}, {1, 1}, {2, 1}, {7, 1}, {64, 1}, {300, 1}, {1000, 1}, {5, 2}, {129, 2}, {1, 3}, {10, 3}, {200, 3}, {515, 3},
	{33, 5}, {90, 7}, {17, 8}, {100, 8}, {63, 12}, {1, 16}, {2, 16}, {15, 16}, {16, 16}, {17, 16}, {131, 16}, {9, 17}, {40, 20}, {50, 24}, {21, 31},
	{35, 32}, {16, 33}, {12, 47}, {14, 48}, {19, 63}, {1, 64}, {3, 64}, {4, 64}, {7, 64}, {8, 64}, {9, 64}, {23, 64}, {11, 65}, {6, 80}, {13, 100}, {5, 127}, {10, 128}, {3, 200}, {5, 257}, {2, 1000}, {3, 2048},
}

func EachShape(t *testing.T, f func(t *testing.T, b *Buffers, rows, c int)) {
	t.Helper()
	EachISA(t, func(t *testing.T) {
		for i, s := range shapes {
			b := NewBuffers(t, uint64(i))
			b.Next = i
			func() {
				defer func() {
					if r := recover(); r != nil {
						panic(fmt.Sprintf("rows %d, c %d: %v", s[0], s[1], r))
					}
					if t.Failed() {
						t.Logf("rows %d, c %d", s[0], s[1])
					}
				}()
				f(t, b, s[0], s[1])
				b.Check()
			}()
		}
	})
}

// Lengths are all lengths around the vector widths and some longer ones.
func Lengths() []int {
	var n []int
	for i := 0; i <= 140; i++ {
		n = append(n, i)
	}
	return append(n, 255, 256, 257, 511, 1000, 1023, 4099)
}

// NoAllocs fails the test if f allocates.
func NoAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(10, f); n != 0 {
		t.Errorf("%s allocates %v times", what, n)
	}
}
