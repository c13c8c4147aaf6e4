package budget

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

var globalMemoryStatusEx = windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")

func physical() int64 {
	// MEMORYSTATUSEX of the Windows API.
	var s struct {
		length, load                                                 uint32
		totalPhys, availPhys, totalPage, availPage, totalVirt, avail uint64
		extended                                                     uint64
	}
	s.length = uint32(unsafe.Sizeof(s))
	if ok, _, _ := globalMemoryStatusEx.Call(uintptr(unsafe.Pointer(&s))); ok == 0 {
		return 0
	}
	return int64(s.totalPhys)
}

func container() int64 { return 0 }
