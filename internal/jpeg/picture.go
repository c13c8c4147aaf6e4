package jpeg

// Model is the meaning of a picture's components.
type Model int

// The color models.
const (
	Gray Model = iota
	Two        // of two components, which only parts of TIFF files have
	YCbCr
	RGB
	CMYK
	YCCK // YCbCr of the inverse of cyan, magenta and yellow; and black
)

// Picture is a decoded picture.
type Picture struct {
	Width, Height int
	Model         Model
	Shift         int // that of [Options], or 0 if the file ignores it
	// Smooth is set if libjpeg interpolates chroma, which it does not for pictures
	// of an eighth of the size and for lossless ones.
	Smooth bool
	Planes []Plane // of the components
}

// Plane is a component of a picture.
type Plane struct {
	Pix           []uint8
	Stride        int
	Width, Height int // in samples
	StepX, StepY  int // pixels that a sample is wide and high
}

// result returns the decoded planes.
func (d *Decoder) result() *Picture {
	f := &d.frame
	round := 1<<f.shift - 1
	p := &d.picture
	*p = Picture{
		Width: (f.width + round) >> f.shift, Height: (f.height + round) >> f.shift,
		Model: d.model(), Shift: f.shift, Smooth: f.shift < 3 && !f.lossless,
		Planes: d.planes[:f.nComp],
	}
	full := 8 >> f.shift
	if f.lossless {
		full = 1
	}
	for i := range p.Planes {
		c := &d.comp[i]
		x, y := f.hMax*full/(c.h*c.side), f.vMax*full/(c.v*c.side)
		d.planes[i] = Plane{
			Pix: c.pix, Stride: c.stride, StepX: x, StepY: y,
			Width: (p.Width + x - 1) / x, Height: (p.Height + y - 1) / y,
		}
	}
	return p
}

// model returns the color model by libjpeg's rules: of the markers or, without
// them, the names of the components.
func (d *Decoder) model() Model {
	f := &d.frame
	switch {
	case f.nComp == 1:
		return Gray
	case f.nComp == 2:
		return Two
	case f.nComp == 4 && f.adobe && f.transform != 0:
		return YCCK
	case f.nComp == 4:
		return CMYK
	case f.jfif:
		return YCbCr
	case f.adobe:
		if f.transform == 0 {
			return RGB
		}
		return YCbCr
	}
	ids := [3]uint8{d.comp[0].id, d.comp[1].id, d.comp[2].id}
	if ids == [3]uint8{'R', 'G', 'B'} || f.lossless && ids == [3]uint8{1, 2, 3} {
		return RGB
	}
	return YCbCr
}
