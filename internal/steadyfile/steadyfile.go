// Package steadyfile opens files that are read piece by piece over a longer
// time, and finds out when someone has written to them meanwhile.
package steadyfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

// ErrChanged is wrapped by the errors of [File] for a file that is not what it
// was when it was opened.
var ErrChanged = errors.New("the file was changed after it was opened: write a new file and rename it to the old one's name")

// Replaceable says that others can rename, replace or remove a file while it is
// open. Where they cannot, none should be kept open for long.
const Replaceable = runtime.GOOS != "windows"

// File is an open regular file. Another file that takes its name by a rename
// does not change what is read.
type File struct {
	f    *os.File
	info os.FileInfo
}

// Open opens a file. What is no regular file is an error.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &File{f, info}, nil
}

// Name returns the path that the file was opened by.
func (f *File) Name() string { return f.f.Name() }

// Size returns the bytes that the file had when it was opened.
func (f *File) Size() int64 { return f.info.Size() }

// Close closes the file. One that nothing refers to any more is closed by
// itself.
func (f *File) Close() error { return f.f.Close() }

// ReadAt is that of *os.File; a file that has become too short is an error that
// wraps [ErrChanged].
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	if err == io.EOF && off+int64(len(p)) <= f.Size() {
		return n, fmt.Errorf("%w (it is shorter now)", ErrChanged)
	}
	return n, err
}

// Check returns an error that wraps [ErrChanged] if the file's size or time is
// not what it was. What was read before is the file's content at its opening
// if there is none.
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
