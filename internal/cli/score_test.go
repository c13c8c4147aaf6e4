package cli

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// tarOf packs a folder.
func tarOf(t *testing.T, dir, path string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func scored(t *testing.T, out string) (lines []scoredLine) {
	t.Helper()
	for text := range strings.Lines(out) {
		var line scoredLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, line)
	}
	return lines
}

// TestScoreForms checks that every form of a line gives what predict gives for the
// picture, in the order of the input, and an error for each that is wrong.
func TestScoreForms(t *testing.T) {
	model := fashionModel(t, nil)
	dir, zipped := photoSet(t)
	packed := filepath.Join(filepath.Dir(dir), "photos.tar")
	tarOf(t, dir, packed)
	a, b, bad := filepath.Join(dir, "a.png"), filepath.Join(dir, "猫", "b.png"), filepath.Join(dir, "bad.png")
	text, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	quote := func(s string) string { q, _ := json.Marshal(s); return string(q) }
	input := "\ufeff" + a + "\r\n\n" + strings.Join([]string{
		`{"id": "x", "path": ` + quote(b) + `, "other": [1]}`,
		`{"path": ` + quote(a) + `}`,
		`{"id": 17, "base64": "` + base64.StdEncoding.EncodeToString(text) + `"}`,
		bad, packed, `{"id":"z","path":` + quote(zipped) + `}`, dir, filepath.Join(dir, "none.png"),
		`{"id": "y"}`, `{"id": "w", "path": "a", "base64": ""}`, `{"id": "v", "base64": "!"}`, `{bad`, `{"id":{},"path":"a"}`, `{"id":"u","path":"a"} x`, `-`,
		`{"id": "last", "path": ` + quote(a) + `}`,
	}, "\n")
	code, out, errs := cliWith(t, input, "predict", "-m", model, "--jsonl", "-")
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	lines := scored(t, out)
	wantA, wantB := predicted(t, done(t, "predict", "-m", model, "--json", a))[0].Predictions, predicted(t, done(t, "predict", "-m", model, "--json", b))[0].Predictions
	want := []struct {
		id, err string
	}{
		{a, "a"}, {"x", "b"}, {a, "a"}, {"17", "a"}, {bad, "!"},
		{packed + "/a.png", "a"}, {packed + "/bad.png", "!"}, {packed + "/猫/b.png", "b"},
		{"z/a.png", "a"}, {"z/bad.png", "!"}, {"z/猫/b.png", "b"},
		{dir + "/a.png", "a"}, {dir + "/bad.png", "!"}, {dir + "/猫/b.png", "b"},
		{filepath.Join(dir, "none.png"), "!"},
		{"y", "!either"}, {"w", "!either"}, {"v", "!base64"}, {"line 14", "!not JSON"}, {"line 15", "!id must be"}, {"u", "!follows"}, {"-", "!./-"}, {"last", "a"},
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), out)
	}
	for i, w := range want {
		got := lines[i]
		switch problem, isErr := strings.CutPrefix(w.err, "!"); {
		case got.ID != w.id:
			t.Errorf("line %d is of %q, want %q", i, got.ID, w.id)
		case isErr:
			if got.Error == "" || !strings.Contains(got.Error, problem) || len(got.Predictions) > 0 {
				t.Errorf("%s: %+v, want an error about %q", w.id, got, problem)
			}
		case !closeTo(got, map[string]scoredLine{"a": {Predictions: wantA}, "b": {Predictions: wantB}}[w.err]):
			t.Errorf("%s: %+v", w.id, got)
		}
	}
}

