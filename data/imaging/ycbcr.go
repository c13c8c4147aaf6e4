package imaging

import (
	"image"
	"sync"

	"github.com/resnet-go/resnet/internal/jpeg"
	"github.com/resnet-go/resnet/internal/simd/pixels"
)

// fromJPEG converts the part r of a decoded picture as libjpeg-turbo does by
// default: chroma that is halved in one or both directions is interpolated by
// a triangle filter where the picture is smooth ("fancy upsampling", jdsample.c),
// other ratios are repeated; then the conversion of jdcolor.c in 16-bit fixed
// point. CMYK becomes RGB as in Pillow.
func fromJPEG(dst *Image, p *jpeg.Picture, r Rect) {
	kind := plain
	if p.Smooth {
		kind = fancyJPEG
	}
	up := upsamplers.Get().(*upsampler)
	defer upsamplers.Put(up)
	up.init(p.Planes, kind, r.X, r.X+r.W)
	channels := 3
	if p.Model == jpeg.Gray {
		channels = 1
	}
	dst.Reset(r.W, r.H, channels)
	for y := range r.H {
		out, at := dst.Row(y), r.Y+y
		switch p.Model {
		case jpeg.Gray:
			copy(out, up.row(0, at))
		case jpeg.YCbCr:
			ycbcrRow(out, up.row(0, at), up.row(1, at), up.row(2, at))
		case jpeg.RGB:
			interleave(out, up.row(0, at), up.row(1, at), up.row(2, at))
		case jpeg.YCCK:
			ycbcrRow(out, up.row(0, at), up.row(1, at), up.row(2, at))
			addBlack(out, up.row(3, at))
		case jpeg.CMYK:
			interleave(out, up.row(0, at), up.row(1, at), up.row(2, at))
			for i := range out {
				out[i] = 255 - out[i]
			}
			addBlack(out, up.row(3, at))
		}
	}
	up.planes = nil
}

// planesTogether returns the samples of all components as they are, pixel by pixel.
func planesTogether(p *jpeg.Picture) []byte {
	var up upsampler
	kind := plain
	if p.Smooth {
		kind = fancyJPEG
	}
	up.init(p.Planes, kind, 0, p.Width)
	n := len(p.Planes)
	out := make([]byte, p.Width*p.Height*n)
	for y := range p.Height {
		for c := range n {
			for x, v := range up.row(c, y) {
				out[(y*p.Width+x)*n+c] = v
			}
		}
	}
	return out
}

func interleave(out, r, g, b []uint8) {
	g, b = g[:len(r)], b[:len(r)]
	for x := range r {
		o := out[3*x : 3*x+3 : 3*x+3]
		o[0], o[1], o[2] = r[x], g[x], b[x]
	}
}

// addBlack turns a row of cyan, magenta and yellow into red, green and blue. Black is
// stored inverted, as Adobe's programs do, also in files without their marker: Pillow
// takes all for theirs.
func addBlack(row, black []uint8) {
	for x, light := range black[:len(row)/3] {
		o := row[3*x : 3*x+3 : 3*x+3]
		for c, v := range o {
			o[c] = cmykChannel(v, light)
		}
	}
}

// cmykChannel is a channel of RGB for an amount of ink and 255 less the black.
func cmykChannel(ink, light uint8) uint8 {
	return light - min(light, uint8(mulDiv255(int(ink), int(light))))
}

// ycbcrRow converts a row.
func ycbcrRow(out, luma, cb, cr []uint8) {
	done := pixels.YCbCrToRGB(out, luma, cb, cr)
	out, luma, cb, cr = out[3*done:], luma[done:], cb[done:], cr[done:]
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

// planesOf returns the planes of a picture of the standard library.
func planesOf(m *image.YCbCr) []jpeg.Plane {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	sx, sy := steps(m.SubsampleRatio)
	chroma := jpeg.Plane{Stride: m.CStride, Width: (w + sx - 1) / sx, Height: (h + sy - 1) / sy, StepX: sx, StepY: sy}
	luma := jpeg.Plane{Pix: m.Y, Stride: m.YStride, Width: w, Height: h, StepX: 1, StepY: 1}
	cb, cr := chroma, chroma
	cb.Pix, cr.Pix = m.Cb, m.Cr
	return []jpeg.Plane{luma, cb, cr}
}

// fromYCbCr converts a picture of the standard library as one of a JPEG file.
func fromYCbCr(dst *Image, m *image.YCbCr) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	p := jpeg.Picture{Width: w, Height: h, Model: jpeg.YCbCr, Smooth: true, Planes: planesOf(m)}
	fromJPEG(dst, &p, Rect{0, 0, w, h})
}

