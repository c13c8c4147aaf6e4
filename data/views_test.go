package data

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data/imaging"
)

// viewBatches returns the batches of an epoch, copied.
func viewBatches(t *testing.T, ds Dataset, cfg LoaderConfig, epoch, step int) []Batch {
	t.Helper()
	l, err := NewLoader(ds, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var all []Batch
	for b, err := range l.Epoch(context.Background(), epoch, step) {
		if err != nil {
			t.Fatal(err)
		}
		c := *b
		c.X, c.Index, c.Labels = slices.Clone(b.X), slices.Clone(b.Index), slices.Clone(b.Labels)
		all = append(all, c)
	}
	return all
}

var twoViews = LoaderConfig{BatchSize: 6, Views: 2, Shuffle: true, Seed: 3, Preprocess: plain(5, 5, 3),
	Augment: &Augment{PadCrop: 2, HFlip: 0.5, ColorJitter: &ColorJitter{Brightness: 0.4, P: 0.8}, Grayscale: 0.2}}

// TestViews: the views of a batch are of the same pictures, differ from each other, and
// an epoch has every picture. The first view is what a loader of one view gives.
func TestViews(t *testing.T) {
	ds := noise(40, 6, 5, 3)
	one := twoViews
	one.Views = 0
	singles := viewBatches(t, ds, one, 2, 0)
	batches := viewBatches(t, ds, twoViews, 2, 0)
	if len(batches) != 6 || len(singles) != 6 {
		t.Fatalf("%d batches", len(batches))
	}
	seen, same := map[int]bool{}, 0
	for k, b := range batches {
		if b.N != 12 || b.Real != 12 || b.Views != 2 || len(b.X) != 12*75 || len(b.Labels) != 12 {
			t.Fatalf("%d rows, %d real, %d views, %d values", b.N, b.Real, b.Views, len(b.X))
		}
		if !slices.Equal(b.X[:6*75], singles[k].X) {
			t.Fatal("the first views are not the rows without views")
		}
		for i := range 6 {
			if b.Index[i] != b.Index[6+i] || b.Labels[i] != b.Labels[6+i] || b.Labels[i] != int64(ds.Labels(b.Index[i])[0]) {
				t.Fatalf("rows %d and %d are of samples %d and %d", i, 6+i, b.Index[i], b.Index[6+i])
			}
			seen[b.Index[i]] = true
			if slices.Equal(b.X[i*75:(i+1)*75], b.X[(6+i)*75:(7+i)*75]) {
				same++
			}
		}
	}
	if len(seen) != 36 || same > 2 {
		t.Errorf("%d pictures of 36, %d with equal views", len(seen), same)
	}
	// Neither workers nor the first step change a batch.
	other := twoViews
	other.Workers, other.CacheBytes = 1, -1
	for k, b := range viewBatches(t, ds, other, 2, 3) {
		if !slices.Equal(b.X, batches[3+k].X) {
			t.Fatalf("batch %d differs with other workers", 3+k)
		}
	}
}

// TestSecondView: the second augmentation is of the second view alone.
func TestSecondView(t *testing.T) {
	cfg := twoViews
	cfg.Augment, cfg.Second = &Augment{}, &Augment{Solarize: &Solarize{P: 1, Threshold: 0}}
	for _, b := range viewBatches(t, noise(12, 5, 5, 3), cfg, 0, 0) {
		half := len(b.X) / 2
		for i, v := range b.X[:half] {
			if math.Abs(float64(v+b.X[half+i]-255)) > 1e-3 {
				t.Fatalf("value %d: %v and %v", i, v, b.X[half+i])
			}
		}
	}
}

// TestTurned: the four views are one augmented picture, each turned once more
// counterclockwise; four turns are none.
func TestTurned(t *testing.T) {
	cfg := twoViews
	cfg.Views, cfg.Turned = 4, true
	for _, b := range viewBatches(t, noise(12, 6, 5, 3), cfg, 0, 0) {
		size := 75
		view := func(v, i int) []float32 { return b.X[(v*6+i)*size : (v*6+i+1)*size] }
		for i := range 6 {
			for v := range 4 {
				for y := range 5 {
					for x := range 5 {
						// The right column, from the top, becomes the top row.
						got, want := view((v+1)%4, i)[(y*5+x)*3:][:3], view(v, i)[(x*5+4-y)*3:][:3]
						if !slices.Equal(got, want) {
							t.Fatalf("view %d of picture %d is not turned", (v+1)%4, i)
						}
					}
				}
			}
		}
	}
}

// TestViewsSkipBad: a picture that cannot be decoded is replaced in all its views by the
// same other.
func TestViewsSkipBad(t *testing.T) {
	ds := broken{noise(20, 5, 5, 3)}
	cfg := twoViews
	cfg.SkipBad = true
	for _, b := range viewBatches(t, ds, cfg, 1, 0) {
		for i := range 6 {
			if b.Index[i] != b.Index[6+i] || b.Index[i]%7 == 0 {
				t.Fatalf("rows of samples %d and %d", b.Index[i], b.Index[6+i])
			}
		}
	}
}

// broken cannot decode every seventh picture.
type broken struct{ *Images }

func (b broken) Decode(i int, dst *imaging.Image) error {
	if i%7 == 0 {
		return errEmpty
	}
	return b.Images.Decode(i, dst)
}

// TestBadViews: an error names what does not go together.
func TestBadViews(t *testing.T) {
	for want, change := range map[string]func(*LoaderConfig){
		"must be 0 to 15":   func(c *LoaderConfig) { c.Views = 16 },
		"need Views":        func(c *LoaderConfig) { c.Views = 0; c.Turned = true },
		"mixup":             func(c *LoaderConfig) { c.Second = &Augment{MixUp: 0.2} },
		"Last must be Drop": func(c *LoaderConfig) { c.Last = Keep },
		"SkipBad needs":     func(c *LoaderConfig) { c.SkipBad, c.Shuffle = true, false },
		"Turned needs 4":    func(c *LoaderConfig) { c.Turned = true },
		"square":            func(c *LoaderConfig) { c.Views, c.Turned, c.Preprocess.Width = 4, true, 4 },
		"gaussian_blur.kernel": func(c *LoaderConfig) {
			c.Second = &Augment{GaussianBlur: &GaussianBlur{Kernel: 4, Sigma: [2]float64{1, 2}}}
		},
		"gaussian_blur.sigma": func(c *LoaderConfig) { c.Augment = &Augment{GaussianBlur: &GaussianBlur{P: 1}} },
		"solarize.p":          func(c *LoaderConfig) { c.Augment = &Augment{Solarize: &Solarize{P: 2}} },
		"solarize.threshold":  func(c *LoaderConfig) { c.Augment = &Augment{Solarize: &Solarize{Threshold: math.NaN()}} },
		"color_jitter.p":      func(c *LoaderConfig) { c.Augment = &Augment{ColorJitter: &ColorJitter{P: -1}} },
	} {
		cfg := twoViews
		change(&cfg)
		if _, err := NewLoader(noise(20, 5, 5, 3), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	cfg := twoViews
	cfg.Augment = &Augment{GaussianBlur: &GaussianBlur{P: 1, Kernel: 23, Sigma: [2]float64{1, 2}}}
	l, err := NewLoader(noise(20, 5, 5, 3), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range l.Epoch(context.Background(), 0, 0) {
		if err == nil || !strings.Contains(err.Error(), "too large for an input of 5 x 5") {
			t.Errorf("a window above the input: %v", err)
		}
		break
	}
}

// TestChances: blur, solarization and jitter happen as often as their probability.
func TestChances(t *testing.T) {
	count := func(a Augment) int {
		m := noise(1, 8, 8, 3).Pictures[0]
		changed := 0
		var tmp []float32
		for i := range 1000 {
			c := m.Clone()
			if err := a.colors(c, &tmp, sampleKey{seed: 5, index: uint32(i)}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(c.Pix, m.Pix) {
				changed++
			}
		}
		return changed
	}
	for name, c := range map[string]struct {
		a    Augment
		want int
	}{
		"blur":          {Augment{GaussianBlur: &GaussianBlur{P: 0.5, Sigma: [2]float64{1, 2}}}, 500},
		"solarize":      {Augment{Solarize: &Solarize{P: 0.2, Threshold: 128}}, 200},
		"jitter":        {Augment{ColorJitter: &ColorJitter{Brightness: 0.4, P: 0.8}}, 800},
		"jitter always": {Augment{ColorJitter: &ColorJitter{Brightness: 0.4}}, 1000},
		"never":         {Augment{Solarize: &Solarize{Threshold: 0}, GaussianBlur: &GaussianBlur{Sigma: [2]float64{1, 2}}}, 0},
	} {
		if got := count(c.a); got < c.want-50 || got > c.want+50 {
			t.Errorf("%s: %d of 1000, want about %d", name, got, c.want)
		}
	}
}

// The views of files are the same, whether a file is read once for all or decoded before,
// and each is what a loader of one view makes.
func TestViewsOfFiles(t *testing.T) {
	for name, a := range map[string]*Augment{
		"crop": {HFlip: 0.5, RandomResizedCrop: &RandomResizedCrop{Scale: [2]float64{0.08, 1}, Ratio: [2]float64{0.75, 4.0 / 3}}},
		"full": {RandomResizedCrop: &RandomResizedCrop{Scale: [2]float64{0.2, 1}, Ratio: [2]float64{0.75, 4.0 / 3}, FullDecode: true}},
		"fit":  {HFlip: 0.5},
	} {
		s := jpegFolder(t, 12, 330, 270)
		cfg := LoaderConfig{BatchSize: 4, Views: 3, Shuffle: true, Seed: 3, CacheBytes: -1, Augment: a, Last: Drop,
			Second:     &Augment{VFlip: 0.5, RandomResizedCrop: a.RandomResizedCrop},
			Preprocess: Preprocess{Channels: 3, Width: 32, Height: 24, Resize: 40, Interpolation: imaging.Bilinear, Mean: []float32{0, 0, 0}, Std: []float32{1, 1, 1}}}
		got := viewBatches(t, s.Train, cfg, 1, 0)
		for k, b := range got {
			for row, i := range b.Index {
				view := row / (b.N / b.Views)
				var r imaging.Reader // which is for one decoding
				if _, err := s.Train.(FileDataset).Open(i, &r, nil); err != nil {
					t.Fatal(err)
				}
				aug, p := cfg.Augment, cfg.Preprocess
				if view > 0 {
					aug = cfg.Second
				}
				var st stages
				v, err := aug.view(&st, p, &picture{reader: &r, own: &st.decoded}, sampleKey{seed: cfg.Seed, epoch: 1, index: uint32(i), view: uint32(view)})
				if err != nil {
					t.Fatal(err)
				}
				var n normalizer
				n.init(p)
				want := make([]float32, 3*p.Width*p.Height)
				n.write(want, v)
				if !slices.Equal(b.X[row*len(want):(row+1)*len(want)], want) {
					t.Fatalf("%s: view %d of sample %d in batch %d is another", name, view, i, k)
				}
			}
		}
	}
}
