package segment

import (
	"image"
	"image/color"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Mask is the class of each pixel of a picture, row by row from the top left.
type Mask struct {
	W, H int
	Pix  []uint8 // class, or [Ignore]
}

// Area is what one class covers of a mask.
type Area struct {
	Class  int     `json:"index"`
	Pixels int     `json:"pixels"`
	Share  float64 `json:"share"` // of all pixels of the mask
	Box    [4]int  `json:"box"`   // the smallest rectangle around it: x, y, width, height
}

// Areas returns what each class covers, the largest first. Pixels of [Ignore] are
// not listed.
func (m *Mask) Areas() []Area {
	var count [256]int
	var box [256]image.Rectangle
	for y := range m.H {
		row := m.Pix[y*m.W : (y+1)*m.W]
		for x := 0; x < len(row); {
			class, from := row[x], x
			for x < len(row) && row[x] == class {
				x++
			}
			count[class] += x - from
			box[class] = box[class].Union(image.Rect(from, y, x, y+1))
		}
	}
	areas := []Area{}
	for c, n := range count[:Ignore] {
		if n > 0 {
			b := box[c]
			areas = append(areas, Area{c, n, float64(n) / float64(m.W*m.H), [4]int{b.Min.X, b.Min.Y, b.Dx(), b.Dy()}})
		}
	}
	slices.SortStableFunc(areas, func(a, b Area) int { return b.Pixels - a.Pixels })
	return areas
}

// Paletted returns the mask as a picture whose color indices are the classes, in
// the colors of [Palette]. It shares the mask's memory.
func (m *Mask) Paletted() *image.Paletted {
	return &image.Paletted{Pix: m.Pix, Stride: m.W, Rect: image.Rect(0, 0, m.W, m.H), Palette: Palette()}
}

// Overlay returns a picture of the mask's size with the mask's colors over it, with
// opacity from 0 to 1. Class 0, the background of most data, and [Ignore] leave the
// picture as it is.
func (m *Mask) Overlay(picture *image.RGBA, opacity float64) *image.RGBA {
	colors := Palette()
	out := image.NewRGBA(picture.Bounds())
	for y := range m.H {
		src, dst := picture.Pix[y*picture.Stride:], out.Pix[y*out.Stride:]
		for x, class := range m.Pix[y*m.W : (y+1)*m.W] {
			p, q := src[4*x:4*x+4], dst[4*x:4*x+4]
			copy(q, p)
			if class == 0 || class == Ignore {
				continue
			}
			c := colors[class].(color.RGBA)
			for k, v := range [3]uint8{c.R, c.G, c.B} {
				q[k] = uint8(float64(p[k]) + opacity*(float64(v)-float64(p[k])) + 0.5)
			}
		}
	}
	return out
}

// Palette returns the 256 colors of Pascal VOC's masks: each class's index, its
// bits spread over the high bits of red, green and blue. Class 0 is black.
func Palette() color.Palette {
	p := make(color.Palette, 256)
	for i := range p {
		var c [3]uint8
		for bit, v := 7, i; v > 0; bit, v = bit-1, v>>3 {
			for k := range c {
				c[k] |= uint8(v>>k&1) << bit
			}
		}
		p[i] = color.RGBA{c[0], c[1], c[2], 255}
	}
	return p
}

// axis is where the pixels of an output axis lie between those of an input axis:
// PyTorch's bilinear interpolation with align_corners=False.
type axis struct {
	lo, hi []int
	t      []float32 // the weight of hi
}

func newAxis(in, out int) axis {
	a := axis{make([]int, out), make([]int, out), make([]float32, out)}
	scale := float32(in) / float32(out)
	for i := range out {
		at := max(0, scale*(float32(i)+0.5)-0.5)
		a.lo[i] = min(int(at), in-1)
		a.hi[i] = min(a.lo[i]+1, in-1)
		a.t[i] = at - float32(a.lo[i])
	}
	return a
}

// upsample interpolates logits z [classes zh zw] to w by h pixels and calls each
// with every row, [classes w], from several goroutines. Rows are independent, so
// that threads do not change what a row gets.
func upsample(z []float32, classes, zh, zw, w, h, threads int, each func(y int, row []float32)) {
	ys, xs := newAxis(zh, h), newAxis(zw, w)
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(threads, h) {
		wg.Go(func() {
			line, out := make([]float32, zw), make([]float32, classes*w)
			for y := int(next.Add(1)) - 1; y < h; y = int(next.Add(1)) - 1 {
				for c := range classes {
					plane := z[c*zh*zw : (c+1)*zh*zw]
					lo, hi, t := plane[ys.lo[y]*zw:][:zw], plane[ys.hi[y]*zw:][:zw], ys.t[y]
					for x := range line {
						line[x] = lo[x] + t*(hi[x]-lo[x])
					}
					row := out[c*w : (c+1)*w]
					for x := range row {
						a, b := line[xs.lo[x]], line[xs.hi[x]]
						row[x] = a + xs.t[x]*(b-a)
					}
				}
				each(y, out)
			}
		})
	}
	wg.Wait()
}

// largest writes the class with the largest logit of each pixel of a row.
func largest(dst []uint8, row []float32) {
	w := len(dst)
	clear(dst)
	best := row[:w]
	for c := 1; c*w < len(row); c++ {
		for x, v := range row[c*w : (c+1)*w] {
			if v > best[x] {
				best[x], dst[x] = v, uint8(c)
			}
		}
	}
}

// upsampled returns the largest of the logits z [classes zh zw] at each pixel of a
// w by h picture.
func upsampled(z []float32, classes, zh, zw, w, h, threads int) *Mask {
	m := &Mask{W: w, H: h, Pix: make([]uint8, w*h)}
	upsample(z, classes, zh, zw, w, h, threads, func(y int, row []float32) { largest(m.Pix[y*w:(y+1)*w], row) })
	return m
}
