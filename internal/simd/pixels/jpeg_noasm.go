//go:build (!amd64 && !arm64) || purego

package pixels

// Without assembly there is no instruction set in use, and these are not called.
func idct8(dst []uint8, stride int, b, q *[64]int16) { panic(errPixels) }

func ycbcrToRGB(out, y, cb, cr []uint8, n int) { panic(errPixels) }

func upsample2x1(out, in []uint8, n int) { panic(errPixels) }

func upsample2x2(out, near, far []uint8, n int) { panic(errPixels) }

func upsample1x2(out, near, far []uint8, n int, lower bool) { panic(errPixels) }
