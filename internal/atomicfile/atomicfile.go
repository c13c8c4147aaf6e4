// Package atomicfile replaces files as a whole.
package atomicfile

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Write replaces the file at path by what write writes. Whenever the machine stops,
// path is either the old file or the whole new one: a
// temporary file in the same folder is written, flushed to the disk, renamed,
// and the folder flushed. On an error (no space, no permission) the old file
// stays unchanged, the temporary one is removed, and the error names path. A device
// or pipe, such as /dev/stdout, is no file to replace: it is written to.
func Write(path string, write func(w io.Writer) error) error {
	if err := replace(path, write); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
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
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	temp := f.Name()
	defer func() {
		if err != nil {
			f.Close() // closing twice does no harm here
			os.Remove(temp)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if old, err := os.Stat(path); err == nil {
		mode = old.Mode().Perm()
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(dir)
}
