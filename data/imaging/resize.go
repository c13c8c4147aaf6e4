package imaging

import (
	"fmt"
	"math"
	"sync"

	"github.com/resnet-go/resnet/internal/simd/pixels"
)

// Filter is a resampling filter by its Pillow name, in lower case.
type Filter string

// The resampling filters. Bilinear and Bicubic are widened when a picture gets
// smaller (antialias), as Pillow and torchvision's antialias=True do; Box
// averages; Nearest takes the pixel under the center.
const (
	Nearest  Filter = "nearest"
	Box      Filter = "box"
	Bilinear Filter = "bilinear"
	Bicubic  Filter = "bicubic"
)

// Valid returns an error if f is not one of the filters of this package.
func (f Filter) Valid() error {
	switch f {
	case Nearest, Box, Bilinear, Bicubic:
		return nil
	}
	return fmt.Errorf("imaging: interpolation %q is not one of nearest, box, bilinear, bicubic", string(f))
}

func (f Filter) support() float64 {
	switch f {
	case Box:
		return 0.5
	case Bilinear:
		return 1
	default:
		return 2
	}
}

func (f Filter) weight(x float64) float64 {
	switch f {
	case Box:
		if x > -0.5 && x <= 0.5 {
			return 1
		}
	case Bilinear:
		if x = math.Abs(x); x < 1 {
			return 1 - x
		}
	default:
		const a = -0.5 // Keys' cubic, Pillow's choice of a
		switch x = math.Abs(x); {
		case x < 1:
			return ((a+2)*x-(a+3))*x*x + 1
		case x < 2:
			return (((x-5)*x+8)*x - 4) * a
		}
	}
	return 0
}

// Rect is a part of a picture: its top left corner and its size in pixels.
type Rect struct{ X, Y, W, H int }

// Resize writes src resampled to w by h pixels to dst, another picture. It
// equals Pillow's Image.resize((w, h), filter), bit for bit. It panics if a
// size is below 1 or the filter is not valid.
func Resize(dst, src *Image, w, h int, f Filter) {
	ResizeRect(dst, src, Rect{0, 0, src.W, src.H}, w, h, f)
}

// ResizeRect writes the part r of src resampled to w by h pixels to dst,
// another picture: Pillow's crop followed by resize. It panics if a size is
// below 1, r is not inside src, or the filter is not valid.
func ResizeRect(dst, src *Image, r Rect, w, h int, f Filter) {
	resize(dst, src, r, Region{0, 0, float64(r.W), float64(r.H)}, w, h, f)
}

// ResizeRegion writes the part b of src resampled to w by h pixels to dst, another
// picture: Pillow's Image.resize((w, h), filter, box). The filter sees pixels
// around the box, too. It panics if a size is below 1, b is empty or not inside
// src, or the filter is not valid.
func ResizeRegion(dst, src *Image, b Region, w, h int, f Filter) {
	resize(dst, src, Rect{0, 0, src.W, src.H}, b, w, h, f)
}

// ResizeCrop writes the part r of src resampled to w by h pixels to dst, another
// picture: [Resize] followed by [Crop], without the work for the rest. It panics
// where those do.
func ResizeCrop(dst, src *Image, w, h int, r Rect, f Filter) {
	resample(dst, src, sampling{in: Rect{0, 0, src.W, src.H}, w: w, h: h, out: r, f: f}.whole())
}

// resize resamples the region b of the part r, as if there was nothing outside r.
func resize(dst, src *Image, r Rect, b Region, w, h int, f Filter) {
	if r.W < 1 || r.H < 1 {
		panic(fmt.Sprintf("imaging: cannot resize %d x %d to %d x %d", r.W, r.H, w, h))
	}
	checkInside(src, r)
	resample(dst, src, sampling{in: r, region: b, w: w, h: h, out: Rect{0, 0, w, h}, f: f})
}

// sampling is one resampling.
type sampling struct {
	// in is the picture that there is, in the pixels of the one that is given,
	// which may have no more than what is needed of it.
	in     Rect
	region Region // of in, that is resampled
	w, h   int    // size of the result in pixels
	out    Rect   // of which this part is wanted
	f      Filter
}

