package data

import (
	"github.com/resnet-go/resnet/data/imaging"
)

// picture is a sample on its way into a batch: decoded (m), or open and still to
// be decoded (reader is not nil).
type picture struct {
	m      *imaging.Image // which must not be changed: it may be the cache's
	reader *imaging.Reader
	own    *imaging.Image // memory for m
}

// size returns the width and height, upright.
func (s *picture) size() (w, h int) {
	if s.reader != nil {
		return s.reader.W, s.reader.H
	}
	return s.m.W, s.m.H
}

// decode makes sure that m is the picture.
func (s *picture) decode() error {
	if s.reader == nil {
		return nil
	}
	r := s.reader
	s.reader, s.m = nil, s.own
	return r.Decode(s.own)
}

// crop writes the part r of the picture in c channels, resized to w by h pixels,
// to the stages. With reduce, a file is decoded at 1/2, 1/4 or 1/8 of its size if
// the part still has at least w by h pixels.
func (s *picture) crop(st *stages, r imaging.Rect, c, w, h int, f imaging.Filter, reduce bool) error {
	if s.reader == nil {
		imaging.ResizeRect(&st.sized, st.convert(s.m, c), r, w, h, f)
		return nil
	}
	n := 1
	for reduce && f != imaging.Nearest && n < 8 && r.W >= 2*n*w && r.H >= 2*n*h {
		n *= 2
	}
	reader := s.reader
	s.reader, s.m = nil, s.own
	at, err := reader.DecodePart(s.own, r, n)
	if err != nil {
		return err
	}
	imaging.ResizeRegion(&st.sized, st.convert(s.own, c), at, w, h, f)
	return nil
}

// fit writes the picture in the channels of p, resized to w by h and cropped to r,
// to the stages.
func (s *picture) fit(st *stages, p Preprocess, w, h int, r imaging.Rect) error {
	if s.reader == nil {
		imaging.ResizeCrop(&st.sized, st.convert(s.m, p.Channels), w, h, r, p.Interpolation)
		return nil
	}
	reader := s.reader
	s.reader, s.m = nil, s.own
	return reader.DecodeResized(&st.sized, p.Channels, w, h, r, p.Interpolation)
}
