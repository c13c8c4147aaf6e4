// Package pnm decodes the formats of Netpbm: PBM, PGM and PPM, as text and binary,
// and PAM. Samples become 8 bits as in Pillow, by their share of the largest value.
package pnm

import (
	"errors"
	"fmt"
	"image"
	"math"
	"strconv"
	"strings"
)

var errEnd = errors.New("the Netpbm file is cut off")

// Is reports whether data begin as a file of Netpbm.
func Is(data []byte) bool {
	if len(data) < 3 || data[0] != 'P' || data[1] < '1' || data[1] > '7' {
		return false
	}
	return space(data[2]) || data[2] == '#'
}

func space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

type header struct {
	kind     byte // '1' to '7', the second letter of the file
	w, h     int
	channels int
	largest  int // value of a sample
	pixels   []byte
}

// Size returns the size of a picture, reading only the header.
func Size(data []byte) (w, h int, err error) {
	d, err := readHeader(data)
	return d.w, d.h, err
}

func readHeader(data []byte) (header, error) {
	if !Is(data) {
		return header{}, errors.New("not a Netpbm file")
	}
	d := header{kind: data[1], channels: 1, largest: 1}
	if d.kind == '7' {
		return d, d.pam(data)
	}
	t := tokens(data[2:])
	var err error
	number := func(name string, limit int) (v int) {
		if err == nil {
			v, err = t.number(name, limit)
		}
		return v
	}
	d.w, d.h = number("width", math.MaxInt32), number("height", math.MaxInt32)
	switch d.kind {
	case '3', '6':
		d.channels = 3
		fallthrough
	case '2', '5':
		d.largest = number("largest value", 65535)
	}
	if err != nil {
		return d, err
	}
	if d.largest < 1 {
		return d, errors.New("a Netpbm file whose largest value is 0, must be 1 to 65535")
	}
	d.pixels = t
	return d, nil
}

// pam reads the header of a PAM file: lines of a name and a value.
func (d *header) pam(data []byte) error {
	rest, model := string(data[2:]), ""
	for {
		line, after, ok := strings.Cut(rest, "\n")
		if !ok {
			return errEnd
		}
		rest = after
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if f[0] == "ENDHDR" {
			break
		}
		if len(f) < 2 {
			return fmt.Errorf("PAM header line %q has no value", line[:min(len(line), 40)])
		}
		if f[0] == "TUPLTYPE" {
			model = f[1]
			continue
		}
		v, err := strconv.ParseUint(f[1], 10, 31)
		if err != nil {
			return fmt.Errorf("PAM header line %q is not a number", line[:min(len(line), 40)])
		}
		switch f[0] {
		case "WIDTH":
			d.w = int(v)
		case "HEIGHT":
			d.h = int(v)
		case "DEPTH":
			d.channels = int(v)
		case "MAXVAL":
			d.largest = int(v)
		}
	}
	if d.channels < 1 || d.channels > 4 || d.largest < 1 || d.largest > 65535 {
		return fmt.Errorf("PAM of %d channels (%s) with values up to %d, must be 1 to 4 channels of gray or RGB and up to 65535", d.channels, model, d.largest)
	}
	d.pixels = data[len(data)-len(rest):]
	return nil
}

// tokens are the words of a header or of a picture as text.
type tokens []byte

// next returns the next word and drops the character after it.
func (t *tokens) next() ([]byte, error) {
	s := *t
	for len(s) > 0 {
		switch {
		case s[0] == '#':
			for len(s) > 0 && s[0] != '\n' && s[0] != '\r' {
				s = s[1:]
			}
		case space(s[0]):
			s = s[1:]
		default:
			n := 0
			for n < len(s) && n < 11 && !space(s[n]) && s[n] != '#' {
				n++
			}
			word := s[:n]
			if n < len(s) && space(s[n]) {
				n++
			}
			*t = s[n:]
			return word, nil
		}
	}
	return nil, errEnd
}

func (t *tokens) number(name string, limit int) (int, error) {
	word, err := t.next()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(string(word), 10, 31)
	if err != nil || int(v) > limit {
		return 0, fmt.Errorf("a Netpbm file whose %s is %q, must be a number up to %d", name, word, limit)
	}
	return int(v), nil
}

// bit returns the next digit of a PBM picture as text, which need no space between
// them.
func (t *tokens) bit() (byte, error) {
	for s := *t; len(s) > 0; {
		switch c := s[0]; {
		case c == '#':
			for len(s) > 0 && s[0] != '\n' && s[0] != '\r' {
				s = s[1:]
			}
		case space(c):
			s = s[1:]
		case c == '0' || c == '1':
			*t = s[1:]
			return c - '0', nil
		default:
			return 0, fmt.Errorf("PBM picture with the digit %q, must be 0 or 1", c)
		}
	}
	return 0, errEnd
}

// Decode decodes a picture to an *image.Gray or, with colors, *image.NRGBA.
func Decode(data []byte) (image.Image, error) {
	d, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	if err := d.enough(); err != nil {
		return nil, err
	}
	rect := image.Rect(0, 0, d.w, d.h)
	if d.channels <= 2 {
		m := image.NewGray(rect)
		return m, d.samples(m.Pix, 1)
	}
	m := image.NewNRGBA(rect)
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = 255
	}
	return m, d.samples(m.Pix, 4)
}

// enough reports a picture that is cut off, before memory is taken for it.
func (d *header) enough() error {
	need := d.w * d.h * d.channels
	switch d.kind {
	case '2', '3':
		need = 2*need - 1 // a digit and a space
	case '4':
		need = (d.w + 7) / 8 * d.h
	case '5', '6', '7':
		if d.largest > 255 {
			need *= 2
		}
	}
	if len(d.pixels) < need {
		return errEnd
	}
	return nil
}

// samples fills pix, whose pixels are step samples apart. Alpha is dropped.
func (d *header) samples(pix []uint8, step int) error {
	scale := make([]uint8, d.largest+1)
	for v := range scale {
		scale[v] = uint8(math.RoundToEven(float64(v) / float64(d.largest) * 255))
	}
	text, at := tokens(d.pixels), 0
	for y := range d.h {
		for x := range d.w {
			for c := range d.channels {
				v := 0
				switch d.kind {
				case '1':
					b, err := text.bit()
					if err != nil {
						return err
					}
					v = int(b ^ 1)
				case '2', '3':
					n, err := text.number("sample", d.largest)
					if err != nil {
						return err
					}
					v = n
				case '4':
					v = int(d.pixels[y*((d.w+7)/8)+x/8]>>(7-x%8)&1 ^ 1)
				default:
					v = int(d.pixels[at])
					if at++; d.largest > 255 {
						v = v<<8 | int(d.pixels[at])
						at++
					}
				}
				if c < step && c < 3 {
					pix[(y*d.w+x)*step+c] = scale[min(v, d.largest)]
				}
			}
		}
	}
	return nil
}