// whole makes all of in the region.
func (s sampling) whole() sampling {
	s.region = Region{0, 0, float64(s.in.W), float64(s.in.H)}
	return s
}

// sameW and sameH tell which axis stays as it is.
func (s *sampling) sameW() bool {
	return s.region.X == 0 && s.region.W == float64(s.in.W) && s.w == s.in.W
}

func (s *sampling) sameH() bool {
	return s.region.Y == 0 && s.region.H == float64(s.in.H) && s.h == s.in.H
}

// source returns the part of in that is needed.
func (s *sampling) source() Rect {
	r := s.out
	if s.f == Nearest {
		return Rect{0, 0, s.in.W, s.in.H}
	}
	if !s.sameW() {
		t := newAxis(s.in.W, s.region.X, s.region.W, s.w, s.f)
		_, lo, _ := t.at(s.out.X)
		_, _, hi := t.at(s.out.X + s.out.W - 1)
		r.X, r.W = lo, hi-lo
	}
	if !s.sameH() {
		t := newAxis(s.in.H, s.region.Y, s.region.H, s.h, s.f)
		_, lo, _ := t.at(s.out.Y)
		_, _, hi := t.at(s.out.Y + s.out.H - 1)
		r.Y, r.H = lo, hi-lo
	}
	return r
}

func (s *sampling) check() {
	if s.w < 1 || s.h < 1 || s.in.W < 1 || s.in.H < 1 {
		panic(fmt.Sprintf("imaging: cannot resize %d x %d to %d x %d", s.in.W, s.in.H, s.w, s.h))
	}
	if b := s.region; !(b.X >= 0 && b.Y >= 0 && b.W > 0 && b.H > 0 && b.X+b.W <= float64(s.in.W) && b.Y+b.H <= float64(s.in.H)) {
		panic(fmt.Sprintf("imaging: part %+v is not inside a picture of %d x %d", b, s.in.W, s.in.H))
	}
	if r := s.out; r.X < 0 || r.Y < 0 || r.W < 1 || r.H < 1 || r.X+r.W > s.w || r.Y+r.H > s.h {
		panic(fmt.Sprintf("imaging: part %+v is not inside a picture of %d x %d", r, s.w, s.h))
	}
	if err := s.f.Valid(); err != nil {
		panic(err.Error())
	}
}

func resample(dst, src *Image, j sampling) {
	j.check()
	if j.f == Nearest {
		resizeNearest(dst, src, j)
		return
	}
	sameW, sameH := j.sameW(), j.sameH()
	// What of src is needed where an axis stays as it is.
	same := Rect{j.in.X + j.out.X, j.in.Y + j.out.Y, j.out.W, j.out.H}
	if sameW && sameH {
		Crop(dst, src, same)
		return
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)

	// Two passes, rows first, each rounded to 8 bits; a pass that changes
	// nothing is left out, and the first makes only the rows the second reads.
	in, x, y := src, same.X, 0
	if !sameH {
		s.y.compute(newAxis(j.in.H, j.region.Y, j.region.H, j.h, j.f), j.out.Y, j.out.H, j.in.Y)
	}
	if !sameW {
		s.x.compute(newAxis(j.in.W, j.region.X, j.region.W, j.w, j.f), j.out.X, j.out.W, j.in.X)
		first, last, out := same.Y, same.Y+same.H, dst
		if !sameH {
			first, last = s.y.span()
			out = &s.tmp
		}
		out.Reset(j.out.W, last-first, src.C)
		if src.C == 3 {
			s.x.mixer.Init(3*src.W, s.x.start, s.x.count, s.x.weight, s.x.stride)
		}
		for row := first; row < last; row++ {
			if src.C == 3 {
				s.x.row3(out.Row(row-first), src.Row(row))
			} else {
				s.x.row1(out.Row(row-first), src.Row(row))
			}
		}
		if sameH {
			return
		}
		in, x, y = out, 0, first
	}
	dst.Reset(j.out.W, j.out.H, src.C)
	s.sum = grow(s.sum, j.out.W*src.C)
	for row := range j.out.H {
		at := ((s.y.start[row]-y)*in.W + x) * in.C
		mixRows(dst.Row(row), in.Pix[at:], in.W*in.C, s.y.of(row), s.sum)
	}
}

