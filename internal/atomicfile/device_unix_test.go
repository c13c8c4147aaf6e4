//go:build unix

package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A pipe is written to and stays a pipe. The test leaves devices alone: a mistake
// would replace them where root runs it.
func TestPipesAreNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip("no named pipes here: ", err)
	}
	got := make(chan string, 1)
	go func() {
		b, err := os.ReadFile(path)
		if err != nil {
			b = []byte(err.Error())
		}
		got <- string(b)
	}()
	err := Write(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "hello")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "hello" {
		t.Errorf("the reader got %q", text)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the pipe is a %v now, %v", info.Mode(), err)
	}
	failed := errors.New("failed")
	go func() { _, _ = os.ReadFile(path) }()
	if err := Write(path, func(io.Writer) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
}

// An open file of the process is appended to, by whatever name.
func TestOpenFilesAreNotReplaced(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("before "); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if _, err := os.Lstat(name); err != nil {
		t.Skip("no names of open files here: ", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{name, link} {
		err := Write(path, func(w io.Writer) error {
			_, err := io.WriteString(w, "x")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(f.Name()); err != nil || string(b) != "before xx" {
		t.Errorf("the file has %q, %v", b, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v", err)
	}
}
