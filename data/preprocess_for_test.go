package data

import (
	"math"
	"testing"
)

func TestPreprocessFor(t *testing.T) {
	p, err := Preset("imagenet")
	if err != nil {
		t.Fatal(err)
	}
	if q := p.For(3, 224, 224); q.String() != p.String() {
		t.Errorf("its own size changes it to %s", q)
	}
	q := p.For(1, 128, 128)
	if q.Width != 128 || q.Height != 128 || q.Resize != 146 || q.Channels != 1 { // 256 * 128/224
		t.Errorf("for a gray picture of 128 pixels it is %s", q)
	}
	if err := q.Valid(); err != nil {
		t.Error(err)
	}
	if math.Abs(float64(q.Mean[0])-0.449) > 1e-6 || math.Abs(float64(q.Std[0])-0.226) > 1e-6 {
		t.Errorf("mean %v, deviation %v", q.Mean, q.Std)
	}
	if p.Mean[0] != 0.485 || len(p.Mean) != 3 {
		t.Error("the preset itself has changed")
	}
	if wide := p.For(3, 100, 200); wide.Resize != 114 {
		t.Errorf("the shorter side is resized to %d", wide.Resize)
	}
	if g, _ := Preset("mnist"); len(g.For(3, 28, 28).Mean) != 3 || g.Raw() {
		t.Error("gray does not become colors")
	}
	if raw, _ := Preset("keras-raw"); !raw.Raw() || !raw.For(1, 32, 32).Raw() {
		t.Error("keras-raw is not raw")
	}
}
