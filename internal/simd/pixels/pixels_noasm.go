//go:build !amd64 || purego

package pixels

// Without assembly there is no instruction set in use, and these are not called.
func mixRows(out, in []uint8, n, stride int, w []int32) { panic(errPixels) }

func mixPixels(dst, src []uint8, n int, offset []int32, w []int16, quads int) { panic(errPixels) }
