package atomicfile

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func content(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// A symbolic link stays: the file that it leads to is replaced, or made.
func TestLinksStay(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{"direct": "sub/file", "second": "direct", "absolute": filepath.Join(dir, "sub", "other")}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Skip(err)
		}
	}
	for _, c := range [][3]string{{"direct", "sub/file", "made"}, {"second", "sub/file", "replaced"}, {"absolute", "sub/other", "made"}} {
		if err := Write(filepath.Join(dir, c[0]), content(c[2])); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, c[1])); err != nil || string(b) != c[2] {
			t.Errorf("%s: %q, %v", c[0], b, err)
		}
	}
	for name, to := range links {
		if got, err := os.Readlink(filepath.Join(dir, name)); err != nil || got != to {
			t.Errorf("%s leads to %q, %v", name, got, err)
		}
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	if err := Write(loop, content("x")); err == nil || !strings.Contains(err.Error(), "leads to itself") {
		t.Error(err)
	}
}

// Messages have the name that the user gave, once, and no temporary one.
func TestMessagesHaveOneName(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none", "f.json"), dir, filepath.Join(dir, strings.Repeat("long", 100))} {
		err := Write(path, content("x"))
		if err == nil {
			t.Fatalf("%s was written", path)
		}
		if msg := err.Error(); strings.Contains(msg, "tmp-") || strings.Count(msg, path) != 1 {
			t.Errorf("%v", err)
		}
	}
}
