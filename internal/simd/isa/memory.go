package isa

import "unsafe"

// FloatAt returns the float that lies off bytes after p.
func FloatAt(p *float32, off int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), off))
}

// Address returns the address of p, for a prefetch.
func Address(p *float32) uintptr { return uintptr(unsafe.Pointer(p)) }
