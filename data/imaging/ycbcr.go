package imaging

import (
	"image"
	"sync"
)

// jpegToRGB converts the part r of a picture in JFIF YCbCr as libjpeg-turbo does
// by default: chroma that is halved in one or both directions is interpolated by
// a triangle filter if fancy is set ("fancy upsampling", jdsample.c), other
// ratios are repeated; then the conversion of jdcolor.c in 16-bit fixed point.
func jpegToRGB(dst *Image, m *image.YCbCr, r Rect, smooth bool) {
	kind := plain
	if smooth {
		kind = fancyJPEG
	}
	up := upsamplers.Get().(*upsampler)
	defer upsamplers.Put(up)
	up.init(m, kind, r.X, r.X+r.W)
	dst.Reset(r.W, r.H, 3)
	for y := range r.H {
		at := (r.Y+y)*m.YStride + r.X
		luma := m.Y[at : at+r.W]
		cb, cr := up.rows(r.Y + y)
		ycbcrRow(dst.Row(y), luma, cb[:len(luma)], cr[:len(luma)])
	}
	up.m = nil
}

// ycbcrRow converts a row.
func ycbcrRow(out, luma, cb, cr []uint8) {
	cb, cr = cb[:len(luma)], cr[:len(luma)]
	for x, l := range luma {
		y1 := int32(l)<<16 + 1<<15
		b, r := int32(cb[x])-128, int32(cr[x])-128
		r1, g1, b1 := (y1+91881*r)>>16, (y1-22554*b-46802*r)>>16, (y1+116130*b)>>16
		if uint32(r1|g1|b1) > 255 { // clip8 of each, which is rare
			r1, g1, b1 = int32(clip8(r1)), int32(clip8(g1)), int32(clip8(b1))
		}
		o := out[3*x : 3*x+3 : 3*x+3]
		o[0], o[1], o[2] = uint8(r1), uint8(g1), uint8(b1)
	}
}

// webpToRGB converts the studio-range YCbCr of VP8 as libwebp does
// (src/dsp/yuv.h), after its "fancy" upsampling (src/dsp/upsampling.c).
func webpToRGB(dst *Image, m *image.YCbCr) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	var up upsampler
	up.init(m, fancyWebP, 0, w)
	dst.Reset(w, h, 3)
	for y := range h {
		luma := m.Y[y*m.YStride : y*m.YStride+w]
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
	plain fancy = iota
	fancyJPEG
	fancyWebP
)

// upsampler gives the chroma planes at full size, row by row.
type upsampler struct {
	m      *image.YCbCr
	kind   fancy
	cw, ch int // of the chroma planes
	sx, sy int // chroma steps in luma pixels
	// The wanted columns belong to the chroma samples c0 to below c1, without the
	// first skip columns.
	c0, c1, skip int
	cb, cr       []uint8
}

var upsamplers = sync.Pool{New: func() any { return new(upsampler) }}

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

// init makes u give the columns x0 to below x1 of m.
func (u *upsampler) init(m *image.YCbCr, kind fancy, x0, x1 int) {
	u.m, u.kind = m, kind
	u.sx, u.sy = steps(m.SubsampleRatio)
	u.cw, u.ch = (m.Rect.Dx()+u.sx-1)/u.sx, (m.Rect.Dy()+u.sy-1)/u.sy
	u.c0, u.c1 = x0/u.sx, (x1+u.sx-1)/u.sx
	u.skip = x0 - u.c0*u.sx
	// Room for an interpolated row of whole steps.
	n := (u.c1-u.c0)*u.sx + 1
	u.cb, u.cr = grow(u.cb, n), grow(u.cr, n)
}

// rows returns the chroma of row y; they hold until the next call.
func (u *upsampler) rows(y int) (cb, cr []uint8) {
	return u.row(u.cb, u.m.Cb, y)[u.skip:], u.row(u.cr, u.m.Cr, y)[u.skip:]
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
	switch smooth := u.kind != plain; {
	case u.sx == 1 && u.sy == 1:
		return near[u.c0:u.c1]
	case u.kind == fancyWebP && u.sx == 2 && u.sy == 2:
		webpRow(out, near, far)
	case smooth && u.sx == 2 && u.sy == 2 && u.cw > 2:
		triangle2x2(out, near, far, u.c0, u.c1)
	case smooth && u.sx == 2 && u.sy == 1 && u.cw > 2:
		triangle2x1(out, near, u.c0, u.c1)
	case smooth && u.sx == 1 && u.sy == 2:
		bias := uint32(1 + y%2)
		near, far = near[u.c0:u.c1], far[u.c0:u.c1]
		for i := range near {
			out[i] = uint8((3*uint32(near[i]) + uint32(far[i]) + bias) >> 2)
		}
	default:
		for i, v := range near[u.c0:u.c1] {
			for k := range u.sx {
				out[i*u.sx+k] = v
			}
		}
	}
	return out
}

// triangle2x1 writes the columns of the samples c0 to below c1.
func triangle2x1(out, in []uint8, c0, c1 int) {
	n := len(in)
	for i := c0; i < c1; i++ {
		v, l, r := in[i], in[max(i-1, 0)], in[min(i+1, n-1)]
		o := out[2*(i-c0) : 2*(i-c0)+2]
		o[0] = uint8((3*uint32(v) + uint32(l) + 1) >> 2)
		o[1] = uint8((3*uint32(v) + uint32(r) + 2) >> 2)
	}
}

// triangle2x2 writes the columns of the samples c0 to below c1.
func triangle2x2(out, near, far []uint8, c0, c1 int) {
	n := len(near)
	at := func(i int) uint32 { return 3*uint32(near[i]) + uint32(far[i]) }
	last, this := at(max(c0-1, 0)), at(c0)
	near, far = near[c0:min(c1+1, n)], far[c0:min(c1+1, n)]
	out = out[:2*(c1-c0)]
	for i := range c1 - c0 {
		next := this
		if i+1 < len(near) {
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
