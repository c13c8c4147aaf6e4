package tensor

import (
	"errors"
	"slices"
	"testing"
)

func TestDeferred(t *testing.T) {
	reads, fail := 0, error(nil)
	x, err := Deferred(func(dst []float32) error {
		reads++
		for i := range dst {
			dst[i] = float32(i)
		}
		return fail
	}, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	y, err := x.Reshape(3, 2)
	if err != nil {
		t.Fatal(err)
	}
	c := x.Clone()
	want := []float32{0, 1, 2, 3, 4, 5}
	got := make([]float32, 6)
	for range 2 {
		if err := y.Read(got); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if reads != 2 || !x.Deferred() || x.DType() != Float32 || x.Numel() != 6 {
		t.Errorf("%d reads, deferred %v, %v", reads, x.Deferred(), x)
	}

	fail = errors.New("gone")
	if err := x.Read(got); err != fail {
		t.Errorf("Read: %v", err)
	}
	if err := x.Load(); err != fail || !x.Deferred() {
		t.Errorf("Load: %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("Float32s of what cannot be read did not panic")
			}
		}()
		x.Float32s()
	}()

	fail, reads = nil, 0
	if err := x.Load(); err != nil {
		t.Fatal(err)
	}
	if x.Deferred() || y.Deferred() || !c.Deferred() {
		t.Error("a reshaped tensor must share the elements, a copy must not")
	}
	y.Float32s()[5] = 9
	if err := x.Read(got); err != nil || got[5] != 9 || x.Float32s()[5] != 9 || reads != 1 {
		t.Errorf("%v, %v, %d reads: the elements are not those that were loaded", got, err, reads)
	}
	if c.Float32s()[5] != 5 {
		t.Error("the copy shares the elements")
	}
	if z := x.Clone(); z.Deferred() || z.Float32s()[5] != 9 {
		t.Error("the copy of a loaded tensor must have its elements")
	}
	if err := New(2, 3).Load(); err != nil || New(2).Deferred() {
		t.Error("a tensor in memory is not deferred")
	}
}

// A tensor without elements is loaded once it was asked for them.
func TestDeferredWithoutElements(t *testing.T) {
	x, err := Deferred(func(dst []float32) error { return nil }, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Float32s()) != 0 || x.Deferred() {
		t.Error("an empty tensor stays deferred")
	}
	if _, err := Deferred(nil, -1, -2); err == nil {
		t.Error("negative extents were accepted")
	}
}
