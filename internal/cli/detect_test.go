package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// detectorModel writes a small Mask R-CNN with fresh weights.
func detectorModel(t *testing.T) string {
	t.Helper()
	net, err := models.New("maskrcnn_resnet8-cifar_fpn", models.Classes(3), func(c *models.Config) {
		h := c.Detection
		h.Channels, h.MinSize, h.MaxSize, h.Proposals, h.Detections, h.BoxFeatures = 8, 32, 64, 12, 5, 8
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	f := &weights.File{Tensors: nn.Values(net)}
	f.Architecture, f.Classes = jsonOf(t, net.Config), []string{"background", "Bag", "Trouser"}
	path := filepath.Join(t.TempDir(), "detector.safetensors")
	if err := weights.Save(path, f, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDetect: objects as text, JSON, pictures and COCO's results; a picture that
// cannot be read is reported, the others are done.
func TestDetect(t *testing.T) {
	model, dir, out := detectorModel(t), t.TempDir(), filepath.Join(t.TempDir(), "new", "out")
	for i, name := range []string{"x.png", "sub/x.png", "bad.png"} {
		writePicture(t, filepath.Join(dir, name), i)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.png"), []byte("\x89PNG"), 0o644); err != nil {
		t.Fatal(err)
	}
	results := filepath.Join(t.TempDir(), "results.json")
	code, text, errs := cli(t, "detect", "-m", model, "-o", out, "--results", results, "--threshold", "0", "--json", dir)
	if code != exitFailed || !strings.Contains(errs, "bad.png") || !strings.Contains(errs, "1 of 3 pictures") {
		t.Errorf("code %d: %s", code, errs)
	}
	objects, drawn := 0, map[string]bool{}
	for l := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		var line detectLine
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			t.Fatal(err)
		}
		if line.Error != "" {
			continue
		}
		objects += len(line.Objects)
		if b := readPNG(t, line.Drawn).Bounds(); b.Dx() != line.Width || b.Dy() != line.Height {
			t.Errorf("%s is %v", line.Drawn, b)
		}
		drawn[line.Drawn] = true
		for _, o := range line.Objects {
			m, err := masks.Parse(o.Segmentation.Counts, o.Segmentation.Size[0], o.Segmentation.Size[1])
			if err != nil || m.H != line.Height || m.W != line.Width || o.Class == "background" || o.Box[0]+o.Box[2] > float64(line.Width)+0.01 {
				t.Errorf("%+v: %v", o, err)
			}
		}
	}
	if objects == 0 || len(drawn) != 2 {
		t.Fatalf("%d objects, %d pictures:\n%s", objects, len(drawn), text)
	}
	b, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	var all []cocoResult
	if err := json.Unmarshal(b, &all); err != nil || len(all) != objects {
		t.Errorf("%d results of %d objects, %v", len(all), objects, err)
	}

	one := filepath.Join(dir, "x.png")
	png := filepath.Join(t.TempDir(), "one.png")
	if text := done(t, "detect", "-m", model, one, "-o", png, "--threshold", "0"); !strings.Contains(text, "score") {
		t.Errorf("output\n%s", text)
	}
	readPNG(t, png)
	if text := done(t, "detect", "-m", model, one, "--threshold", "1"); !strings.Contains(text, "no object") {
		t.Errorf("output\n%s", text)
	}
	for want, args := range map[string][]string{
		"name a folder":             {"detect", "-m", model, "-o", png, one, one},
		"--threshold":               {"detect", "-m", model, "--threshold", "2", one},
		"does not end in .json":     {"detect", "-m", model, "--results", "x.txt", one},
		"name a detector":           {"detect", one},
		"leave out the preprocess":  {"detect", "-m", model, "--preprocess", "imagenet", one},
		"is a model for detection":  {"predict", "-m", model, one},
		"name a segmentation netwo": {"segment", "-m", model, one},
	} {
		if code, _, errs := cli(t, args...); code == exitDone || !strings.Contains(errs, want) {
			t.Errorf("%q: code %d, %s", args, code, errs)
		}
	}
}

// Pictures are turned upright, unless they are to be left as stored.
func TestDetectTurnsPictures(t *testing.T) {
	size := func(args ...string) (line detectLine) {
		args = append([]string{"detect", "-m", detectorModel(t), "--json", filepath.Join("..", "..", "data", "testdata", "formats", "orientation7.jpg")}, args...)
		if err := json.Unmarshal([]byte(done(t, args...)), &line); err != nil {
			t.Fatal(err)
		}
		return line
	}
	a, b := size(), size("--ignore-orientation")
	if a.Width == a.Height || a.Width != b.Height || a.Height != b.Width {
		t.Errorf("%d×%d, and as stored %d×%d", a.Width, a.Height, b.Width, b.Height)
	}
}

// --results replaces files of results, and nothing else.
func TestResultsReplaceResultsAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.json")
	for content, want := range map[string]bool{
		"": true, "[]": true, " [ ] \n": true,
		`[{"image_id":1,"category_id":2,"bbox":[0,0,1,1],"score":0.5}]`:                                          true,
		`[{"score":0.5,"category_id":2,"image_id":1,"segmentation":{"size":[1,1],"counts":"0"}},{"image_id":1}]`: true,
		`{"images":[],"annotations":[],"categories":[]}`:                                                         false,
		`[{"image_id":1,"category_id":2,"bbox":[0,0,1,1]}]`:                                                      false,
		`["a.jpg"]`: false, `[1, 2]`: false, `[`: false, `[{`: false, "\x89PNG": false, "class names": false, `{"score":1}`: false,
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := checkResults(path); (err == nil) != want {
			t.Errorf("%q: %v", content, err)
		}
	}
	writePicture(t, path+".png", 1)
	if err := os.WriteFile(path, []byte(`{"images":[]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := cli(t, "detect", "-m", detectorModel(t), "--results", path, path+".png")
	b, err := os.ReadFile(path)
	if code != exitUsage || out != "" || !strings.Contains(errs, "name another file") || err != nil || string(b) != `{"images":[]}` {
		t.Errorf("code %d, %s%s; %q, %v", code, out, errs, b, err)
	}
	if err := checkResults(path + ".none"); err != nil {
		t.Error(err)
	}
}

func TestImageIDs(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  []int64
	}{
		{[]string{"a/000000000139.jpg", "7.png"}, []int64{139, 7}},
		{[]string{"a/139.jpg", "b/139.jpg"}, []int64{1, 2}},
		{[]string{"3.jpg", "x.jpg"}, []int64{1, 2}},
		{[]string{"-"}, []int64{1}},
		{[]string{"-4.png"}, []int64{1}},
	} {
		if got := imageIDs(c.names); len(got) != len(c.want) || got[0] != c.want[0] || got[len(got)-1] != c.want[len(c.want)-1] {
			t.Errorf("the ids of %q are %v, want %v", c.names, got, c.want)
		}
	}
}

// TestEvalOfDetectors: COCO's table of boxes and masks, as text, JSON and files; data
// without boxes is an error that names what to give.
func TestEvalOfDetectors(t *testing.T) {
	model, dir, out := detectorModel(t), sceneFolder(t, 2), filepath.Join(t.TempDir(), "report")
	for _, kind := range []string{"coco:", "voc:"} {
		text := done(t, "eval", "-m", model, "-d", kind+dir, "--split", "train", "-o", out)
		for _, want := range []string{"0.50:0.95", "small", "masks", "Bag", "Trouser"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", kind, want, text)
			}
		}
	}
	var e evaluation
	if err := json.Unmarshal([]byte(done(t, "eval", "-m", model, "-d", "coco:"+dir, "--split", "train", "--json")), &e); err != nil {
		t.Fatal(err)
	}
	if r := e.Objects; r == nil || r.Pictures != 2 || r.Objects == 0 || r.Boxes == nil || r.Masks == nil || len(r.Boxes.PerClass) != 2 {
		t.Errorf("the report is %+v", r)
	}
	var all []cocoResult
	b, err := os.ReadFile(filepath.Join(out, "results.json"))
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil || len(all) == 0 || all[0].Segmentation == nil {
		t.Errorf("%d results, %v", len(all), err)
	}
	if text := done(t, "eval", "-m", model, "-d", "coco:"+dir, "--split", "valid"); !strings.Contains(text, "(val)") {
		t.Errorf("--split valid\n%s", text)
	}
	// What it was evaluated on in training, it is evaluated on again.
	for of, trained := range map[string]string{"coco:" + dir: "--val-data coco:" + dir, "fold 2 of 2": "--folds 2"} {
		run := filepath.Join(t.TempDir(), "run")
		done(t, append([]string{"train", "--recipe", "detect", "-m", model, "-d", "voc:" + dir, "--epochs", "1", "--batch", "1", "--size", "64", "-o", run}, strings.Fields(trained)...)...)
		if strings.HasPrefix(of, "fold") {
			run = filepath.Join(run, "fold-2")
		}
		code, text, errs := cli(t, "eval", "-m", filepath.Join(run, "best.safetensors"), "--json")
		var e evaluation
		if err := json.Unmarshal([]byte(text), &e); code != exitDone || err != nil || e.Objects == nil || !strings.Contains(errs, "is that of the training, "+of) {
			t.Errorf("%s: code %d, %v, %s", trained, code, err, errs)
		}
	}
	for want, args := range map[string][]string{
		"pictures with boxes": {"eval", "-m", model, "-d", "folder:" + dir},
		"--tta":               {"eval", "-m", model, "-d", "coco:" + dir, "--tta"},
		"--csv":               {"eval", "-m", model, "-d", "coco:" + dir, "--csv", "x.csv"},
	} {
		if code, _, errs := cli(t, args...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: code %d, %s", args, code, errs)
		}
	}
}