// half rounds what is shifted away.
const half = 1 << (precision - 1)

// mixRows writes the weighted sum of rows, which begin stride apart, to out.
// Two to four weights are by far the most frequent numbers of them.
func mixRows(out, in []uint8, stride int, k []int32, sum []int32) {
	done := pixels.MixRows(out, in, stride, k)
	out, in = out[done:], in[done:]
	n := len(out)
	if n == 0 {
		return
	}
	switch len(k) {
	case 1:
		a, ka := in[:n], k[0]
		for i := range out {
			out[i] = clip8((half + int32(a[i])*ka) >> precision)
		}
	case 2:
		a, b := in[:n], in[stride:][:n]
		ka, kb := k[0], k[1]
		for i := range out {
			out[i] = clip8((half + int32(a[i])*ka + int32(b[i])*kb) >> precision)
		}
	case 3:
		a, b, c := in[:n], in[stride:][:n], in[2*stride:][:n]
		ka, kb, kc := k[0], k[1], k[2]
		for i := range out {
			out[i] = clip8((half + int32(a[i])*ka + int32(b[i])*kb + int32(c[i])*kc) >> precision)
		}
	case 4:
		a, b, c, d := in[:n], in[stride:][:n], in[2*stride:][:n], in[3*stride:][:n]
		ka, kb, kc, kd := k[0], k[1], k[2], k[3]
		for i := range out {
			out[i] = clip8((half + int32(a[i])*ka + int32(b[i])*kb + int32(c[i])*kc + int32(d[i])*kd) >> precision)
		}
	default:
		sum = sum[:n]
		for i := range sum {
			sum[i] = half
		}
		for ; len(k) >= 4; k, in = k[4:], in[min(4*stride, len(in)):] {
			a, b, c, d := in[:n], in[stride:][:n], in[2*stride:][:n], in[3*stride:][:n]
			ka, kb, kc, kd := k[0], k[1], k[2], k[3]
			for i := range sum {
				sum[i] += int32(a[i])*ka + int32(b[i])*kb + int32(c[i])*kc + int32(d[i])*kd
			}
		}
		for t, w := range k {
			for i, v := range in[t*stride:][:n] {
				sum[i] += int32(v) * w
			}
		}
		for i, v := range sum {
			out[i] = clip8(v >> precision)
		}
	}
}

// precision is the number of fraction bits of a weight.
const precision = pixels.PixelFraction

// taps holds, for every output position of one axis, the first input position
// and the fixed-point weights from there on.
type taps struct {
	stride int
	start  []int
	count  []int
	weight []int32
	float  []float64
	mixer  pixels.PixelMixer
}

func (t *taps) of(i int) []int32 { return t.weight[i*t.stride : i*t.stride+t.count[i]] }

// span returns the range of inputs that the outputs read.
func (t *taps) span() (first, last int) {
	n := len(t.start) - 1
	return t.start[0], t.start[n] + t.count[n]
}

// axis is the resampling of one axis: from size inputs that begin at start, of
// in, to a number of outputs.
type axis struct {
	in                    int
	start, scale, support float64
	f                     Filter
}

func newAxis(in int, start, size float64, out int, f Filter) axis {
	scale := size / float64(out)
	return axis{in, start, scale, f.support() * max(scale, 1), f}
}

// at returns the center of output i in the inputs, and the first of them that
// it reads and the one after the last.
func (a *axis) at(i int) (center float64, lo, hi int) {
	center = a.start + (float64(i)+0.5)*a.scale
	return center, max(int(center-a.support+0.5), 0), min(int(center+a.support+0.5), a.in)
}

// compute finds the taps of n outputs from the one of number first on. Input 0
// of the axis is that of number shift for the taps.
func (t *taps) compute(a axis, first, n, shift int) {
	t.stride = int(math.Ceil(a.support))*2 + 1
	t.start, t.count = grow(t.start, n), grow(t.count, n)
	t.weight, t.float = grow(t.weight, n*t.stride), grow(t.float, t.stride)
	inv := 1 / max(a.scale, 1)
	for i := range n {
		center, lo, hi := a.at(first + i)
		sum := 0.0
		w := t.float[:hi-lo]
		for j := range w {
			w[j] = a.f.weight((float64(j+lo) - center + 0.5) * inv)
			sum += w[j]
		}
		k := t.weight[i*t.stride:]
		for j, v := range w {
			if sum != 0 {
				v /= sum
			}
			if v < 0 {
				k[j] = int32(-0.5 + v*(1<<precision))
			} else {
				k[j] = int32(0.5 + v*(1<<precision))
			}
		}
		t.start[i], t.count[i] = lo+shift, hi-lo
	}
}

