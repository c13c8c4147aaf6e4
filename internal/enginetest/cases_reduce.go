package enginetest

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

func (t *table) reductions() {
	for fn := graph.Sum; fn <= graph.MaxOf; fn++ {
		for _, q := range []struct {
			shape, axes []int
		}{
			{[]int{}, nil}, {[]int{17}, nil}, {[]int{17}, []int{0}}, {[]int{5, 20}, []int{0}}, {[]int{5, 20}, []int{1}},
			{[]int{5, 20}, []int{0, 1}}, {[]int{2, 3, 5}, []int{1}}, {[]int{2, 3, 5}, []int{0, 2}},
			{[]int{2, 17, 3, 4}, []int{2, 3}}, {[]int{3, 64, 7, 7}, []int{2, 3}}, {[]int{2, 5, 3, 4}, []int{1}},
			{[]int{2, 5, 3, 4}, []int{0}}, {[]int{2, 5, 3, 4}, []int{0, 2, 3}}, {[]int{2, 20, 9, 4}, []int{3}},
			{[]int{2, 5, 3, 4}, []int{1, 2, 3}}, {[]int{2, 5, 3, 4}, nil}, {[]int{2, 5, 3, 4}, []int{0, 1}},
			{[]int{2, 5, 1, 1}, []int{2, 3}},
			// Ranks that become four and more: only there the memory order changes.
			{[]int{2, 2, 5, 3, 4}, []int{1}}, {[]int{2, 3, 5, 2, 4}, []int{0}}, {[]int{2, 3, 5, 2, 4}, []int{4}},
			{[]int{2, 3, 5, 2, 4}, []int{1, 3}}, {[]int{2, 3, 2, 2, 4}, nil}, {[]int{2, 3, 4, 2, 3, 2}, []int{1, 4}},
			{[]int{2, 3, 4, 2, 3, 2}, []int{5}}, {[]int{2, 3, 4, 2, 3, 2}, []int{0, 2, 5}},
		} {
			for _, keep := range []bool{false, true} {
				o := graph.Reduce{Fn: fn, Axes: q.axes, Keep: keep}
				t.add(fmt.Sprintf("reduce/%v_%v_%v_%v", fn, q.shape, q.axes, keep), func(b *builder) {
					x := b.in("x", q.shape...)
					if fn == graph.MaxOf { // ties at 0
						x = b.relu(x)
					}
					b.grads(b.op(o, x), x)
				})
			}
		}
	}
	for _, q := range [][2][]int{{{}, {}}, {{}, {3, 5}}, {{1}, {17}}, {{5, 1}, {5, 20}}, {{17, 1, 1}, {2, 17, 3, 4}},
		{{2, 5, 1, 1}, {2, 5, 3, 4}}, {{1, 1, 3, 4}, {2, 5, 3, 4}}, {{1, 5, 1, 4}, {2, 5, 3, 4}}, {{4}, {2, 5, 3, 4}},
		{{5, 1, 4}, {2, 5, 3, 4}}, {{2, 5, 3, 4}, {3, 2, 5, 3, 4}}, {{5, 1, 4, 1}, {2, 5, 3, 4, 2}}, {{3, 1, 2, 1, 4, 1}, {3, 2, 2, 3, 4, 2}}} {
		t.add(fmt.Sprintf("broadcast/%v_%v", q[0], q[1]), func(b *builder) {
			x := b.in("x", q[0]...)
			b.grads(b.op(graph.BroadcastTo{Shape: q[1]}, x), x)
		})
	}
	for _, s := range [][]int{{1}, {17}, {5, 20}, {3, 1000}, {2, 3, 16}, {2, 5, 3, 7}} {
		for _, o := range []graph.Op{graph.Softmax{}, graph.LogSoftmax{}} {
			for _, scale := range []float64{1, 100} {
				t.add(fmt.Sprintf("softmax/%s_%v_%g", o.Name(), s, scale), func(b *builder) {
					x := b.feed("x", b.random(scale, 0, s...))
					b.grads(b.op(o, x), x)
				})
			}
		}
	}
}

