package enginetest

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// classes is an input of labels of any shape, some of which are ignored.
func (b *builder) classes(name string, classes int, shape ...int) *graph.Value {
	t := tensor.NewInt64(shape...)
	for i := range t.Int64s() {
		t.Int64s()[i] = int64(b.rng.IntN(classes))
		if b.rng.IntN(5) == 0 {
			t.Int64s()[i] = graph.IgnoreLabel
		}
	}
	return b.feed(name, t)
}

// probabilities is an input of numbers in [0, 1), some of which are 0 or 1.
func (b *builder) probabilities(name string, shape ...int) *graph.Value {
	t := tensor.New(shape...)
	for i := range t.Float32s() {
		t.Float32s()[i] = b.rng.Float32()
		if k := b.rng.IntN(4); k < 2 {
			t.Float32s()[i] = float32(k)
		}
	}
	return b.feed(name, t)
}

// loss outputs a scalar and its gradients.
func (b *builder) loss(loss *graph.Value, wrt ...*graph.Value) {
	b.out("loss", loss)
	b.gradsOf(b.op(graph.Affine{Scale: 1.5}, loss), wrt...)
}

func (t *table) visionLosses() {
	for _, s := range [][]int{{1, 2, 1, 1}, {2, 5, 3, 4}, {2, 21, 17, 13}, {1, 3, 150, 170}} {
		for _, smoothing := range []float32{0, 0.1} {
			for _, weighted := range []bool{false, true} {
				in := func(b *builder) []*graph.Value {
					if weighted {
						return []*graph.Value{b.positive("w", s[1])}
					}
					return nil
				}
				t.add(fmt.Sprintf("loss/dense_%v_%g_%v", s, smoothing, weighted), func(b *builder) {
					b.tol(1e-4)
					x, y := b.in("x", s...), b.classes("y", s[1], s[0], s[2], s[3])
					if s[2] == 1 { // not all of them ignored
						b.c.Inputs["y"].Int64s()[0] = 1
					}
					b.loss(b.op(graph.CrossEntropy{LabelSmoothing: smoothing}, append([]*graph.Value{x, y}, in(b)...)...), x)
				})
				t.add(fmt.Sprintf("loss/dense_none_%v_%g_%v", s, smoothing, weighted), func(b *builder) {
					x, y := b.in("x", s...), b.classes("y", s[1], s[0], s[2], s[3])
					for i := range b.c.Inputs["y"].Int64s() { // the loss is 0, and not NaN
						b.c.Inputs["y"].Int64s()[i] = graph.IgnoreLabel
					}
					b.loss(b.op(graph.CrossEntropy{LabelSmoothing: smoothing}, append([]*graph.Value{x, y}, in(b)...)...), x)
				})
				t.add(fmt.Sprintf("loss/dense_soft_%v_%g_%v", s, smoothing, weighted), func(b *builder) {
					b.tol(1e-4)
					x, y := b.in("x", s...), b.probabilities("y", s...)
					b.loss(b.op(graph.CrossEntropy{LabelSmoothing: smoothing}, append([]*graph.Value{x, y}, in(b)...)...), x)
				})
			}
		}
	}
	for _, s := range [][]int{{1, 1}, {7, 3}, {40, 91}, {3, 2500}} {
		for _, o := range []graph.SigmoidFocal{{Alpha: 0.25, Gamma: 2}, {Alpha: -1, Gamma: 1.5}, {Alpha: 0.6}, {Alpha: 1, Gamma: 1}} {
			t.add(fmt.Sprintf("loss/focal_%v_%v", s, o), func(b *builder) {
				b.tol(1e-4)
				x, y := b.feed("x", b.random(3, 0, s...)), b.classes("y", s[1], s[0])
				for i := range b.c.Inputs["y"].Int64s() {
					if i%3 == 0 {
						b.c.Inputs["y"].Int64s()[i] = -1
					}
				}
				b.loss(b.op(o, x, y, b.probabilities("w", s[0])), x)
			})
			t.add(fmt.Sprintf("loss/focal_soft_%v_%v", s, o), func(b *builder) {
				b.tol(1e-4)
				x, y := b.feed("x", b.random(3, 0, s...)), b.probabilities("y", s...)
				b.loss(b.op(o, x, y), x)
			})
		}
	}
	for _, s := range [][]int{{9, 4}, {2, 5, 3, 4}} {
		for _, beta := range []float32{0, 1.0 / 9, 1} {
			t.add(fmt.Sprintf("loss/smooth_l1_%v_%g", s, beta), func(b *builder) {
				x, y := b.in("x", s...), b.in("y", s...)
				w := b.probabilities("w", append([]int{s[0]}, ones(len(s)-1)...)...)
				b.loss(graph.SmoothL1Loss(b.g, x, y, w, beta), x, y)
			})
		}
		t.add(fmt.Sprintf("loss/l1_%v", s), func(b *builder) {
			x, y := b.in("x", s...), b.in("y", s...)
			b.loss(graph.L1Loss(b.g, x, y, nil), x)
		})
		t.add(fmt.Sprintf("loss/bce_%v", s), func(b *builder) {
			b.tol(1e-4)
			x, y := b.in("x", s...), b.probabilities("y", s...)
			b.loss(graph.BCELoss(b.g, x, y, b.probabilities("w", s...)), x)
		})
		t.add(fmt.Sprintf("loss/dice_%v", s), func(b *builder) {
			b.tol(1e-4)
			x, y := b.in("x", s...), b.classes("y", s[1], append([]int{s[0]}, s[2:]...)...)
			b.loss(graph.DiceLoss(b.g, x, y, 0.5), x)
		})
	}
	t.add("loss/giou", func(b *builder) {
		b.tol(1e-4)
		box := func(name string) *graph.Value {
			x := tensor.New(12, 4)
			for i := range 12 {
				r := x.Float32s()[4*i:]
				r[0], r[1] = b.rng.Float32()*4, b.rng.Float32()*4
				r[2], r[3] = r[0]+0.5+b.rng.Float32()*3, r[1]+0.5+b.rng.Float32()*3
			}
			return b.feed(name, x)
		}
		x, y := box("x"), box("y")
		b.loss(graph.GIoULoss(b.g, x, y, b.probabilities("w", 12, 1), 1e-7), x, y)
	})
	for _, s := range [][]int{{}, {7}, {2, 3, 4}} {
		t.add(fmt.Sprintf("onehot/%v", s), func(b *builder) {
			b.out("y", b.op(graph.OneHot{Classes: 5}, b.classes("x", 5, s...)))
		})
	}
	// Integers that no caller feeds for this run.
	t.add("onehot/constant_and_output", func(b *builder) {
		labels := tensor.NewInt64(2, 3)
		copy(labels.Int64s(), []int64{0, 1, 2, 3, 4, graph.IgnoreLabel})
		v := b.op(graph.Detach{}, b.g.Const(labels))
		b.out("labels", v)
		b.out("fed", b.classes("x", 3, 4))
		b.out("y", b.op(graph.OneHot{Classes: 5}, v))
	})
	t.add("permute/channels_last_and_back", func(b *builder) {
		x := b.in("x", 2, 6, 3, 4)
		y := b.op(graph.Reshape{Shape: []int{2 * 3 * 4 * 2, 3}}, b.op(graph.Permute{Perm: []int{0, 2, 3, 1}}, b.relu(x)))
		z := b.op(graph.Permute{Perm: []int{0, 3, 1, 2}}, b.op(graph.Reshape{Shape: []int{2, 3, 4, 6}}, b.op(graph.Softmax{}, y)))
		b.grads(b.op(graph.AvgPool2d{Window: pooling(2, 1, 0)}, z), x)
	})
}

func ones(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = 1
	}
	return s
}
