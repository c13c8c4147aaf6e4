package philox

import (
	"math"
	"testing"
)

// The known-answer vectors that come with Random123 1.14 (tests/kat_vectors,
// lines "philox4x32 10").
func TestKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		ctr  [4]uint32
		key  [2]uint32
		want [4]uint32
	}{
		{[4]uint32{}, [2]uint32{},
			[4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, [2]uint32{0xffffffff, 0xffffffff},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := Block(c.ctr, c.key); got != c.want {
			t.Errorf("Block(%x, %x) = %x, want %x", c.ctr, c.key, got, c.want)
		}
	}
}

func TestStreamIsBlocksInOrder(t *testing.T) {
	r := New(0x299f31d0a4093822, 0x0370734413198a2e)
	for b := uint32(0); b < 3; b++ {
		want := Block([4]uint32{b, 0, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0})
		for i, w := range want {
			if got := r.Uint32(); got != w {
				t.Fatalf("block %d word %d = %x, want %x", b, i, got, w)
			}
		}
	}
}

func TestSkip(t *testing.T) {
	a, b := New(1, 2), New(1, 2)
	for range 4 * 7 {
		a.Uint32()
	}
	b.Uint32()
	b.Skip(6)
	if a.Uint64() != b.Uint64() {
		t.Error("Skip(6) after one block differs from drawing 7 blocks")
	}
	c := New(1, 2)
	c.Skip(1<<32 - 1)
	c.Uint64()
	c.Uint64()
	if c.ctr != [4]uint32{0, 1, 2, 0} {
		t.Errorf("counter after block 2^32-1 = %x, want a carry into word 1", c.ctr)
	}
}

func TestKeyed(t *testing.T) {
	seen := map[uint64][3]uint32{}
	for op := uint32(0); op < 10; op++ {
		for epoch := uint32(0); epoch < 10; epoch++ {
			for item := uint32(0); item < 100; item++ {
				r := Keyed(5, op, epoch, item)
				v := r.Uint64()
				if other, ok := seen[v]; ok {
					t.Fatalf("streams %v and %v start alike", other, [3]uint32{op, epoch, item})
				}
				seen[v] = [3]uint32{op, epoch, item}
			}
		}
	}
	a, b := Keyed(9, 0, 3, 4), New(9, 3<<32|4)
	if a.Uint64() != b.Uint64() {
		t.Error("Keyed with op 0 is not the stream epoch<<32|item")
	}
}

func TestIntN(t *testing.T) {
	r := New(3, 0)
	var count [7]int
	const n = 70000
	for range n {
		count[r.IntN(7)]++
	}
	chi := 0.0
	for _, c := range count {
		d := float64(c) - n/7
		chi += d * d / (n / 7)
	}
	if chi > 22.5 { // 6 degrees of freedom, p = 0.001
		t.Errorf("IntN(7) counts %v, chi squared %.1f", count, chi)
	}
	for range 1000 {
		if v := r.IntN(math.MaxInt); v < 0 {
			t.Fatalf("IntN(MaxInt) = %d", v)
		}
	}
}

// moments returns mean and variance of n draws.
func moments(n int, draw func() float64) (mean, variance float64) {
	var s, ss float64
	for range n {
		v := draw()
		s += v
		ss += v * v
	}
	mean = s / float64(n)
	return mean, ss/float64(n) - mean*mean
}

func TestDistributions(t *testing.T) {
	r := New(42, 1)
	for _, c := range []struct {
		name           string
		mean, variance float64
		draw           func() float64
	}{
		{"Float32", 0.5, 1.0 / 12, func() float64 { return float64(r.Float32()) }},
		{"Float64", 0.5, 1.0 / 12, r.Float64},
		{"Uniform(-1,3)", 1, 16.0 / 12, func() float64 { return r.Uniform(-1, 3) }},
		{"Norm", 0, 1, r.Norm},
		{"Gamma(2.5)", 2.5, 2.5, func() float64 { return r.Gamma(2.5) }},
		{"Gamma(0.3)", 0.3, 0.3, func() float64 { return r.Gamma(0.3) }},
		{"Beta(1,1)", 0.5, 1.0 / 12, func() float64 { return r.Beta(1, 1) }},
		{"Beta(0.2,0.2)", 0.5, 0.25 / 1.4, func() float64 { return r.Beta(0.2, 0.2) }},
		{"Beta(2,3)", 0.4, 6.0 / (25 * 6), func() float64 { return r.Beta(2, 3) }},
	} {
		mean, variance := moments(200000, c.draw)
		if tol := 5 * math.Sqrt(c.variance/200000); math.Abs(mean-c.mean) > tol {
			t.Errorf("%s: mean %.4f, want %.4f within %.4f", c.name, mean, c.mean, tol)
		}
		if math.Abs(variance-c.variance) > 0.05*c.variance {
			t.Errorf("%s: variance %.4f, want %.4f", c.name, variance, c.variance)
		}
	}
}

func TestTinyBeta(t *testing.T) {
	r := New(1, 1)
	for range 1000 {
		if v := r.Beta(1e-5, 1e-5); !(v >= 0 && v <= 1) {
			t.Fatalf("Beta(1e-5, 1e-5) = %v", v)
		}
	}
}

func TestShuffle(t *testing.T) {
	r := New(7, 0)
	var count [3][3]int
	for range 6000 {
		p := [3]int{0, 1, 2}
		r.Shuffle(3, func(i, j int) { p[i], p[j] = p[j], p[i] })
		for place, v := range p {
			count[v][place]++
		}
	}
	for v, places := range count {
		for place, c := range places {
			if c < 1800 || c > 2200 {
				t.Errorf("%d was %d of 6000 times in place %d", v, c, place)
			}
		}
	}
}

func TestNoAllocation(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		r := Keyed(1, 2, 3, 4)
		r.Beta(0.2, 0.2)
		r.IntN(10)
	}); n != 0 {
		t.Errorf("%v allocations a stream, want 0", n)
	}
}

func BenchmarkUint32(b *testing.B) {
	r := New(1, 1)
	b.SetBytes(4)
	for b.Loop() {
		r.Uint32()
	}
}
