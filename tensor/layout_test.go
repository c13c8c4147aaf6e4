package tensor

import (
	"slices"
	"strings"
	"testing"
)

func TestLayout(t *testing.T) {
	x := New(2, 3, 2, 1)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(i)
	}
	y, err := x.In(NHWC)
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11}; !slices.Equal(y.Float32s(), want) {
		t.Errorf("as NHWC the elements are %v, want %v", y.Float32s(), want)
	}
	if y.Layout() != NHWC || !y.Shape().Equal(x.Shape()) || y.String() != "float32[2 3 2 1] NHWC" {
		t.Errorf("%v, laid out as %v", y, y.Layout())
	}
	back, err := y.In(NCHW)
	if err != nil || !slices.Equal(back.Float32s(), x.Float32s()) {
		t.Errorf("there and back: %v, %v", back.Float32s(), err)
	}
	if same, _ := y.In(NHWC); same != y {
		t.Error("a tensor is copied into the layout that it has")
	}
	if c := y.Clone(); c.Layout() != NHWC {
		t.Errorf("the clone is laid out as %v", c.Layout())
	}
	if _, err := y.Reshape(6, 2); err == nil || !strings.Contains(err.Error(), "lay it out as NCHW first") {
		t.Errorf("Reshape of NHWC: %v", err)
	}
	for _, z := range []*Tensor{New(2, 3), NewInt64(1, 1, 1, 1)} {
		if _, err := z.In(NHWC); err == nil || !strings.Contains(err.Error(), "only float32 tensors of rank 4") {
			t.Errorf("%v as NHWC: %v", z, err)
		}
	}
	if _, err := FromNHWC(make([]float32, 5), 1, 3, 2, 1); err == nil {
		t.Error("5 elements fill [1 3 2 1]")
	}
	later, err := Deferred(func(dst []float32) error { copy(dst, x.Float32s()); return nil }, 2, 3, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	if z, err := later.In(NHWC); err != nil || !slices.Equal(z.Float32s(), y.Float32s()) {
		t.Errorf("a deferred tensor as NHWC: %v, %v", z, err)
	}
}
