package enginetest

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Cases returns the table: every operator alone, forward and gradient, in many
// shapes, then the compositions that residual networks are made of.
func Cases() []Case {
	var t table
	t.convolutions()
	t.products()
	t.norms()
	t.groupNorms()
	t.elementwise()
	t.pools()
	t.scaledResizes()
	t.detection()
	t.hosts()
	t.comparisons()
	t.gathers()
	t.transposedConvolutions()
	t.reductions()
	t.shapes()
	t.losses()
	t.visionLosses()
	t.dropouts()
	t.optimisers()
	t.inference()
	t.training()
	t.plumbing()
	t.quantised()
	return t
}

func (t *table) convolutions() {
	type geometry struct {
		n, c, h, w, k, r, s int
		conv                graph.Conv2d
	}
	with := func(c graph.Conv2d, change func(*graph.Conv2d)) graph.Conv2d { change(&c); return c }
	groups := func(c graph.Conv2d, g int) graph.Conv2d { c.Groups = g; return c }
	for i, q := range []geometry{
		{1, 1, 1, 1, 1, 1, 1, square(1, 0)},
		{1, 3, 5, 5, 4, 1, 1, square(1, 0)},
		{2, 64, 7, 7, 20, 1, 1, square(1, 0)},
		{3, 17, 6, 5, 64, 1, 1, square(2, 0)},
		{2, 20, 9, 8, 17, 1, 1, square(3, 0)},
		{2, 1, 6, 6, 1, 3, 3, square(1, 1)},
		{1, 3, 8, 8, 16, 3, 3, square(1, 1)},
		{5, 5, 7, 9, 5, 3, 3, square(1, 1)},
		{2, 16, 8, 8, 16, 3, 3, square(1, 1)},
		{2, 16, 9, 7, 32, 3, 3, square(2, 1)},
		{1, 17, 13, 11, 20, 3, 3, square(1, 1)},
		{4, 64, 6, 6, 64, 3, 3, square(1, 1)},
		{2, 64, 4, 4, 64, 3, 3, square(2, 1)},
		{1, 20, 2, 1, 3, 3, 3, square(1, 1)},
		{1, 16, 1, 1, 17, 3, 3, square(1, 1)},
		{1, 5, 6, 5, 3, 3, 3, square(1, 0)},
		{1, 5, 6, 5, 3, 3, 3, square(1, 2)},
		{2, 3, 19, 17, 16, 7, 7, square(2, 3)},
		{1, 3, 32, 32, 64, 7, 7, square(2, 3)},
		{1, 4, 9, 9, 6, 5, 5, square(1, 2)},
		{1, 3, 8, 8, 4, 2, 2, square(3, 0)},
		{1, 3, 5, 7, 5, 5, 7, square(1, 0)},
		{2, 4, 5, 7, 3, 1, 3, with(square(1, 0), func(c *graph.Conv2d) { c.PadLeft, c.PadRight = 1, 1 })},
		{1, 3, 8, 9, 4, 5, 2, with(square(1, 0), func(c *graph.Conv2d) { c.StrideW, c.PadTop, c.PadBottom = 2, 2, 1 })},
		{1, 3, 6, 7, 4, 3, 3, with(square(2, 0), func(c *graph.Conv2d) { c.PadBottom, c.PadLeft, c.PadRight = 1, 1, 2 })},
		{1, 5, 9, 9, 17, 3, 3, with(square(1, 2), func(c *graph.Conv2d) { c.DilationH, c.DilationW = 2, 2 })},
		{1, 3, 11, 10, 4, 3, 3, with(square(2, 2), func(c *graph.Conv2d) { c.DilationH, c.DilationW = 2, 3 })},
		{1, 8, 6, 5, 12, 3, 3, groups(square(1, 1), 4)},
		{2, 64, 5, 5, 64, 3, 3, groups(square(1, 1), 32)},
		{2, 34, 5, 6, 34, 3, 3, groups(square(2, 1), 2)},
		{2, 32, 5, 5, 64, 1, 1, groups(square(1, 0), 2)},
		{2, 20, 6, 7, 20, 3, 3, groups(square(1, 1), 20)},
		{1, 17, 7, 7, 34, 3, 3, groups(square(2, 1), 17)},
	} {
		for _, bias := range []bool{false, true} {
			name := fmt.Sprintf("conv/%d_%dx%dx%dx%d_to_%d_by_%dx%d", i, q.n, q.c, q.h, q.w, q.k, q.r, q.s)
			if bias {
				name += "_bias"
			}
			t.add(name, func(b *builder) {
				in := []*graph.Value{b.in("x", q.n, q.c, q.h, q.w), b.variable("w", 0.3, 0, q.k, q.c/q.conv.Groups, q.r, q.s)}
				if bias {
					in = append(in, b.variable("b", 1, 0, q.k))
				}
				b.grads(b.op(q.conv, in...), in...)
			})
		}
	}
	// A weight that is computed, not stored, cannot be packed ahead.
	t.add("conv/computed_weight", func(b *builder) {
		x, w := b.in("x", 2, 5, 6, 6), b.in("w", 17, 5, 3, 3)
		b.grads(b.op(square(1, 1), x, b.op(graph.Affine{Scale: 0.5}, w)), x, w)
	})
	t.add("conv/constant_weight", func(b *builder) {
		x := b.in("x", 2, 5, 6, 6)
		b.grads(b.op(square(1, 1), x, b.g.Const(b.random(0.3, 0, 16, 5, 3, 3))), x)
	})
	// The transposed convolution of decoders.
	t.add("conv/transposed", func(b *builder) {
		x, w := b.in("x", 2, 5, 4, 3), b.variable("w", 0.3, 0, 5, 3, 4, 4)
		up := graph.Conv2dInputGrad{Conv: square(2, 1), X: tensor.Shape{2, 3, 8, 6}}
		b.grads(b.op(up, x, w), x, w)
	})
}

