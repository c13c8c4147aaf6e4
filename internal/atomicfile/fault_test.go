package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// text is the content of version n of a file, longer than a buffer.
func text(n int) string {
	s := ""
	for i := range 2000 {
		s += strconv.Itoa(n*100000+i) + "\n"
	}
	return s
}

func put(path string, n int) error {
	return Write(path, func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 4096)
		if _, err := b.WriteString(text(n)); err != nil {
			return err
		}
		return b.Flush()
	})
}

// failAt makes step number n fail by err, or end the process if err is nil. The number
// of steps is returned by count.
func failAt(n int, err error) (count func() int, restore func()) {
	seen := 0
	restore = Inject(func(string) error {
		if seen++; seen-1 != n {
			return nil
		}
		if err == nil {
			os.Exit(9) // nothing is cleaned up, as after kill -9
		}
		return err
	})
	return func() int { return seen }, restore
}

// replaceTwice keeps the old file and writes a new one, as a checkpoint does.
func replaceTwice(dir string, n int) error {
	path := filepath.Join(dir, "file")
	if err := Keep(path, filepath.Join(dir, "before")); err != nil {
		return err
	}
	return put(path, n)
}

// states returns what the two files hold: the numbers of their versions.
func states(t *testing.T, dir string) (file, before int) {
	t.Helper()
	for _, f := range []struct {
		name string
		n    *int
	}{{"file", &file}, {"before", &before}} {
		b, err := os.ReadFile(filepath.Join(dir, f.name))
		if err != nil {
			t.Fatal(err)
		}
		for *f.n = 0; ; *f.n++ {
			if string(b) == text(*f.n) {
				break
			}
			if *f.n == 3 {
				t.Fatalf("%s is none of the versions: %d bytes", f.name, len(b))
			}
		}
	}
	return file, before
}

func fresh(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for n := range 2 {
		if err := replaceTwice(dir, n); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// An error at any step is reported, leaves both files whole, and nothing else behind.
func TestErrorAtEveryStep(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.EDQUOT} {
		for step := 0; ; step++ {
			dir := fresh(t)
			count, restore := failAt(step, cause)
			err := replaceTwice(dir, 2)
			restore()
			if count() <= step {
				if err != nil {
					t.Fatal(err)
				}
				if step < 8 {
					t.Fatalf("only %d steps", step)
				}
				break
			}
			if !errors.Is(err, cause) {
				t.Errorf("step %d: error %v", step, err)
			}
			states(t, dir)
			if files, _ := os.ReadDir(dir); len(files) != 2 {
				t.Errorf("step %d leaves %v", step, files)
			}
		}
	}
}

const childEnv = "RESNET_TEST_ATOMICFILE"

func TestMain(m *testing.M) {
	var dir string
	var step int
	if _, err := fmt.Sscanf(os.Getenv(childEnv), "%d %s", &step, &dir); err == nil {
		count, _ := failAt(step, nil)
		if err := replaceTwice(dir, 2); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		fmt.Println(count())
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A process that ends at any step leaves both files whole, and what else it leaves is
// removed by the next.
func TestKillAtEveryStep(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Skipf("the test's own program is not known here: %v", err)
	}
	for step := 0; ; step++ {
		dir := fresh(t)
		cmd := exec.Command(exe, "-test.run=^$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", childEnv, step, dir))
		out, err := cmd.CombinedOutput()
		file, before := states(t, dir)
		if err == nil {
			if file != 2 || before != 1 || step < 8 {
				t.Errorf("after %d steps, the files are of versions %d and %d", step, file, before)
			}
			break
		}
		if cmd.ProcessState.ExitCode() != 9 {
			t.Fatalf("%v: %s", err, out)
		}
		if err := RemoveLeftovers(dir); err != nil {
			t.Fatal(err)
		}
		if files, _ := os.ReadDir(dir); len(files) != 2 {
			t.Errorf("a kill at step %d leaves %v", step, files)
		}
	}
}

// A file that is being written is no leftover; one that is not ours is none either.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".file.tmp-123", ".file.tmp-x", "file.tmp-123", ".tmp-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := Write(filepath.Join(dir, "file"), func(w io.Writer) error {
		if err := RemoveLeftovers(dir); err != nil {
			return err
		}
		_, err := io.WriteString(w, "x")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 4 {
		t.Errorf("%v, %v", files, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".file.tmp-123")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is there: %v", err)
	}
}

// The first write to a folder removes old leftovers, the young may be another's.
func TestWriteRemovesLeftovers(t *testing.T) {
	dir := t.TempDir()
	old, young := filepath.Join(dir, ".a.tmp-1"), filepath.Join(dir, ".b.tmp-2")
	for _, path := range []string{old, young} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hour := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old, hour, hour); err != nil {
		t.Fatal(err)
	}
	if err := put(filepath.Join(dir, "c"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old one: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young one: %v", err)
	}
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := Keep(a, b); err != nil {
		t.Errorf("without a file: %v", err)
	}
	if err := put(a, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time, both are names of one file
		if err := Keep(a, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(a, 1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{a: text(1), b: text(0)} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("%v", files)
	}
}

// A folder is there whole or not at all, and what a killed process left is removed.
func TestFolder(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "d")
	left := filepath.Join(parent, ".d.tmp-77")
	if err := os.MkdirAll(filepath.Join(left, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, folderLock), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(parent, ".e.tmp-78") // not ours: it has no lock
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("failed")
	for _, want := range []error{failed, nil} {
		err := Folder(dir, func(tmp string) error {
			if err := RemoveLeftovers(parent); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(tmp, "file"), []byte("x"), 0o644); err != nil {
				return err
			}
			return want
		})
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
		_, err = os.Stat(filepath.Join(dir, "file"))
		if (err == nil) != (want == nil) {
			t.Errorf("after %v: %v", want, err)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("the folder has %v", files)
	}
	if files, _ := os.ReadDir(parent); len(files) != 2 {
		t.Errorf("left over: %v", files)
	}
}
