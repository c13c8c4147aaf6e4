package cli

import (
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/scenes"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/weights"
)

// pixelModel writes a segmentation network of 3 classes with fresh weights.
func pixelModel(t *testing.T) string {
	t.Helper()
	net, err := models.New("unet_resnet8-cifar", models.Classes(3), models.InputSize(32))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	f := &weights.File{Tensors: nn.Values(net)}
	f.Architecture, f.Classes = jsonOf(t, net.Config), []string{"background", "Bag", "Trouser"}
	f.Preprocess = jsonOf(t, map[string]any{"channels": 3, "width": 32, "height": 32, "interpolation": "bilinear", "mean": []float32{.5, .5, .5}, "std": []float32{.25, .25, .25}})
	path := filepath.Join(t.TempDir(), "pixels.safetensors")
	if err := weights.Save(path, f, weights.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return path
}

// sceneFolder writes pictures and masks of scenes of 48 x 48 pixels.
func sceneFolder(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "scenes")
	clothes, err := scenes.Clothes("Bag", "Trouser")
	if err != nil {
		t.Fatal(err)
	}
	if err := scenes.Write(dir, scenes.Options{Train: n, Val: 1, MinSide: 48, MaxSide: 48, MaxObjects: 1, Objects: clothes}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSegment(t *testing.T) {
	model, dir, out := pixelModel(t), t.TempDir(), filepath.Join(t.TempDir(), "new", "out")
	for i, name := range []string{"x.png", "sub/x.png", "bad.png"} {
		writePicture(t, filepath.Join(dir, name), i)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.png"), []byte("\x89PNG"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, text, errs := cli(t, "segment", "-m", model, "-o", out, "--json", dir)
	if code != exitFailed || !strings.Contains(errs, "bad.png") || !strings.Contains(errs, "1 of 3 pictures") {
		t.Errorf("code %d: %s", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 3 {
		t.Fatalf("output\n%s", text)
	}
	overlays := map[string]bool{}
	for _, l := range lines {
		var line segmentLine
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			t.Fatal(err)
		}
		if line.Error != "" {
			continue
		}
		overlays[line.Overlay] = true
		pixels := 0
		for _, a := range line.Areas {
			pixels += a.Pixels
		}
		if pixels != line.Width*line.Height || pixels == 0 {
			t.Errorf("areas of %d pixels in %s", pixels, l)
		}
		m, ok := readPNG(t, line.Mask).(*image.Paletted)
		if !ok || m.Rect.Dx() != line.Width || m.Palette[1] != (color.RGBA{128, 0, 0, 255}) || slices.Max(m.Pix) > 2 {
			t.Errorf("the mask %s is no picture of classes in Pascal VOC's palette", line.Mask)
		}
		if readPNG(t, line.Overlay).Bounds() != m.Rect {
			t.Errorf("%s has another size", line.Overlay)
		}
	}
	if len(overlays) != 2 || !overlays[filepath.Join(out, "x-2-overlay.png")] {
		t.Errorf("files %v", overlays)
	}

	one, overlay, mask := filepath.Join(dir, "x.png"), filepath.Join(dir, "o.png"), filepath.Join(dir, "m.png")
	text = done(t, "segment", "-m", model, one, "-o", overlay, "--mask", mask)
	if !strings.Contains(text, "share") || readPNG(t, overlay).Bounds() != readPNG(t, mask).Bounds() {
		t.Errorf("output\n%s", text)
	}
	for want, args := range map[string][]string{
		"name a folder":          {"segment", "-m", model, "-o", overlay, one, one},
		"--opacity":              {"segment", "-m", model, "--opacity", "2", one},
		"does not end in .png":   {"segment", "-m", model, "--mask", "x.jpg", one},
		"a segmentation network": {"segment", one},
		"is for classifiers":     {"eval", "-m", model, "--data", "masks:" + sceneFolder(t, 2), "--tta"},
		"is a model for":         {"predict", "-m", model, one},
		"measured on pictures":   {"eval", "-m", model},
		"is missing":             {"segment", "-m", model},
		`did you mean "masks"`:   {"data", "check", "mask:x"},
		"leave it out with -o ":  {"segment", "-m", model, "-o", out, "--mask", mask, one},
	} {
		code, _, errs := cli(t, args...)
		if code == exitDone || !strings.Contains(errs, want) {
			t.Errorf("%v: code %d, %s; want it to say %q", args, code, errs, want)
		}
	}
}

func readPNG(t *testing.T, path string) image.Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMasksFromStartToEnd: data check, train, eval and segment on a folder of
// pictures and masks.
func TestMasksFromStartToEnd(t *testing.T) {
	dir, out := sceneFolder(t, 12), filepath.Join(t.TempDir(), "run")
	spec := "masks:" + dir
	text := done(t, "data", "check", spec)
	for _, want := range []string{"Trouser", "pixels", "background"} {
		if !strings.Contains(text, want) {
			t.Errorf("data check lacks %q:\n%s", want, text)
		}
	}
	text = done(t, "train", "--data", spec, "--model", "fcn_resnet8-cifar", "--out", out, "--recipe", "segment", "--set", "epochs=1", "--set", "batch_size=4",
		"--set", "preprocess={channels: 3, width: 32, height: 32, interpolation: bilinear, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}")
	if !strings.Contains(text, "mIoU") || !strings.Contains(text, "resnet segment --model") {
		t.Errorf("train prints\n%s", text)
	}
	best := filepath.Join(out, "best.safetensors")
	text = done(t, "eval", "-m", best, "--data", spec, "--out", filepath.Join(out, "report"))
	if !strings.Contains(text, "mIoU") || !strings.Contains(text, "pixel accuracy") {
		t.Errorf("eval prints\n%s", text)
	}
	var e evaluation
	if err := json.Unmarshal([]byte(done(t, "eval", "-m", best, "--data", spec, "--json")), &e); err != nil || e.Masks == nil || len(e.Masks.PerClass) != 3 {
		t.Errorf("eval --json: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(out, "report", "classes.csv")); err != nil || strings.Count(string(b), "\n") != 4 {
		t.Errorf("classes.csv: %v\n%s", err, b)
	}
	if text := done(t, "segment", "-m", best, filepath.Join(dir, "JPEGImages", "000001.png")); !strings.Contains(text, "48×48") {
		t.Errorf("segment prints\n%s", text)
	}
	onnx := filepath.Join(out, "m.onnx")
	done(t, "convert", best, onnx)
	a, b := filepath.Join(out, "a.png"), filepath.Join(out, "b.png")
	done(t, "segment", "-m", best, filepath.Join(dir, "JPEGImages", "000001.png"), "--mask", a)
	done(t, "segment", "-m", onnx, filepath.Join(dir, "JPEGImages", "000001.png"), "--mask", b)
	if !slices.Equal(readPNG(t, a).(*image.Paletted).Pix, readPNG(t, b).(*image.Paletted).Pix) {
		t.Error("the ONNX file has another mask")
	}
}
