package masks

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// scale is how many times finer than the pixels the outline of a polygon is
// followed.
const scale = 5

// maxSteps limits the length of a polygon's outline inside the picture, in steps of
// 1/scale pixel from left to right, so that a hostile polygon ends in an error.
const maxSteps = 1 << 26

// FromPolygon returns the mask of a polygon with corners x0, y0, x1, y1, … in
// pixels from the upper left corner of the picture. What is outside the picture is
// cut off. It equals pycocotools' frPyObjects for one polygon. It is an error if the
// corners are fewer than three, not finite or more than 2^30 / 5 pixels away, or if the
// outline crosses more than 2^26 / 5 columns of pixels.
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
		steps += min(abs(xs[i]-xs[i+1]), scale*w) + 1
	}
	if steps > maxSteps {
		return RLE{}, fmt.Errorf("masks: a polygon's outline crosses more than %d columns of pixels", maxSteps/scale)
	}
	c := crossings{h: h, w: w}
	for i := range n {
		e := newEdge(xs[i], ys[i], xs[i+1], ys[i+1])
		if e.long <= longEdge {
			for d := range e.long + 1 {
				c.to(e.at(d))
			}
		} else {
			c.jump(&e)
		}
	}
	return RLE{H: h, W: w, Counts: c.counts()}, nil
}

// longEdge is the number of steps above which an edge is not walked step by step.
const longEdge = 1 << 12

// edge is a side of the polygon on the fine grid, which is walked in steps 0 to long.
type edge struct {
	x0, y0, long int
	slope        float64
	flat, flip   bool
}

func newEdge(x0, y0, x1, y1 int) edge {
	dx, dy := abs(x1-x0), abs(y1-y0)
	e := edge{long: max(dx, dy), flat: dx >= dy}
	// The steps are computed from the end with the lower coordinate, so that an edge
	// gives the same points in both directions.
	e.flip = e.flat && x0 > x1 || !e.flat && y0 > y1
	if e.flip {
		x0, x1, y0, y1 = x1, x0, y1, y0
	}
	e.x0, e.y0 = x0, y0
	switch {
	case e.long == 0:
	case e.flat:
		e.slope = float64(y1-y0) / float64(dx)
	default:
		e.slope = float64(x1-x0) / float64(dy)
	}
	return e
}

// at returns the point of step d.
func (e *edge) at(d int) (x, y int) {
	t := d
	if e.flip {
		t = e.long - d
	}
	if e.flat {
		return t + e.x0, int(float64(e.y0) + float64(e.slope*float64(t)) + 0.5)
	}
	return int(float64(e.x0) + float64(e.slope*float64(t)) + 0.5), t + e.y0
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

// jump goes along a long edge, only to the steps before and after x changes inside
// the picture. x never turns back on an edge.
func (c *crossings) jump(e *edge) {
	first, _ := e.at(0)
	last, _ := e.at(e.long)
	lo, hi := -1, scale*c.w+1 // beyond, crossings are outside the picture
	for d := 0; ; {
		x, y := e.at(d)
		c.to(x, y)
		// The next value of x to stop at.
		next := x + 1
		if last < first {
			next = x - 1
			if x > hi {
				next = hi
			}
		} else if x < lo {
			next = lo
		}
		if x == last || last > first && x > hi || last < first && x < lo {
			c.to(e.at(e.long))
			return
		}
		d += 1 + sort.Search(e.long-d-1, func(k int) bool {
			v, _ := e.at(d + 1 + k)
			return last > first && v >= next || last < first && v <= next
		})
		c.to(e.at(d - 1))
	}
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
