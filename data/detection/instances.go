package detection

import (
	"bytes"
	"fmt"
	"image"
	"image/png"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/masks"
)

// instanceMasks are the masks of a file of Pascal VOC's SegmentationObject, by value.
type instanceMasks struct {
	file string
	by   map[uint8]masks.RLE
}

// of returns the mask of an object: that of its number, if it is where the object's
// box is; CVAT numbers masks in another order than boxes, hence else the one that fits
// the box best.
func (m *instanceMasks) of(o *Object) (masks.RLE, error) {
	fit := func(v uint8) float64 {
		r, ok := m.by[v]
		if !ok {
			return 0
		}
		return masks.BoxIoU([][4]float64{o.Box}, [][4]float64{r.Box()}, nil)[0]
	}
	if fit(o.instance) >= 0.3 {
		return m.by[o.instance], nil
	}
	best, at := 0.5, uint8(0)
	for v := 1; v < 255; v++ {
		if f := fit(uint8(v)); f > best {
			best, at = f, uint8(v)
		}
	}
	if at == 0 {
		return masks.RLE{}, fmt.Errorf("%s has no mask at its box %v", m.file, o.Box)
	}
	return m.by[at], nil
}

// readInstances reads a mask file of Pascal VOC: an indexed or gray PNG, whose values
// number the objects from 1.
func (d *Dataset) readInstances(p *Picture, w, h int) (*instanceMasks, error) {
	b, err := d.files.Read(p.maskFile, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.maskFile, err)
	}
	cfg, err := png.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.maskFile, err)
	}
	if cfg.Width != w || cfg.Height != h {
		return nil, fmt.Errorf("%s has %d x %d pixels and the picture %d x %d", p.maskFile, cfg.Width, cfg.Height, w, h)
	}
	if imaging.Orientation(b) != 1 {
		return nil, fmt.Errorf("%s has an orientation in its metadata: write it upright, without one", p.maskFile)
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.maskFile, err)
	}
	var pix []uint8
	var stride int
	switch img := img.(type) {
	case *image.Paletted:
		pix, stride = img.Pix, img.Stride
	case *image.Gray:
		pix, stride = img.Pix, img.Stride
	default:
		return nil, fmt.Errorf("%s is neither indexed nor gray, so that its values cannot number objects", p.maskFile)
	}
	var has [256]bool
	for y := range h {
		for _, v := range pix[y*stride : y*stride+w] {
			has[v] = true
		}
	}
	m := &instanceMasks{p.maskFile, map[uint8]masks.RLE{}}
	bits := make([]uint8, w*h)
	for v := uint8(1); v < 255; v++ { // 255 marks borders
		if !has[v] {
			continue
		}
		for y := range h {
			for x, have := range pix[y*stride : y*stride+w] {
				bits[y*w+x] = 0
				if have == v {
					bits[y*w+x] = 1
				}
			}
		}
		m.by[v] = masks.NewBitmap(bits, h, w).RLE()
	}
	return m, nil
}
