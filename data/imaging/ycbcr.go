package imaging

import "image"

// jpegToRGB converts JFIF YCbCr as libjpeg-turbo does by default: chroma that
// is halved in one or both directions is interpolated by a triangle filter
// ("fancy upsampling", jdsample.c), other ratios are repeated; then the
// conversion of jdcolor.c in 16-bit fixed point.
func jpegToRGB(dst *Image, m *image.YCbCr) {
	up := newUpsampler(m, fancyJPEG)
	dst.Reset(up.w, up.h, 3)
	for y := range up.h {
		luma := m.Y[y*m.YStride : y*m.YStride+up.w]
		cb, cr := up.rows(y)
		out := dst.Row(y)
		for x, l := range luma {
			y1 := int32(l) << 16
			b, r := int32(cb[x])-128, int32(cr[x])-128
			o := out[3*x : 3*x+3 : 3*x+3]
			o[0] = clip8((y1 + 91881*r + 1<<15) >> 16)
			o[1] = clip8((y1 - 22554*b - 46802*r + 1<<15) >> 16)
			o[2] = clip8((y1 + 116130*b + 1<<15) >> 16)
		}
	}
}

// webpToRGB converts the studio-range YCbCr of VP8 as libwebp does
// (src/dsp/yuv.h), after its "fancy" upsampling (src/dsp/upsampling.c).
func webpToRGB(dst *Image, m *image.YCbCr) {
	up := newUpsampler(m, fancyWebP)
	dst.Reset(up.w, up.h, 3)
	for y := range up.h {
		luma := m.Y[y*m.YStride : y*m.YStride+up.w]
		cb, cr := up.rows(y)
		out := dst.Row(y)
		for x, l := range luma {
			y1 := int32(l) * 19077 >> 8
			b, r := int32(cb[x]), int32(cr[x])
			o := out[3*x : 3*x+3 : 3*x+3]
			o[0] = clip8((y1 + r*26149>>8 - 14234) >> 6)
			o[1] = clip8((y1 - b*6419>>8 - r*13320>>8 + 8708) >> 6)
			o[2] = clip8((y1 + b*33050>>8 - 17685) >> 6)
		}
	}
}

type fancy int

const (
	fancyJPEG fancy = iota
	fancyWebP
)

// upsampler gives the chroma planes at full size, row by row.
type upsampler struct {
	m      *image.YCbCr
	kind   fancy
	w, h   int // of the picture
	cw, ch int // of the chroma planes
	sx, sy int // chroma steps in luma pixels
	cb, cr []uint8
}

// steps returns how many luma pixels a chroma sample is wide and high.
func steps(r image.YCbCrSubsampleRatio) (sx, sy int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// wholeChroma reports whether the picture begins where a chroma sample does,
// which a part of a larger picture need not.
func wholeChroma(m *image.YCbCr) bool {
	sx, sy := steps(m.SubsampleRatio)
	return m.Rect.Min.X%sx == 0 && m.Rect.Min.Y%sy == 0
}

func newUpsampler(m *image.YCbCr, kind fancy) *upsampler {
	u := &upsampler{m: m, kind: kind, w: m.Rect.Dx(), h: m.Rect.Dy()}
	u.sx, u.sy = steps(m.SubsampleRatio)
	u.cw, u.ch = (u.w+u.sx-1)/u.sx, (u.h+u.sy-1)/u.sy
	// Room for an interpolated row of whole steps.
	u.cb, u.cr = make([]uint8, u.cw*u.sx+1), make([]uint8, u.cw*u.sx+1)
	return u
}

// rows returns the chroma of row y; they hold until the next call.
func (u *upsampler) rows(y int) (cb, cr []uint8) {
	return u.row(u.cb, u.m.Cb, y), u.row(u.cr, u.m.Cr, y)
}

func (u *upsampler) line(plane []uint8, cy int) []uint8 {
	cy = min(max(cy, 0), u.ch-1)
	return plane[cy*u.m.CStride : cy*u.m.CStride+u.cw]
}

func (u *upsampler) row(out, plane []uint8, y int) []uint8 {
	cy := y / u.sy
	near := u.line(plane, cy)
	far := near
	if u.sy == 2 { // the second nearest row: above for the upper one of a pair
		far = u.line(plane, cy-1+2*(y%2))
	}
	switch {
	case u.sx == 1 && u.sy == 1:
		return near
	case u.kind == fancyWebP && u.sx == 2 && u.sy == 2:
		webpRow(out, near, far)
	case u.sx == 2 && u.sy == 2 && u.cw > 2:
		triangle2x2(out, near, far)
	case u.sx == 2 && u.sy == 1 && u.cw > 2:
		triangle2x1(out, near)
	case u.sx == 1 && u.sy == 2:
		bias := uint32(1 + y%2)
		for i := range near {
			out[i] = uint8((3*uint32(near[i]) + uint32(far[i]) + bias) >> 2)
		}
	default:
		for i, v := range near {
			for k := range u.sx {
				out[i*u.sx+k] = v
			}
		}
	}
	return out
}

func triangle2x1(out, in []uint8) {
	n := len(in)
	for i, v := range in {
		l, r := in[max(i-1, 0)], in[min(i+1, n-1)]
		out[2*i] = uint8((3*uint32(v) + uint32(l) + 1) >> 2)
		out[2*i+1] = uint8((3*uint32(v) + uint32(r) + 2) >> 2)
	}
}

func triangle2x2(out, near, far []uint8) {
	n := len(near)
	far = far[:n]
	last := 3*uint32(near[0]) + uint32(far[0])
	this := last
	for i := range near {
		next := this
		if i+1 < n {
			next = 3*uint32(near[i+1]) + uint32(far[i+1])
		}
		out[2*i] = uint8((3*this + last + 8) >> 4)
		out[2*i+1] = uint8((3*this + next + 7) >> 4)
		last, this = this, next
	}
}

// webpRow mixes the four nearest chroma samples 9:3:3:1 with libwebp's two-step
// rounding.
func webpRow(out, near, far []uint8) {
	n := len(near)
	out[0] = uint8((3*uint32(near[0]) + uint32(far[0]) + 2) >> 2)
	for i := 1; i < n; i++ {
		tl, t := uint32(near[i-1]), uint32(near[i])
		l, c := uint32(far[i-1]), uint32(far[i])
		avg := tl + t + l + c + 8
		d12 := (avg + 2*(t+l)) >> 3
		d03 := (avg + 2*(tl+c)) >> 3
		out[2*i-1] = uint8((d12 + tl) >> 1)
		out[2*i] = uint8((d03 + t) >> 1)
	}
	out[2*n-1] = uint8((3*uint32(near[n-1]) + uint32(far[n-1]) + 2) >> 2)
}