func (t *taps) row3(dst, src []uint8) {
	for i := t.mixer.Mix(dst, src); i < len(dst)/3; i++ {
		start := t.start[i]
		p, w := src[3*start:], t.of(i)
		r, g, b := int32(half), int32(half), int32(half)
		for len(w) >= 2 && len(p) >= 6 {
			q, k0, k1 := p[:6:6], w[0], w[1]
			r += int32(q[0])*k0 + int32(q[3])*k1
			g += int32(q[1])*k0 + int32(q[4])*k1
			b += int32(q[2])*k0 + int32(q[5])*k1
			p, w = p[6:], w[2:]
		}
		if len(w) > 0 {
			q, k := p[:3:3], w[0]
			r += int32(q[0]) * k
			g += int32(q[1]) * k
			b += int32(q[2]) * k
		}
		r, g, b = r>>precision, g>>precision, b>>precision
		if uint32(r|g|b) > 255 {
			r, g, b = int32(clip8(r)), int32(clip8(g)), int32(clip8(b))
		}
		o := dst[3*i : 3*i+3 : 3*i+3]
		o[0], o[1], o[2] = uint8(r), uint8(g), uint8(b)
	}
}

func (t *taps) row1(dst, src []uint8) {
	for i := range dst {
		sum := int32(1 << (precision - 1))
		k := t.of(i)
		p := src[t.start[i] : t.start[i]+len(k)]
		for j, v := range p {
			sum += int32(v) * k[j]
		}
		dst[i] = clip8(sum >> precision)
	}
}

// resizeNearest is Pillow's scaling by nearest neighbor: positions are summed
// up in floating point, not multiplied, and that decides ties.
func resizeNearest(dst, src *Image, j sampling) {
	dst.Reset(j.out.W, j.out.H, src.C)
	sx, sy := j.region.W/float64(j.w), j.region.H/float64(j.h)
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.x.start = grow(s.x.start, j.w)
	at := j.region.X + sx*0.5
	for x := range j.w {
		s.x.start[x] = min(int(at), j.in.W-1)
		at += sx
	}
	c := src.C
	at = j.region.Y + sy*0.5
	for y := range j.out.Y + j.out.H {
		from := min(int(at), j.in.H-1)
		at += sy
		if y < j.out.Y {
			continue
		}
		row := src.Pix[((j.in.Y+from)*src.W+j.in.X)*c:]
		out := dst.Row(y - j.out.Y)
		for x, from := range s.x.start[j.out.X : j.out.X+j.out.W] {
			copy(out[x*c:x*c+c], row[from*c:from*c+c])
		}
	}
}

// scratch is the memory of one resize.
type scratch struct {
	x, y taps
	tmp  Image
	sum  []int32
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// ShorterSide returns the size of a w by h picture when its shorter side is
// made size pixels and its form is kept; the longer side is rounded down, as
// torchvision's Resize(size) does. It panics if w or h is below 1.
func ShorterSide(w, h, size int) (int, int) {
	if w <= h {
		return size, max(1, int(int64(size)*int64(h)/int64(w)))
	}
	return max(1, int(int64(size)*int64(w)/int64(h))), size
}

// CenterCropRect returns the middle cw by ch pixels of a w by h picture, with
// the rounding of torchvision's CenterCrop (halves go to the even number). A
// side that is too small gives a negative X or Y: [CropPad] fills with black.
func CenterCropRect(w, h, cw, ch int) Rect {
	return Rect{X: middle(w, cw), Y: middle(h, ch), W: cw, H: ch}
}

func middle(n, crop int) int {
	if n < crop {
		return -((crop - n) / 2)
	}
	half := (n - crop) / 2
	if (n-crop)%2 == 1 && half%2 == 1 {
		half++ // Python's round: half to even
	}
	return half
}
