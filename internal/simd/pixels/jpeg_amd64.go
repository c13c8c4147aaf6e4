//go:build !purego

package pixels

//go:noescape
func idct8AVX2(dst *uint8, stride int, b, q *int16)

//go:noescape
func ycbcrToRGBAVX2(out, y, cb, cr *uint8, n int)

//go:noescape
func upsample2x1AVX2(out, in *uint8, n int)

//go:noescape
func upsample2x2AVX2(out, near, far *uint8, n int)

//go:noescape
func upsample1x2UpperAVX2(out, near, far *uint8, n int)

//go:noescape
func upsample1x2LowerAVX2(out, near, far *uint8, n int)

func idct8(dst []uint8, stride int, b, q *[64]int16) { idct8AVX2(&dst[0], stride, &b[0], &q[0]) }

func ycbcrToRGB(out, y, cb, cr []uint8, n int) { ycbcrToRGBAVX2(&out[0], &y[0], &cb[0], &cr[0], n) }

func upsample2x1(out, in []uint8, n int) { upsample2x1AVX2(&out[0], &in[0], n) }

func upsample2x2(out, near, far []uint8, n int) { upsample2x2AVX2(&out[0], &near[0], &far[0], n) }

func upsample1x2(out, near, far []uint8, n int, lower bool) {
	if lower {
		upsample1x2LowerAVX2(&out[0], &near[0], &far[0], n)
	} else {
		upsample1x2UpperAVX2(&out[0], &near[0], &far[0], n)
	}
}
