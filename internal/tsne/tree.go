package tsne

import (
	"cmp"
	"slices"

	"github.com/resnet-go/resnet/internal/parallel"
)

// block is the number of points of a task.
const block = 64

// each calls f for every point, by several threads.
func each(pool *parallel.Pool, n int, f func(i int)) {
	pool.Run((n+block-1)/block, func(task, _ int) {
		for i := task * block; i < min(n, (task+1)*block); i++ {
			f(i)
		}
	})
}

// inOrder returns affinities by ascending point.
func inOrder(of map[int]float64) []link {
	out := make([]link, 0, len(of))
	for to, p := range of {
		out = append(out, link{to, p})
	}
	slices.SortFunc(out, func(a, b link) int { return cmp.Compare(a.to, b.to) })
	return out
}

// cell is a square of the plane.
type cell struct {
	mid      [2]float64 // of the square
	half     float64    // of its side
	mass     float64    // points in it
	mean     [2]float64 // of them; their sum while the tree is built
	children [4]int32   // 0 is none
	point    int32      // of a leaf; -1 of others
}

// tree is a quadtree over points: Barnes and Hut 1986.
type tree struct{ cells []cell }

// deepest is the depth below which points share a leaf.
const deepest = 48

// build makes the tree of points.
func (t *tree) build(y [][2]float64) {
	low, high := y[0], y[0]
	for _, p := range y {
		for c := range 2 {
			low[c], high[c] = min(low[c], p[c]), max(high[c], p[c])
		}
	}
	root := cell{point: -1, half: max(high[0]-low[0], high[1]-low[1])/2*1.0001 + 1e-300}
	root.mid = [2]float64{(low[0] + high[0]) / 2, (low[1] + high[1]) / 2}
	t.cells = append(t.cells[:0], root)
	for i, p := range y {
		t.insert(y, int32(i), p)
	}
	for i := range t.cells {
		c := &t.cells[i]
		c.mean[0] /= c.mass
		c.mean[1] /= c.mass
		if c.point >= 0 {
			c.mean = y[c.point]
		}
	}
}

func (t *tree) insert(y [][2]float64, i int32, p [2]float64) {
	at := int32(0)
	for depth := 0; ; depth++ {
		c := &t.cells[at]
		if c.mass > 0 && c.point >= 0 && depth < deepest && y[c.point] != p { // a leaf of another place is divided
			old := c.point
			c.point = -1
			mass := c.mass // of equal points
			child := t.child(at, y[old])
			t.cells[child].point, t.cells[child].mass = old, mass
			t.cells[child].mean = [2]float64{y[old][0] * mass, y[old][1] * mass}
			c = &t.cells[at]
		}
		first := c.mass == 0
		c.mass++
		c.mean[0] += p[0]
		c.mean[1] += p[1]
		switch {
		case first:
			c.point = i
			return
		case c.point >= 0: // the same place, or as deep as it goes
			return
		}
		at = t.child(at, p)
	}
}

// child returns the quarter of a cell in which p lies; a new one is empty.
func (t *tree) child(at int32, p [2]float64) int32 {
	c := &t.cells[at]
	quarter, mid, half := 0, c.mid, c.half/2
	for k := range 2 {
		if p[k] > c.mid[k] {
			quarter |= 1 << k
			mid[k] += half
		} else {
			mid[k] -= half
		}
	}
	if c.children[quarter] == 0 {
		c.children[quarter] = int32(len(t.cells))
		t.cells = append(t.cells, cell{mid: mid, half: half, point: -1})
	}
	return t.cells[at].children[quarter]
}

// push returns the sum over all other points of q² (p - other) and that of q, where q is
// 1/(1 + distance²).
func (t *tree) push(p [2]float64) (force [2]float64, sum float64) {
	var stack [4 * (deepest + 2)]int32
	top := 1
	for top > 0 {
		top--
		c := &t.cells[stack[top]]
		dx, dy := p[0]-c.mean[0], p[1]-c.mean[1]
		d := float64(dx*dx) + float64(dy*dy)
		side := 2 * c.half
		if c.point < 0 && float64(side*side) >= float64(theta*theta*d) {
			for _, child := range c.children {
				if child != 0 {
					stack[top] = child
					top++
				}
			}
			continue
		}
		mass := c.mass
		if d == 0 { // the point itself, and those of the same place
			mass--
		}
		q := 1 / (1 + d)
		sum += float64(mass * q)
		f := float64(mass * q * q)
		force[0] += float64(f * dx)
		force[1] += float64(f * dy)
	}
	return force, sum
}
