package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/internal/scenes"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

const objectRecipe = `
name: objects
model: resnet8-cifar
epochs: 2
batch_size: 2
size: 48
optimizer: {name: sgd, momentum: 0.9, weight_decay: 1e-4}
lr: {schedule: cosine, peak: 0.02, warmup: 0.5}
loss: {}
preprocess: imagenet
augment: {hflip: 0.5}
detect: {channels: 16, box_features: 32, proposals: 30, anchors: 32, boxes: 16}
`

// objectScenes writes scenes with bags and trousers, of landscape and portrait form.
func objectScenes(t testing.TB, train, val, most int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "scenes")
	clothes, err := scenes.Clothes("Bag", "Trouser")
	if err != nil {
		t.Fatal(err)
	}
	if err := scenes.Write(dir, scenes.Options{Train: train, Val: val, MinSide: 48, MaxSide: 80, MaxObjects: most, Seed: 2, Objects: clothes}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func objectConfig(t testing.TB, dir, out string, set ...string) Config {
	t.Helper()
	rec, err := ParseRecipe("objects.yaml", []byte(objectRecipe), set...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := detection.Open("coco:"+dir, detection.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	splits := s.Data()
	splits.Spec = "coco:scenes" // the folder is another for each run
	return Config{Splits: splits, Recipe: rec, Out: out, Seed: 5}
}

// TestDetectorTrains: each kind of detector trains, leaves its figures, and a file that
// opens.
func TestDetectorTrains(t *testing.T) {
	dir := objectScenes(t, 8, 3, 2)
	for _, kind := range []string{"retinanet", "fasterrcnn", "maskrcnn"} {
		t.Run(kind, func(t *testing.T) {
			out := t.TempDir()
			cfg := objectConfig(t, dir, out, "detect.kind="+kind, "checkpoint.every_epochs=1")
			var steps []StepRecord
			cfg.Log.Event = func(e Event) {
				if e.Step != nil {
					steps = append(steps, *e.Step)
				}
			}
			r := mustRun(t, cfg)
			v := r.Best.Val.Detection
			parts := map[string]int{"retinanet": 2, "fasterrcnn": 4, "maskrcnn": 5}[kind]
			if len(v.Boxes) != 12 || (v.Masks != nil) != (kind == "maskrcnn" && r.Best.Val.MAP > 0 || v.Masks != nil) || v.Objects < 3 || len(r.Last.Train.Detection.Parts) != parts {
				t.Errorf("validation %+v, training %+v", v, r.Last.Train.Detection)
			}
			for _, s := range steps {
				sum := 0.0
				for _, p := range s.Parts {
					sum += p.Value
				}
				if len(s.Parts) != parts || math.Abs(sum-s.Loss) > 1e-4*s.Loss {
					t.Errorf("step %d: the loss is %v, its parts %v", s.Step, s.Loss, s.Parts)
				}
			}
			for _, name := range []string{LastFile, BestFile, EpochFile(2), ResultsFile, CurvesPNG} {
				if _, err := os.Stat(filepath.Join(out, name)); err != nil {
					t.Error(err)
				}
			}
			csv, err := os.ReadFile(filepath.Join(out, ResultsFile))
			if err != nil || !strings.Contains(string(csv), "val_box_ap50") || strings.Count(string(csv), "\n") != 3 {
				t.Errorf("%v\n%s", err, csv)
			}
			m, err := resnet.Open(filepath.Join(out, BestFile), resnet.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if m.Task() != models.Detection || m.Classes()[0] != background || m.Classes()[2] != "Trouser" {
				t.Errorf("the model is for %s of %q", m.Task(), m.Classes())
			}
			e, err := m.EvaluateObjects(t.Context(), objectsOf(cfg.Splits.Val), resnet.EvaluateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if stats := e.Boxes.Stats(); stats != [12]float64(v.Boxes) {
				t.Errorf("the file is measured as %v, training measured %v", stats, v.Boxes)
			}
		})
	}
}

// TestDetectorRepeats: a run has the same bits at any number of threads, and after an
// interruption in mid-epoch, with inputs of two shapes, accumulated gradients and
// moving averages.
func TestDetectorRepeats(t *testing.T) {
	dir := objectScenes(t, 10, 2, 2)
	set := []string{"detect.kind=maskrcnn", "accumulate=2", "ema={decay: 0.5}", "epochs=2", "eval_every=2"}
	whole, stopped := t.TempDir(), t.TempDir()
	cfg := objectConfig(t, dir, whole, set...)
	cfg.Threads = 1
	mustRun(t, cfg)

	ctx, cancel := context.WithCancel(t.Context())
	cfg = objectConfig(t, dir, stopped, set...)
	cfg.Threads = 3
	cfg.Log.Event = func(e Event) {
		if e.Step != nil && e.Step.Step == 2 {
			cancel()
		}
	}
	_, err := Run(ctx, cfg)
	if i := (*Interrupted)(nil); !errors.As(err, &i) || i.Epoch != 1 {
		t.Fatalf("the run ended with %v", err)
	}
	again := Config{Splits: cfg.Splits, Out: stopped, Resume: true, Threads: 2}
	mustRun(t, again)
	sameFiles(t, whole, stopped, LastFile, BestFile, RecipeFile)
}

// TestDetectorFromClassifier: the file of a classifier becomes the backbone, whose
// first stages and norms stay as they are; the file of a detector of other classes gets
// a new head and keeps the rest. A resumed run freezes the same.
func TestDetectorFromClassifier(t *testing.T) {
	dir := objectScenes(t, 4, 2, 1)
	classifier := filepath.Join(t.TempDir(), "classifier.safetensors")
	mustRun(t, toyConfig(t, filepath.Dir(classifier), "epochs=1"))
	if err := os.Rename(filepath.Join(filepath.Dir(classifier), BestFile), classifier); err != nil {
		t.Fatal(err)
	}
	cfg := objectConfig(t, dir, t.TempDir())
	cfg.Model = classifier
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "takes 1 channels") {
		t.Errorf("a classifier of gray pictures: %v", err)
	}

	out := t.TempDir()
	cfg = objectConfig(t, dir, out, "epochs=1", "detect.trainable_layers=2")
	cfg.Model = "embedded:cifar10.safetensors"
	var notes strings.Builder
	cfg.Log.Event = func(e Event) { notes.WriteString(e.Note + "\n") }
	mustRun(t, cfg)
	for _, want := range []string{"becomes the backbone of a detector, fasterrcnn_resnet11-speedrun_fpn", "frozen: backbone.body.bn1, backbone.body.conv1, backbone.body.layer1"} {
		if !strings.Contains(notes.String(), want) {
			t.Errorf("no %q in the notes\n%s", want, notes.String())
		}
	}
	before, err := resnet.Open("", resnet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := weights.Load(filepath.Join(out, LastFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range nn.Params(before.Network()) {
		got := f.Tensors[bodyPath+"."+e.Name]
		if inModule(e.Name, "fc") || weights.IsCounter(e.Name) {
			continue
		}
		frozen := strings.Contains(e.Name, "bn") || strings.Contains(e.Name, "downsample.1") || !strings.HasPrefix(e.Name, "layer2") && !strings.HasPrefix(e.Name, "layer3")
		if same := sameValues(got, e.Param.Value); same != frozen {
			t.Errorf("%s is unchanged: %v, want %v", e.Name, same, frozen)
		}
	}

	// Another set of classes.
	other := filepath.Join(t.TempDir(), "scenes")
	clothes, err := scenes.Clothes("Bag", "Coat", "Sandal")
	if err != nil {
		t.Fatal(err)
	}
	if err := scenes.Write(other, scenes.Options{Train: 4, Val: 2, MinSide: 48, MaxSide: 64, MaxObjects: 1, Objects: clothes}); err != nil {
		t.Fatal(err)
	}
	notes.Reset()
	cfg = objectConfig(t, other, t.TempDir(), "epochs=1", "lr.peak=1e-30")
	cfg.Model = filepath.Join(out, BestFile)
	cfg.Log.Event = func(e Event) { notes.WriteString(e.Note + "\n") }
	mustRun(t, cfg)
	if !strings.Contains(notes.String(), "new last layer (roi_heads.box_predictor.cls_score) for 3 classes") {
		t.Errorf("no word on the new layer in\n%s", notes.String())
	}
	g, err := weights.Load(filepath.Join(cfg.Out, LastFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"roi_heads.box_head.fc6.weight", "rpn.head.cls_logits.weight", "backbone.fpn.inner_blocks.0.0.weight"} {
		if !sameValues(f.Tensors[name], g.Tensors[name]) {
			t.Errorf("%s is not that of the file", name)
		}
	}
	if s := g.Tensors["roi_heads.box_predictor.bbox_pred.weight"].Shape(); s[0] != 16 {
		t.Errorf("the boxes of 4 classes have %v", s)
	}
}

// TestDetectorRefuses: what a detector cannot be trained on is an error that tells
// what to do.
func TestDetectorRefuses(t *testing.T) {
	dir := objectScenes(t, 2, 1, 1)
	for _, c := range []struct {
		want   string
		set    []string
		change func(*Config)
	}{
		{"has no boxes", nil, func(c *Config) { c.Splits = toySplits(t) }},
		{"is a segmentation network", nil, func(c *Config) { c.Model = "unet_resnet18" }},
		{"is only a name", []string{"finetune={freeze: [backbone]}"}, nil},
		{"not all objects", []string{"detect.kind=maskrcnn"}, func(c *Config) {
			ds := *objectsOf(c.Splits.Train)
			ds.Pictures = append([]detection.Picture{}, ds.Pictures...)
			o := ds.Pictures[0].Objects[0]
			ds.Pictures[0].Objects = []detection.Object{{ID: o.ID, Class: o.Class, Box: o.Box}}
			c.Splits.Train = &ds
		}},
		{"2 pictures, whose boxes", nil, func(c *Config) {
			ds := *objectsOf(c.Splits.Train)
			ds.Pictures = append([]detection.Picture{}, ds.Pictures...)
			for i := range ds.Pictures {
				o := ds.Pictures[i].Objects[0]
				o.Box[2] = 0
				ds.Pictures[i].Objects = []detection.Object{o}
			}
			c.Splits.Train = &ds
		}},
		{"the last good state", []string{"lr.peak=1e7", "lr.warmup=0", "epochs=9", "eval_every=9"}, nil},
	} {
		cfg := objectConfig(t, dir, t.TempDir(), c.set...)
		if c.change != nil {
			c.change(&cfg)
		}
		_, err := Run(t.Context(), cfg)
		if diverged := (*Diverged)(nil); c.want == "the last good state" && errors.As(err, &diverged) {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.set, err, c.want)
		}
	}
	for _, set := range []string{"detect.kind=yolo", "detect.min_size=-1", "detect.boxes=2", "detect.trainable_layers=9", "augment.mixup=0.2", "train_size=32",
		"loss.name=focal", "lr.schedule=plateau", "detect.mosaic=3", "balanced=true", "detect.proposals=-4", "detect.channels=-4", "detect.box_features=-4"} {
		if _, err := ParseRecipe("objects.yaml", []byte(objectRecipe), set); err == nil {
			t.Errorf("%s is no error", set)
		} else if key, _, _ := strings.Cut(set, "="); !strings.Contains(err.Error(), strings.Split(key, ".")[0]) {
			t.Errorf("%s: %v", set, err)
		}
	}
}

// TestChooseBetweenMasksAndBoxes: without a model, masks are for a segmentation
// network, boxes alone for a detector, and both are said; a model decides.
func TestChooseBetweenMasksAndBoxes(t *testing.T) {
	dir := objectScenes(t, 2, 1, 1)
	boxes := filepath.Join(t.TempDir(), "boxes")
	if err := os.MkdirAll(boxes, 0o755); err != nil {
		t.Fatal(err)
	}
	json := `{"images":[{"id":1,"file_name":"a.png","width":9,"height":9}],"categories":[{"id":1,"name":"x"}],"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,1,5,5]}]}`
	if err := os.WriteFile(filepath.Join(boxes, "a.json"), []byte(json), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(boxes, "a.png"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ spec, model, recipe, note string }{
		{"coco:" + dir, "", "segment", "for boxes: --recipe detect"},
		{"voc:" + dir, "", "segment", "for boxes: --recipe detect"},
		{"coco:" + boxes, "", "detect", "finds boxes"},
		{"coco:" + dir, "fasterrcnn_resnet18_fpn", "detect", ""},
		{"coco:" + dir, "resnet18", "detect", ""},
		{"coco:" + dir, "unet_resnet18", "segment", ""},
		{"coco:nowhere", "", "segment", ""},
	} {
		cfg, err := Choose(Config{Data: c.spec, Model: c.model})
		if err != nil || cfg.Recipe.Name != c.recipe || (len(cfg.chosen) > 0) != (c.note != "") || c.note != "" && !strings.Contains(cfg.chosen[0], c.note) {
			t.Errorf("%s with %q: recipe %v, %v, %q", c.spec, c.model, cfg.Recipe.Name, err, cfg.chosen)
		}
	}
}

// TestBoxesAreForDetectors: classifiers, segmentation networks and training without
// labels refuse boxes with what to do instead.
func TestBoxesAreForDetectors(t *testing.T) {
	dir := t.TempDir()
	json := `{"images":[{"id":1,"file_name":"a.png","width":9,"height":9}],"categories":[{"id":1,"name":"x"}],"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[1,1,5,5]}]}`
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(json), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.png"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ spec, recipe, model, want string }{
		{"coco:" + dir, "cifar-fast", "resnet8-cifar", "--recipe detect"},
		{"coco:" + dir, "segment", "unet_resnet18", "--recipe detect"},
		{"coco:" + dir, "simsiam", "", "as folder:DIR"},
		{"masks:" + dir, "simsiam", "", "as folder:DIR"},
		{pictureFolder(t, 8, 32), "simsiam", "fasterrcnn_resnet18_fpn", "begins with a classifier"},
		{pictureFolder(t, 8, 32), "simsiam", "unet_resnet18", "begins with a classifier"},
	} {
		rec, err := LoadRecipe(c.recipe)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), Config{Data: c.spec, Model: c.model, Recipe: rec, Out: t.TempDir()}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: %v, want %q", c.spec, c.recipe, err, c.want)
		}
	}
}

var _ data.Dataset = objectSet{}

// TestDetectorDivides: other data to evaluate on may have some of the classes, in
// another order, and cross-validation divides pictures with their boxes.
func TestDetectorDivides(t *testing.T) {
	dir := objectScenes(t, 6, 2, 1)
	other := filepath.Join(t.TempDir(), "scenes")
	clothes, err := scenes.Clothes("Trouser")
	if err != nil {
		t.Fatal(err)
	}
	if err := scenes.Write(other, scenes.Options{Train: 1, Val: 3, MinSide: 48, MaxSide: 64, MaxObjects: 1, Objects: clothes}); err != nil {
		t.Fatal(err)
	}
	cfg := objectConfig(t, dir, t.TempDir(), "epochs=1")
	cfg.Splits, cfg.Data, cfg.ValData = nil, "coco:"+dir, "coco:"+other
	r := mustRun(t, cfg)
	if v := r.Last.Val; v.Samples != 3 || v.Detection.Objects != 3 {
		t.Errorf("evaluated on %+v", v)
	}
	cfg = objectConfig(t, dir, t.TempDir(), "epochs=1")
	f, err := CrossValidate(t.Context(), cfg, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range f.Results {
		if v := r.Last.Val; v.Samples != 3 || v.Detection == nil || v.Detection.Objects < 3 {
			t.Errorf("a fold evaluated on %+v", v)
		}
	}
	if objectsOf(cfg.Splits.Train) == nil {
		t.Error("the caller's data changed")
	}
}

// TestDetectorFit: two Fits of one epoch are one Fit of two, and the model finds
// objects and is saved as one that opens.
func TestDetectorFit(t *testing.T) {
	dir := objectScenes(t, 6, 2, 1)
	s, err := detection.Open("coco:"+dir, detection.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	trainer := func() *Trainer {
		net, err := models.New("resnet8-cifar", models.Detect(models.DetectorFasterRCNN, false), models.Classes(3), func(c *models.Config) {
			h := c.Detection
			h.Channels, h.BoxFeatures, h.Proposals, h.MinSize, h.MaxSize, h.FrozenNorm = 16, 32, 20, 48, 80, false
		})
		if err != nil {
			t.Fatal(err)
		}
		tr, err := Compile(net, nil, SGD{LR: 0.005, Momentum: 0.9})
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	fit := func(tr *Trainer, epochs int) *Result {
		r, err := tr.Fit(t.Context(), s.Train, FitOptions{Epochs: epochs, BatchSize: 2, Val: s.Val, Augment: data.Augment{HFlip: 0.5}, Detect: &DetectRecipe{Boxes: 16}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	whole, parts := trainer(), trainer()
	r := fit(whole, 2)
	fit(parts, 1)
	fit(parts, 1)
	sameState(t, "two Fits", nn.Values(whole.module), nn.Values(parts.module))
	if r.Last.Val.Detection == nil || len(r.Last.Train.Detection.Parts) != 4 {
		t.Errorf("%+v", r.Last)
	}
	m, err := whole.Model(resnet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := m.EvaluateObjects(t.Context(), s.Val, resnet.EvaluateOptions{})
	if err != nil || e.Boxes.Stats() != [12]float64(r.Last.Val.Detection.Boxes) {
		t.Errorf("%v; the model is measured as %v, Fit measured %v", err, e.Boxes.Stats(), r.Last.Val.Detection.Boxes)
	}
	v, err := whole.Evaluate(t.Context(), s.Val)
	if err != nil || v.MAP != r.Last.Val.MAP {
		t.Errorf("%v, %+v", err, v)
	}
	path := filepath.Join(t.TempDir(), "detector.safetensors")
	if err := whole.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := resnet.Open(path, resnet.Options{}); err != nil {
		t.Error(err)
	}
	if _, err := whole.Predict(nil); err == nil {
		t.Error("Predict of a detector is no error")
	}
	if _, err := Compile(whole.module, CrossEntropy{}, SGD{LR: 1}); err == nil {
		t.Error("a detector with another loss is no error")
	}
	if _, err := trainer().Fit(t.Context(), toySplits(t).Train, FitOptions{Epochs: 1}); err == nil || !strings.Contains(err.Error(), "has no boxes") {
		t.Errorf("labels without boxes: %v", err)
	}
}