func (t *table) shapes() {
	for _, q := range [][2][]int{
		{{2, 5, 3, 4}, {2, 60}}, {{2, 60}, {2, 5, 3, 4}}, {{2, 5, 3, 4}, {2, 5, 12}}, {{2, 6, 3, 4}, {4, 3, 4, 3}},
		{{2, 17, 1, 1}, {2, 17}}, {{2, 17}, {2, 17, 1, 1}}, {{24}, {2, 3, 4}}, {{1}, {}}, {{}, {1, 1, 1, 1}},
		{{2, 5, 12}, {2, 5, 3, 4}}, {{2, 5, 3, 4}, {120}},
		{{2, 6, 3, 4}, {2, 2, 3, 3, 4}}, {{2, 2, 3, 3, 4}, {2, 6, 3, 4}}, {{2, 3, 2, 2, 1, 3}, {4, 3, 2, 3}},
	} {
		t.add(fmt.Sprintf("reshape/%v_%v", q[0], q[1]), func(b *builder) {
			x := b.in("x", q[0]...)
			b.grads(b.op(graph.Reshape{Shape: q[1]}, x), x)
		})
	}
	for _, q := range [][2][]int{
		{{}, {}}, {{17}, {0}}, {{5, 20}, {1, 0}}, {{2, 3, 5}, {2, 0, 1}}, {{2, 3, 5}, {0, 2, 1}}, {{2, 5, 3, 4}, {0, 1, 2, 3}},
		{{2, 5, 3, 4}, {0, 2, 3, 1}}, {{2, 5, 3, 4}, {0, 3, 1, 2}}, {{2, 5, 3, 4}, {1, 0, 3, 2}}, {{2, 5, 3, 4}, {3, 2, 1, 0}}, {{2, 5, 3, 4}, {0, 1, 3, 2}},
		{{2, 5, 3, 4, 2}, {0, 2, 1, 4, 3}}, {{2, 3, 3, 2, 2, 3}, {5, 0, 3, 1, 4, 2}},
	} {
		t.add(fmt.Sprintf("permute/%v_%v", q[0], q[1]), func(b *builder) {
			x := b.in("x", q[0]...)
			b.grads(b.op(graph.Permute{Perm: q[1]}, x), x)
		})
	}
	for _, shape := range [][]int{{7}, {3, 5}, {2, 3, 5}, {3, 17, 4, 5}, {2, 3, 2, 4, 3}, {2, 2, 3, 2, 2, 3}} {
		for axis := range shape {
			t.add(fmt.Sprintf("concat/%v_%d", shape, axis), func(b *builder) {
				wider := tensor.Shape(shape).Clone()
				wider[axis] += 3
				thin := tensor.Shape(shape).Clone()
				thin[axis] = 1
				x, y, z := b.in("x", shape...), b.in("y", wider...), b.in("z", thin...)
				b.grads(b.op(graph.Concat{Axis: axis}, x, y, z, x), x, y, z)
			})
			size := shape[axis]
			for _, o := range []graph.Slice{{Start: 0, Count: 1, Step: 1}, {Start: 1, Count: size - 1, Step: 1}, {Start: 0, Count: (size + 1) / 2, Step: 2}} {
				o.Axis = axis
				t.add(fmt.Sprintf("slice/%v_%v", shape, o), func(b *builder) {
					x := b.in("x", shape...)
					b.grads(b.op(o, x), x)
				})
			}
			for _, o := range []graph.Pad{{Before: 1}, {After: 3}, {Before: 2, After: 1, Value: -1.5}, {Between: 2, After: 1}, {Before: 1, Between: 1, Value: 2}, {}} {
				o.Axis = axis
				t.add(fmt.Sprintf("pad/%v_%v", shape, o), func(b *builder) {
					x := b.in("x", shape...)
					b.grads(b.op(o, x), x)
				})
			}
		}
	}
	t.add("concat/single", func(b *builder) {
		x := b.in("x", 2, 3, 4, 5)
		b.grads(b.op(graph.Concat{Axis: 1}, x), x)
	})
}

func (t *table) losses() {
	for _, s := range [][2]int{{1, 2}, {5, 10}, {4, 17}, {16, 100}} {
		n, c := s[0], s[1]
		for _, smooth := range []float32{0, 0.1} {
			for _, weighted := range []bool{false, true} {
				name := fmt.Sprintf("%dx%d_%g_%v", n, c, smooth, weighted)
				loss := func(b *builder, x, target *graph.Value) {
					in := []*graph.Value{x, target}
					if weighted {
						in = append(in, b.positive("w", c))
					}
					y := b.out("loss", b.op(graph.CrossEntropy{LabelSmoothing: smooth}, in...))
					b.gradsOf(b.op(graph.Affine{Scale: 3}, y), x)
				}
				t.add("crossentropy/labels_"+name, func(b *builder) {
					x := b.feed("x", b.random(3, 0, n, c))
					loss(b, x, b.labels("t", n, c))
				})
				t.add("crossentropy/ignored_"+name, func(b *builder) {
					x, labels := b.feed("x", b.random(3, 0, n+2, c)), b.labels("t", n+2, c)
					b.c.Inputs["t"].Int64s()[1] = graph.IgnoreLabel
					loss(b, x, labels)
				})
				t.add("crossentropy/soft_"+name, func(b *builder) {
					x := b.feed("x", b.random(3, 0, n, c))
					loss(b, x, b.op(graph.Softmax{}, b.in("t", n, c)))
				})
			}
		}
		for _, weighted := range []bool{false, true} {
			t.add(fmt.Sprintf("bce/%dx%d_%v", n, c, weighted), func(b *builder) {
				x := b.feed("x", b.random(5, 0, n, c))
				in := []*graph.Value{x, b.op(graph.Unary{Fn: graph.HardSigmoid}, b.feed("t", b.random(5, 0, n, c)))}
				if weighted {
					in = append(in, b.positive("w", c))
				}
				y := b.out("loss", b.op(graph.BCEWithLogits{}, in...))
				b.gradsOf(b.op(graph.Affine{Scale: 3}, y), x)
			})
		}
	}
}
