package masks

import (
	"fmt"
	"math"
	"slices"
)

// scale is how many times finer than the pixels the outline of a polygon is
// followed.
const scale = 5

// maxSteps limits the length of a polygon's outline, in steps of 1/scale pixel, so
// that a hostile polygon ends in an error.
const maxSteps = 1 << 26

// FromPolygon returns the mask of a polygon with corners x0, y0, x1, y1, … in
// pixels from the upper left corner of the picture. What is outside the picture is
// cut off. It equals pycocotools' frPyObjects for one polygon. It is an error if the
// corners are fewer than three or not finite, or if the outline is longer than
// 2^26 / 5 pixels.
func FromPolygon(xy []float64, h, w int) (RLE, error) {
	if len(xy)%2 != 0 || len(xy) < 6 {
		return RLE{}, fmt.Errorf("masks: a polygon of %d numbers; give an even number, two for each of at least three corners", len(xy))
	}
	return fromOutline(xy, h, w)
}

// FromPolygons returns the union of an object's polygons, as pycocotools merges
// them. Of no polygons it returns an empty mask.
func FromPolygons(polygons [][]float64, h, w int) (RLE, error) {
	parts := make([]RLE, 0, len(polygons))
	for _, p := range polygons {
		r, err := FromPolygon(p, h, w)
		if err != nil {
			return RLE{}, err
		}
		parts = append(parts, r)
	}
	if len(parts) == 0 {
		return FromCounts(nil, h, w)
	}
	return Union(parts...)
}

// FromBox returns the mask of a box of x, y, width, height in pixels, as
// pycocotools' frPyObjects does.
func FromBox(b [4]float64, h, w int) (RLE, error) {
	x0, y0, x1, y1 := b[0], b[1], b[0]+b[2], b[1]+b[3]
	return fromOutline([]float64{x0, y0, x0, y1, x1, y1, x1, y0}, h, w)
}

// fromOutline walks along the outline on a grid that is scale times finer than the
// pixels. Where the walk crosses the middle of a column of pixels, the column
// changes between outside and inside.
func fromOutline(xy []float64, h, w int) (RLE, error) {
	if err := checkSize(h, w); err != nil {
		return RLE{}, err
	}
	n := len(xy) / 2
	xs, ys := make([]int, n+1), make([]int, n+1)
	for i := range n {
		for k, to := range [][]int{xs, ys} {
			v := float64(scale*xy[2*i+k]) + 0.5
			if !(math.Abs(v) < 1<<30) {
				return RLE{}, fmt.Errorf("masks: a polygon's coordinate is %v, which is not within %d pixels of the picture", xy[2*i+k], (1<<30)/scale)
			}
			to[i] = int(v)
		}
	}
	xs[n], ys[n] = xs[0], ys[0]
	steps := 0
	for i := range n {
		steps += max(abs(xs[i]-xs[i+1]), abs(ys[i]-ys[i+1])) + 1
	}
	if steps > maxSteps {
		return RLE{}, fmt.Errorf("masks: a polygon's outline is longer than %d pixels", maxSteps/scale)
	}

	c := crossings{h: h, w: w}
	for i := range n {
		x0, x1, y0, y1 := xs[i], xs[i+1], ys[i], ys[i+1]
		dx, dy := abs(x1-x0), abs(y1-y0)
		// The steps are computed from the end with the lower coordinate, so that an
		// edge gives the same points in both directions.
		flip := dx >= dy && x0 > x1 || dx < dy && y0 > y1
		if flip {
			x0, x1, y0, y1 = x1, x0, y1, y0
		}
		long := max(dx, dy)
		for d := range long + 1 {
			t := d
			if flip {
				t = long - d
			}
			switch {
			case long == 0:
				c.to(x0, y0)
			case dx >= dy:
				s := float64(y1-y0) / float64(dx)
				c.to(t+x0, int(float64(y0)+float64(s*float64(t))+0.5))
			default:
				s := float64(x1-x0) / float64(dy)
				c.to(int(float64(x0)+float64(s*float64(t))+0.5), t+y0)
			}
		}
	}
	return RLE{H: h, W: w, Counts: c.counts()}, nil
}

func abs(v int) int { return max(v, -v) }

// crossings collects where the walk crosses the middle of a column of pixels, as
// numbers of pixels in the order of the runs.
type crossings struct {
	h, w  int
	x, y  int // the last point
	begun bool
	at    []uint32
}

func (c *crossings) to(x, y int) {
	px, py, begun := c.x, c.y, c.begun
	c.x, c.y, c.begun = x, y, true
	if !begun || x == px {
		return
	}
	column := (float64(min(x, px))+0.5)/scale - 0.5
	if math.Floor(column) != column || column < 0 || column > float64(c.w-1) {
		return
	}
	row := (float64(min(y, py))+0.5)/scale - 0.5
	row = math.Ceil(min(max(row, 0), float64(c.h)))
	c.at = append(c.at, uint32(int(column)*c.h+int(row)))
}

// counts returns the run lengths between the crossings. Two crossings at one place
// cancel out.
func (c *crossings) counts() []uint32 {
	at := append(c.at, uint32(c.h*c.w))
	slices.Sort(at)
	counts := make([]uint32, 0, len(at))
	counts = append(counts, at[0])
	for i := 1; i < len(at); i++ {
		if d := at[i] - at[i-1]; d > 0 {
			counts = append(counts, d)
		} else if i++; i < len(at) {
			counts[len(counts)-1] += at[i] - at[i-1]
		}
	}
	return counts
}
