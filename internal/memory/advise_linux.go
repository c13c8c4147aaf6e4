package memory

import "syscall"

const madvHugePage = 14 // MADV_HUGEPAGE

// adviseHuge asks for huge pages. Where the system has none, small ones serve.
func adviseHuge(b []byte) {
	if len(b) > 0 {
		_ = syscall.Madvise(b, madvHugePage)
	}
}
