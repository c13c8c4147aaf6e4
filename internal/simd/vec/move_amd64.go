//go:build !purego

package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

// maxPool does a run of windows.
func maxPool(y []float32, arg []uint16, x []float32, w *window) {
	last := (w.pixels-1)*w.pixelStep + (w.rows-1)*w.rowStep + (w.cols-1)*w.colStep + w.c - 1
	_, _ = x[last], y[w.pixels*w.c-1]
	if arg != nil {
		_ = arg[w.pixels*w.c-1]
	}
	switch {
	case isa.UseAVX512 && arg != nil:
		maxPoolArgAVX512(&y[0], &arg[0], &x[0], &w.pixels)
	case isa.UseAVX512:
		maxPoolAVX512(&y[0], &x[0], &w.pixels)
	case isa.UseAVX2:
		if arg != nil {
			maxPoolArgAVX2(&y[0], &arg[0], &x[0], &w.pixels)
		} else {
			maxPoolAVX2(&y[0], &x[0], &w.pixels)
		}
		maxPoolChannels(y, arg, x, w, w.c&^7)
	default:
		maxPoolChannels(y, arg, x, w, 0)
	}
}

// maxPoolGrad adds dy to dx where arg is the tap; pixels of dx are step apart.
func maxPoolGrad(dx, dy []float32, arg []uint16, tap uint16, c, step int) {
	pixels := len(dy) / c
	if pixels == 0 {
		return
	}
	_, _ = dx[(pixels-1)*step+c-1], arg[pixels*c-1]
	if isa.UseAVX512 {
		maxPoolGradAVX512(&dx[0], &dy[0], &arg[0], int(tap), pixels, c, step)
	} else if isa.UseAVX2 {
		maxPoolGradAVX2(&dx[0], &dy[0], &arg[0], int(tap), pixels, c, step)
		maxPoolGradChannels(dx, dy, arg, tap, c, step, c&^7)
	} else {
		maxPoolGradChannels(dx, dy, arg, tap, c, step, 0)
	}
}

// TransposeStrided computes dst[j*dstStride+i] = src[i*srcStride+j] for i < rows and
// j < cols.
func TransposeStrided(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	if !isa.UseAVX2 && !isa.UseAVX512 || rows < 8 || cols < 8 {
		transposeGeneric(dst, dstStride, src, srcStride, rows, cols)
		return
	}
	_, _ = dst[(cols-1)*dstStride+rows-1], src[(rows-1)*srcStride+cols-1]
	r8, c8 := rows&^7, cols&^7
	for i := 0; i < r8; i += 8 {
		transpose8AVX2(&dst[i], dstStride, &src[i*srcStride], srcStride, c8)
	}
	if c8 < cols {
		transposeGeneric(dst[c8*dstStride:], dstStride, src[c8:], srcStride, r8, cols-c8)
	}
	if r8 < rows {
		transposeGeneric(dst[r8:], dstStride, src[r8*srcStride:], srcStride, rows-r8, cols)
	}
}

// normalizeU8 computes dst = src*scale + shift on whole rows.
func normalizeU8(dst []float32, src []byte, scale, shift []float32) {
	c := len(scale)
	if !isa.UseAVX2 && !isa.UseAVX512 {
		normalizeU8Generic(dst, src, scale, shift)
		return
	}
	for r := 0; r < len(src); r += c {
		d, s := dst[r:r+c], src[r:r+c]
		if isa.UseAVX512 {
			normalizeU8AVX512(&d[0], &s[0], &scale[0], &shift[0], c)
			continue
		}
		n := c &^ 7
		if n > 0 {
			normalizeU8AVX2(&d[0], &s[0], &scale[0], &shift[0], n)
		}
		if n < c {
			// The kernel rounds once where Go would round twice; a padded
			// copy keeps the bits the same wherever a row is cut.
			var k, b, v [8]float32
			var u [8]byte
			copy(k[:], scale[n:])
			copy(b[:], shift[n:])
			copy(u[:], s[n:])
			normalizeU8AVX2(&v[0], &u[0], &k[0], &b[0], 8)
			copy(d[n:], v[:])
		}
	}
}

// dropout is dropoutGeneric from a whole block on.
func dropout(y, x []float32, limit uint32, scale float32, ctr [4]uint32, key [2]uint32, first int) {
	n := len(x) &^ 31
	if n > 0 && (isa.UseAVX2 || isa.UseAVX512) {
		ctr[0] = uint32(first >> 2)
		var keys [20]uint32
		for i := 0; i < len(keys); i += 2 {
			keys[i], keys[i+1] = key[0], key[1]
			key[0] += 0x9E3779B9 // the Weyl constants of Philox
			key[1] += 0xBB67AE85
		}
		key = [2]uint32{keys[0], keys[1]}
		if isa.UseAVX512 {
			dropoutAVX512(&y[0], &x[0], n, limit, scale, &ctr[0], &keys[0])
		} else {
			dropoutAVX2(&y[0], &x[0], n, limit, scale, &ctr[0], &keys[0])
		}
		y, x, first = y[n:], x[n:], first+n
	}
	dropoutGeneric(y, x, limit, scale, ctr, key, first)
}
