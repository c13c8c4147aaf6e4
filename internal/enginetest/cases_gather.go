package enginetest

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// indices is an input of indices below limit.
func (b *builder) indices(name string, limit int, shape ...int) *graph.Value {
	t := tensor.NewInt64(shape...)
	for i := range t.Int64s() {
		t.Int64s()[i] = int64(b.rng.IntN(limit))
	}
	return b.feed(name, t)
}

// few is an input of few different numbers, so that there are ties.
func (b *builder) few(name string, shape ...int) *graph.Value {
	t := tensor.New(shape...)
	for i := range t.Float32s() {
		t.Float32s()[i] = float32(b.rng.IntN(5)) - 2
	}
	return b.feed(name, t)
}

func (t *table) comparisons() {
	shapes := [][2][]int{{{}, {}}, {{17}, {17}}, {{17}, {}}, {{2, 5, 3, 4}, {2, 5, 3, 4}}, {{2, 5, 3, 4}, {1, 5, 1, 1}},
		{{5, 1, 4}, {2, 5, 3, 4}}, {{2, 1, 3, 1}, {1, 4, 1, 5}}, {{3, 4}, {4}}, {{2, 3, 2, 2, 3}, {3, 1, 2, 3}}}
	for fn := graph.Less; fn <= graph.NotEqual; fn++ {
		for _, s := range shapes {
			t.add(fmt.Sprintf("compare/%v_%v_%v", fn, s[0], s[1]), func(b *builder) {
				b.out("y", b.op(graph.Compare{Fn: fn}, b.few("a", s[0]...), b.few("b", s[1]...)))
				b.out("ints", b.op(graph.Compare{Fn: fn}, b.indices("i", 3, s[0]...), b.indices("j", 3, s[1]...)))
			})
		}
		t.add(fmt.Sprintf("compare/%v_nan", fn), func(b *builder) {
			x := b.few("a", 3, 4)
			b.c.Inputs["a"].Float32s()[5] = float32(math.NaN())
			b.out("y", b.op(graph.Compare{Fn: fn}, x, x))
		})
	}
	t.add("compare/no_gradient", func(b *builder) {
		x := b.in("x", 2, 5, 3, 4)
		b.grads(b.mul(x, b.op(graph.Compare{Fn: graph.Greater}, x, b.g.Scalar(0.3))), x)
	})
	for _, s := range [][3][]int{{{2, 5, 3, 4}, {2, 5, 3, 4}, {2, 5, 3, 4}}, {{2, 1, 3, 4}, {2, 5, 3, 4}, {}}, {{17}, {17}, {1}}, {{}, {3, 2}, {2}},
		{{4}, {2, 5, 3, 1}, {5, 1, 1}}, {{2, 3, 2, 2, 3}, {3}, {2, 2, 1}}} {
		t.add(fmt.Sprintf("where/%v", s), func(b *builder) {
			k, x, y := b.few("k", s[0]...), b.in("x", s[1]...), b.in("y", s[2]...)
			b.grads(b.op(graph.Where{}, b.relu(k), x, y), x, y)
		})
	}
	t.add("where/hides_infinity", func(b *builder) {
		x := b.few("x", 3, 4)
		inf := b.op(graph.Binary{Fn: graph.Div}, b.g.Scalar(1), x)
		b.out("y", b.op(graph.Where{}, b.op(graph.Compare{Fn: graph.NotEqual}, x, b.g.Scalar(0)), inf, b.g.Scalar(7)))
	})
	for _, s := range [][]int{{}, {5}, {2, 3, 2, 2}} {
		t.add(fmt.Sprintf("tofloat/%v", s), func(b *builder) {
			x := b.indices("x", 1000, s...)
			if len(s) == 1 {
				copy(b.c.Inputs["x"].Int64s(), []int64{1 << 40, -5, 16777217, math.MinInt64})
			}
			b.out("y", b.op(graph.ToFloat{}, x))
		})
	}
	for _, s := range [][]int{{}, {5}, {2, 3, 2, 2}} {
		t.add(fmt.Sprintf("toint/%v", s), func(b *builder) {
			x := b.feed("x", b.random(3, 0, s...))
			if len(s) == 1 {
				copy(b.c.Inputs["x"].Float32s(), []float32{1e15, -7.999999, 0, 2.5, -1e18})
			}
			b.out("y", b.op(graph.ToInt{}, x))
		})
	}
	for _, s := range [][2][]int{{{2, 5, 3, 4}, {5}}, {{2, 5, 3, 4}, {1}}, {{7, 3}, {3}}, {{6}, {1}}, {{2, 3, 5}, {3}}} {
		t.add(fmt.Sprintf("prelu/%v_%v", s[0], s[1]), func(b *builder) {
			x, a := b.few("x", s[0]...), b.variable("a", 0.2, 0.25, s[1]...)
			b.grads(graph.PReLU(b.g, x, a), x, a)
		})
	}
}

