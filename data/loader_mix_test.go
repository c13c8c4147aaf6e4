package data

import (
	"math"
	"slices"
	"testing"
)

// Copies of a sample in an epoch must be varied differently.
func TestRepeatVaries(t *testing.T) {
	ds := noise(8, 32, 32, 3)
	cfg := fullConfig()
	cfg.BatchSize, cfg.Repeat = 8, 4
	cfg.Augment = &Augment{PadCrop: 4}
	got, _ := collect(t, ds, cfg)
	size := 32 * 32 * 3
	same := 0
	for r := 1; r < 4; r++ {
		if slices.Equal(got[0].X[:size], got[0].X[r*size:(r+1)*size]) {
			same++
		}
	}
	if same > 1 { // of 81 places, chance makes one equal now and then
		t.Errorf("%d of 3 copies are varied like the first", same)
	}
}

// MixUp and CutMix are undone by hand: from the targets follow the share, and
// from the unmixed batch what the inputs must be.
func TestMix(t *testing.T) {
	ds := noise(40, 8, 6, 3)
	base := LoaderConfig{BatchSize: 8, Preprocess: plain(8, 6, 3), Shuffle: true, Seed: 2}
	pure, _ := collect(t, ds, base)
	size := 8 * 6 * 3
	for name, a := range map[string]*Augment{"mixup": {MixUp: 1}, "cutmix": {CutMix: 1}} {
		cfg := base
		cfg.Augment = a
		mixed, _ := collect(t, ds, cfg)
		var shares []float64
		for s, b := range mixed {
			p := pure[s]
			share := -1.0
			for n := range 8 {
				before := (n + 7) % 8
				if !slices.Equal(b.Labels, p.Labels) {
					t.Fatalf("%s: labels changed", name)
				}
				var sum float32
				for k, v := range b.Targets[n*3 : n*3+3] {
					sum += v
					if v != 0 && int64(k) != p.Labels[n] && int64(k) != p.Labels[before] {
						t.Fatalf("%s: row %d has a share of class %d", name, n, k)
					}
				}
				if math.Abs(float64(sum)-1) > 1e-6 {
					t.Fatalf("%s: targets add up to %v", name, sum)
				}
				if p.Labels[n] != p.Labels[before] {
					own := float64(b.Targets[n*3+int(p.Labels[n])])
					if share >= 0 && math.Abs(own-share) > 1e-6 {
						t.Fatalf("%s: shares %v and %v in one batch", name, share, own)
					}
					share = own
				}
			}
			if share < 0 {
				continue
			}
			shares = append(shares, share)
			for n := range 8 {
				own, other, got := p.X[n*size:], p.X[(n+7)%8*size:], b.X[n*size:]
				replaced := 0
				for i := range size {
					if name == "mixup" {
						want := share*float64(own[i]) + (1-share)*float64(other[i])
						if math.Abs(float64(got[i])-want) > 1e-2 {
							t.Fatalf("mixup: value %v, want %v", got[i], want)
						}
						continue
					}
					switch got[i] {
					case own[i]:
					case other[i]:
						replaced++
					default:
						t.Fatalf("cutmix: value %v is of neither picture", got[i])
					}
				}
				// Values that happen to be equal in both are not counted.
				if want := (1 - share) * float64(size); name == "cutmix" && (float64(replaced) > want+0.5 || float64(replaced) < want*0.95-1) {
					t.Fatalf("cutmix: %d values are of the other picture, targets say %v", replaced, want)
				}
			}
		}
		if len(shares) < 4 || slices.Max(shares)-slices.Min(shares) < 0.05 {
			t.Errorf("%s: shares %v do not vary", name, shares)
		}
	}
}

func TestMixWithPadding(t *testing.T) {
	ds := noise(5, 4, 4, 1)
	got, _ := collect(t, ds, LoaderConfig{BatchSize: 4, Preprocess: plain(4, 4, 1), Last: Pad, Augment: &Augment{MixUp: 1}})
	b := got[1]
	// One real row has nothing to be mixed with.
	if b.Real != 1 || b.Targets[ds.Targets[4][0]] != 1 || slices.Max(b.X[16:]) != 0 || slices.Max(b.Targets[3:]) != 0 {
		t.Errorf("padding takes part in the mix: %+v", b)
	}
}

func TestMultiLabelTargets(t *testing.T) {
	ds := noise(4, 2, 2, 1)
	ds.Multi = true
	ds.Targets = [][]int{{0, 2}, {}, {1}, {0, 1, 2}}
	got, _ := collect(t, ds, LoaderConfig{BatchSize: 4, Preprocess: plain(2, 2, 1)})
	if want := []float32{1, 0, 1, 0, 0, 0, 0, 1, 0, 1, 1, 1}; !slices.Equal(got[0].Targets, want) || got[0].Labels != nil {
		t.Errorf("targets %v, labels %v", got[0].Targets, got[0].Labels)
	}
	_, err := NewLoader(ds, LoaderConfig{BatchSize: 1, Preprocess: plain(2, 2, 1), Balanced: true})
	checkError(t, err, "balanced", "multi-label")
}
