//go:build !purego

package pixels

//go:noescape
func mixRowsAVX2(out, in *uint8, n, stride int, w *int32, taps int)

//go:noescape
func mixPixels3AVX2(dst, src *uint8, n int, offset *int32, w *int16, quads int)

func mixRows(out, in []uint8, n, stride int, w []int32) {
	mixRowsAVX2(&out[0], &in[0], n, stride, &w[0], len(w))
}

func mixPixels(dst, src []uint8, n int, offset []int32, w []int16, quads int) {
	mixPixels3AVX2(&dst[0], &src[0], n, &offset[0], &w[0], quads)
}
