package tensor

import "testing"

func TestFromFloat32ChecksTheShape(t *testing.T) {
	if _, err := FromFloat32(make([]float32, 5), 2, 3); err == nil {
		t.Fatal("5 elements were accepted for shape [2 3]")
	}
	if _, err := FromInt64(make([]int64, 2), -1, -2); err == nil {
		t.Fatal("negative extents were accepted")
	}
	x, err := FromFloat32([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	y, err := x.Reshape(3, 2)
	if err != nil {
		t.Fatal(err)
	}
	y.Float32s()[0] = 9
	if x.Float32s()[0] != 9 {
		t.Error("Reshape copied the elements")
	}
	z := x.Clone()
	z.Float32s()[0] = 1
	if x.Float32s()[0] != 9 {
		t.Error("Clone shares the elements")
	}
	if got := x.String(); got != "float32[2 3]" {
		t.Errorf("String() = %q", got)
	}
}

func TestScalar(t *testing.T) {
	if n := New().Numel(); n != 1 {
		t.Fatalf("a scalar has %d elements", n)
	}
}
