package steadyfile

import "sync/atomic"

// fault is called before every read; nil but in tests.
var fault atomic.Pointer[func(path string, off int64, n int) error]

// Inject makes every read of a [File] call f before, with the file's path, the offset
// and the number of bytes, until restore is called: for tests of what disks and network
// drives do. An error of f is that of the read, of which the first half is done.
func Inject(f func(path string, off int64, n int) error) (restore func()) {
	fault.Store(&f)
	return func() { fault.Store(nil) }
}

// faulty reads as [Inject] wants it.
func (f *File) faulty(p []byte, off int64) (int, error) {
	if hook := fault.Load(); hook != nil {
		if err := (*hook)(f.Name(), off, len(p)); err != nil {
			n, _ := f.f.ReadAt(p[:len(p)/2], off)
			return n, err
		}
	}
	return f.f.ReadAt(p, off)
}
