package memory

import (
	"testing"
	"unsafe"
)

func checkArray(t *testing.T, f []float32, n int) {
	t.Helper()
	if len(f) != n || cap(f) != n {
		t.Fatalf("%d floats of capacity %d, want %d", len(f), cap(f), n)
	}
	if n > 0 && uintptr(unsafe.Pointer(&f[0]))%64 != 0 {
		t.Errorf("%d floats do not begin at a cache line", n)
	}
	for i, v := range f {
		if v != 0 {
			t.Fatalf("element %d of %d is %g", i, n, v)
		}
		f[i] = float32(i%251) + 1
	}
}

func TestFloats(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 1000, hugePage/4 - 1, hugePage / 4, hugePage/4 + 1, 3*hugePage/4 + 5} {
		checkArray(t, Floats(n), n)
	}
	if f := Floats(hugePage); uintptr(unsafe.Pointer(&f[0]))%hugePage != 0 {
		t.Error("a large array does not begin at a huge page")
	}
}

// Arrays of one Slabs do not overlap: each keeps what was written to it.
func TestSlabs(t *testing.T) {
	var s Slabs
	var all [][]float32
	for _, n := range []int{1, 0, 17, 100_000, slabFloats / 2, slabFloats/2 - 1, 2_000_000, 2_000_000, 3, slabFloats + 1, 5} {
		f := s.Floats(n)
		checkArray(t, f, n)
		all = append(all, f)
	}
	for i, f := range all {
		for j, v := range f {
			if v != float32(j%251)+1 {
				t.Fatalf("array %d: element %d was written over", i, j)
			}
		}
	}
}