func (t *table) gathers() {
	for _, q := range []struct {
		x, index []int
		axis     int
	}{
		{[]int{9}, []int{4}, 0}, {[]int{9}, []int{}, 0}, {[]int{11, 70}, []int{3, 5}, 0}, {[]int{2, 6, 3}, []int{4}, 1}, {[]int{2, 3, 6}, []int{2, 2}, 2},
		{[]int{2, 5, 3, 4}, []int{7}, 1}, {[]int{2, 5, 3, 4}, []int{2, 3}, 3}, {[]int{3, 5, 2, 4}, []int{1, 2}, 0}, {[]int{2, 3, 2, 2, 3}, []int{3}, 2},
	} {
		t.add(fmt.Sprintf("gather/%v_%v_%d", q.x, q.index, q.axis), func(b *builder) {
			x := b.in("x", q.x...)
			b.grads(b.op(graph.Gather{Axis: q.axis}, x, b.indices("i", q.x[q.axis], q.index...)), x)
		})
	}
	for _, q := range []struct {
		x, index []int
		axis     int
	}{
		{[]int{9}, []int{20}, 0}, {[]int{5, 7}, []int{5, 3}, 1}, {[]int{5, 7}, []int{8, 6}, 0}, {[]int{2, 5, 3, 4}, []int{2, 7, 2, 4}, 1},
		{[]int{3, 2, 3, 4}, []int{6, 2, 3, 1}, 0}, {[]int{2, 3, 2, 2, 3}, []int{1, 3, 5, 2, 3}, 2},
	} {
		t.add(fmt.Sprintf("gatherelements/%v_%v_%d", q.x, q.index, q.axis), func(b *builder) {
			x := b.in("x", q.x...)
			b.grads(b.op(graph.GatherElements{Axis: q.axis}, x, b.indices("i", q.x[q.axis], q.index...)), x)
		})
	}
	for _, q := range []struct {
		x       []int
		axis, k int
	}{
		{[]int{1}, 0, 1}, {[]int{40}, 0, 7}, {[]int{5, 30}, 1, 30}, {[]int{5, 30}, 0, 2}, {[]int{2, 9, 3, 4}, 1, 4}, {[]int{2, 3, 4, 9}, 3, 3}, {[]int{2, 3, 5, 2, 2}, 2, 3},
	} {
		for _, smallest := range []bool{false, true} {
			for _, ties := range []bool{false, true} {
				t.add(fmt.Sprintf("topk/%v_%d_%d_%v_%v", q.x, q.axis, q.k, smallest, ties), func(b *builder) {
					x := b.in("x", q.x...)
					if ties {
						x = b.few("t", q.x...)
					}
					out := b.g.Must(graph.TopK{K: q.k, Axis: q.axis, Smallest: smallest}, x)
					b.out("indices", out[1])
					b.grads(out[0], x)
				})
			}
		}
		for _, keep := range []bool{false, true} {
			t.add(fmt.Sprintf("argmax/%v_%d_%v", q.x, q.axis, keep), func(b *builder) {
				b.out("y", b.op(graph.ArgMax{Axis: q.axis, Keep: keep}, b.few("x", q.x...)))
			})
		}
	}
	t.add("topk/nan", func(b *builder) {
		x := b.few("x", 2, 6)
		for _, i := range []int{2, 4, 9} {
			b.c.Inputs["x"].Float32s()[i] = float32(math.NaN())
		}
		b.out("largest", b.g.Must(graph.TopK{K: 4, Axis: 1}, x)[1])
		b.out("smallest", b.g.Must(graph.TopK{K: 5, Axis: 1, Smallest: true}, x)[1])
		b.out("argmax", b.op(graph.ArgMax{Axis: 1}, x))
	})
	// Proposals: the best boxes by their scores.
	t.add("topk/rows_of_the_best", func(b *builder) {
		scores, boxes := b.in("scores", 40), b.in("boxes", 40, 4)
		best := b.g.Must(graph.TopK{K: 6}, b.op(graph.Unary{Fn: graph.Sigmoid}, scores))
		b.grads(b.mul(b.op(graph.Gather{}, boxes, best[1]), b.op(graph.Reshape{Shape: []int{6, 1}}, best[0])), scores, boxes)
	})
}

func (t *table) transposedConvolutions() {
	o := func(stride, pad, extra, dilation, groups int) graph.ConvTranspose2d {
		return graph.ConvTranspose2d{StrideH: stride, StrideW: stride, PadH: pad, PadW: pad, OutputPadH: extra, OutputPadW: extra,
			DilationH: dilation, DilationW: dilation, Groups: groups}
	}
	for i, q := range []struct {
		x, w []int
		o    graph.ConvTranspose2d
	}{
		{[]int{2, 5, 3, 4}, []int{5, 7, 2, 2}, o(2, 0, 0, 1, 1)}, {[]int{1, 3, 4, 4}, []int{3, 4, 3, 3}, o(2, 1, 1, 1, 1)},
		{[]int{1, 4, 5, 3}, []int{4, 3, 4, 4}, o(2, 1, 0, 1, 2)}, {[]int{2, 6, 3, 3}, []int{6, 1, 3, 3}, o(1, 0, 0, 2, 6)},
		{[]int{1, 3, 3, 2}, []int{3, 2, 2, 3}, o(3, 0, 2, 1, 1)}, {[]int{1, 2, 3, 3}, []int{2, 2, 3, 3}, o(1, 1, 2, 3, 1)},
		{[]int{1, 16, 1, 1}, []int{16, 17, 4, 4}, o(4, 0, 0, 1, 1)},
		{[]int{1, 3, 4, 3}, []int{3, 2, 3, 2}, graph.ConvTranspose2d{StrideH: 2, StrideW: 1, PadH: 1, OutputPadH: 1, DilationH: 1, DilationW: 2, Groups: 1}},
	} {
		t.add(fmt.Sprintf("convtranspose/%d_%v_%v", i, q.x, q.w), func(b *builder) {
			x, w, bias := b.in("x", q.x...), b.variable("w", 0.3, 0, q.w...), b.variable("b", 1, 0, q.w[1]*q.o.Groups)
			b.grads(q.o.Apply(b.g, x, w, bias), x, w, bias)
		})
	}
}
