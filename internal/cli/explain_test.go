package cli

import (
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/explain"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

// pngSize reads a PNG picture as a whole and returns its size.
func pngSize(t *testing.T, path string) (w, h int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m.Bounds().Dx(), m.Bounds().Dy()
}

// TestExplain: every method makes a sheet, and the numbers as .npy and .csv are
// one and the same.
func TestExplain(t *testing.T) {
	model, dir := fashionModel(t, nil), t.TempDir()
	for i, name := range []string{"a.png", "b.png"} {
		writePicture(t, filepath.Join(dir, "in", name), i)
	}
	for _, method := range explain.Methods() {
		out, npy, table := filepath.Join(dir, "s.png"), filepath.Join(dir, "m.npy"), filepath.Join(dir, "m.csv")
		args := []string{"explain", "-m", model, filepath.Join(dir, "in"), "--method", string(method), "--top", "2", "--json", "-o", out, "--raw"}
		if method == explain.Occlusion {
			args = append(args[:len(args)-1], "--patch", "8", "--stride", "6", "--raw")
		}
		text := done(t, append(args, npy)...)
		done(t, append(args, table)...)
		lines := strings.Split(strings.TrimSpace(text), "\n")
		var line explainLine
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil || len(lines) != 2 || len(line.Maps) != 2 {
			t.Fatalf("%s: %v:\n%s", method, err, text)
		}
		first := line.Maps[0]
		if line.Method != string(method) || first.Probability < line.Maps[1].Probability || (first.Layer == "layer3") != method.AtLayer() {
			t.Errorf("%s: %+v", method, line)
		}
		if w, h := pngSize(t, out); w < 6*224 || h < 224 {
			t.Errorf("%s: a sheet of %d x %d", method, w, h)
		}

		b, err := os.ReadFile(npy)
		if err != nil {
			t.Fatal(err)
		}
		head := int(binary.LittleEndian.Uint16(b[8:]))
		want := "'shape': (2, 2, " + strconv.Itoa(first.Height) + ", " + strconv.Itoa(first.Width) + ")"
		if string(b[:8]) != "\x93NUMPY\x01\x00" || (10+head)%64 != 0 || !strings.Contains(string(b[10:10+head]), want) {
			t.Fatalf("%s: the header is %q", method, b[:10+head])
		}
		f, err := os.Open(table)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(f).ReadAll()
		f.Close()
		if err != nil || len(rows)-1 != len(b[10+head:])/4 {
			t.Fatalf("%s: %d rows for %d bytes, %v", method, len(rows), len(b), err)
		}
		for i, row := range rows[1:] {
			v, err := strconv.ParseFloat(row[4], 32)
			if got := math.Float32frombits(binary.LittleEndian.Uint32(b[10+head+4*i:])); err != nil || float32(v) != got {
				t.Fatalf("%s: number %d is %v and %v", method, i, row, got)
			}
		}
	}
}

// TestExplainText: the golden of the plain output, and a bad picture among good
// ones.
func TestExplainText(t *testing.T) {
	model, dir := fashionModel(t, nil), t.TempDir()
	good, bad := filepath.Join(dir, "good.png"), filepath.Join(dir, "bad.png")
	writePicture(t, good, 0)
	if err := os.WriteFile(bad, []byte("no"), 0o644); err != nil {
		t.Fatal(err)
	}
	text := done(t, "explain", "-m", model, good, "--class", "Trouser", "--class", "3", "--layer", "layer1.0.conv2", "-o", filepath.Join(dir, "s.png"))
	matches(t, "explain.txt", strings.ReplaceAll(text, good, "good.png"))
	matches(t, "explain-layers.txt", done(t, "explain", "-m", model, "--list-layers"))

	code, out, errs := cli(t, "explain", "-m", model, bad, good, "-o", filepath.Join(dir, "t.png"))
	if code != exitFailed || !strings.Contains(errs, "bad.png: imaging: not a JPEG") || !strings.Contains(errs, "1 of 2 pictures") || strings.Count(out, "\n") != 1 {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	pngSize(t, filepath.Join(dir, "t.png"))
}

func TestInspect(t *testing.T) {
	model, dir := fashionModel(t, nil), t.TempDir()
	picture, out := filepath.Join(dir, "a.png"), filepath.Join(dir, "s.png")
	writePicture(t, picture, 0)
	text := done(t, "inspect", "-o", out) // the embedded model's first filters, in color
	text += done(t, "inspect", "-m", model, "-o", out)
	text += done(t, "inspect", "-m", model, "--layer", "layer2.0.conv2", "--channels", "9", "-o", out)
	text += done(t, "inspect", "-m", model, picture, "-o", out)
	text += done(t, "inspect", "-m", model, picture, "--layer", "layer3", "--channels", "5", "-o", out)
	text += done(t, "inspect", "-m", model, picture, "--layer", "fc", "-o", out)
	matches(t, "inspect.txt", strings.ReplaceAll(text, picture, "a.png"))
	pngSize(t, out)
	var line inspectLine
	if err := json.Unmarshal([]byte(done(t, "inspect", "-m", model, "--json", "-o", out)), &line); err != nil || line.Layer != "conv1" || line.Drawn != 16 {
		t.Errorf("%+v, %v", line, err)
	}
}

func TestExplainMistakes(t *testing.T) {
	model, dir := fashionModel(t, nil), t.TempDir()
	a := filepath.Join(dir, "a.png")
	writePicture(t, a, 0)
	out := filepath.Join(dir, "s.png")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "a picture is missing", []string{"explain", "-o", out}},
		{exitUsage, "-o FILE.png (or --raw FILE) is missing", []string{"explain", a}},
		{exitUsage, "does not end in .png", []string{"explain", a, "-o", "s.jpg"}},
		{exitUsage, "does not end in .npy or .csv", []string{"explain", a, "--raw", "s.txt"}},
		{exitUsage, `unknown method "gradcm"; did you mean "gradcam"?`, []string{"explain", a, "-o", out, "--method", "gradcm"}},
		{exitUsage, `no layer "layr3"; did you mean "layer3"?`, []string{"explain", a, "-m", model, "-o", out, "--layer", "layr3"}},
		{exitUsage, `no class "Trousers"; did you mean "Trouser"?`, []string{"explain", a, "-m", model, "-o", out, "--class", "Trousers"}},
		{exitUsage, "no class 10; they go from 0 to 9", []string{"explain", a, "-m", model, "-o", out, "--class", "10"}},
		{exitUsage, "--top 0 is below 1", []string{"explain", a, "-o", out, "--top", "0"}},
		{exitUsage, "leave it out with --class", []string{"explain", a, "-o", out, "--top", "2", "--class", "1"}},
		{exitUsage, "are for --method occlusion", []string{"explain", a, "-o", out, "--patch", "3"}},
		{exitUsage, "leave out --layer", []string{"explain", a, "-o", out, "--method", "occlusion", "--layer", "layer1"}},
		{exitUsage, "unexpected argument", []string{"explain", a, "--list-layers"}},
		{exitFailed, "a patch of 99 pixels", []string{"explain", a, "-m", model, "-o", out, "--method", "occlusion", "--patch", "99"}},
		{exitFailed, "which has no height and width", []string{"explain", a, "-m", model, "-o", out, "--layer", "avgpool"}},
		{exitUsage, "-o FILE.png is missing", []string{"inspect"}},
		{exitUsage, "does not end in .png", []string{"inspect", "-o", "x.gif"}},
		{exitUsage, "--channels 0 is below 1", []string{"inspect", "-o", out, "--channels", "0"}},
		{exitUsage, "no convolution \"layer1\"", []string{"inspect", "-m", model, "-o", out, "--layer", "layer1"}},
		{exitUsage, `unexpected argument`, []string{"inspect", a, a, "-o", out}},
		{exitFailed, "no such file", []string{"inspect", "none.png", "-o", out}},
	} {
		code, _, errs := cli(t, c.args...)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: code %d, %s; want %d, %q", c.args, code, errs, c.code, c.want)
		}
	}
}

