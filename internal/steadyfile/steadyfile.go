// Package steadyfile opens files that are read piece by piece over a longer
// time, and detects when someone has written to them since.
package steadyfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/resnet-go/resnet/internal/limitread"
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

// Open opens a regular file; any other path is a
// *[limitread.NotRegularError]. It looks
// before it opens, because opening a named pipe waits until someone writes to it.
func Open(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := limitread.Regular(path, info.Mode()); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, err
	}
	if err := limitread.Regular(path, info.Mode()); err != nil { // replaced in between
		f.Close()
		return nil, err
	}
	return &File{f, info}, nil
}

// Name returns the path that the file was opened by.
func (f *File) Name() string { return f.f.Name() }

// Size returns the bytes that the file had when it was opened.
func (f *File) Size() int64 { return f.info.Size() }

// ModTime returns the modification time that the file had when it was opened.
func (f *File) ModTime() time.Time { return f.info.ModTime() }

// Close closes the file. The runtime closes a file that nothing refers to any
// more.
func (f *File) Close() error { return f.f.Close() }

// ReadAt reads as [os.File.ReadAt] does; a file that has become too short is an
// error that wraps [ErrChanged].
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.faulty(p, off)
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
