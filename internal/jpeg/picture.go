package jpeg

import (
	"image"
	"image/color"
)

// ratios are the chroma steps of YCbCr pictures.
var ratios = map[[2]int]image.YCbCrSubsampleRatio{
	{1, 1}: image.YCbCrSubsampleRatio444,
	{1, 2}: image.YCbCrSubsampleRatio440,
	{2, 1}: image.YCbCrSubsampleRatio422,
	{2, 2}: image.YCbCrSubsampleRatio420,
	{4, 1}: image.YCbCrSubsampleRatio411,
	{4, 2}: image.YCbCrSubsampleRatio410,
}

// picture returns the decoded planes.
func (d *Decoder) picture() (image.Image, error) {
	f, y := &d.frame, &d.comp[0]
	w, h := (f.width+1<<f.shift-1)>>f.shift, (f.height+1<<f.shift-1)>>f.shift
	if f.nComp == 1 {
		d.gray = image.Gray{Pix: y.pix, Stride: y.stride, Rect: image.Rect(0, 0, w, h)}
		return &d.gray, nil
	}
	cb, cr := &d.comp[1], &d.comp[2]
	ratio, ok := ratios[[2]int{y.h * y.side / (cb.h * cb.side), y.v * y.side / (cb.v * cb.side)}]
	if !ok {
		return nil, errSubsampling
	}
	d.ycc = image.YCbCr{
		Y: y.pix, Cb: cb.pix, Cr: cr.pix, YStride: y.stride, CStride: cb.stride,
		SubsampleRatio: ratio, Rect: image.Rect(0, 0, w, h),
	}
	switch {
	case f.nComp == 4:
		return d.cmyk()
	case d.isRGB():
		return d.rgb(), nil
	}
	return &d.ycc, nil
}

// isRGB reports whether the three components are red, green and blue: by
// Adobe's marker, where 0 stands for that, or by their names.
func (d *Decoder) isRGB() bool {
	f := &d.frame
	if f.jfif {
		return false
	}
	if f.adobe && f.transform == 0 {
		return true
	}
	return d.comp[0].id == 'R' && d.comp[1].id == 'G' && d.comp[2].id == 'B'
}

func (d *Decoder) rgb() *image.RGBA {
	m := &d.ycc
	out := image.NewRGBA(m.Rect)
	for y := range m.Rect.Dy() {
		row := out.Pix[y*out.Stride:]
		for x := range m.Rect.Dx() {
			at := m.COffset(x, y)
			p := row[4*x : 4*x+4 : 4*x+4]
			p[0], p[1], p[2], p[3] = m.Y[y*m.YStride+x], m.Cb[at], m.Cr[at], 255
		}
	}
	return out
}

// cmyk puts a file of four components together. Adobe's programs write CMYK
// inverted; YCbCrK is the inverse of RGB, and the two inversions are none.
func (d *Decoder) cmyk() (*image.CMYK, error) {
	if !d.frame.adobe {
		return nil, UnsupportedError("unknown color model: 4-component JPEG doesn't have Adobe APP14 metadata")
	}
	m, black := &d.ycc, &d.comp[3]
	out := image.NewCMYK(m.Rect)
	for y := range m.Rect.Dy() {
		row := out.Pix[y*out.Stride:]
		for x := range m.Rect.Dx() {
			at := m.COffset(x, y)
			p := row[4*x : 4*x+4 : 4*x+4]
			c0, c1, c2 := m.Y[y*m.YStride+x], m.Cb[at], m.Cr[at]
			if d.frame.transform != 0 {
				p[0], p[1], p[2] = color.YCbCrToRGB(c0, c1, c2)
			} else {
				p[0], p[1], p[2] = 255-c0, 255-c1, 255-c2
			}
			p[3] = 255 - black.pix[y*black.stride+x]
		}
	}
	return out, nil
}
