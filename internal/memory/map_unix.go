//go:build unix

package memory

import "syscall"

// mapAnonymous returns n zero bytes outside Go's heap, nil if there are none.
func mapAnonymous(n int) []byte {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil // the caller takes the heap, which reports a lack of memory
	}
	return b
}

func unmap(b []byte) { _ = syscall.Munmap(b) } // fails only for memory that is not a mapping
