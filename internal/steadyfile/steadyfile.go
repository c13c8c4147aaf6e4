// Package steadyfile opens files that are read piece by piece over a longer
// time, and detects when someone has written to them since.
package steadyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// ErrChanged is wrapped by the errors of [File] for a file that is not what it
// was when it was opened.
var ErrChanged = errors.New("the file was changed after it was opened: write a new file and rename it to the old one's name")

// Replaceable is set where other programs can rename, replace or remove a file
// that is open. Elsewhere, no file should stay open for long.
const Replaceable = runtime.GOOS != "windows"

// File is an open regular file. Another file that takes its name by a rename
// does not change what is read.
type File struct {
	f    *os.File
	info os.FileInfo
}

// NotRegularError is the error of [Open] for a path that is not a regular file.
type NotRegularError struct {
	Path string
	Mode fs.FileMode
}

// Error names the path and what it is.
func (e *NotRegularError) Error() string {
	kind := "special file"
	switch {
	case e.Mode.IsDir():
		kind = "folder"
	case e.Mode&fs.ModeNamedPipe != 0:
		kind = "named pipe"
	case e.Mode&fs.ModeSocket != 0:
		kind = "socket"
	case e.Mode&fs.ModeDevice != 0:
		kind = "device"
	}
	return fmt.Sprintf("%s is a %s, not a regular file", e.Path, kind)
}

// Open opens a regular file; any other path is a *[NotRegularError]. It looks
// before it opens, because opening a named pipe waits until someone writes to it.
func Open(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &NotRegularError{path, info.Mode()}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, err
	}
	if !info.Mode().IsRegular() { // replaced in between
		f.Close()
		return nil, &NotRegularError{path, info.Mode()}
	}
	return &File{f, info}, nil
}

// Name returns the path that the file was opened by.
func (f *File) Name() string { return f.f.Name() }

// Size returns the bytes that the file had when it was opened.
func (f *File) Size() int64 { return f.info.Size() }

// Close closes the file. The runtime closes a file that nothing refers to any
// more.
func (f *File) Close() error { return f.f.Close() }

// ReadAt reads as [os.File.ReadAt] does; a file that has become too short is an
// error that wraps [ErrChanged].
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if err == io.EOF && off+int64(len(p)) <= f.Size() {
		return n, fmt.Errorf("%w (it is shorter now)", ErrChanged)
	}
	return n, err
}

// Check returns an error that wraps [ErrChanged] if the size or the modification
// time differs from when the file was opened. If there is no error, everything
// read so far is the content that the file had then.
func (f *File) Check() error {
	now, err := f.f.Stat()
	if err != nil {
		return err
	}
	if now.Size() != f.info.Size() || !now.ModTime().Equal(f.info.ModTime()) {
		return ErrChanged
	}
	return nil
}

// Check returns the error of r's own method Check, such as [File.Check], and nil
// for a reader without one.
func Check(r io.ReaderAt) error {
	if c, ok := r.(interface{ Check() error }); ok {
		return c.Check()
	}
	return nil
}
