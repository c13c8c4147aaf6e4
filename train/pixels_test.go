package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	segmentations "github.com/resnet-go/resnet/data/segmentation"
	"github.com/resnet-go/resnet/internal/scenes"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

const pixelRecipe = `
name: pixels
model: unet_resnet8-cifar
epochs: 3
batch_size: 8
optimizer: {name: sgd, momentum: 0.9, weight_decay: 1e-4}
lr: {schedule: polynomial, power: 0.9, peak: 0.1, aux: 10}
loss: {name: cross-entropy, dice: 0.5}
preprocess: {channels: 3, width: 48, height: 48, interpolation: bilinear, mean: [0.45, 0.45, 0.45], std: [0.25, 0.25, 0.25]}
augment: {random_scale: {min: 0.8, max: 1.2}, hflip: 0.5}
`

func pixelConfig(t *testing.T, out string, set ...string) Config {
	t.Helper()
	rec, err := ParseRecipe("pixels.yaml", []byte(pixelRecipe), set...)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Splits: pixelSplits(t, 40, 12), Recipe: rec, Out: out, Seed: 5, SkipHash: true}
}

// pixelSplits returns scenes of 48 x 48 pixels with bags and trousers, and their masks.
func pixelSplits(t *testing.T, train, val int) *data.Splits {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "scenes")
	clothes, err := scenes.Clothes("Bag", "Trouser")
	if err != nil {
		t.Fatal(err)
	}
	if err := scenes.Write(dir, scenes.Options{Train: train, Val: val, MinSide: 48, MaxSide: 48, MaxObjects: 1, Seed: 2, Objects: clothes}); err != nil {
		t.Fatal(err)
	}
	s, err := segmentations.Open(t.Context(), "voc:"+dir, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.Spec = "voc:scenes" // the folder is another for each run
	return s
}

// TestSegmentationLearns: the networks learn the shapes of things in scenes, where
// background alone gives a mIoU of 0.32, and the run leaves its figures in the files.
func TestSegmentationLearns(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for a while")
	}
	for model, at := range map[string]float64{"unet_resnet8-cifar": 0.42, "fcn_resnet8-cifar": 0.42, "deeplabv3_resnet8-cifar": 0.42} {
		t.Run(model, func(t *testing.T) {
			if model != "fcn_resnet8-cifar" && os.Getenv("RESNET_NIGHTLY") == "" {
				t.Skip("the other networks take longer: RESNET_NIGHTLY=1")
			}
			out := t.TempDir()
			cfg := pixelConfig(t, out, "epochs=24")
			cfg.Model = model
			r := mustRun(t, cfg)
			v := r.Best.Val
			t.Logf("mIoU %.3f, pixel accuracy %.3f", v.MeanIoU, v.PixelAccuracy)
			if v.MeanIoU < at || v.PixelAccuracy < 0.85 || v.Top1 != 0 || r.Last.Train.PixelAccuracy < 0.8 {
				t.Errorf("%+v, training %+v; want a mIoU of %v", v, r.Last.Train, at)
			}
			rows := readCSV(t, filepath.Join(out, ResultsFile))
			if !slices.Equal(rows[0], csvHeadPixels) || rows[24][6] == "" {
				t.Errorf("results %v", rows)
			}
			f, err := weights.Load(filepath.Join(out, BestFile))
			if err != nil {
				t.Fatal(err)
			}
			if f.Metrics["val.mean_iou"] != v.MeanIoU || f.MultiLabel || !slices.Equal(f.Classes, []string{"background", "Bag", "Trouser"}) {
				t.Errorf("metrics %v, classes %v", f.Metrics, f.Classes)
			}
		})
	}
}

// TestSegmentationResumes: an interrupted run ends with the same bits, at any number
// of threads.
func TestSegmentationResumes(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for a while")
	}
	whole, broken := t.TempDir(), t.TempDir()
	cfg := pixelConfig(t, whole)
	cfg.Threads = 3
	mustRun(t, cfg)
	cfg = pixelConfig(t, broken)
	cfg.Threads = 1
	for stops := 0; ; stops++ {
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		cfg.Log.Event = func(e Event) {
			if e.Kind == "step" {
				if steps++; steps == 4 {
					cancel()
				}
			}
		}
		_, err := Run(ctx, cfg)
		cancel()
		if err == nil {
			if stops < 2 {
				t.Errorf("stopped %d times", stops)
			}
			break
		}
		if !errors.As(err, new(*Interrupted)) {
			t.Fatal(err)
		}
		cfg.Resume, cfg.Recipe, cfg.Model, cfg.Seed = true, nil, "", 0
	}
	sameFiles(t, whole, broken, LastFile, BestFile, RecipeFile)
}

