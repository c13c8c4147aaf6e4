package cli

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/resnet-go/resnet/weights/safetensors"
)

// photoSet has a folder of three pictures, one of them broken, and the same as a zip.
func photoSet(t *testing.T) (dir, zipped string) {
	t.Helper()
	root := t.TempDir()
	dir, zipped = filepath.Join(root, "photos"), filepath.Join(root, "photos.zip")
	writePicture(t, filepath.Join(dir, "a.png"), 1)
	writePicture(t, filepath.Join(dir, "猫", "b.png"), 2)
	if err := os.WriteFile(filepath.Join(dir, "bad.png"), []byte("\x89PNG\r\n\x1a\nxxxx"), 0o644); err != nil {
		t.Fatal(err)
	}
	zipOf(t, dir, zipped)
	return dir, zipped
}

// zipOf packs a folder.
func zipOf(t *testing.T, dir, path string) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if err := z.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func predicted(t *testing.T, out string) (lines []predictionLine) {
	t.Helper()
	for text := range strings.Lines(out) {
		var line predictionLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

// A zip and a list give what their pictures give.
func TestZipsAndLists(t *testing.T) {
	model := fashionModel(t, nil)
	dir, zipped := photoSet(t)
	code, out, _ := cli(t, "predict", "-m", model, "--json", dir)
	want := predicted(t, out)
	if code != exitFailed || len(want) != 3 {
		t.Fatalf("exit code %d, %d lines", code, len(want))
	}
	list := filepath.Join(filepath.Dir(dir), "list.txt")
	text := "\ufeff" + filepath.Join(dir, "a.png") + "\r\n\n" + filepath.Join(dir, "bad.png") + "\n" + filepath.Join(dir, "猫")
	if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	wide := filepath.Join(filepath.Dir(dir), "wide.txt") // as Windows' shells write it
	var utf16Text []byte
	for _, u := range utf16.Encode([]rune(text)) {
		utf16Text = binary.LittleEndian.AppendUint16(utf16Text, u)
	}
	if err := os.WriteFile(wide, utf16Text, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{zipped, "@" + list, "@" + wide} {
		code, out, errs := cli(t, "predict", "-m", model, "--json", arg)
		got := predicted(t, out)
		if code != exitFailed || len(got) != 3 || !strings.Contains(errs, "1 of 3 pictures could not be read") {
			t.Fatalf("%s: exit code %d, %d lines: %s", arg, code, len(got), errs)
		}
		for i := range got {
			if filepath.Base(got[i].Image) != filepath.Base(want[i].Image) || len(got[i].Predictions) != len(want[i].Predictions) || (got[i].Error == "") != (want[i].Error == "") {
				t.Errorf("%s: %+v, want %+v", arg, got[i], want[i])
			}
			for j, p := range got[i].Predictions {
				if p.Index != want[i].Predictions[j].Index || math.Abs(p.Probability-want[i].Predictions[j].Probability) > 1e-5 {
					t.Errorf("%s: %+v, want %+v", arg, p, want[i].Predictions[j])
				}
			}
		}
	}
	if one := done(t, "predict", "-m", model, zipped+"/a.png"); !strings.Contains(one, "%") {
		t.Errorf("a picture in a zip gives %q", one)
	}
	empty := filepath.Join(filepath.Dir(dir), "empty.txt")
	broken := filepath.Join(filepath.Dir(dir), "broken.zip")
	for _, path := range []string{empty, broken} {
		if err := os.WriteFile(path, []byte("\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for arg, want := range map[string]string{
		"@" + dir + "/none.txt":  "none.txt",
		"@" + empty:              "names no pictures",
		broken:                   "broken.zip: the zip is damaged or cut off",
		zipped + "/nothing.png":  "nothing.png",
		"@" + dir:                "the list @",
		broken + "/picture.jpeg": "picture.jpeg",
	} {
		if code, _, errs := cli(t, "predict", "-m", model, arg); code != exitFailed || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d: %s", arg, code, errs)
		}
	}
}

func TestPredictFiles(t *testing.T) {
	model := fashionModel(t, nil)
	dir, _ := photoSet(t)
	out := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		args []string
		file string
	}{
		{[]string{"--csv"}, ""}, {nil, out + ".csv"}, {[]string{"--csv"}, out + ".txt"},
	} {
		args := append([]string{"predict", "-m", model, "-k", "2", dir}, c.args...)
		if c.file != "" {
			args = append(args, "-o", c.file)
		}
		code, text, errs := cli(t, args...)
		if c.file != "" {
			b, err := os.ReadFile(c.file)
			if err != nil || text != "" {
				t.Fatalf("%v, stdout %q: %s", err, text, errs)
			}
			text = string(b)
		}
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if code != exitFailed || err != nil || len(rows) != 1+2+1+2 {
			t.Fatalf("%q: exit code %d, %v:\n%s", args, code, err, text)
		}
		if rows[1][1] != "1" || rows[2][1] != "2" || rows[3][5] == "" || rows[3][2] != "" || filepath.Base(rows[4][0]) != "b.png" {
			t.Errorf("%q: %v", args, rows)
		}
	}
	if code, _, _ := cli(t, "predict", "-m", model, "-o", out+".jsonl", dir); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	b, err := os.ReadFile(out + ".jsonl")
	if err != nil || len(predicted(t, string(b))) != 3 {
		t.Errorf("%v: %s", err, b)
	}
	photo := filepath.Join(dir, "a.png")
	all := predicted(t, done(t, "predict", "-m", model, "-k", "10", "--json", photo))[0].Predictions
	limit := all[3].Probability
	kept := predicted(t, done(t, "predict", "-m", model, "-k", "10", "--json", "--threshold", strconv.FormatFloat(limit, 'g', -1, 64), photo))[0].Predictions
	if !slices.Equal(kept, all[:4]) {
		t.Errorf("above %v: %v of %v", limit, kept, all)
	}
	if text := done(t, "predict", "-m", model, "--threshold", "1", photo); !strings.Contains(text, "no class with a probability of 1 or more") {
		t.Errorf("nothing above the threshold gives %q", text)
	}
	for want, args := range map[string][]string{
		"--threshold is 2":  {"--threshold", "2"},
		"--threshold is Na": {"--threshold", "NaN"},
		"--csv and --json":  {"--csv", "--json"},
		"of -o":             {"--csv", "-o", out + ".json", "--json"},
	} {
		if code, _, errs := cli(t, append([]string{"predict", "-m", model, photo}, args...)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: exit code %d: %s", args, code, errs)
		}
	}
	if code, _, errs := cli(t, "predict", "-m", model, photo, "-o", filepath.Join(dir, "no", "x.csv")); code != exitFailed || !strings.Contains(errs, "x.csv") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// predict --tta averages as eval --tta does.
func TestPredictMirror(t *testing.T) {
	model := fashionModel(t, nil)
	dir := t.TempDir()
	for i, class := range []string{"T-shirt/top", "Trouser", "Pullover"} {
		writePicture(t, filepath.Join(dir, "test", strings.ReplaceAll(class, "/", "-"), "p.png"), i)
	}
	plain := predicted(t, done(t, "predict", "-m", model, "--json", "-k", "10", dir))
	turned := predicted(t, done(t, "predict", "-m", model, "--json", "-k", "10", "--tta", dir))
	if slices.Equal(plain[0].Predictions, turned[0].Predictions) {
		t.Error("--tta changes nothing")
	}
	classes := filepath.Join(t.TempDir(), "classes")
	for i := range 10 {
		writePicture(t, filepath.Join(classes, "test", strconv.Itoa(i), "p.png"), i)
	}
	numbered := filepath.Join(t.TempDir(), "r.csv")
	code, _, errs := cli(t, "eval", "-m", model, "--tta", "--data", "folder:"+classes, "--csv", numbered)
	if code != exitDone {
		t.Fatal(errs)
	}
	f, err := os.ReadFile(numbered)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(f)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range predicted(t, done(t, "predict", "-m", model, "--json", "-k", "1", "--tta", classes)) {
		want, err := strconv.ParseFloat(rows[1+i][3], 64)
		if p := line.Predictions[0]; err != nil || math.Abs(p.Probability-want) > 1e-5 {
			t.Errorf("picture %d: %v, eval has %v", i, p, rows[1+i])
		}
	}
}

func TestEmbedFiles(t *testing.T) {
	model := fashionModel(t, nil)
	dir, zipped := photoSet(t)
	_, text, _ := cli(t, "embed", "-m", model, dir)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	out := filepath.Join(t.TempDir(), "v")
	for _, end := range []string{".csv", ".npy", ".safetensors"} {
		if code, stdout, errs := cli(t, "embed", "-m", model, dir, "-o", out+end); code != exitFailed || stdout != "" {
			t.Errorf("%s: exit code %d: %s", end, code, errs)
		}
	}
	b, err := os.ReadFile(out + ".csv")
	if err != nil || string(b) != text {
		t.Errorf("the CSV file differs from stdout: %v", err)
	}
	names := []string{filepath.Join(dir, "a.png"), filepath.Join(dir, "猫", "b.png")}
	npy, err := os.ReadFile(out + ".npy")
	if err != nil {
		t.Fatal(err)
	}
	head := int(binary.LittleEndian.Uint16(npy[8:]))
	if (10+head)%64 != 0 || !strings.Contains(string(npy[10:10+head]), "'shape': (2, 64), ") || len(npy) != 10+head+4*2*64 {
		t.Fatalf("the array's header is %q", npy[:10+head])
	}
	if list, err := os.ReadFile(out + "-names.txt"); err != nil || string(list) != strings.Join(names, "\n")+"\n" {
		t.Errorf("names %q, %v", list, err)
	}
	tensors, err := safetensors.Open(out + ".safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer tensors.Close()
	stored, err := tensors.Tensor("embeddings")
	if err != nil {
		t.Fatal(err)
	}
	var images []string
	if err := json.Unmarshal([]byte(tensors.Metadata()["images"]), &images); err != nil || !slices.Equal(images, names) {
		t.Errorf("images %q, %v", images, err)
	}
	for i, row := range rows {
		for j, s := range row[1:] {
			want, err := strconv.ParseFloat(s, 32)
			if err != nil {
				t.Fatal(err)
			}
			a := math.Float32frombits(binary.LittleEndian.Uint32(npy[10+head+4*(64*i+j):]))
			if a != float32(want) || stored.Float32s()[64*i+j] != float32(want) {
				t.Fatalf("row %d, number %d: %v and %v, want %v", i, j, a, stored.Float32s()[64*i+j], want)
			}
		}
	}
	if code, _, errs := cli(t, "embed", "-m", model, zipped, "-o", out+".txt"); code != exitUsage || !strings.Contains(errs, ".npy or .safetensors") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
