package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/mistaken"
	"github.com/resnet-go/resnet/internal/pnm"
	"github.com/resnet-go/resnet/internal/tiff"
)

// ErrFormat is wrapped by the error for bytes of no picture format that is read.
var ErrFormat = errors.New("not a JPEG, PNG, GIF, WebP, BMP, TIFF or PPM picture")

type format int

const (
	formatUnknown format = iota
	formatJPEG
	formatPNG
	formatGIF
	formatWebP
	formatBMP
	formatTIFF
	formatPNM
)

func sniff(data []byte) format {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		return formatJPEG
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return formatPNG
	case bytes.HasPrefix(data, []byte("GIF87a")), bytes.HasPrefix(data, []byte("GIF89a")):
		return formatGIF
	case len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return formatWebP
	case bytes.HasPrefix(data, []byte("BM")):
		return formatBMP
	case tiff.Is(data) && rawCamera(data) == "":
		return formatTIFF
	case pnm.Is(data):
		return formatPNM
	}
	return formatUnknown
}

// endings are the endings of the names of picture files, in lower case.
var endings = []string{
	".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pam",
}

// unreadEndings are the endings of photos that are not read, in lower case. Camera raw
// files are not among them, beside which there often is a JPEG file.
var unreadEndings = []string{".heic", ".heif", ".avif", ".jxl", ".jp2"}

// Endings returns the endings of the names of the picture files that are read, such as
// ".jpg", in lower case.
func Endings() []string { return slices.Clone(endings) }

// UnreadEndings returns the endings of the names of photos that are not read, such as
// ".heic", in lower case, so that a folder of them is not taken for an empty one.
func UnreadEndings() []string { return slices.Clone(unreadEndings) }

// foreign is what a file is instead of a picture that is read.
type foreign struct {
	what, todo string
}

func (f foreign) error() error {
	return fmt.Errorf("imaging: %w: it is %s; %s", ErrFormat, f.what, f.todo)
}

const (
	convert   = "convert it to JPEG or PNG"
	convertIn = "convert it to JPEG or PNG, for example: magick photo.%s photo.jpg"
	raw       = "develop it to JPEG or TIFF with the camera's program or darktable"
)

// magics are how files of other formats begin.
var magics = []struct {
	at    int
	magic string
	foreign
}{
	{0, "\x00\x00\x00\x0cJXL \r\n\x87\n", foreign{"a JPEG XL picture", fmt.Sprintf(convertIn, "jxl")}},
	{0, "\xff\x0a", foreign{"a JPEG XL picture", fmt.Sprintf(convertIn, "jxl")}},
	{0, "\x00\x00\x00\x0cjP  \r\n\x87\n", foreign{"a JPEG 2000 picture", fmt.Sprintf(convertIn, "jp2")}},
	{0, "\xff\x4f\xff\x51", foreign{"a JPEG 2000 picture", fmt.Sprintf(convertIn, "j2k")}},
	{0, "\x00\x00\x01\x00", foreign{"an icon (ICO)", convert}},
	{0, "\x00\x00\x02\x00", foreign{"a cursor (CUR)", convert}},
	{0, "8BPS", foreign{"a Photoshop document (PSD)", "export it as JPEG or PNG"}},
	{0, "gimp xcf", foreign{"a GIMP document (XCF)", "export it as JPEG or PNG"}},
	{0, "%PDF", foreign{"a PDF document", "extract the picture, for example: pdfimages -png file.pdf picture"}},
	{0, "%!PS", foreign{"a PostScript document", convert}},
	{0, "\x76\x2f\x31\x01", foreign{"an OpenEXR picture", convert}},
	{0, "#?RADIANCE", foreign{"a Radiance HDR picture", convert}},
	{0, "Pf\n", foreign{"a picture of floating-point numbers (PFM)", "scale it to 8 bits and save it as PNG"}},
	{0, "PF\n", foreign{"a picture of floating-point numbers (PFM)", "scale it to 8 bits and save it as PNG"}},
	{0, "DDS ", foreign{"a DirectDraw surface (DDS)", convert}},
	{0, "qoif", foreign{"a QOI picture", convert}},
	{0, "BPG\xfb", foreign{"a BPG picture", convert}},
	{128, "DICM", foreign{"a DICOM file", "export it as PNG, for example: dcm2img file.dcm picture.png"}},
	{0, "SIMPLE  =", foreign{"a FITS file", "scale it to 8 bits and save it as PNG"}},
	{0, "\x93NUMPY", foreign{"a NumPy array", "save it as PNG, for example with Pillow: Image.fromarray(a).save(\"a.png\")"}},
	{0, "PK\x03\x04", foreign{"a zip file", "unpack it, or name it as a data set"}},
	{0, "\x1a\x45\xdf\xa3", foreign{"a video (Matroska or WebM)", "extract pictures, for example: ffmpeg -i video frame%04d.png"}},
	{0, "FUJIFILMCCD-RAW", foreign{"a raw camera file (RAF)", raw}},
	{0, "IIRO", foreign{"a raw camera file (ORF)", raw}},
	{0, "IIRS", foreign{"a raw camera file (ORF)", raw}},
	{0, "MMOR", foreign{"a raw camera file (ORF)", raw}},
	{0, "IIU\x00", foreign{"a raw camera file (RW2)", raw}},
	{0, "FOVb", foreign{"a raw camera file (X3F)", raw}},
	{0, "\x00MRM", foreign{"a raw camera file (MRW)", raw}},
	{6, "HEAPCCDR", foreign{"a raw camera file (CRW)", raw}},
}

