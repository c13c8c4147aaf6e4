package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/philox"
)

// toy returns pictures that are easy to tell apart: each class has a bright
// quarter of its own in noise.
func toy(t testing.TB, perClass int, seed uint64) *data.Images {
	t.Helper()
	const side = 12
	rng := philox.Keyed(seed, 1, 2, 3)
	var pics []*imaging.Image
	var labels []int
	for i := range perClass * 4 {
		label := i % 4
		m := &imaging.Image{W: side, H: side, C: 1, Pix: make([]uint8, side*side)}
		for y := range side {
			for x := range side {
				v := rng.IntN(120)
				if x*2/side == label%2 && y*2/side == label/2 {
					v += 100
				}
				m.Pix[y*side+x] = uint8(v)
			}
		}
		pics, labels = append(pics, m), append(labels, label)
	}
	ds, err := data.NewImages([]string{"north-west", "north-east", "south-west", "south-east"}, pics, labels)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

func toySplits(t testing.TB) *data.Splits {
	return &data.Splits{Spec: "toy:1", Train: toy(t, 24, 1), Val: toy(t, 10, 2)}
}

const toyRecipe = `
name: toy
model: resnet8-cifar
epochs: 3
batch_size: 16
optimizer: {name: sgd, momentum: 0.9, nesterov: true, weight_decay: 5e-4, clip_norm: 5}
lr: {schedule: cosine, peak: 0.05, warmup: 1}
loss: {name: cross-entropy, label_smoothing: 0.1}
ema: {decay: 0.9, every: 2}
preprocess: {channels: 1, width: 12, height: 12, interpolation: bilinear, mean: [0.3], std: [0.25]}
augment: {pad_crop: 1}
`

func recipe(t testing.TB, set ...string) *Recipe {
	t.Helper()
	r, err := ParseRecipe("toy.yaml", []byte(toyRecipe), set...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func toyConfig(t testing.TB, out string, set ...string) Config {
	return Config{Splits: toySplits(t), Recipe: recipe(t, set...), Out: out, Seed: 7, Threads: 2, Command: []string{"resnet", "train"}}
}

func mustRun(t testing.TB, cfg Config) *Result {
	t.Helper()
	r, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sameFiles compares files of two runs byte by byte.
func sameFiles(t testing.TB, a, b string, names ...string) {
	t.Helper()
	for _, name := range names {
		x, err := os.ReadFile(filepath.Join(a, name))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(x) != string(y) {
			at := 0
			for at < min(len(x), len(y)) && x[at] == y[at] {
				at++
			}
			t.Errorf("%s differs from byte %d on (of %d and %d): %s", name, at, len(x), len(y), around(x, y, at))
		}
	}
}

func around(x, y []byte, at int) string {
	cut := func(b []byte) string { return string(b[max(0, at-60):min(len(b), at+60)]) }
	return fmt.Sprintf("%q\nagainst\n%q", cut(x), cut(y))
}
