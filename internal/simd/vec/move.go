package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

// Transpose computes dst[j*rows+i] = src[i*cols+j] for i < rows, j < cols.
func Transpose(dst, src []float32, rows, cols int) {
	isa.CheckLen(len(src), rows*cols, "Transpose src")
	isa.CheckLen(len(dst), rows*cols, "Transpose dst")
	if len(src) == 0 {
		return
	}
	TransposeStrided(dst, rows, src, cols, rows, cols)
}

// OIHWToHWIO changes convolution weights from torch's order (out channel, in
// channel, row, column) to the engine's (row, column, in channel, out channel).
func OIHWToHWIO(dst, src []float32, o, i, h, w int) {
	isa.CheckLen(len(src), o*i*h*w, "OIHWToHWIO src")
	isa.CheckLen(len(dst), o*i*h*w, "OIHWToHWIO dst")
	// dst[(rs*i+ci)*o+co] = src[(co*i+ci)*hw+rs]
	hw := h * w
	for co := 0; co < o; co++ {
		for ci := 0; ci < i; ci++ {
			for rs, v := range src[(co*i+ci)*hw:][:hw] {
				dst[(rs*i+ci)*o+co] = v
			}
		}
	}
}

// HWIOToOIHW is the inverse of [OIHWToHWIO].
func HWIOToOIHW(dst, src []float32, o, i, h, w int) {
	isa.CheckLen(len(src), o*i*h*w, "HWIOToOIHW src")
	isa.CheckLen(len(dst), o*i*h*w, "HWIOToOIHW dst")
	hw := h * w
	for co := 0; co < o; co++ {
		for ci := 0; ci < i; ci++ {
			out := dst[(co*i+ci)*hw:][:hw]
			for rs := range out {
				out[rs] = src[(rs*i+ci)*o+co]
			}
		}
	}
}

// NormalizeU8 computes dst[i*c+ch] = src[i*c+ch]*scale[ch] + shift[ch], c =
// len(scale): pixels of bytes to normalized activations.
func NormalizeU8(dst []float32, src []byte, scale, shift []float32) {
	isa.CheckLen(len(dst), len(src), "NormalizeU8 dst")
	isa.CheckLen(len(shift), len(scale), "NormalizeU8 shift")
	if len(src) == 0 {
		return
	}
	c := len(scale)
	rows := len(src) / c
	isa.CheckLen(len(src), rows*c, "NormalizeU8 src")
	k := widen(c, rows)
	if k == 1 {
		normalizeU8(dst, src, scale, shift)
		return
	}
	var room [2*maxWide + 16]float32
	buf := aligned(room[:])
	w := k * c
	repeat(buf[:w], scale)
	repeat(buf[maxWide:maxWide+w], shift)
	full := rows / k * w
	normalizeU8(dst[:full], src[:full], buf[:w], buf[maxWide:maxWide+w])
	normalizeU8(dst[full:], src[full:], scale, shift)
}

// normalizeU8 computes dst = src*scale + shift on whole rows.
func normalizeU8(dst []float32, src []byte, scale, shift []float32) {
	c := len(scale)
	if isa.Lanes() == 0 {
		normalizeU8Generic(dst, src, scale, shift)
		return
	}
	n := c &^ 7
	if isa.UseAVX512 {
		n = c // it masks the last vector
	}
	for r := 0; r < len(src); r += c {
		d, s := dst[r:r+c], src[r:r+c]
		if n > 0 {
			normalizeU8Asm(&d[0], &s[0], &scale[0], &shift[0], n)
		}
		if n < c {
			// The kernel rounds once where Go may round twice; a padded copy
			// keeps the bits the same wherever a row is cut.
			var k, b, v [8]float32
			var u [8]byte
			copy(k[:], scale[n:])
			copy(b[:], shift[n:])
			copy(u[:], s[n:])
			normalizeU8Asm(&v[0], &u[0], &k[0], &b[0], 8)
			copy(d[n:], v[:])
		}
	}
}

func normalizeU8Generic(dst []float32, src []byte, scale, shift []float32) {
	c := len(scale)
	for r := 0; r < len(src); r += c {
		d, s := dst[r:r+c], src[r:r+c]
		for i, v := range s {
			d[i] = float32(float32(v)*scale[i]) + shift[i]
		}
	}
}

// TransposeStrided computes dst[j*dstStride+i] = src[i*srcStride+j] for i < rows and
// j < cols.
func TransposeStrided(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	// The kernels do squares: of 8 with AVX2, which serves AVX-512 too since memory
	// is the limit, of 4 with NEON.
	edge := min(8, isa.Lanes())
	if edge == 0 || rows < edge || cols < edge {
		transposeGeneric(dst, dstStride, src, srcStride, rows, cols)
		return
	}
	_, _ = dst[(cols-1)*dstStride+rows-1], src[(rows-1)*srcStride+cols-1]
	r, c := rows&^(edge-1), cols&^(edge-1)
	for i := 0; i < r; i += edge {
		transposeAsm(&dst[i], dstStride, &src[i*srcStride], srcStride, c)
	}
	if c < cols {
		transposeGeneric(dst[c*dstStride:], dstStride, src[c:], srcStride, r, cols-c)
	}
	if r < rows {
		transposeGeneric(dst[r:], dstStride, src[r*srcStride:], srcStride, rows-r, cols)
	}
}

// transposeGeneric computes dst[j*dstStride+i] = src[i*srcStride+j] in tiles
// that stay in L1.
func transposeGeneric(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	const tile = 16
	for i0 := 0; i0 < rows; i0 += tile {
		i1 := min(i0+tile, rows)
		for j0 := 0; j0 < cols; j0 += tile {
			j1 := min(j0+tile, cols)
			for j := j0; j < j1; j++ {
				out := dst[j*dstStride+i0 : j*dstStride+i1]
				at := i0*srcStride + j
				for i := range out {
					out[i] = src[at]
					at += srcStride
				}
			}
		}
	}
}
