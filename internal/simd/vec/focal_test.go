package vec

import (
	"math"
	"testing"
)

// TestFocalFarLogits compares rows whose logits are far from 0 with the formula in float64.
func TestFocalFarLogits(t *testing.T) {
	x := []float32{-100, -40, -17, -5, -1e-3, 0, 1e-3, 5, 17, 40, 88, 100}
	scratch := make([]float32, FocalScratch)
	for _, gamma := range []float32{0, 1, 2, 3.5} {
		f := Focal{Alpha: 0.25, Gamma: gamma}
		for label := -1; label < len(x); label++ {
			dx := make([]float32, len(x))
			got := f.Row(dx, x, nil, label, 2, scratch)
			want := 0.0
			for i, v := range x {
				target := float32(0)
				if i == label {
					target = 1
				}
				loss, d := f.one(v, target)
				want += loss
				if diff := math.Abs(float64(dx[i]) - 2*d); diff > 2e-6*math.Abs(2*d)+1e-30 {
					t.Errorf("gamma %g label %d: derivative at %g is %g, want %g", gamma, label, v, dx[i], 2*d)
				}
			}
			if math.Abs(got-want) > 2e-6*want {
				t.Errorf("gamma %g label %d: %g, want %g", gamma, label, got, want)
			}
		}
	}
}

func BenchmarkFocal(b *testing.B) {
	const rows, classes = 2000, 91
	x, dx := make([]float32, rows*classes), make([]float32, rows*classes)
	for i := range x {
		x[i] = float32(i%13) - 8
	}
	scratch := make([]float32, FocalScratch)
	f := Focal{Alpha: 0.25, Gamma: 2}
	b.SetBytes(4 * rows * classes)
	for b.Loop() {
		for r := range rows {
			f.Row(dx[r*classes:(r+1)*classes], x[r*classes:(r+1)*classes], nil, -1, 1, scratch)
		}
	}
}