func (t *table) products() {
	for _, s := range [][3]int{{1, 1, 1}, {1, 3, 5}, {2, 16, 10}, {5, 17, 20}, {4, 64, 17}, {3, 200, 33}, {17, 5, 64}} {
		for _, bias := range []bool{false, true} {
			t.add(fmt.Sprintf("linear/%dx%d_to_%d_bias_%v", s[0], s[1], s[2], bias), func(b *builder) {
				in := []*graph.Value{b.in("x", s[0], s[1]), b.variable("w", 0.3, 0, s[2], s[1])}
				if bias {
					in = append(in, b.variable("b", 1, 0, s[2]))
				}
				b.grads(b.op(graph.Linear{}, in...), in...)
			})
		}
	}
	for _, s := range [][]int{{1, 1, 1}, {5, 3, 4}, {17, 20, 16}, {2, 5, 3, 4}, {3, 16, 17, 5}} {
		stack, m, k, n := s[:len(s)-3], s[len(s)-3], s[len(s)-2], s[len(s)-1]
		for trans := range 4 {
			o := graph.MatMul{TransA: trans&1 != 0, TransB: trans&2 != 0}
			t.add(fmt.Sprintf("matmul/%v_%v_%v", s, o.TransA, o.TransB), func(b *builder) {
				matrix := func(name string, rows, cols int, trans bool) *graph.Value {
					if trans {
						rows, cols = cols, rows
					}
					return b.in(name, append(append([]int{}, stack...), rows, cols)...)
				}
				x, y := matrix("a", m, k, o.TransA), matrix("b", k, n, o.TransB)
				b.grads(b.op(o, x, y), x, y)
			})
		}
	}
}

func (t *table) norms() {
	for _, s := range [][]int{{4, 1}, {5, 17}, {2, 1, 3, 3}, {2, 3, 5, 4}, {1, 16, 7, 7}, {4, 17, 3, 2}, {5, 20, 1, 1}, {3, 64, 6, 5}} {
		t.add(fmt.Sprintf("batchnorm/inference_%v", s), func(b *builder) {
			x, p := b.in("x", s...), b.normParams("", s[1])
			b.grads(b.op(graph.BatchNorm{Eps: 1e-5}, x, p[0], p[1], p[2], p[3]), x, p[0], p[1])
		})
		t.add(fmt.Sprintf("batchnorm/train_%v", s), func(b *builder) {
			b.tol(1e-4)
			b.steps(2)
			x := b.feed("x", b.random(2, 0.5, s...))
			p := b.normParams("", s[1])
			out := b.g.Must(graph.BatchNormTrain{Eps: 1e-5, Momentum: 0.1}, x, p[0], p[1], p[2], p[3])
			b.out("mean", out[1])
			b.out("invstd", out[2])
			b.assign(p[2], out[3])
			b.assign(p[3], out[4])
			b.grads(out[0], x, p[0], p[1])
		})
	}
	// The output once more, alone and fused with what follows.
	for _, s := range [][]int{{5, 17}, {2, 3, 5, 4}, {3, 64, 6, 5}} {
		t.add(fmt.Sprintf("batchnorm/again_%v", s), func(b *builder) {
			b.tol(1e-4)
			x, p := b.in("x", s...), b.normParams("", s[1])
			out := b.g.Must(graph.BatchNormTrain{Eps: 1e-5, Momentum: 0.1}, x, p[0], p[1], p[2], p[3])
			again := func() *graph.Value { return b.op(graph.BatchNormRecomputed{}, x, p[0], p[1], out[1], out[2]) }
			b.out("first", out[0])
			b.out("alone", again())
			b.out("relu", b.op(graph.Unary{Fn: graph.Relu}, again()))
			b.out("sum", b.op(graph.Unary{Fn: graph.Relu}, b.op(graph.Binary{Fn: graph.Add}, again(), b.in("r", s...))))
		})
	}
	// Far from 0, a variance computed as E[x²]-E[x]² has no digits left.
	t.add("batchnorm/far_mean", func(b *builder) {
		b.tol(1e-3)
		x, p := b.feed("x", b.random(1, 1000, 3, 5, 6, 6)), b.normParams("", 5)
		out := b.g.Must(graph.BatchNormTrain{Eps: 1e-5, Momentum: 0.1}, x, p[0], p[1], p[2], p[3])
		b.out("variance", out[4])
		b.grads(out[0], x, p[0], p[1])
	})
}

