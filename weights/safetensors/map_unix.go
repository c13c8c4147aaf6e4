//go:build unix

package safetensors

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
)

// mapped is a file in memory by map: its bytes are read once, from the
// system's cache straight into the tensor.
type mapped struct {
	file *os.File
	b    []byte
}

// mapFile maps a file of the given size, not empty, which it takes over.
func mapFile(f *os.File, size int64) (*mapped, error) {
	if int64(int(size)) != size {
		return nil, fmt.Errorf("%d bytes are too many for this machine's memory map", size)
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map into memory: %w", err)
	}
	return &mapped{file: f, b: b}, nil
}

// ReadAt copies, as io.ReaderAt wants.
func (m *mapped) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off > int64(len(m.b)) && m.b != nil {
		return 0, io.EOF
	}
	err = m.view(off, max(0, min(int64(len(p)), int64(len(m.b))-off)), func(b []byte) { n = copy(p, b) })
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// view calls f with bytes of the file, which f must not keep. If the file is
// cut short by someone meanwhile, touching them is a fault; it becomes an error.
func (m *mapped) view(off, n int64, f func(b []byte)) (err error) {
	if m.b == nil {
		return os.ErrClosed
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface {
				runtime.Error
				Addr() uintptr
			})
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("the file became shorter while it was read: %w", fault)
		}
	}()
	f(m.b[off : off+n])
	return nil
}

// Close unmaps and closes.
func (m *mapped) Close() error {
	if m.b == nil {
		return os.ErrClosed
	}
	err := syscall.Munmap(m.b)
	m.b = nil
	if e := m.file.Close(); err == nil {
		err = e
	}
	return err
}