// TestLookInsideAForeignGraph: a graph from another tool, with its softmax and
// folded norms, is explained and drawn as our own network is.
func TestLookInsideAForeignGraph(t *testing.T) {
	dir, photo := t.TempDir(), samplePhoto(t)
	net, err := models.New("resnet8-cifar", models.Classes(10))
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 3); err != nil {
		t.Fatal(err)
	}
	path, out := filepath.Join(dir, "folded.onnx"), filepath.Join(dir, "s.png")
	if err := onnx.Save(path, nn.Sequential{net, nn.NewSoftmax()}, onnx.SaveOptions{Input: net.Input()}); err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(dir, "ours.safetensors")
	done(t, "convert", foreign(t), ours, "--model", "resnet8-cifar", "--preprocess", "cifar10")
	maps := func(args ...string) explainMap {
		var line explainLine
		args = append([]string{"explain", photo, "--json", "--class", "3", "-o", out, "-m"}, args...)
		if err := json.Unmarshal([]byte(done(t, args...)), &line); err != nil {
			t.Fatal(err)
		}
		return line.Maps[0]
	}
	for _, method := range explain.Methods() {
		got := maps(path, "--preprocess", "cifar10", "--method", string(method))
		want := maps(ours, "--method", string(method))
		if got.Width != want.Width || math.Abs(got.Probability-want.Probability) > 1e-5 || math.Abs(got.Top-want.Top) > 1e-3*want.Top {
			t.Errorf("%s: %+v, want %+v", method, got, want)
		}
	}
	if text := done(t, "inspect", "-m", path, "--preprocess", "cifar10", "-o", out); !strings.Contains(text, "filters 16×3×3×3") {
		t.Error(text)
	}
	for _, end := range []string{"svg", "html"} {
		drawn := filepath.Join(dir, "net."+end)
		done(t, "summary", path, "--graph", drawn)
		b, err := os.ReadFile(drawn)
		if err != nil || !strings.Contains(string(b), "marker-end=\"url(#skip)\"") {
			t.Errorf("%s: no shortcut is drawn, %v", end, err)
		}
	}
	if code, _, errs := cli(t, "summary", "resnet18", "--graph", "x.pdf"); code != exitUsage || !strings.Contains(errs, "does not end in .svg or .html") {
		t.Errorf("code %d: %s", code, errs)
	}
}
