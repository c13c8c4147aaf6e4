package imaging

import (
	"bytes"
	"encoding/binary"
	"iter"
)

// Orientation returns the EXIF orientation (1 to 8) of a JPEG, PNG or WebP
// file, or 1 if it has none or a damaged one: damaged EXIF is no reason to refuse a
// picture. It reads only the headers.
func Orientation(data []byte) int {
	var tiff []byte
	switch sniff(data) {
	case formatJPEG:
		tiff = jpegExif(data)
	case formatPNG:
		tiff = pngExif(data)
	case formatWebP:
		tiff = webpExif(data)
	}
	return tiffOrientation(tiff)
}

var exifHeader = []byte("Exif\x00\x00")

func jpegExif(data []byte) []byte {
	data = data[2:] // start of image
	for len(data) >= 4 && data[0] == 0xff {
		marker := data[1]
		switch {
		case marker == 0xff: // fill byte
			data = data[1:]
			continue
		case marker == 0x01 || marker >= 0xd0 && marker <= 0xd8: // no length
			data = data[2:]
			continue
		case marker == 0xda || marker == 0xd9: // start of scan, end of image
			return nil
		}
		n := int(binary.BigEndian.Uint16(data[2:]))
		if n < 2 || 2+n > len(data) {
			return nil
		}
		if marker == 0xe1 {
			if tiff, ok := bytes.CutPrefix(data[4:2+n], exifHeader); ok {
				return tiff
			}
		}
		data = data[2+n:]
	}
	return nil
}

func pngExif(data []byte) []byte {
	data = data[8:] // signature
	for len(data) >= 12 {
		n := binary.BigEndian.Uint32(data)
		if uint64(n)+12 > uint64(len(data)) {
			return nil
		}
		if string(data[4:8]) == "eXIf" {
			return data[8 : 8+n]
		}
		data = data[12+n:]
	}
	return nil
}

func webpExif(data []byte) []byte {
	for kind, b := range riffChunks(data) {
		if kind == "EXIF" {
			return bytes.TrimPrefix(b, exifHeader)
		}
	}
	return nil
}

// riffChunks returns the name and the contents of each complete chunk of a RIFF
// file.
func riffChunks(data []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		data := data[12:] // RIFF size WEBP
		for len(data) >= 8 {
			n := uint64(binary.LittleEndian.Uint32(data[4:]))
			if 8+n > uint64(len(data)) || !yield(string(data[:4]), data[8:8+n]) {
				return
			}
			data = data[min(8+n+n%2, uint64(len(data))):]
		}
	}
}

// tiffOrientation reads tag 0x0112 of the first image directory (Exif 3.0,
// section 4.6).
func tiffOrientation(tiff []byte) int {
	const tag, short = 0x0112, 3
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			return 1
		}
		if order.Uint16(entries) == tag {
			v := int(order.Uint16(entries[8:]))
			if order.Uint16(entries[2:]) != short || order.Uint32(entries[4:]) != 1 || v < 1 || v > 8 {
				return 1
			}
			return v
		}
		entries = entries[12:]
	}
	return 1
}