func (t *table) groupNorms() {
	for _, q := range []struct {
		shape  []int
		groups int
	}{
		{[]int{4, 6}, 1}, {[]int{5, 18}, 3}, {[]int{70, 384}, 1}, {[]int{2, 4, 3, 3}, 2}, {[]int{2, 3, 5, 4}, 3}, {[]int{1, 64, 7, 7}, 32},
		{[]int{3, 20, 6, 5}, 1}, {[]int{2, 17, 9, 8}, 17}, {[]int{3, 6, 1, 1}, 2}, {[]int{2, 64, 70, 41}, 8}, {[]int{1, 3, 90, 300}, 1},
	} {
		t.add(fmt.Sprintf("groupnorm/%v_%d", q.shape, q.groups), func(b *builder) {
			b.tol(1e-4)
			x := b.feed("x", b.random(2, 0.5, q.shape...))
			gamma, beta := b.variable("gamma", 0.2, 1, q.shape[1]), b.variable("beta", 0.2, 0, q.shape[1])
			out := b.g.Must(graph.GroupNorm{Groups: q.groups, Eps: 1e-5}, x, gamma, beta)
			b.out("mean", out[1])
			b.out("invstd", out[2])
			b.grads(out[0], x, gamma, beta)
		})
	}
	for _, s := range [][2][]int{{{7, 5}, {5}}, {{2, 3, 8}, {8}}, {{2, 3, 4, 6}, {4, 6}}, {{2, 5, 3, 4}, {5, 3, 4}}, {{2, 3, 2, 4, 5}, {5}}} {
		t.add(fmt.Sprintf("layernorm/%v_%v", s[0], s[1]), func(b *builder) {
			b.tol(1e-4)
			x, gamma, beta := b.in("x", s[0]...), b.variable("gamma", 0.2, 1, s[1]...), b.variable("beta", 0.2, 0, s[1]...)
			b.grads(graph.LayerNorm(b.g, x, gamma, beta, 1e-6), x, gamma, beta)
		})
	}
	for _, s := range [][]int{{2, 3, 7}, {2, 5, 4, 6}, {1, 2, 3, 2, 4}} {
		t.add(fmt.Sprintf("instancenorm/%v", s), func(b *builder) {
			b.tol(1e-4)
			x, gamma, beta := b.in("x", s...), b.variable("gamma", 0.2, 1, s[1]), b.variable("beta", 0.2, 0, s[1])
			b.grads(graph.InstanceNorm(b.g, x, gamma, beta, 1e-5), x, gamma, beta)
		})
	}
	t.add("groupnorm/far_mean", func(b *builder) {
		b.tol(1e-3)
		x, gamma, beta := b.feed("x", b.random(1, 1000, 2, 6, 6, 6)), b.variable("gamma", 0.2, 1, 6), b.variable("beta", 0.2, 0, 6)
		b.grads(b.g.Must(graph.GroupNorm{Groups: 3, Eps: 1e-5}, x, gamma, beta)[0], x, gamma, beta)
	})
}

