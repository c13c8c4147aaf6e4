package hostile

import (
	"io/fs"
	"sync/atomic"
	"syscall"
)

// FS is a file system whose reads fail, or give fewer bytes than are asked for, as
// those of a failing disk or of a network drive do.
type FS struct {
	fs.FS
	// FailAt is the number of the read, from 1, that fails with EIO; 0 is none.
	FailAt int64
	// Most is the largest number of bytes of a read; 0 is any.
	Most int
	// Reads counts the reads.
	Reads atomic.Int64
}

// Open implements [fs.FS].
func (f *FS) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if dir, ok := file.(fs.ReadDirFile); ok {
		if info, err := file.Stat(); err == nil && info.IsDir() {
			return dir, nil
		}
	}
	return &faultyFile{file, f, name}, nil
}

type faultyFile struct {
	fs.File
	of   *FS
	name string
}

// Read implements [io.Reader].
func (f *faultyFile) Read(b []byte) (int, error) {
	if f.of.Reads.Add(1) == f.of.FailAt {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: syscall.EIO}
	}
	if f.of.Most > 0 && len(b) > f.of.Most {
		b = b[:f.of.Most]
	}
	return f.File.Read(b)
}
