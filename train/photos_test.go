package train

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/modelfile"
)

// What is chosen is a valid recipe that trains for a sensible number of steps, for any
// number of pictures, classes and sizes, and for any start.
func TestChoicesAreSensible(t *testing.T) {
	own, err := LoadRecipe(photosRecipe)
	if err != nil {
		t.Fatal(err)
	}
	for n := 2; n < 200_000; n = n*3/2 + 1 {
		for _, side := range []int{28, 2000} {
			for start := range 6 {
				f := pictureFacts{n: n, classes: 2, side: side, smallest: 1, held: start%2 == 0, glyphs: side == 28 && start > 2, multi: start == 5}
				c := f.choose(own, start < 2, start < 4, false)
				r, err := LoadRecipe(photosRecipe, c.set()...)
				if err != nil {
					t.Fatalf("%+v: %v", f, err)
				}
				left := float64(n)
				if !f.held {
					left *= 1 - r.Validation
				}
				steps := int(left) / r.BatchSize * r.Epochs
				if float64(r.BatchSize) > max(1, left) || steps < min(100, 12*n) || r.Epochs > 150 || r.Epochs < 12 {
					t.Errorf("%+v: %d epochs of batches of %d: %d steps", f, r.Epochs, r.BatchSize, steps)
				}
				if r.LR.Peak < 1e-4 || r.LR.Peak > 0.2 || (r.Finetune != nil) != (start < 4) || r.Augment.HFlip > 0 == f.glyphs {
					t.Errorf("%+v: %+v", f, r)
				}
			}
		}
	}
}

// pictureFolder writes colored pictures of two classes.
func pictureFolder(t *testing.T, perClass, side int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 2 * perClass {
		m := image.NewRGBA(image.Rect(0, 0, side, side))
		for k := range side * side {
			m.Set(k%side, k/side, color.RGBA{uint8(60 + 120*(i%2)), uint8((k*7 + i*13) % 90), uint8(180 - 120*(i%2)), 255})
		}
		path := filepath.Join(dir, []string{"red", "blue"}[i%2], fmt.Sprint(i)+".png")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, m); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return "folder:" + dir
}

// With nothing but a folder of pictures, a run starts from the model inside the
// program and ends with a classifier.
func TestFolderIsEnough(t *testing.T) {
	out := t.TempDir()
	var log strings.Builder
	cfg := Config{Data: pictureFolder(t, 10, 40), Out: out, Set: []string{"epochs=12"}, Log: Log{W: &log}}
	r := mustRun(t, cfg)
	if r.Best.Val.Top1 < 0.75 || r.Epochs != 12 || len(r.Warnings) != 0 && !strings.Contains(r.Warnings[0], "may be chance") {
		t.Errorf("%+v", r.Best)
	}
	for _, want := range []string{"chosen for 20 pictures of 2 classes", "the model inside the program", "held out 4 of 20", "new last layer (fc) for 2 classes"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in\n%s", want, log.String())
		}
	}
	res, err := modelfile.Open(r.BestFile, modelfile.Options{})
	if err != nil || res.Classes != 2 {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestTarsAreFolders: a tar of class folders gets the model and the recipe of the folder.
func TestTarsAreFolders(t *testing.T) {
	spec := pictureFolder(t, 10, 50)
	_, dir, _ := cut(spec)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close()); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(t.TempDir(), "photos.tar")
	if err := os.WriteFile(packed, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, model := range []string{"", "resnet8-cifar"} {
		folder, err := Choose(Config{Data: spec, Model: model})
		if err != nil {
			t.Fatal(err)
		}
		archive, err := Choose(Config{Data: "tar:" + packed, Model: model})
		if err != nil {
			t.Fatal(err)
		}
		if archive.Model != folder.Model || !reflect.DeepEqual(archive.Recipe, folder.Recipe) || !slices.Equal(archive.chosen, folder.chosen) {
			t.Errorf("the tar gets %s, %+v: %q; the folder %s, %+v: %q", archive.Model, archive.Recipe, archive.chosen, folder.Model, folder.Recipe, folder.chosen)
		}
	}
}

func TestChooseKeepsWhatIsSet(t *testing.T) {
	spec := pictureFolder(t, 12, 64)
	cfg, err := Choose(Config{Data: spec, Set: []string{"batch_size=4", "lr.peak=0.3", "size=48", "loss.name=bce"}})
	if err != nil {
		t.Fatal(err)
	}
	if r := cfg.Recipe; r.BatchSize != 4 || r.LR.Peak != 0.3 || r.Size != 48 || r.Loss.LabelSmoothing != 0 {
		t.Errorf("%+v", r)
	}
	if cfg, err = Choose(Config{Data: spec, Model: "resnet8-cifar", Optimizer: "adamw"}); err != nil {
		t.Fatal(err)
	}
	if r := cfg.Recipe; r.Finetune != nil || r.Optimizer.Kind != "adamw" || r.Optimizer.Nesterov || r.LR.Peak > 2e-3 || r.Size != 64 {
		t.Errorf("from scratch with AdamW: %+v", r)
	}
	if _, err := Choose(Config{Data: spec, Set: []string{"lr.peek=1"}}); err == nil || !strings.Contains(err.Error(), `did you mean "peak"`) {
		t.Errorf("a mistyped key: %v", err)
	}
	if _, err := Choose(Config{Data: "folder:" + filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a folder that is not there was accepted")
	}
}