// normParams makes the variables of a batch norm: gamma, beta, mean, variance.
func (b *builder) normParams(prefix string, c int) []*graph.Value {
	return []*graph.Value{b.variable(prefix+"gamma", 0.2, 1, c), b.variable(prefix+"beta", 0.2, 0, c),
		b.variable(prefix+"mean", 0.2, 0, c), b.positive(prefix+"var", c)}
}

func (t *table) elementwise() {
	sizes := [][]int{{}, {1}, {17}, {5, 20}, {2, 3, 7}, {2, 5, 3, 7}, {3, 64, 9, 9}}
	for fn := graph.Relu; fn <= graph.Softplus; fn++ {
		for _, s := range sizes {
			t.add(fmt.Sprintf("unary/%v_%v", fn, s), func(b *builder) {
				x := b.random(3, 0, s...)
				special := []float32{0, 6, -1, 3, -3, 20, -20, 1e-3} // kinks and saturation
				if fn == graph.HardSwish {
					// PyTorch's versions differ in the derivative at its kinks.
					special[3], special[4] = 2.99, -2.99
				}
				for i, v := range special {
					if d := x.Float32s(); i < len(d)-1 {
						d[i+1] = v
					}
				}
				if fn == graph.Log || fn == graph.Sqrt || fn == graph.Rsqrt {
					for i, v := range x.Float32s() {
						x.Float32s()[i] = 0.05 + v*v
					}
				}
				o := graph.Unary{Fn: fn}
				switch fn {
				case graph.Clip:
					o.A, o.B = 0, 6
				case graph.LeakyRelu:
					o.A = 0.1
				}
				v := b.feed("x", x)
				b.grads(b.op(o, v), v)
			})
		}
	}
	for fn := graph.Add; fn <= graph.Min; fn++ {
		for _, s := range [][2][]int{
			{{2, 5, 3, 7}, {2, 5, 3, 7}}, {{2, 17, 3, 4}, {1, 17, 1, 1}}, {{17, 1, 1}, {2, 17, 3, 4}},
			{{3, 5, 4, 4}, {3, 5, 1, 1}}, {{2, 5, 4, 3}, {2, 1, 4, 3}}, {{2, 3, 4, 5}, {}}, {{}, {7}},
			{{2, 1, 3, 1}, {1, 4, 1, 5}}, {{4, 20}, {20}}, {{4, 20}, {4, 1}}, {{2, 3, 4}, {4}}, {{2, 3, 4, 5}, {5}},
			{{2, 5, 3, 3}, {2, 1, 1, 1}}, {{3, 1}, {1, 4}}, {{2, 3, 5}, {4, 2, 3, 5}},
		} {
			t.add(fmt.Sprintf("binary/%v_%v_%v", fn, s[0], s[1]), func(b *builder) {
				x, y := b.random(1, 0, s[0]...), b.random(1, 0, s[1]...)
				for i, v := range y.Float32s() {
					if fn == graph.Div && v < 0.3 && v > -0.3 {
						y.Float32s()[i] = 0.5
					}
					if i%3 == 0 && i < x.Numel() {
						x.Float32s()[i] = y.Float32s()[i] // ties where the shapes are equal
					}
				}
				u, v := b.feed("a", x), b.feed("b", y)
				b.grads(b.op(graph.Binary{Fn: fn}, u, v), u, v)
			})
		}
		t.add(fmt.Sprintf("binary/%v_with_itself", fn), func(b *builder) {
			x := b.feed("x", b.random(0.2, 2, 2, 5, 3, 3))
			b.grads(b.op(graph.Binary{Fn: fn}, x, x), x)
		})
	}
	for _, s := range sizes {
		t.add(fmt.Sprintf("affine/%v", s), func(b *builder) {
			x := b.in("x", s...)
			b.grads(b.op(graph.Affine{Scale: -1.5, Shift: 0.25}, x), x)
		})
	}
}

