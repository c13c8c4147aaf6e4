package cli

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestPredict(t *testing.T) {
	model := fashionModel(t, nil)
	dir := t.TempDir()
	for i, name := range []string{"a.png", "sub/b.PNG", "c.png"} {
		writePicture(t, filepath.Join(dir, name), i)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := filepath.Join(dir, "a.png")
	matches(t, "predict.txt", done(t, "predict", "-m", model, "-k", "3", a))

	out := done(t, "predict", "-m", model, "--topk", "2", dir)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[2], filepath.Join(dir, "sub", "b.PNG")) || strings.Count(lines[0], "%") != 2 {
		t.Errorf("a folder gives\n%s", out)
	}

	file, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs := cliWith(t, string(file), "predict", "-m", model, "--json", "-")
	var line predictionLine
	if err := json.Unmarshal([]byte(out), &line); err != nil || code != exitDone {
		t.Fatalf("code %d, %v: %s%s", code, err, out, errs)
	}
	if line.Image != "stdin" || len(line.Predictions) != 5 {
		t.Errorf("stdin gives %+v", line)
	}
}

func TestPredictGoesOnAfterABadPicture(t *testing.T) {
	model := fashionModel(t, nil)
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.png"), filepath.Join(dir, "bad.png")
	writePicture(t, good, 1)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := cli(t, "predict", "-m", model, "--json", bad, good)
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"error":`) || !strings.Contains(lines[1], `"predictions":`) {
		t.Errorf("output\n%s", out)
	}
	if !strings.Contains(errs, bad) || !strings.Contains(errs, "1 of 2 pictures could not be read") {
		t.Errorf("errors\n%s", errs)
	}
}

func TestEmbed(t *testing.T) {
	model := fashionModel(t, nil)
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.png"), filepath.Join(dir, "b.png")
	writePicture(t, a, 1)
	writePicture(t, b, 2)
	rows, err := csv.NewReader(strings.NewReader(done(t, "embed", "-m", model, a, b))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || rows[1][0] != b || len(rows[0]) != 1+64 {
		t.Fatalf("%d rows, first of %d", len(rows), len(rows[0]))
	}
	var line embeddingLine
	if err := json.Unmarshal([]byte(done(t, "embed", "-m", model, "--json", a)), &line); err != nil {
		t.Fatal(err)
	}
	for i, v := range line.Embedding {
		if want, err := strconv.ParseFloat(rows[0][1+i], 64); err != nil || math.Abs(want-float64(v)) > 1e-5 {
			t.Errorf("number %d is %v as JSON, %v as CSV", i, v, want)
		}
	}
}
