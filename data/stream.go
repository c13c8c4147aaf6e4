package data

import (
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/resnet-go/resnet/internal/limitread"
)

// FilesOf returns the files of fsys.
func FilesOf(fsys fs.FS, opt Options) *Files { return &Files{&fsSource{fsys, opt.fileLimit()}} }

// Open opens a file of any size for reading from its start. The error does not
// repeat the name.
func (f *Files) Open(name string) (io.ReadCloser, error) {
	switch s := f.src.(type) {
	case *fsSource:
		info, err := fs.Stat(s.fsys, name)
		if err != nil {
			return nil, short(err)
		}
		if err := limitread.Regular(path.Base(name), info.Mode()); err != nil { // opening a pipe would wait for a writer
			return nil, err
		}
		r, err := s.fsys.Open(name)
		if err != nil {
			return nil, short(err)
		}
		return r, nil
	case *zipSource:
		z := s.files[name]
		if z == nil {
			return nil, fs.ErrNotExist
		}
		return z.Open()
	case *tarSource:
		return s.stream(name)
	default:
		return nil, fmt.Errorf("files of %T cannot be read as a stream", s)
	}
}
