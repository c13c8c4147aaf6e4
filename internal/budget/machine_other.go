//go:build !linux && !darwin && !windows

package budget

import (
	"runtime"
	"unsafe"
)

// physical is not known on these systems, but where addresses have 32 bits, such as in
// WebAssembly, it is less than 4 GiB.
func physical() int64 {
	if unsafe.Sizeof(uintptr(0)) == 4 || runtime.GOARCH == "wasm" {
		return 4 << 30
	}
	return 0
}

func container() int64 { return 0 }
