package engine

import (
	"fmt"
	"math"
	"sync"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/tensor"
)

// roiWeight is how much a bin takes of a row or column of pixels.
type roiWeight struct {
	at     int
	weight float32
}

// roi is one box on one axis: for each bin, the pixels that it takes. The samples
// of a bin form a grid, so the weight of a pixel is that of its row times that of
// its column, and pixels that several samples read are read once.
type roi struct {
	pixels []roiWeight
	ends   []int // of each bin, in pixels
}

func (r *roi) bin(i int) []roiWeight {
	from := 0
	if i > 0 {
		from = r.ends[i-1]
	}
	return r.pixels[from:r.ends[i]]
}

// set follows graph.RoIAlign in float32, with each product rounded by itself, so
// that the positions are the same numbers on every machine.
func (r *roi) set(o graph.RoIAlign, from, to float32, bins, extent int) error {
	offset := float32(0)
	if o.Aligned {
		offset = 0.5
	}
	start := float32(from*o.Scale) - offset
	size := float32(float32(to*o.Scale)-offset) - start
	if !o.Aligned {
		size = max(size, 1)
	}
	bin := size / float32(bins)
	count := o.SamplingRatio
	if count <= 0 {
		n := math.Ceil(float64(bin))
		if !(n <= graph.MaxRoISamples) {
			return fmt.Errorf("takes %g samples of a bin along an axis, the most is %d: its size is not that of a box in the picture", n, graph.MaxRoISamples)
		}
		count = int(n)
	}
	r.pixels, r.ends = r.pixels[:0], r.ends[:0]
	each := 1 / float32(max(count, 1))
	for p := range bins {
		first := len(r.pixels)
		for i := range count {
			at := float32(start + float32(float32(p)*bin))
			at += float32(float32(i)+0.5) * bin / float32(count)
			if !(at >= -1 && at <= float32(extent)) { // also if it overflowed
				continue
			}
			at = max(at, 0)
			low := int(at)
			if low >= extent-1 {
				r.add(first, extent-1, each)
				continue
			}
			t := at - float32(low)
			r.add(first, low, each*(1-t))
			if t > 0 {
				r.add(first, low+1, each*t)
			}
		}
		r.ends = append(r.ends, len(r.pixels))
	}
	return nil
}

// add counts weight for a pixel of the bin whose pixels begin at first. Samples come
// in order, so an earlier entry of the pixel is among the last two.
func (r *roi) add(first, at int, weight float32) {
	for i := len(r.pixels) - 1; i >= max(first, len(r.pixels)-2); i-- {
		if r.pixels[i].at == at {
			r.pixels[i].weight += weight
			return
		}
	}
	r.pixels = append(r.pixels, roiWeight{at, weight})
}

// boxRow is the part of a box that both directions share.
type boxRow struct {
	image      int // -1 for an unused row
	rows, cols roi
}

// set prepares box k of boxes for a map of shape x.
func (b *boxRow) set(o graph.RoIAlign, boxes []float32, k int, x tensor.Shape) error {
	row := boxes[5*k : 5*k+5]
	for _, v := range row {
		if v-v != 0 {
			return fmt.Errorf("box %d is %v: its numbers must be finite", k, row)
		}
	}
	if b.image = -1; row[0] == -1 {
		return nil
	}
	if !(row[0] >= 0 && row[0] < float32(x[0])) || row[0] != float32(int(row[0])) {
		return fmt.Errorf("box %d is of image %g, want a whole number from 0 to %d, or -1 for an unused row", k, row[0], x[0]-1)
	}
	b.image = int(row[0])
	err := b.rows.set(o, row[2], row[4], o.OH, x[2])
	if err == nil {
		err = b.cols.set(o, row[1], row[3], o.OW, x[3])
	}
	if err != nil {
		return fmt.Errorf("box %d, %v, %w", k, row[1:], err)
	}
	return nil
}

// roiAlign computes one box a task.
func (c *compiler) roiAlign(n *graph.Node, o graph.RoIAlign) {
	s := n.In[0].Shape
	ch, line, image := s[1], s[3]*s[1], s[2]*s[3]*s[1]
	x, boxes := c.in(n.In[0], activation), c.in(n.In[1], rowMajor)
	y := c.out(n.Out[0], activation)
	path := n.String()
	size := o.OH * o.OW * ch
	rows := sync.Pool{New: func() any { return &boxRow{} }}
	c.step("", n.In[1].Shape[0], func(r *run, k, _ int) {
		b := rows.Get().(*boxRow)
		defer rows.Put(b)
		out := r.b[y.id][k*size : (k+1)*size]
		clear(out)
		if err := b.set(o, r.b[boxes.id], k, s); err != nil {
			r.fail(fmt.Errorf("engine: %s: %w", path, err))
			return
		}
		if b.image < 0 {
			return
		}
		img := r.b[x.id][b.image*image : (b.image+1)*image]
		for ph := range o.OH {
			for pw := range o.OW {
				bin := out[(ph*o.OW+pw)*ch:][:ch]
				for _, row := range b.rows.bin(ph) {
					for _, col := range b.cols.bin(pw) {
						vec.Axpy(bin, img[row.at*line+col.at*ch:][:ch], row.weight*col.weight)
					}
				}
			}
		}
	}, reads(x, boxes), writes(y))
}

// roiBand is the number of rows of the map of which a task of roiAlignGrad adds up
// the gradient: few enough that a map has many tasks, enough that a box is not
// prepared for each row again.
const roiBand = 4

// roiAlignGrad cuts the map into bands of rows. Each task goes through all boxes, so
// a pixel adds its terms in the order of the boxes at any number of threads.
func (c *compiler) roiAlignGrad(n *graph.Node, o graph.RoIAlignGrad) {
	s := o.X
	ch, line := s[1], s[3]*s[1]
	dy, boxes := c.in(n.In[0], activation), c.in(n.In[1], rowMajor)
	dx := c.out(n.Out[0], activation)
	path := n.String()
	bands := vec.Pieces(s[2], roiBand)
	size := o.Of.OH * o.Of.OW * ch
	rows := sync.Pool{New: func() any { return &boxRow{} }}
	c.step("", s[0]*bands, func(r *run, task, _ int) {
		b := rows.Get().(*boxRow)
		defer rows.Put(b)
		image := task / bands
		lo, hi := vec.PieceBounds(task%bands, roiBand, s[2])
		out := r.b[dx.id][(image*s[2]+lo)*line : (image*s[2]+hi)*line]
		clear(out)
		table := r.b[boxes.id]
		for k := range n.In[1].Shape[0] {
			// Each box is checked once: by the first task of its image, or of the
			// batch if it has none.
			if table[5*k] != float32(image) && task != 0 {
				continue
			}
			if err := b.set(o.Of, table, k, s); err != nil {
				r.fail(fmt.Errorf("engine: %s: %w", path, err))
				return
			}
			if b.image != image {
				continue
			}
			for ph := range o.Of.OH {
				for _, row := range b.rows.bin(ph) {
					if row.at < lo || row.at >= hi {
						continue
					}
					to := out[(row.at-lo)*line:][:line]
					for pw := range o.Of.OW {
						d := r.b[dy.id][k*size+(ph*o.Of.OW+pw)*ch:][:ch]
						for _, col := range b.cols.bin(pw) {
							vec.Axpy(to[col.at*ch:][:ch], d, row.weight*col.weight)
						}
					}
				}
			}
		}
	}, reads(dy, boxes), writes(dx))
}
