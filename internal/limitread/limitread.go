// Package limitread reads files of a limited size, so that a hostile or mistaken
// one does not fill the memory.
package limitread

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// TooLarge is the error of a file above the limit.
type TooLarge struct{ Limit int64 } // in bytes

// Error names the limit.
func (e *TooLarge) Error() string {
	if mib := e.Limit >> 20; mib > 0 && mib<<20 == e.Limit {
		return fmt.Sprintf("the file is larger than the limit of %d MiB", mib)
	}
	return fmt.Sprintf("the file is larger than the limit of %d bytes", e.Limit)
}

// NotRegularError is the error of a path that is not a regular file. Opening
// such a path, a named pipe for example, may wait for ever.
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

// Regular returns a *[NotRegularError] if mode is not that of a regular file.
func Regular(path string, mode fs.FileMode) error {
	if mode.IsRegular() {
		return nil
	}
	return &NotRegularError{path, mode}
}

// All reads to the end of r, into the memory of buf where it suffices. More than
// limit bytes are a *[TooLarge] error.
func All(r io.Reader, buf []byte, limit int64) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(4096, len(buf)))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, &TooLarge{limit}
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// FS is [File] for a file of fsys.
func FS(fsys fs.FS, name string, limit int64) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if err := Regular(name, info.Mode()); err != nil {
		return nil, err
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var room []byte
	if n := info.Size(); n > 0 && n <= limit {
		room = make([]byte, 0, n+1) // the end of the file is found without growing
	}
	b, err := All(f, room, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// File reads a regular file of at most limit bytes. The error names the file.
func File(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := Regular(path, info.Mode()); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := All(f, nil, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}