// TestSegmentationBeginsWithAClassifier: the backbone gets the weights of a
// classifier's file, and a trained network gets new last layers for other classes.
func TestSegmentationBeginsWithAClassifier(t *testing.T) {
	dir := t.TempDir()
	m, err := models.New("resnet8-cifar")
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(m, 9); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "classifier.safetensors")
	if err := weights.Save(file, &weights.File{Tensors: nn.Values(m)}, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	begin := func(model string) (map[string]float32, string) {
		t.Helper()
		cfg := pixelConfig(t, "", "lr.peak=1e-30", "optimizer.weight_decay=0", "epochs=1", "augment.random_scale=null")
		cfg.Model = model
		var log strings.Builder
		cfg.Log.W = &log
		s, err := prepare(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		first := map[string]float32{}
		for _, e := range nn.Params(s.module) {
			v, err := s.vars.Get(e.Name)
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Param.Shape) > 0 {
				first[e.Name] = v.Float32s()[0]
			}
		}
		return first, log.String()
	}
	for model, prefix := range map[string]string{"fcn_resnet8-cifar": "backbone.", "unet_resnet8-cifar": "encoder."} {
		got, log := begin(model + "@" + file)
		if !strings.Contains(log, "backbone") {
			t.Errorf("%s: the log does not tell of the backbone:\n%s", model, log)
		}
		fresh, _ := begin(model)
		for _, e := range nn.Params(m) {
			if strings.HasPrefix(e.Name, "fc.") || len(e.Param.Shape) == 0 {
				continue
			}
			if want := e.Param.Value.Float32s()[0]; got[prefix+e.Name] != want {
				t.Errorf("%s: %s begins with %g, want %g", model, e.Name, got[prefix+e.Name], want)
			}
		}
		for name, v := range fresh {
			if !strings.HasPrefix(name, prefix) && got[name] != v {
				t.Errorf("%s: %s is not fresh", model, name)
			}
		}
	}

	// A segmentation network with other classes keeps all but its last layers.
	trained, err := models.New("fcn_resnet8-cifar", models.Classes(7))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(trained, 11); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "fcn.safetensors")
	if err := weights.Save(other, &weights.File{Tensors: nn.Values(trained)}, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	got, log := begin("fcn_resnet8-cifar@" + other)
	if !strings.Contains(log, "new last layer (classifier.4, aux_classifier.4) for 3 classes") {
		t.Errorf("log\n%s", log)
	}
	for _, e := range nn.Params(trained) {
		if len(e.Param.Shape) == 0 || strings.Contains(e.Name, "classifier.4.") {
			continue
		}
		if want := e.Param.Value.Float32s()[0]; got[e.Name] != want {
			t.Errorf("%s begins with %g, want %g", e.Name, got[e.Name], want)
		}
	}
}

// TestSegmentationMistakes: networks and data that do not go together.
func TestSegmentationMistakes(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"need a segmentation network": func(c *Config) { c.Model = "resnet8-cifar" },
		"learns from masks":           func(c *Config) { c.Splits, c.Recipe.Augment.RandomScale, c.Recipe.Loss.Dice = toySplits(t), nil, 0 },
		"pad_crop":                    func(c *Config) { c.Recipe.Augment.PadCrop = 2 },
		"bce":                         func(c *Config) { c.Recipe.Loss.Kind = "bce" },
		"balanced":                    func(c *Config) { c.Recipe.Loss.ClassWeights.Balanced = true },
		"batch of one picture":        func(c *Config) { c.Model, c.Recipe.BatchSize = "deeplabv3_resnet8-cifar", 1 },
	} {
		cfg := pixelConfig(t, "")
		change(&cfg)
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// TestAuxRate: the parameters of the auxiliary classifier learn at their own rate.
func TestAuxRate(t *testing.T) {
	m, err := models.New("fcn_resnet8-cifar", models.Classes(3))
	if err != nil {
		t.Fatal(err)
	}
	changes := map[float64]float64{}
	for _, rate := range []float64{1, 10} {
		if err := nn.Init(m, 1); err != nil {
			t.Fatal(err)
		}
		for _, mod := range nn.Modules(m) {
			if d, ok := mod.(*nn.Dropout); ok {
				d.P = 0
			}
		}
		s, err := NewStep(m, StepOptions{Input: []int{2, 3, 16, 16}, Loss: CrossEntropy{}, Optimizer: SGD{}, AuxLR: rate})
		if err != nil {
			t.Fatal(err)
		}
		b := &data.Batch{N: 2, Real: 2, H: 16, W: 16, C: 3, X: make([]float32, 2*16*16*3), Labels: make([]int64, 2*16*16)}
		for i := range b.X {
			b.X[i] = float32(i%7) / 7
		}
		for i := range b.Labels {
			b.Labels[i] = int64(i % 3)
		}
		before, err := s.Vars().Get("aux_classifier.4.bias")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Run(StepInput{Batch: b, LR: 0.01}); err != nil {
			t.Fatal(err)
		}
		after, err := s.Vars().Get("aux_classifier.4.bias")
		if err != nil {
			t.Fatal(err)
		}
		changes[rate] = float64(after.Float32s()[0] - before.Float32s()[0])
	}
	if ratio := changes[10] / changes[1]; changes[1] == 0 || ratio < 9.9 || ratio > 10.1 {
		t.Errorf("changes %v", changes)
	}
}
