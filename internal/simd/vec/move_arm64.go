//go:build !purego

package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

// maxPool does a run of windows.
func maxPool(y []float32, arg []uint16, x []float32, w *window) {
	last := (w.pixels-1)*w.pixelStep + (w.rows-1)*w.rowStep + (w.cols-1)*w.colStep + w.c - 1
	_, _ = x[last], y[w.pixels*w.c-1]
	done := 0
	if isa.UseNEON {
		if arg != nil {
			_ = arg[w.pixels*w.c-1]
			maxPoolArgNEON(&y[0], &arg[0], &x[0], &w.pixels)
		} else {
			maxPoolNEON(&y[0], &x[0], &w.pixels)
		}
		done = w.c &^ 3
	}
	maxPoolChannels(y, arg, x, w, done)
}

// maxPoolGrad adds dy to dx where arg is the tap; pixels of dx are step apart.
func maxPoolGrad(dx, dy []float32, arg []uint16, tap uint16, c, step int) {
	pixels := len(dy) / c
	if pixels == 0 {
		return
	}
	_, _ = dx[(pixels-1)*step+c-1], arg[pixels*c-1]
	done := 0
	if isa.UseNEON {
		maxPoolGradNEON(&dx[0], &dy[0], &arg[0], int(tap), pixels, c, step)
		done = c &^ 3
	}
	maxPoolGradChannels(dx, dy, arg, tap, c, step, done)
}

// TransposeStrided computes dst[j*dstStride+i] = src[i*srcStride+j] for i < rows and
// j < cols.
func TransposeStrided(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	if !isa.UseNEON || rows < 4 || cols < 4 {
		transposeGeneric(dst, dstStride, src, srcStride, rows, cols)
		return
	}
	_, _ = dst[(cols-1)*dstStride+rows-1], src[(rows-1)*srcStride+cols-1]
	r4, c4 := rows&^3, cols&^3
	for i := 0; i < r4; i += 4 {
		transpose4NEON(&dst[i], dstStride, &src[i*srcStride], srcStride, c4)
	}
	if c4 < cols {
		transposeGeneric(dst[c4*dstStride:], dstStride, src[c4:], srcStride, r4, cols-c4)
	}
	if r4 < rows {
		transposeGeneric(dst[r4:], dstStride, src[r4*srcStride:], srcStride, rows-r4, cols)
	}
}

// normalizeU8 computes dst = src*scale + shift on whole rows.
func normalizeU8(dst []float32, src []byte, scale, shift []float32) {
	c := len(scale)
	if !isa.UseNEON {
		normalizeU8Generic(dst, src, scale, shift)
		return
	}
	for r := 0; r < len(src); r += c {
		d, s := dst[r:r+c], src[r:r+c]
		n := c &^ 7
		if n > 0 {
			normalizeU8NEON(&d[0], &s[0], &scale[0], &shift[0], n)
		}
		if n < c {
			// The kernel rounds once where Go may round twice; a padded copy
			// keeps the bits the same wherever a row is cut.
			var k, b, v [8]float32
			var u [8]byte
			copy(k[:], scale[n:])
			copy(b[:], shift[n:])
			copy(u[:], s[n:])
			normalizeU8NEON(&v[0], &u[0], &k[0], &b[0], 8)
			copy(d[n:], v[:])
		}
	}
}

// dropout is dropoutGeneric from a whole block on.
func dropout(y, x []float32, limit uint32, scale float32, ctr [4]uint32, key [2]uint32, first int) {
	if n := len(x) &^ 31; n > 0 && isa.UseNEON {
		ctr[0] = uint32(first >> 2)
		var keys [20]uint32
		k := key
		for i := 0; i < len(keys); i += 2 {
			keys[i], keys[i+1] = k[0], k[1]
			k[0] += 0x9E3779B9 // the Weyl constants of Philox
			k[1] += 0xBB67AE85
		}
		dropoutNEON(&y[0], &x[0], n, limit, scale, &ctr[0], &keys[0])
		y, x, first = y[n:], x[n:], first+n
	}
	dropoutGeneric(y, x, limit, scale, ctr, key, first)
}