// webpToRGB converts the studio-range YCbCr of VP8 as libwebp does
// (src/dsp/yuv.h), after its "fancy" upsampling (src/dsp/upsampling.c).
func webpToRGB(dst *Image, m *image.YCbCr) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	var up upsampler
	up.init(planesOf(m), fancyWebP, 0, w)
	dst.Reset(w, h, 3)
	for y := range h {
		cb, cr := up.row(1, y), up.row(2, y)
		out := dst.Row(y)
		for x, l := range up.row(0, y) {
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

// upsampler gives the planes at full size, row by row.
type upsampler struct {
	planes []jpeg.Plane
	kind   fancy
	x0, x1 int // the wanted columns
	rows   [4][]uint8
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

// init makes u give the columns x0 to below x1 of planes.
func (u *upsampler) init(planes []jpeg.Plane, kind fancy, x0, x1 int) {
	u.planes, u.kind, u.x0, u.x1 = planes, kind, x0, x1
	for i, p := range planes {
		// Room for an interpolated row of whole steps.
		u.rows[i] = grow(u.rows[i], x1-x0+2*p.StepX+1)
	}
}

func line(p *jpeg.Plane, y int) []uint8 {
	y = min(max(y, 0), p.Height-1)
	return p.Pix[y*p.Stride : y*p.Stride+p.Width]
}

// row returns row y of a plane, which holds until the next call.
func (u *upsampler) row(i, y int) []uint8 {
	p := &u.planes[i]
	sx, sy := p.StepX, p.StepY
	if sx == 1 && sy == 1 {
		return line(p, y)[u.x0:u.x1]
	}
	// The wanted columns belong to the samples c0 to below c1.
	c0, c1 := u.x0/sx, (u.x1+sx-1)/sx
	out := u.rows[i]
	cy := y / sy
	near := line(p, cy)
	far := near
	if sy == 2 { // the second nearest row: above for the upper one of a pair
		far = line(p, cy-1+2*(y%2))
	}
	switch smooth := u.kind != plain; {
	case u.kind == fancyWebP && sx == 2 && sy == 2:
		webpRow(out, near, far)
	case smooth && sx == 2 && sy == 2 && p.Width > 2:
		triangle2x2(out, near, far, c0, c1)
	case smooth && sx == 2 && sy == 1 && p.Width > 2:
		triangle2x1(out, near, c0, c1)
	case smooth && sx == 1 && sy == 2:
		bias := uint32(1 + y%2)
		near, far = near[c0:c1], far[c0:c1]
		for i := pixels.Upsample1x2(out, near, far, y%2 == 1); i < len(near); i++ {
			out[i] = uint8((3*uint32(near[i]) + uint32(far[i]) + bias) >> 2)
		}
	default:
		for i, v := range near[c0:c1] {
			for k := range sx {
				out[i*sx+k] = v
			}
		}
	}
	return out[u.x0-c0*sx:][:u.x1-u.x0]
}

// triangle2x1 writes the columns of the samples c0 to below c1.
func triangle2x1(out, in []uint8, c0, c1 int) {
	n := len(in)
	v0, v1 := max(c0, 1), min(c1, n-1) // those with neighbors on both sides
	done := 0
	if v0 < v1 {
		done = pixels.Upsample2x1(out[2*(v0-c0):], in[v0-1:v1+1])
	}
	for i := c0; i < c1; i++ {
		if i == v0 {
			if i += done; i == c1 {
				break
			}
		}
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
	v0, v1 := max(c0, 1), min(c1, n-1) // those with neighbors on both sides
	done := 0
	if v0 < v1 {
		done = pixels.Upsample2x2(out[2*(v0-c0):], near[v0-1:v1+1], far[v0-1:v1+1])
	}
	for i := c0; i < c1; i++ {
		if i == v0 {
			if i += done; i == c1 {
				break
			}
		}
		this, last, next := at(i), at(max(i-1, 0)), at(min(i+1, n-1))
		o := out[2*(i-c0) : 2*(i-c0)+2]
		o[0] = uint8((3*this + last + 8) >> 4)
		o[1] = uint8((3*this + next + 7) >> 4)
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
