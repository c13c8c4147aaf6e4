package namefill

import (
	"math"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/internal/golden"
	"github.com/resnet-go/resnet/tensor"
)

// TestFillEqualsPython compares every kind with the bits golden.py wrote.
func TestFillEqualsPython(t *testing.T) {
	want, meta := golden.Load(t, "../golden/testdata/fill.safetensors")
	if meta["op"] != "fill" {
		t.Errorf("metadata op = %q", meta["op"])
	}
	var attrs struct{ NumPy string }
	meta.Decode(t, "attrs", &attrs)
	if attrs.NumPy == "" {
		t.Error("attrs were not decoded")
	}
	kinds := map[Kind]bool{}
	for name, w := range want {
		if name == "labels" {
			if w.DType() != tensor.Int64 || !slices.Equal(w.Int64s(), []int64{3, -1, 1 << 40}) || !w.Shape().Equal(tensor.Shape{1, 3}) {
				t.Errorf("labels: %v %v", w, w.Int64s())
			}
			continue
		}
		kind := Input
		if name != "input" {
			var err error
			if kind, err = KindOf(name, len(w.Shape())); err != nil {
				t.Fatal(err)
			}
		}
		kinds[kind] = true
		got := tensor.New(w.Shape()...)
		Fill(name, got, kind)
		for i, x := range w.Float32s() {
			if g := got.Float32s()[i]; math.Float32bits(g) != math.Float32bits(x) {
				t.Errorf("%s[%d] = %v, want %v", name, i, g, x)
				break
			}
		}
	}
	if len(kinds) != 6 {
		t.Errorf("the file covers %d kinds of 6", len(kinds))
	}
	if _, err := KindOf("bn1.num_batches_tracked", 0); err == nil {
		t.Error("num_batches_tracked has a kind")
	}
}

// TestSplitmix64 checks the published first outputs for seed 1234567.
func TestSplitmix64(t *testing.T) {
	state := uint64(1234567)
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423} {
		if got := splitmix64(&state); got != want {
			t.Errorf("output %d is %d, want %d", i, got, want)
		}
	}
}
