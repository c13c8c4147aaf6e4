package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"iter"

	"golang.org/x/image/webp"
)

// webpFrame is the first picture of an animation.
type webpFrame struct {
	w, h int // of the canvas
	x, y int // where the frame is
	file []byte
}

// riffChunks returns the name and the contents of each complete chunk of a RIFF
// file.
func riffChunks(data []byte) iter.Seq2[string, []byte] {
	return chunks(data[12:]) // RIFF size WEBP
}

func chunks(data []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for len(data) >= 8 {
			n := uint64(binary.LittleEndian.Uint32(data[4:]))
			if 8+n > uint64(len(data)) || !yield(string(data[:4]), data[8:8+n]) {
				return
			}
			data = data[min(8+n+n%2, uint64(len(data))):]
		}
	}
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// animatedWebP finds the first frame of an animation (RFC 9649, section 2.7.1.1) and
// makes a file of it. It is false for a still picture.
func animatedWebP(data []byte) (f webpFrame, ok bool, err error) {
	for kind, b := range riffChunks(data) {
		switch kind {
		case "VP8X":
			if len(b) < 10 || b[0]&2 == 0 {
				return f, false, nil
			}
			f.w, f.h, ok = uint24(b[4:])+1, uint24(b[7:])+1, true
		case "ANMF":
			if !ok {
				return f, false, nil
			}
			if len(b) < 16 {
				return f, true, errors.New("WebP animation with a damaged frame")
			}
			f.x, f.y = 2*uint24(b), 2*uint24(b[3:])
			for kind, b := range chunks(b[16:]) {
				if kind == "VP8 " || kind == "VP8L" { // alpha is not needed
					f.file = binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(12+len(b)+len(b)%2))
					f.file = append(f.file, "WEBP"+kind...)
					f.file = append(binary.LittleEndian.AppendUint32(f.file, uint32(len(b))), b...)
					if len(b)%2 == 1 {
						f.file = append(f.file, 0)
					}
					return f, true, nil
				}
			}
			return f, true, errors.New("WebP animation whose first frame has no picture")
		}
	}
	if ok {
		err = errors.New("WebP animation without a frame")
	}
	return f, ok, err
}

// webpSize returns the size of a picture, having checked the size in the header of
// each frame: in the extended format, the file's header may give a smaller size, but
// the decoder allocates the size of the frame.
func webpSize(data []byte, limit int) (w, h int, err error) {
	f, animated, err := animatedWebP(data)
	if err != nil {
		return 0, 0, err
	}
	file := data
	if animated {
		file = f.file
	}
	if err := checkWebPFrames(file, limit); err != nil {
		return 0, 0, err
	}
	if animated {
		return f.w, f.h, nil
	}
	cfg, err := webp.DecodeConfig(bytes.NewReader(data))
	return cfg.Width, cfg.Height, err
}

func checkWebPFrames(data []byte, limit int) error {
	for w, h := range webpFrames(data) {
		if err := checkSize(w, h, limit); err != nil {
			return err
		}
	}
	return nil
}

// webpFrames returns the sizes in the headers of the frames of a file.
func webpFrames(data []byte) iter.Seq2[int, int] {
	return func(yield func(w, h int) bool) {
		for kind, b := range riffChunks(data) {
			w, h := 0, 0
			switch {
			case kind == "VP8 " && len(b) >= 10: // RFC 6386, section 9.1
				w, h = int(binary.LittleEndian.Uint16(b[6:])&0x3fff), int(binary.LittleEndian.Uint16(b[8:])&0x3fff)
			case kind == "VP8L" && len(b) >= 5: // RFC 9649, section 3.4
				bits := int(binary.LittleEndian.Uint32(b[1:]))
				w, h = bits&0x3fff+1, bits>>14&0x3fff+1
			default:
				continue
			}
			if !yield(w, h) {
				return
			}
		}
	}
}

// webpMemory returns how many bytes decoding takes: of the largest frame the pixels, the
// decoder's copy of them and the picture, and of an animation the canvas.
func webpMemory(data []byte, w, h int) int64 {
	if f, animated, err := animatedWebP(data); err == nil && animated {
		data = f.file
	}
	most := int64(w) * int64(h)
	for w, h := range webpFrames(data) {
		most = max(most, int64(w)*int64(h))
	}
	return 11 * most
}

// decodeWebP decodes a picture or the first frame of an animation, around which the
// canvas is transparent black.
func decodeWebP(dst *Image, data []byte) error {
	f, animated, err := animatedWebP(data)
	if err != nil {
		return err
	}
	if !animated {
		return stillWebP(dst, data)
	}
	var frame Image
	if err := stillWebP(&frame, f.file); err != nil {
		return err
	}
	if f.x+frame.W > f.w || f.y+frame.H > f.h {
		return errors.New("WebP animation whose first frame is outside of the picture")
	}
	CropPad(dst, &frame, Rect{-f.x, -f.y, f.w, f.h})
	return nil
}

func stillWebP(dst *Image, data []byte) error {
	m, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *image.YCbCr:
		webpToRGB(dst, m)
	case *image.NYCbCrA:
		webpToRGB(dst, &m.YCbCr)
	default:
		fromStd(dst, m)
	}
	return nil
}
