package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/train"
	"github.com/resnet-go/resnet/weights"
)

func evaluated(t *testing.T, args ...string) evaluation {
	t.Helper()
	var e evaluation
	if err := json.Unmarshal([]byte(done(t, append([]string{"eval", "--json"}, args...)...)), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// csvRows returns the rows of a CSV file below its header.
func csvRows(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

func TestEvalAndItsFiles(t *testing.T) {
	model, dir := fashionModel(t, nil), filepath.Join(t.TempDir(), "report")
	e := evaluated(t, "-m", model, "--out", dir)
	r := e.Single
	if r.Samples != 1000 || e.Split != "test" || len(e.Worst) != 10 || len(r.Classes) != 10 {
		t.Fatalf("%d samples of %s, %d worst, %d classes", r.Samples, e.Split, len(e.Worst), len(r.Classes))
	}

	right, confusion := 0, metrics.NewConfusion(r.Confusion.Classes)
	place := make(map[string]int)
	for i, c := range r.Confusion.Classes {
		place[c] = i
	}
	for _, row := range csvRows(t, filepath.Join(dir, "predictions.csv")) {
		if row[1] == row[2] {
			right++
		}
		confusion.Add(place[row[1]], place[row[2]])
	}
	if math.Abs(float64(right)/1000-r.Top1) > 1e-9 {
		t.Errorf("%d right in predictions.csv, top-1 %v", right, r.Top1)
	}
	var m metrics.Confusion
	readJSON(t, filepath.Join(dir, "confusion.json"), &m)
	for i := range m.Counts {
		for j, n := range m.Counts[i] {
			if confusion.Counts[i][j] != n || r.Confusion.Counts[i][j] != n {
				t.Errorf("confusion of %d and %d: %d, %d, %d", i, j, n, confusion.Counts[i][j], r.Confusion.Counts[i][j])
			}
		}
	}
	var again evaluation
	readJSON(t, filepath.Join(dir, "report.json"), &again)
	if again.Single.Loss != r.Loss {
		t.Errorf("report.json has loss %v, not %v", again.Single.Loss, r.Loss)
	}
	p, err := os.Open(filepath.Join(dir, "confusion.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := png.Decode(p); err != nil {
		t.Error(err)
	}

	text := done(t, "eval", "-m", model)
	for _, want := range []string{"top-1 ", "calibration  ECE ", "Ankle boot", "mixed up most", "confusion: a row is", "most wrong", "t10k-images-idx3-ubyte.gz#"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text has no %q:\n%s", want, text)
		}
	}
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// A model whose classes are in another order, with the last layer's rows moved
// alike, is as good.
func TestEvalTellsClassesByName(t *testing.T) {
	want := evaluated(t, "-m", fashionModel(t, nil))
	turned := fashionModel(t, func(f *weights.File) {
		f.Classes = append(f.Classes[3:len(f.Classes):len(f.Classes)], f.Classes[:3]...)
		for _, key := range []string{"fc.weight", "fc.bias"} {
			old := f.Tensors[key]
			x, row := tensor.New(old.Shape()...), old.Numel()/10
			copy(x.Float32s(), old.Float32s()[3*row:])
			copy(x.Float32s()[7*row:], old.Float32s()[:3*row])
			f.Tensors[key] = x
		}
	})
	got := evaluated(t, "-m", turned)
	if got.Single.Top1 != want.Single.Top1 || math.Abs(got.Single.Loss-want.Single.Loss) > 1e-6 {
		t.Errorf("top-1 %v, loss %v; want %v, %v", got.Single.Top1, got.Single.Loss, want.Single.Top1, want.Single.Loss)
	}
	if got.Single.Confusion.Classes[0] != "Dress" {
		t.Errorf("classes %v", got.Single.Confusion.Classes)
	}
}

// The mean over a picture and its mirror image does not change when all
// pictures are mirrored.
func TestTTAIsTheMeanOfMirrorImages(t *testing.T) {
	model := fashionModel(t, nil)
	plain, tta := evaluated(t, "-m", model), evaluated(t, "-m", model, "--tta")
	if plain.Single.Loss == tta.Single.Loss || !tta.TTA {
		t.Errorf("loss %v with and %v without mirror images", tta.Single.Loss, plain.Single.Loss)
	}
}

func TestEvalOfSeveralLabels(t *testing.T) {
	dir := t.TempDir()
	text := "file,labels\n"
	for i, labels := range []string{"Bag|Dress", "Coat", "", "Shirt|Bag|Coat"} {
		name := string(rune('a'+i)) + ".png"
		writePicture(t, filepath.Join(dir, name), i)
		text += name + "," + labels + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "labels.csv"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	model := fashionModel(t, func(f *weights.File) { f.MultiLabel = true })
	out := done(t, "eval", "-m", model, "-d", "multilabel:"+dir, "--split", "train", "--threshold", "0.3", "--out", filepath.Join(dir, "out"))
	for _, want := range []string{"mAP ", "exact ", "all decisions", "Bag"} {
		if !strings.Contains(out, want) {
			t.Errorf("the text has no %q:\n%s", want, out)
		}
	}
	var e evaluation
	readJSON(t, filepath.Join(dir, "out", "report.json"), &e)
	if e.Multi == nil || e.Multi.Samples == 0 || e.Multi.Threshold != 0.3 || e.Single != nil {
		t.Errorf("report %+v", e)
	}
}

// Without --seed, eval measures a model on the pictures that its training held out,
// whatever their share and seed.
func TestEvalOfWhatWasHeldOut(t *testing.T) {
	dir := t.TempDir()
	for i := range 40 {
		writePicture(t, filepath.Join(dir, []string{"dark", "noise"}[i%2], fmt.Sprint(i, ".png")), i)
	}
	spec, out := "folder:"+dir, filepath.Join(t.TempDir(), "run")
	done(t, "train", "--model", "resnet8-cifar", "--recipe", "fashion-quick", "--data", spec, "--batch", "8", "--epochs", "2",
		"--seed", "5", "--val-split", "0.3", "--out", out)
	e := evaluated(t, "-m", filepath.Join(out, train.BestFile), "-d", spec, "--out", filepath.Join(out, "report"))
	s, err := data.Open(spec, data.Options{ValFraction: 0.3, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := map[string]bool{}
	for i := range s.Val.Len() {
		want[s.Val.Name(i)] = true
	}
	if e.Split != "val" || e.Single.Samples != len(want) || len(want) != 12 {
		t.Fatalf("%d samples of %s, want %d of val", e.Single.Samples, e.Split, len(want))
	}
	for _, row := range csvRows(t, filepath.Join(out, "report", "predictions.csv")) {
		if !want[row[0]] {
			t.Errorf("%s was not held out", row[0])
		}
	}
	if e := evaluated(t, "-m", filepath.Join(out, train.BestFile), "-d", spec, "--seed", "6"); e.Single.Samples != len(want) {
		t.Errorf("--seed 6: %d samples", e.Single.Samples)
	}
}

// TestEvalUsage: a model and data that do not go together are wrong usage.
func TestEvalUsage(t *testing.T) {
	features := fashionModel(t, func(f *weights.File) {
		var conf models.Config
		if err := json.Unmarshal(f.Architecture, &conf); err != nil {
			t.Fatal(err)
		}
		conf.Classes = 0
		f.Architecture, f.Classes = jsonOf(t, conf), nil
		delete(f.Tensors, "fc.weight")
		delete(f.Tensors, "fc.bias")
	})
	scenes := sceneFolder(t, 2)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"it gives features", []string{"eval", "-m", features, "--data", "folder:photos"}},
		{"is a classifier", []string{"eval", "--data", "coco:" + scenes}},
		{"is a classifier", []string{"eval", "--data", "masks:" + scenes}},
		{"is a detector", []string{"eval", "-m", detectorModel(t), "--data", "folder:photos"}},
		{"is a segmentation network, which is measured", []string{"eval", "-m", pixelModel(t)}},
		{"is a detector, which is measured", []string{"eval", "-m", detectorModel(t)}},
		{"--data is missing, and what", []string{"eval", "-m", filepath.Join("..", "..", "embedded", "cifar10.safetensors")}},
		{"unknown split", []string{"eval", "-m", fashionModel(t, nil), "--split", "tset"}},
		{"are classifiers", []string{"compare", "--data", "coco:" + scenes}},
	} {
		if code, _, errs := cli(t, c.args...); code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit code %d: %s", c.args, code, errs)
		}
	}
}
