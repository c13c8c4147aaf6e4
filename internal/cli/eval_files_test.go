package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A report that cannot be written whole leaves nothing, in a new folder and in one that is
// there, whose files stay as they were.
func TestReportsAreWrittenWhole(t *testing.T) {
	names := func(dir string) string {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, f := range files {
			all = append(all, f.Name())
		}
		return strings.Join(all, " ")
	}
	put := func(dir, name, text string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	parent := t.TempDir()
	for _, there := range []bool{false, true} {
		dir := filepath.Join(parent, "new", "report")
		if there {
			dir = filepath.Join(parent, "old")
			if err := errors.Join(os.Mkdir(dir, 0o755), put(dir, "a.json", "old"), put(dir, "other", "mine")); err != nil {
				t.Fatal(err)
			}
		}
		err := writeReport(dir, func(tmp string) error {
			if err := put(tmp, "a.json", "new"); err != nil {
				return err
			}
			return &os.PathError{Op: "write", Path: filepath.Join(tmp, "b.json"), Err: syscall.ENOSPC}
		})
		if want := "--out: write " + filepath.Join(dir, "b.json"); err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v, want %s", err, want)
		}
		if there {
			if text, err := os.ReadFile(filepath.Join(dir, "a.json")); string(text) != "old" || names(dir) != "a.json other" {
				t.Errorf("%s, a.json is %q, %v", names(dir), text, err)
			}
		} else if left := names(filepath.Dir(dir)); left != "" {
			t.Errorf("left: %s", left)
		}
		err = writeReport(dir, func(tmp string) error { return errors.Join(put(tmp, "a.json", "new"), put(tmp, "b.json", "new")) })
		if err != nil {
			t.Fatal(err)
		}
		want := "a.json b.json"
		if there {
			want += " other"
		}
		if text, err := os.ReadFile(filepath.Join(dir, "a.json")); string(text) != "new" || names(dir) != want {
			t.Errorf("%s, want %s; a.json is %q, %v", names(dir), want, text, err)
		}
	}
}
