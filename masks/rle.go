// Package masks holds the masks of objects in pictures: run-length encoded as
// COCO's files hold them, as bitmaps, and as the small square of probabilities
// that a mask head predicts. It converts between them, and computes areas, boxes,
// unions and overlaps. Results equal those of pycocotools bit for bit.
package masks

import (
	"errors"
	"fmt"
	"math"
)

// MaxPixels is the limit of a mask's height times width. It is above the limit of
// a picture that is decoded.
const MaxPixels = 1 << 28

// RLE is a mask in COCO's run-length encoding: the pixels go down the columns,
// the columns from left to right, and Counts are the lengths of the runs, which are
// alternately outside (the first) and inside the object. The counts add up to H
// times W. The zero value is an empty mask of no size.
type RLE struct {
	H, W   int // of the picture, pixels
	Counts []uint32
}

func checkSize(h, w int) error {
	if h < 0 || w < 0 || w > 0 && h > MaxPixels/w {
		return fmt.Errorf("masks: a mask of %d x %d pixels (height x width); give a size that is not negative, of at most %d pixels", h, w, MaxPixels)
	}
	return nil
}

// FromCounts returns the mask with those run lengths, a copy of them. Counts that
// add up to less than the picture are followed by pixels outside the object, as in
// pycocotools. It is an error if they add up to more.
func FromCounts(counts []uint32, h, w int) (RLE, error) {
	if err := checkSize(h, w); err != nil {
		return RLE{}, err
	}
	r := RLE{H: h, W: w, Counts: append(make([]uint32, 0, len(counts)+1), counts...)}
	return r, r.complete()
}

// complete checks the sum of the counts, and adds the last run if it is missing.
func (r *RLE) complete() error {
	size, sum := uint64(r.H)*uint64(r.W), uint64(0)
	for _, c := range r.Counts {
		if sum += uint64(c); sum > size {
			return fmt.Errorf("masks: the counts of a run-length encoded mask add up to more than its %d x %d pixels", r.H, r.W)
		}
	}
	if rest := uint32(size - sum); rest > 0 {
		if n := len(r.Counts); n%2 == 1 {
			r.Counts[n-1] += rest
		} else {
			r.Counts = append(r.Counts, rest)
		}
	}
	return nil
}

// Parse reads COCO's compressed form of the counts, the string that pycocotools
// calls "counts". It needs memory in proportion to the string, whatever the size of
// the mask.
func Parse(s string, h, w int) (RLE, error) {
	if err := checkSize(h, w); err != nil {
		return RLE{}, err
	}
	// Each count is a difference to the count before the previous one, in groups of
	// 5 bits from the lowest: bit 5 marks that another group follows, bit 4 of the
	// last group is the sign.
	counts := make([]uint32, 0, len(s)/2+1)
	for p := 0; p < len(s); {
		var x int64
		start := p
		for more, k := true, 0; more; k++ {
			if p == len(s) {
				return RLE{}, errors.New("masks: the string of a run-length encoded mask ends within a count")
			}
			c := s[p] - 48
			if c > 63 {
				return RLE{}, fmt.Errorf("masks: the string of a run-length encoded mask has the character %q, which is not within 0 to o", s[p])
			}
			if k == 8 {
				return RLE{}, fmt.Errorf("masks: the string of a run-length encoded mask has a count of more than 8 characters at %d", start)
			}
			x |= int64(c&31) << (5 * k)
			p++
			if more = c&32 != 0; !more && c&16 != 0 {
				x |= -1 << (5 * (k + 1))
			}
		}
		if n := len(counts); n > 2 {
			x += int64(counts[n-2])
		}
		if x < 0 || x > math.MaxUint32 {
			return RLE{}, fmt.Errorf("masks: the string of a run-length encoded mask has the count %d at %d, which is not within 0 to %d", x, start, uint32(math.MaxUint32))
		}
		counts = append(counts, uint32(x))
	}
	r := RLE{H: h, W: w, Counts: counts}
	return r, r.complete()
}

// String returns the compressed form, which [Parse] reads.
func (r RLE) String() string {
	s := make([]byte, 0, 2*len(r.Counts))
	for i, c := range r.Counts {
		x := int64(c)
		if i > 2 {
			x -= int64(r.Counts[i-2])
		}
		for more := true; more; {
			c := byte(x & 31)
			x >>= 5
			if c&16 != 0 {
				more = x != -1
			} else {
				more = x != 0
			}
			if more {
				c |= 32
			}
			s = append(s, c+48)
		}
	}
	return string(s)
}

// Area returns the number of pixels inside the object.
func (r RLE) Area() int {
	n := 0
	for i := 1; i < len(r.Counts); i += 2 {
		n += int(r.Counts[i])
	}
	return n
}

// Box returns the smallest box that holds the object: x, y, width, height in
// pixels, all zero if the object has no pixels.
func (r RLE) Box() [4]float64 {
	x0, y0, x1, y1 := r.W, r.H, -1, -1
	at := 0
	for i, c := range r.Counts {
		n := int(c)
		if i%2 == 1 && n > 0 {
			last := at + n - 1
			xs, xe := at/r.H, last/r.H
			x0, x1 = min(x0, xs), max(x1, xe)
			if xs < xe { // the run goes over the lower edge of a column
				y0, y1 = 0, r.H-1
			} else {
				y0, y1 = min(y0, at%r.H), max(y1, last%r.H)
			}
		}
		at += n
	}
	if x1 < 0 {
		return [4]float64{}
	}
	return [4]float64{float64(x0), float64(y0), float64(x1 - x0 + 1), float64(y1 - y0 + 1)}
}

// Union returns the pixels that are in any of the masks; of no masks, an empty
// mask of no size. It is an error if the sizes differ.
func Union(rs ...RLE) (RLE, error) { return merge(rs, false) }

// Intersection returns the pixels that are in all of the masks; of no masks, an
// empty mask of no size. It is an error if the sizes differ.
func Intersection(rs ...RLE) (RLE, error) { return merge(rs, true) }

func merge(rs []RLE, all bool) (RLE, error) {
	if len(rs) == 0 {
		return RLE{}, nil
	}
	m := RLE{H: rs[0].H, W: rs[0].W, Counts: append([]uint32(nil), rs[0].Counts...)}
	for _, r := range rs[1:] {
		if r.H != m.H || r.W != m.W {
			return RLE{}, fmt.Errorf("masks: masks of %d x %d and %d x %d pixels cannot be merged, must be of one size", m.H, m.W, r.H, r.W)
		}
		var out []uint32
		inside, run := false, uint32(0)
		walk(m.Counts, r.Counts, func(n uint32, a, b bool) {
			if in := a && b || !all && (a || b); in != inside {
				out = append(out, run)
				inside, run = in, 0
			}
			run += n
		})
		m.Counts = append(out, run)
	}
	return m, nil
}

// walk goes through two masks of one size at once, by pieces that have no change
// of either. n may be 0.
func walk(a, b []uint32, each func(n uint32, inA, inB bool)) {
	var i, j int
	var ra, rb uint32 // what is left of the runs i-1 and j-1
	for {
		for ra == 0 && i < len(a) {
			ra = a[i]
			i++
		}
		for rb == 0 && j < len(b) {
			rb = b[j]
			j++
		}
		n := min(ra, rb)
		if n == 0 {
			return
		}
		each(n, i%2 == 0, j%2 == 0)
		ra -= n
		rb -= n
	}
}
