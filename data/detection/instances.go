package detection

import (
	"bytes"
	"fmt"
	"image"
	"image/png"

	"github.com/resnet-go/resnet/data/imaging"
)

// instances reads a mask file of Pascal VOC: an indexed or gray PNG, whose values
// number the objects from 1.
func (d *Dataset) instances(p *Picture, w, h int) (*imaging.Image, error) {
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
	m, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.maskFile, err)
	}
	values := imaging.New(w, h, 1)
	var pix []uint8
	var stride int
	switch m := m.(type) {
	case *image.Paletted:
		pix, stride = m.Pix, m.Stride
	case *image.Gray:
		pix, stride = m.Pix, m.Stride
	default:
		return nil, fmt.Errorf("%s is neither indexed nor gray, so that its values cannot number objects", p.maskFile)
	}
	for y := range h {
		copy(values.Row(y), pix[y*stride:y*stride+w])
	}
	return values, nil
}
