package atlas

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"

	"github.com/resnet-go/resnet/data/imaging"
)

// Side returns the largest side of the thumbnails of so and so many pictures, so that a
// page stays below about 20 MB.
func Side(pictures int) int {
	switch {
	case pictures <= 2000:
		return 96
	case pictures <= 4500:
		return 64
	case pictures <= 8000:
		return 48
	}
	return 32
}

// MaxPictures is the largest number of pictures of a map.
const MaxPictures = 20_000

// Thumbnail returns a picture in color whose larger side is at most side; small ones keep
// their size.
func Thumbnail(m *imaging.Image, side int) *imaging.Image {
	color := new(imaging.Image)
	if m.W <= side && m.H <= side {
		imaging.Convert(color, m, 3)
		return color
	}
	f := float64(side) / float64(max(m.W, m.H))
	out := new(imaging.Image)
	w, h := max(1, int(math.Round(float64(m.W)*f))), max(1, int(math.Round(float64(m.H)*f)))
	imaging.Resize(out, m, w, h, imaging.Bilinear)
	imaging.Convert(color, out, 3)
	return color
}

// sheetColumns is the number of thumbnails in a row of a sheet, and of rows.
const sheetColumns = 16

// edge is the number of pixels around a thumbnail that repeat its edge, because decoders
// smooth colors across the squares.
const edge = 4

// sheets returns the thumbnails as JPEGs of squares of cell pixels, in the order of the
// pictures: headers and tables of a JPEG for each would be half of the page.
func (m *Map) sheets() (cell int, encoded [][]byte, err error) {
	largest := 1
	for _, p := range m.Pictures {
		largest = max(largest, p.Thumb.W, p.Thumb.H)
	}
	cell = (largest + edge + 15) / 16 * 16 // blocks of a JPEG have pixels of one picture each
	const per = sheetColumns * sheetColumns
	for at := 0; at < len(m.Pictures); at += per {
		part := m.Pictures[at:min(at+per, len(m.Pictures))]
		rows := (len(part) + sheetColumns - 1) / sheetColumns
		sheet := image.NewRGBA(image.Rect(0, 0, min(len(part), sheetColumns)*cell, rows*cell))
		for k, p := range part {
			left, top := k%sheetColumns*cell, k/sheetColumns*cell
			for y := range cell { // what is not covered repeats the edge
				row := p.Thumb.Row(min(max(y-edge, 0), p.Thumb.H-1))
				for x := range cell {
					from := 3 * min(max(x-edge, 0), p.Thumb.W-1)
					to := sheet.PixOffset(left+x, top+y)
					copy(sheet.Pix[to:to+3], row[from:from+3])
					sheet.Pix[to+3] = 255
				}
			}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, sheet, &jpeg.Options{Quality: 78}); err != nil {
			return 0, nil, err
		}
		encoded = append(encoded, b.Bytes())
	}
	return cell, encoded, nil
}

// fingerprint is a picture of 16x16 pixels, less its mean.
type fingerprint struct {
	v      [3 * 16 * 16]float32
	norm   float64 // deviation
	mean   float64
	aspect float64
}

func newFingerprint(m *imaging.Image) fingerprint {
	small := new(imaging.Image)
	imaging.Resize(small, m, 16, 16, imaging.Bilinear)
	f := fingerprint{aspect: float64(m.W) / float64(m.H)}
	const n = 16 * 16
	for y := range 16 {
		for i, v := range small.Row(y)[:48] {
			f.v[48*y+i] = float32(v)
			f.mean += float64(v) / (3 * n)
		}
	}
	sum := 0.0
	for i := range f.v {
		f.v[i] -= float32(f.mean)
		sum += float64(f.v[i]) * float64(f.v[i])
	}
	f.norm = math.Sqrt(sum / (3 * n))
	return f
}

// alike reports whether two pictures are one but for size, brightness and compression:
// the correlation of their pixels is at least 0.95, or both are of one color.
func (f fingerprint) alike(g fingerprint) bool {
	if r := f.aspect / g.aspect; r < 0.9 || r > 1/0.9 {
		return false
	}
	if f.norm < 4 || g.norm < 4 {
		return f.norm < 4 && g.norm < 4 && math.Abs(f.mean-g.mean) < 4
	}
	sum := 0.0
	for i, v := range f.v {
		sum += float64(v) * float64(g.v[i])
	}
	return sum/float64(len(f.v))/(f.norm*g.norm) >= 0.95
}