func (t *table) pools() {
	ceil := func(w graph.Window) graph.Window { w.Ceil = true; return w }
	uneven := graph.Window{KernelH: 2, KernelW: 3, StrideH: 1, StrideW: 2, PadTop: 1, PadLeft: 0, PadBottom: 0, PadRight: 2}
	for i, q := range []struct {
		n, c, h, w int
		win        graph.Window
	}{
		{1, 1, 1, 1, pooling(1, 1, 0)},
		{2, 3, 8, 9, pooling(2, 2, 0)},
		{2, 17, 8, 9, pooling(3, 2, 1)},
		{1, 64, 14, 14, pooling(3, 2, 1)},
		{5, 5, 7, 6, pooling(3, 1, 1)},
		{1, 20, 8, 8, ceil(pooling(3, 2, 0))},
		{1, 2, 9, 8, ceil(pooling(3, 2, 1))},
		{1, 16, 6, 6, ceil(pooling(2, 2, 1))},
		{1, 5, 7, 5, ceil(pooling(2, 2, 0))},
		{1, 5, 10, 10, ceil(pooling(2, 3, 0))}, // a stride above the kernel
		{2, 3, 5, 7, uneven},
		{2, 3, 5, 7, ceil(uneven)},
		{2, 3, 5, 4, graph.Window{KernelH: 5, KernelW: 4, StrideH: 1, StrideW: 1}},
	} {
		size := fmt.Sprintf("%d_%dx%dx%dx%d", i, q.n, q.c, q.h, q.w)
		t.add("maxpool/"+size, func(b *builder) {
			x := b.in("x", q.n, q.c, q.h, q.w)
			b.grads(b.op(graph.MaxPool2d{Window: q.win}, x), x)
		})
		t.add("maxpool/ties_"+size, func(b *builder) {
			x := b.in("x", q.n, q.c, q.h, q.w)
			b.grads(b.op(graph.MaxPool2d{Window: q.win}, b.relu(x)), x)
		})
		for _, count := range []bool{false, true} {
			t.add(fmt.Sprintf("avgpool/%s_%v", size, count), func(b *builder) {
				x := b.in("x", q.n, q.c, q.h, q.w)
				b.grads(b.op(graph.AvgPool2d{Window: q.win, CountPad: count}, x), x)
			})
		}
	}
	t.add("maxpool/negative", func(b *builder) {
		x := b.feed("x", b.random(0.1, -5, 2, 5, 7, 7))
		b.grads(b.op(graph.MaxPool2d{Window: pooling(3, 2, 1)}, x), x)
	})
	for _, q := range [][6]int{{2, 3, 3, 4, 6, 8}, {1, 17, 4, 3, 7, 8}, {1, 5, 7, 9, 4, 5}, {1, 16, 1, 1, 3, 2}, {2, 1, 5, 5, 1, 1}, {1, 20, 4, 4, 4, 4},
		{1, 1, 49, 7, 98, 41}} { // 49 to 98 and 7 to 41 are sizes whose ratio float32 rounds down
		for _, bilinear := range []bool{false, true} {
			t.add(fmt.Sprintf("resize/%v_%v", q, bilinear), func(b *builder) {
				x := b.in("x", q[:4]...)
				b.grads(b.op(graph.Resize{OH: q[4], OW: q[5], Bilinear: bilinear}, x), x)
			})
		}
	}
}

func (t *table) scaledResizes() {
	for _, q := range []struct {
		h, w, oh, ow int
		sh, sw       float64
	}{{3, 4, 6, 8, 2, 2}, {5, 7, 7, 10, 1.5, 1.5}, {9, 10, 4, 3, 0.5, 0.3}, {5, 5, 5, 5, 1.1, 1}, {5, 4, 5, 9, 0, 2.3}, {3, 3, 9, 9, 1.2, 1e-3}} {
		for _, bilinear := range []bool{false, true} {
			t.add(fmt.Sprintf("resize/scaled_%v_%v", q, bilinear), func(b *builder) {
				x := b.in("x", 2, 3, q.h, q.w)
				b.grads(b.op(graph.Resize{OH: q.oh, OW: q.ow, Bilinear: bilinear, ScaleH: q.sh, ScaleW: q.sw}, x), x)
			})
		}
	}
}

func (t *table) dropouts() {
	for _, s := range [][]int{{7}, {5, 17}, {2, 3, 5}, {3, 5, 4, 7}, {2, 16, 3, 3}, {5, 1, 1, 1}} {
		for _, sample := range []bool{false, true} {
			t.add(fmt.Sprintf("dropout/%v_%v", s, sample), func(b *builder) {
				x, rng := b.in("x", s...), b.rngInput(-0x123456789abcdef, 1<<32+3)
				b.grads(b.op(graph.Dropout{P: 0.3, Key: 7, PerSample: sample}, x, rng), x)
			})
		}
	}
	for _, p := range []float32{0, 0.999, 1e-7} {
		t.add(fmt.Sprintf("dropout/p_%g", p), func(b *builder) {
			x, rng := b.in("x", 3, 5, 4, 7), b.rngInput(1, 0)
			b.grads(b.op(graph.Dropout{P: p, Key: 1<<31 + 1}, x, rng), x)
		})
	}
}
