package enginetest

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// detection has the operators of detectors.
func (t *table) detection() {
	for i, o := range []graph.RoIAlign{
		{OH: 7, OW: 7, Scale: 0.25, SamplingRatio: 2},
		{OH: 7, OW: 7, Scale: 0.25, SamplingRatio: 2, Aligned: true},
		{OH: 3, OW: 2, Scale: 0.25},
		{OH: 3, OW: 5, Scale: 0.25, SamplingRatio: -1, Aligned: true},
		{OH: 1, OW: 1, Scale: 1, SamplingRatio: 1},
		{OH: 14, OW: 14, Scale: 0.125, SamplingRatio: 2},
	} {
		for _, s := range [][]int{{2, 3, 11, 9}, {1, 17, 5, 6}, {3, 64, 13, 14}, {2, 5, 1, 1}} {
			t.add(fmt.Sprintf("roialign/%d_%v", i, s), func(b *builder) {
				x := b.in("x", s...)
				b.grads(b.op(o, x, b.feed("boxes", b.boxes(23, s, o.Scale))), x)
			})
		}
	}
	t.add("roialign/many_boxes_of_one_place", func(b *builder) {
		x := b.in("x", 1, 5, 6, 6)
		boxes := tensor.New(40, 5)
		for k := range 40 {
			copy(boxes.Float32s()[5*k:], []float32{0, 4, 6, 18, 17})
		}
		b.grads(b.op(graph.RoIAlign{OH: 4, OW: 4, Scale: 0.25, SamplingRatio: 2}, x, b.feed("boxes", boxes)), x)
	})
	t.add("roialign/gradient_of_its_gradient", func(b *builder) {
		x, dy := b.in("x", 2, 3, 7, 8), b.in("dz", 9, 3, 2, 2)
		boxes := b.feed("boxes", b.boxes(9, x.Shape, 0.5))
		o := graph.RoIAlign{OH: 2, OW: 2, Scale: 0.5, SamplingRatio: 2}
		b.grads(b.op(graph.RoIAlignGrad{Of: o, X: x.Shape}, dy, boxes), dy)
		b.out("x", x)
	})
	t.add("detach/half_of_a_product", func(b *builder) {
		x := b.in("x", 2, 5, 3, 4)
		y := b.op(graph.Unary{Fn: graph.Tanh}, x)
		b.grads(b.mul(y, b.op(graph.Detach{}, y)), x)
	})
	t.add("detach/boxes", func(b *builder) {
		x, w := b.in("x", 2, 3, 7, 8), b.in("w", 4, 5)
		boxes := b.op(graph.Affine{Scale: 0, Shift: 1}, w)
		b.grads(b.op(graph.RoIAlign{OH: 2, OW: 2, Scale: 0.5}, x, b.op(graph.Detach{}, boxes)), x, w)
	})
}

// boxes returns k rows of image, x1, y1, x2, y2 for maps of the shape x: most inside
// of the picture, some beyond its edges, without extent or unused.
func (b *builder) boxes(k int, x tensor.Shape, scale float32) *tensor.Tensor {
	t := tensor.New(k, 5)
	h, w := float32(x[2])/scale, float32(x[3])/scale
	for i := range k {
		row := t.Float32s()[5*i : 5*i+5]
		row[0] = float32(b.rng.IntN(x[0]))
		row[1], row[2] = b.rng.Float32()*w, b.rng.Float32()*h
		row[3], row[4] = row[1]+b.rng.Float32()*(w-row[1]), row[2]+b.rng.Float32()*(h-row[2])
		switch i % 8 {
		case 3:
			row[1], row[2] = -0.3*w, -0.2*h
		case 4:
			row[3], row[4] = 1.5*w, 1.3*h
		case 5:
			row[3], row[4] = row[1], row[2]
		case 6:
			row[1], row[3] = 3*w, 4*w
		case 7:
			row[0] = -1
		}
	}
	return t
}
