package steadyfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func() *File {
		t.Helper()
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	read := func(f *File, off int64, n int) (string, error) {
		b := make([]byte, n)
		n, err := f.ReadAt(b, off)
		return string(b[:n]), err
	}

	write(path, "0123456789")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	f := open()
	if s, err := read(f, 4, 3); s != "456" || err != nil || f.Size() != 10 {
		t.Errorf("%q, %v, size %d", s, err, f.Size())
	}
	if s, err := read(f, 8, 3); s != "89" || err != io.EOF {
		t.Errorf("beyond the end: %q, %v", s, err)
	}
	if err := f.Check(); err != nil {
		t.Error(err)
	}

	write(path, "9876543210") // in place
	if err := f.Check(); !errors.Is(err, ErrChanged) {
		t.Errorf("written in place: %v", err)
	}
	f = open()
	if err := os.Truncate(path, 5); err != nil {
		t.Fatal(err)
	}
	if _, err := read(f, 3, 4); !errors.Is(err, ErrChanged) {
		t.Errorf("cut off: %v", err)
	}
	if err := f.Check(); !errors.Is(err, ErrChanged) {
		t.Errorf("cut off: %v", err)
	}
}

// A file that another has taken the name of can be read as before.
func TestRename(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for name, text := range map[string]string{"file": "old", "new": "newer"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Rename(filepath.Join(dir, "new"), path); err != nil {
		t.Skip("this system does not replace files that are open: ", err)
	}
	b := make([]byte, 3)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "old" {
		t.Errorf("%q, %v", b, err)
	}
	if err := f.Check(); err != nil {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "nothing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