// formatError returns the error for bytes of a format that is not read, naming it where
// it is known.
func formatError(data []byte) error {
	if len(data) == 0 {
		return fmt.Errorf("imaging: empty file: %w", ErrFormat)
	}
	for _, m := range magics {
		if len(data) >= m.at && bytes.HasPrefix(data[m.at:], []byte(m.magic)) {
			return m.error()
		}
	}
	if kind := rawCamera(data); kind != "" {
		return foreign{"a raw camera file (" + kind + ")", raw}.error()
	}
	if len(data) >= 12 && string(data[4:8]) == "ftyp" {
		return mediaFile(data).error()
	}
	if isSVG(data) {
		return foreign{"an SVG drawing", "render it as PNG, for example: rsvg-convert drawing.svg -o drawing.png"}.error()
	}
	if what := mistaken.For(data[:min(len(data), mistaken.Head)]); what != "" {
		return fmt.Errorf("imaging: %w: it is %s", ErrFormat, what)
	}
	if head := data[:min(len(data), 512)]; len(bytes.Trim(head, "\x00")) == 0 {
		return foreign{"a file of zeros", "the copy or download was not finished: fetch it again"}.error()
	}
	return fmt.Errorf("imaging: %w (starts with %q)", ErrFormat, data[:min(len(data), 8)])
}

// rawCamera returns the name of a raw camera format that has the form of TIFF.
func rawCamera(data []byte) string {
	if !tiff.Is(data) {
		return ""
	}
	if len(data) >= 10 && string(data[8:10]) == "CR" {
		return "CR2"
	}
	return tiff.RawCamera(data)
}

// mediaFile names files of the form of ISO 14496-12, by their brands.
func mediaFile(data []byte) foreign {
	size := int(data[0])<<24 | int(data[1])<<16 | int(data[2])<<8 | int(data[3])
	brands := data[8:min(max(size, 12), len(data), 256)]
	for i := 0; i+4 <= len(brands); i += 4 {
		switch string(brands[i : i+4]) {
		case "avif", "avis":
			return foreign{"an AVIF picture", fmt.Sprintf(convertIn, "avif")}
		case "heic", "heix", "hevc", "hevx", "heim", "heis", "hevm", "hevs":
			return foreign{"a HEIC picture, as phones take", fmt.Sprintf(convertIn, "heic") + "; iPhones save JPEG with Settings, Camera, Formats, Most Compatible"}
		case "jxl ":
			return foreign{"a JPEG XL picture", fmt.Sprintf(convertIn, "jxl")}
		case "jp2 ", "jpx ":
			return foreign{"a JPEG 2000 picture", fmt.Sprintf(convertIn, "jp2")}
		case "crx ":
			return foreign{"a raw camera file (CR3)", raw}
		}
	}
	switch string(brands[:4]) {
	case "mif1", "msf1", "mif2":
		return foreign{"a HEIF picture", fmt.Sprintf(convertIn, "heif")}
	}
	return foreign{"a video (MP4 or QuickTime)", "extract pictures, for example: ffmpeg -i video.mp4 frame%04d.png"}
}

// isSVG reports whether a file is an SVG drawing.
func isSVG(data []byte) bool {
	head := strings.ToLower(string(bytes.TrimPrefix(data[:min(len(data), 4096)], []byte("\xef\xbb\xbf"))))
	head = strings.TrimLeft(head, " \t\r\n")
	return strings.HasPrefix(head, "<svg") || strings.HasPrefix(head, "<!doctype svg") ||
		(strings.HasPrefix(head, "<?xml") || strings.HasPrefix(head, "<!--")) && strings.Contains(head, "<svg")
}