// TestScoreBytes checks that pictures that follow their lines as bytes give what their
// files give, whoever does which of them, and that an input that ends within one fails.
func TestScoreBytes(t *testing.T) {
	model := fashionModel(t, nil)
	dir, _ := photoSet(t)
	path := filepath.Join(dir, "a.png")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := predicted(t, done(t, "predict", "-m", model, "--json", path))[0].Predictions
	bytesOf := func(id string, end string) string {
		return fmt.Sprintf(`{"id": %q, "bytes": %d}`, id, len(file)) + "\n" + string(file) + end
	}
	const tooMany = 1 << 40
	input := bytesOf("0", "") + bytesOf("1", "\n") + path + "\n" + bytesOf("3", "\n") + `{"id": "4", "bytes": 3}` + "\n{\n}" +
		`{"id": "5", "bytes": -1}` + "\n" + `{"id": "6", "bytes": 3, "path": "x"}` + "\nabc" + bytesOf("7", "")
	for _, n := range []int{1, 2, 3} {
		got := map[string]scoredLine{}
		for i := range n {
			code, out, errs := cliWith(t, input, "predict", "-m", model, "--jsonl", "-", "--shard", fmt.Sprintf("%d/%d", i, n))
			if code != exitDone {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			for _, l := range scored(t, out) {
				got[l.ID] = l
			}
		}
		for id, problem := range map[string]string{"0": "", "1": "", path: "", "3": "", "4": "not a JPEG", "5": "-1 bytes", "6": "either", "7": ""} {
			l := got[id]
			if problem == "" && !closeTo(l, scoredLine{Predictions: want}) || problem != "" && !strings.Contains(l.Error, problem) {
				t.Errorf("%d shards: %s is %+v", n, id, l)
			}
		}
		if len(got) != 8 {
			t.Errorf("%d shards gave %d lines", n, len(got))
		}
	}
	for _, cut := range []string{bytesOf("0", "") + bytesOf("1", "")[:60], fmt.Sprintf(`{"id": "1", "bytes": %d}`, tooMany) + "\nx"} {
		code, out, errs := cliWith(t, cut, "predict", "-m", model, "--jsonl", "-")
		if code != exitFailed || !strings.Contains(errs, "the input ends after") || strings.Contains(out, `"1"`) {
			t.Errorf("an input that is cut off: exit code %d, %q, %q", code, out, errs)
		}
	}
}

func closeTo(a, b scoredLine) bool {
	if len(a.Predictions) != len(b.Predictions) {
		return false
	}
	for i := range a.Predictions {
		if a.Predictions[i].Index != b.Predictions[i].Index || max(a.Predictions[i].Probability-b.Predictions[i].Probability, b.Predictions[i].Probability-a.Predictions[i].Probability) > 1e-5 {
			return false
		}
	}
	return a.Error == b.Error
}

// manyPictures writes a list of n pictures.
func manyPictures(t *testing.T, n int) (list string, names []string) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("%03d.png", i))
		writePicture(t, name, i)
		names = append(names, name)
	}
	names = append(names, names[0], filepath.Join(dir, "none.png")) // twice, and an error
	list = filepath.Join(dir, "list.txt")
	if err := os.WriteFile(list, []byte(strings.Join(names, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	return list, names
}

// Shards together do every line once.
func TestScoreShards(t *testing.T) {
	model := fashionModel(t, nil)
	list, names := manyPictures(t, 9)
	for i := range 3 {
		var want []string
		for k := i; k < len(names); k += 3 {
			want = append(want, names[k])
		}
		var got []string
		for _, l := range scored(t, done(t, "predict", "-m", model, "--jsonl", list, "--shard", fmt.Sprintf("%d/3", i))) {
			got = append(got, l.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("shard %d is %q, want %q", i, got, want)
		}
	}
	t.Setenv("SLURM_ARRAY_TASK_ID", "5")
	t.Setenv("SLURM_ARRAY_TASK_MIN", "3")
	t.Setenv("SLURM_ARRAY_TASK_COUNT", "3")
	if got := scored(t, done(t, "embed", "-m", model, "--jsonl", list, "--shard", "auto")); len(got) != 3 || got[0].ID != names[2] {
		t.Errorf("%+v", got)
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		text, env string
		want      share
		err       string
	}{
		{"", "", share{0, 1}, ""},
		{"2/5", "", share{2, 5}, ""},
		{"auto", "RANK=3 WORLD_SIZE=8", share{3, 8}, ""},
		{"auto", "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_STEP=2 RANK=0", share{3, 4}, ""},
		{"auto/6", "JOB_COMPLETION_INDEX=5", share{5, 6}, ""},
		{"auto", "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2", share{1, 2}, ""},
		{"auto", "PMI_RANK=1 PMI_SIZE=2", share{1, 2}, ""},
		{"auto", "SLURM_PROCID=1 SLURM_NTASKS=2", share{1, 2}, ""},
		{"auto", "JOB_COMPLETION_INDEX=5", share{}, "give --shard auto/N"},
		{"auto", "", share{}, "SLURM_ARRAY_TASK_ID"},
		{"auto", "RANK=8 WORLD_SIZE=8", share{}, "by RANK: shard 8 of 8"},
		{"auto", "RANK=x WORLD_SIZE=8", share{}, "shard x of 8"},
		{"5", "", share{}, "must be I/N"},
		{"5/5", "", share{}, "shard 5 of 5"},
		{"-1/5", "", share{}, "shard -1 of 5"},
		{"0/0", "", share{}, "shard 0 of 0"},
		{"/", "", share{}, "does not exist"},
	} {
		env := map[string]string{}
		for _, v := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(v, "=")
			env[k] = v
		}
		got, err := parseShare(c.text, func(k string) string { return env[k] })
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s with %s: %v, %v", c.text, c.env, got, err)
		}
	}
}

// TestScoreKilled kills a scoring process again and again, and checks that the results
// are those of one that was not, in the same order.
func TestScoreKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	kills := 8
	if os.Getenv("RESNET_NIGHTLY") != "" {
		kills = 100
	}
	model := fashionModel(t, nil)
	list, names := manyPictures(t, 60)
	whole := scored(t, done(t, "predict", "-m", model, "--batch", "1", "--jsonl", list))
	out := filepath.Join(t.TempDir(), "out.jsonl")
	rng := rand.New(rand.NewPCG(1, 2))
	args := []string{"predict", "-m", model, "--batch", "1", "--jsonl", list, "--resume", out}
	killed := 0
	for killed < kills {
		cmd := program(t, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Kill it when it has written some more lines, or after some time, perhaps before
		// it has read what is there.
		goal, late := bytesIn(out)+rng.Int64N(3000), make(<-chan time.Time)
		if rng.IntN(2) == 0 {
			late = time.After(time.Duration(rng.Int64N(int64(300 * time.Millisecond))))
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var err error
	wait:
		for {
			select {
			case err = <-ended:
				break wait
			case <-late:
				cmd.Process.Kill()
				err = <-ended
				break wait
			case <-time.After(time.Millisecond):
				if bytesIn(out) >= goal && goal > 0 {
					cmd.Process.Kill()
					err = <-ended
					break wait
				}
			}
		}
		if exit := (*exec.ExitError)(nil); err == nil {
			checkScores(t, out, whole, names)
			if err := os.Remove(out); err != nil { // start anew
				t.Fatal(err)
			}
			continue
		} else if !errors.As(err, &exit) {
			t.Fatal(err)
		}
		killed++
		if rng.IntN(2) == 0 && bytesIn(out) > 40 { // as if the machine had stopped in the middle of a write
			if err := os.Truncate(out, bytesIn(out)-1-rng.Int64N(30)); err != nil {
				t.Fatal(err)
			}
		}
	}
	done(t, args...)
	checkScores(t, out, whole, names)
	done(t, args...) // nothing is left to do
	checkScores(t, out, whole, names)
}

func bytesIn(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func checkScores(t *testing.T, path string, want []scoredLine, names []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := scored(t, string(b))
	var ids []string
	for _, l := range got {
		ids = append(ids, l.ID)
	}
	if !slices.Equal(ids, names) || !reflect.DeepEqual(got, want) {
		t.Fatalf("%d results of %d, or another order or content", len(got), len(want))
	}
}

func TestScoreErrors(t *testing.T) {
	model := fashionModel(t, nil)
	list, _ := manyPictures(t, 2)
	other := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(other, []byte("{\"id\":\"a\",\"predictions\":[],\"embedding\":[1]}\nmy notes\nmore"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		err  string
	}{
		{[]string{"--jsonl", list, "--resume", other}, exitFailed, "line 2 is not a result"},
		{[]string{"--jsonl", list, "--resume", os.DevNull}, exitFailed, "not a regular file"}, // as a named pipe, which would be waited for
		{[]string{"--jsonl", list, "--resume", "-"}, exitUsage, "--resume - names no file"},
		{[]string{"--jsonl", list + "x"}, exitFailed, "list.txtx"},
		{[]string{"--jsonl", list, "photo.jpg"}, exitUsage, "photo.jpg"},
		{[]string{"--shard", "0/2", "photo.jpg"}, exitUsage, "--shard needs --jsonl"},
		{[]string{"--jsonl", list, "--shard", "2/2"}, exitUsage, "shard 2 of 2"},
		{[]string{"--jsonl", list, "-o", "x.csv"}, exitUsage, "--resume"},
	} {
		for _, command := range []string{"predict", "embed"} {
			if code, _, errs := cli(t, append([]string{command, "-m", model}, c.args...)...); code != c.code || !strings.Contains(errs, c.err) {
				t.Errorf("%s %v: exit code %d: %s", command, c.args, code, errs)
			}
		}
	}
	if b, _ := os.ReadFile(other); !strings.HasSuffix(string(b), "more") {
		t.Errorf("the file that is no result was changed to %q", b)
	}
}

// TestScoreOthers checks that results of another command or model are not continued, and
// stay as they are.
func TestScoreOthers(t *testing.T) {
	model := fashionModel(t, nil)
	list, _ := manyPictures(t, 1)
	dir := t.TempDir()
	own := map[string]string{}
	for _, command := range []string{"predict", "embed"} {
		own[command] = filepath.Join(dir, command+".jsonl")
		done(t, command, "-m", model, "--jsonl", list, "--resume", own[command])
		done(t, command, "-m", model, "--jsonl", list, "--resume", own[command])
	}
	own["shorter"] = filepath.Join(dir, "shorter.jsonl")
	if err := os.WriteFile(own["shorter"], []byte(`{"id":"a","embedding":[1,2,3]}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, model, resume, want string }{
		{"predict", model, own["embed"], "line 1 has no predictions"},
		{"embed", model, own["predict"], "line 1 has no embedding"},
		{"predict", "", own["predict"], "in the model"},
		{"embed", "", own["shorter"], "the model gives 256"},
	} {
		before, err := os.ReadFile(c.resume)
		if err != nil {
			t.Fatal(err)
		}
		more := filepath.Join(dir, "more.txt")
		if err := os.WriteFile(more, []byte(list+".png\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		writePicture(t, list+".png", 1)
		args := []string{c.command, "--jsonl", more, "--resume", c.resume}
		if c.model != "" {
			args = append(args, "-m", c.model)
		}
		code, _, errs := cli(t, args...)
		if code != exitFailed || !strings.Contains(errs, c.resume+": ") || !strings.Contains(errs, c.want) || !strings.Contains(errs, "or a new one") {
			t.Errorf("%s: exit code %d: %s", args, code, errs)
		}
		if after, _ := os.ReadFile(c.resume); !bytes.Equal(before, after) {
			t.Errorf("%s changed the file", args)
		}
	}
}
