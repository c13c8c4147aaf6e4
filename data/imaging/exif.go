package imaging

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"io"
	"regexp"
	"strings"

	"github.com/resnet-go/resnet/internal/tiff"
)

// Orientation returns the orientation (1 to 8) of a file by its EXIF data or,
// without them, its XMP data, as Pillow's exif_transpose finds it; or 1 if it has
// none or a damaged one: damaged metadata are no reason to refuse a picture. It
// reads only the headers.
func Orientation(data []byte) int {
	var exif, xmp []byte
	switch sniff(data) {
	case formatJPEG:
		exif, xmp = jpegMetadata(data)
	case formatPNG:
		exif, xmp = pngMetadata(data)
	case formatWebP:
		exif, xmp = webpMetadata(data)
	case formatTIFF:
		exif = data
	}
	o, inside := tiff.Orientation(exif)
	if xmp == nil {
		xmp = inside
	}
	if o == 0 && xmp != nil {
		o = xmpOrientation(xmp)
	}
	return max(o, 1)
}

var xmpPattern = regexp.MustCompile(`tiff:Orientation(?:="|>)([1-8])`)

// xmpOrientation returns the orientation in XMP data, or 0.
func xmpOrientation(xmp []byte) int {
	if m := xmpPattern.FindSubmatch(xmp); m != nil {
		return int(m[1][0] - '0')
	}
	return 0
}

var (
	exifHeader = []byte("Exif\x00\x00")
	xmpHeader  = []byte("http://ns.adobe.com/xap/1.0/\x00")
)

func jpegMetadata(data []byte) (exif, xmp []byte) {
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
			return exif, xmp
		}
		n := int(binary.BigEndian.Uint16(data[2:]))
		if n < 2 || 2+n > len(data) {
			return exif, xmp
		}
		if b := data[4 : 2+n]; marker == 0xe1 {
			if b, ok := bytes.CutPrefix(b, exifHeader); ok && exif == nil {
				exif = b
			}
			if b, ok := bytes.CutPrefix(b, xmpHeader); ok && xmp == nil {
				xmp = b
			}
		}
		data = data[2+n:]
	}
	return exif, xmp
}

func pngMetadata(data []byte) (exif, xmp []byte) {
	for name, c := range pngChunks(data) {
		b := c.data
		switch name {
		case "eXIf":
			exif = bytes.TrimPrefix(b, exifHeader)
		case "zTXt", "tEXt", "iTXt":
			key, text, _ := bytes.Cut(b, []byte{0})
			switch string(key) {
			case "Raw profile type exif": // of ImageMagick
				if exif == nil && name != "iTXt" {
					exif = rawProfile(name, text)
				}
			case "XML:com.adobe.xmp":
				xmp = pngText(name, text)
			}
		}
	}
	return exif, xmp
}

// pngText returns the text of a chunk after its key.
func pngText(name string, b []byte) []byte {
	switch {
	case name == "tEXt":
		return b
	case name == "zTXt" && len(b) > 1:
		return inflated(b[1:])
	case name == "iTXt" && len(b) > 2:
		compressed := b[0] == 1
		_, b, _ = bytes.Cut(b[2:], []byte{0}) // language
		_, b, _ = bytes.Cut(b, []byte{0})     // key in that language
		if compressed {
			return inflated(b)
		}
		return b
	}
	return nil
}

// maxMetadata limits what compressed metadata may become.
const maxMetadata = 1 << 20

func inflated(b []byte) []byte {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	out, err := io.ReadAll(io.LimitReader(z, maxMetadata))
	if err != nil {
		return nil
	}
	return out
}

// rawProfile returns EXIF data written as hexadecimal numbers, after three lines.
func rawProfile(name string, text []byte) []byte {
	lines := strings.SplitN(string(pngText(name, text)), "\n", 4)
	if len(lines) < 4 {
		return nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(lines[3]), "\n", ""))
	if err != nil {
		return nil
	}
	return bytes.TrimPrefix(b, exifHeader)
}

func webpMetadata(data []byte) (exif, xmp []byte) {
	for kind, b := range riffChunks(data) {
		switch kind {
		case "EXIF":
			exif = bytes.TrimPrefix(b, exifHeader)
		case "XMP ":
			xmp = b
		}
	}
	return exif, xmp
}
