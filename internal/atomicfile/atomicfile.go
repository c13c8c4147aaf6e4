// Package atomicfile replaces files as a whole.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// Write replaces the file at path by what write writes. Whenever the machine stops,
// path is either the old file or the whole new one: a
// temporary file in the same folder is written, flushed to the disk, renamed,
// and the folder flushed. On an error (no space, no permission) the old file
// stays unchanged, the temporary one is removed, and the error names path. A process
// that is killed leaves the temporary file behind; a later one that writes to the
// folder removes it. A device or pipe, such as /dev/stdout, is no file to replace: it
// is written to.
func Write(path string, write func(w io.Writer) error) error {
	if err := replace(path, write); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// Check returns the error by which [Write] to path would fail at its start: there is no
// such folder, it cannot be written to, or path is a folder. Nothing is left behind.
func Check(path string) error {
	if isStream(path) {
		return nil
	}
	to, err := target(path)
	if err == nil {
		if info, statErr := os.Stat(to); statErr == nil && info.IsDir() {
			err = errors.New("it is a folder")
		} else {
			err = CheckFolder(filepath.Dir(to))
		}
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// CheckFolder returns the error by which a new file in the folder dir would fail.
func CheckFolder(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder %s", dir)
	case err != nil:
		return plain(err)
	case !info.IsDir():
		return fmt.Errorf("%s is a file, not a folder", dir)
	}
	f, err := os.CreateTemp(dir, temporary("check")+"*")
	if err != nil {
		return fmt.Errorf("the folder %s cannot be written to: %w", dir, plain(err))
	}
	f.Close()
	return plain(os.Remove(f.Name()))
}

// target returns where the links at path lead to, even if there is no file yet: a
// link stays, and the file that it names is replaced.
func target(path string) (string, error) {
	const most = 40 // as Linux follows
	for range most {
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link, or nothing yet
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", errors.New("it is a symbolic link that leads to itself")
}

// plain returns the cause of an error of the file system: its message has the name of
// the temporary file, or again that of the file.
func plain(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}

// isStream reports whether path is a device or pipe, or one of the process's open
// files, as /dev/stdout is, even if that is a regular file.
func isStream(path string) bool {
	if info, err := os.Stat(path); err != nil || info.Mode()&(os.ModeDevice|os.ModeNamedPipe|os.ModeSocket) != 0 {
		return err == nil
	}
	const open = "/proc/"
	link, _ := os.Readlink(path)
	dir, _ := filepath.EvalSymlinks(filepath.Dir(path))
	return strings.HasPrefix(link, open) || strings.HasPrefix(dir, open)
}

// writeThrough writes to a device or pipe, or at the end of an open file.
func writeThrough(path string, write func(w io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	err = write(f)
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

func replace(path string, write func(w io.Writer) error) (err error) {
	if isStream(path) {
		return writeThrough(path, write)
	}
	if path, err = target(path); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return errors.New("it is a folder")
	}
	dir := filepath.Dir(path)
	removeOnce(dir)
	if err := step("create"); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, temporary(path)+"*")
	if err != nil {
		return plain(err)
	}
	temp := f.Name()
	unlock := mark(temp)
	defer func() {
		unlock()
		if err != nil {
			f.Close() // closing twice does no harm here
			os.Remove(temp)
		}
	}()
	if err := write(faulty{quiet{f}}); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if old, err := os.Stat(path); err == nil {
		mode = old.Mode().Perm()
	}
	if err := do("chmod", func() error { return f.Chmod(mode) }); err != nil {
		return plain(err)
	}
	if err := do("sync", f.Sync); err != nil {
		return plain(err)
	}
	if err := do("close", f.Close); err != nil {
		return plain(err)
	}
	return rename(temp, path)
}

// quiet writes to the temporary file, whose name is in no error.
type quiet struct{ f *os.File }

// Write writes to the temporary file.
func (q quiet) Write(b []byte) (int, error) {
	n, err := q.f.Write(b)
	return n, plain(err)
}

func rename(temp, path string) error {
	if err := do("rename", func() error { return os.Rename(temp, path) }); err != nil {
		return plain(err)
	}
	return plain(do("sync folder", func() error { return syncDir(filepath.Dir(path)) }))
}

// Keep gives the file at path the second name as, which replaces what has that name,
// so that it stays when [Write] replaces path. It does nothing if there is no file at
// path. Where files cannot have two names, the file loses its first.
func Keep(path, as string) error {
	err := keep(path, as)
	if err != nil {
		return fmt.Errorf("cannot keep %s as %s: %w", path, as, err)
	}
	return nil
}

func keep(path, as string) error {
	if err := step("link"); err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(as), fmt.Sprintf("%s%d", temporary(as), rand.Uint32()))
	switch err := os.Link(path, temp); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return rename(path, as)
	}
	// Renaming one name of a file to another of the same file does nothing.
	defer os.Remove(temp)
	return rename(temp, as)
}
