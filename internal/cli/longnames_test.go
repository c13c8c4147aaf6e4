package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// A line that no file has as its name, such as a file without ends of lines that is given
// as a list, is refused in few words, and the lines around it are done.
func TestLongNames(t *testing.T) {
	model := fashionModel(t, nil)
	dir := t.TempDir()
	good := filepath.Join(dir, "a.png")
	writePicture(t, good, 1)
	for _, size := range []int{maxPath + 1, 1 << 16, 3 << 20} {
		long := strings.Repeat("\x00", size)
		word := strings.Repeat("x", size)
		for _, command := range []string{"predict", "embed"} {
			for _, begin := range []string{"", "\ufeff"} {
				input := begin + long + "\n" + good + "\r\n" + `{"id": "` + word + `", "path": "` + good + `"}` + "\n" + `{"id": "x", "path": "` + word + `"}` + "\n" + word
				code, out, errs := cliWith(t, input, command, "-m", model, "--jsonl", "-")
				lines := scored(t, out)
				if code != exitDone || len(lines) != 5 || len(errs) > 1000 {
					t.Fatalf("%s of %d bytes: code %d, %d lines, %.1000s", command, size, code, len(lines), errs)
				}
				for i, want := range []struct{ id, problem string }{
					{"line 1", "a name longer than"}, {good, ""}, {"line 3", "the id is longer than"}, {"x", "a name longer than"}, {"line 5", "a name longer than"},
				} {
					if got := lines[i]; got.ID != want.id || !strings.Contains(got.Error, want.problem) || (got.Error == "") != (want.problem == "") || len(got.Error) > 200 {
						t.Errorf("%s of %d bytes: line %d is %.100s: %.300s", command, size, i+1, got.ID, got.Error)
					}
				}
			}
		}
		list := filepath.Join(dir, "list.txt")
		if err := os.WriteFile(list, []byte(good+"\n"+long), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := cli(t, "predict", "-m", model, "@"+list)
		if code == exitDone || out != "" || len(errs) > 1000 || !strings.Contains(errs, list+": line 2: a name longer than") {
			t.Errorf("a list with a name of %d bytes: code %d, %.300s", size, code, errs)
		}
	}
}

// The longest names that are taken are not refused as too long.
func TestLongestNames(t *testing.T) {
	name := strings.Repeat("x", maxPath)
	_, out, _ := cliWith(t, "\ufeff"+name+"\r\n"+name, "predict", "--jsonl", "-")
	for _, line := range scored(t, out) {
		if line.ID != name || strings.Contains(line.Error, "8192") {
			t.Errorf("%.50s: %.300s", line.ID, line.Error)
		}
	}
}

// A message that repeats a long text of a file keeps its beginning and its end.
func TestLongMessages(t *testing.T) {
	for _, c := range []struct {
		text, begin, end string
		limit            int
	}{
		{"a.onnx: " + strings.Repeat("é", 1<<20) + ": do this\nand this", "a.onnx: éé", "éé: do this; and this", maxMessage + 100},
		{"a\n\n  b", "a; b", "a; b", 4},
	} {
		got := oneLine(errors.New(c.text))
		if !strings.HasPrefix(got, c.begin) || !strings.HasSuffix(got, c.end) || len(got) > c.limit || !utf8.ValidString(got) {
			t.Errorf("%d bytes: %.100s", len(got), got)
		}
	}
}
