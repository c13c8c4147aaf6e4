package enginetest

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// plumbing has the graphs whose difficulty is not arithmetic: values read
// twice, outputs that are inputs, variables that change places.
func (t *table) plumbing() {
	t.add("plumbing/nothing_computed", func(b *builder) {
		b.out("x", b.in("x", 2, 3, 4, 5))
		b.out("v", b.variable("v", 1, 0, 5, 3, 3, 3))
		b.out("c", b.g.Const(b.random(1, 0, 2, 5, 3, 4)))
		b.out("s", b.g.Scalar(3))
	})
	t.add("plumbing/one_value_twice_out", func(b *builder) {
		y := b.relu(b.in("x", 2, 3, 4, 5))
		b.out("a", y)
		b.out("b", y)
	})
	t.add("plumbing/unused_parts", func(b *builder) {
		x := b.in("x", 2, 3, 4, 5)
		b.in("unused", 7)
		b.variable("unused", 1, 0, 3, 3)
		b.op(graph.Unary{Fn: graph.Exp}, x)
		b.out("y", b.relu(x))
	})
	t.add("plumbing/exchange", func(b *builder) {
		b.steps(3)
		x, y := b.variable("x", 1, 0, 2, 3, 4, 5), b.variable("y", 1, 0, 2, 3, 4, 5)
		b.assign(x, y)
		b.assign(y, x)
		b.out("x", x)
		b.out("y", y)
	})
	t.add("plumbing/update_from_input_and_constant", func(b *builder) {
		b.steps(2)
		v, w := b.variable("v", 1, 0, 5, 3, 3, 3), b.variable("w", 1, 0, 17)
		b.assign(v, b.in("x", 5, 3, 3, 3))
		b.assign(w, b.g.Const(b.random(1, 0, 17)))
		b.out("sum", b.op(graph.Reduce{Fn: graph.Sum}, v))
	})
	t.add("plumbing/two_variables_one_value", func(b *builder) {
		b.steps(2)
		v, w := b.variable("v", 1, 0, 4, 3), b.variable("w", 1, 0, 4, 3)
		y := b.op(graph.Affine{Scale: 0.5, Shift: 1}, v)
		b.assign(v, y)
		b.assign(w, y)
		b.out("w", w)
	})
	t.add("plumbing/old_value_read_after_update", func(b *builder) {
		b.steps(3)
		p, v, lr := b.variable("p", 1, 0, 5, 3, 3, 3), b.zeros("v", 5, 3, 3, 3), b.g.Scalar(0.1)
		x := b.in("x", 1, 3, 5, 5)
		out := b.g.Must(graph.SGD{Momentum: 0.9}, p, b.op(graph.Affine{Scale: 0.1}, p), v, lr)
		b.assign(p, out[0])
		b.assign(v, out[1])
		b.out("old", b.op(square(1, 1), x, p)) // made later, but with the old p
		b.out("new", b.op(square(1, 1), x, out[0]))
	})
	for _, alias := range []graph.Op{graph.Reshape{Shape: []int{45, 3}}, graph.Detach{}} {
		t.add("plumbing/old_value_by_another_name_"+alias.Name(), func(b *builder) {
			b.steps(2)
			p, v, q, lr := b.variable("p", 1, 0, 5, 27), b.zeros("v", 5, 27), b.variable("q", 1, 0, 45, 3), b.g.Scalar(0.1)
			old := b.op(alias, p)
			out := b.g.Must(graph.SGD{Momentum: 0.9}, p, b.op(graph.Affine{Scale: 0.1}, p), v, lr)
			b.assign(p, out[0])
			b.assign(v, out[1])
			b.assign(q, b.op(graph.Reshape{Shape: []int{45, 3}}, old))
			b.out("old", b.op(graph.Unary{Fn: graph.Exp}, old)) // made later, but of the old p
			b.out("same", old)
		})
	}
	t.add("plumbing/new_value_kept_in_another_variable", func(b *builder) {
		b.steps(2)
		p, q, v, lr := b.variable("p", 1, 0, 17), b.variable("q", 1, 0, 17), b.zeros("v", 17), b.g.Scalar(0.1)
		out := b.g.Must(graph.SGD{Momentum: 0.9}, p, q, v, lr)
		b.assign(q, out[0]) // p stays
		b.assign(v, out[1])
		b.out("p", p)
	})
	t.add("plumbing/batchnorm_statistics_not_kept", func(b *builder) {
		x, p := b.in("x", 3, 5, 4, 4), b.normParams("", 5)
		out := b.g.Must(graph.BatchNormTrain{Eps: 1e-5, Momentum: 0.1}, x, p[0], p[1], p[2], p[3])
		b.out("y", out[0])
		b.out("mean", out[3])
		b.out("var", out[4])
	})
	t.add("plumbing/shared_weight", func(b *builder) {
		x, w := b.in("x", 2, 16, 5, 5), b.variable("w", 0.1, 0, 16, 16, 3, 3)
		y := b.relu(b.op(square(1, 1), x, w))
		b.grads(b.add(b.op(square(1, 1), y, w), x), x, w)
	})
	t.add("plumbing/shared_norm", func(b *builder) {
		b.tol(1e-4)
		x, p := b.in("x", 2, 5, 4, 4), b.normParams("", 5)
		w := b.variable("w", 0.3, 0, 5, 5, 1, 1)
		bn := func(v *graph.Value) *graph.Value {
			return b.op(graph.BatchNorm{Eps: 1e-5}, b.op(square(1, 0), v, w), p[0], p[1], p[2], p[3])
		}
		b.grads(bn(bn(x)), x, w, p[0], p[1])
	})
	t.add("plumbing/inner_values_are_outputs", func(b *builder) {
		n := &net{builder: b}
		x := b.in("x", 2, 16, 6, 6)
		c := b.out("conv", n.conv("a", x, 16, 3, square(1, 1)))
		y := b.out("norm", n.norm("a", c))
		s := b.out("sum", b.add(y, x))
		r := b.out("relu", b.relu(s))
		b.out("next", n.conv("b", r, 5, 1, square(1, 0)))
	})
	t.add("plumbing/sum_of_two_branches", func(b *builder) {
		n := &net{builder: b}
		x := b.in("x", 2, 5, 6, 6)
		y, z := n.convNorm("a", x, 17, 3, 1), n.convNorm("b", x, 17, 1, 1)
		b.out("y", b.relu(b.add(y, z)))
		b.out("both", b.add(y, y))
	})
	t.add("plumbing/add_before_norm", func(b *builder) {
		n := &net{builder: b}
		x := b.in("x", 2, 5, 6, 6)
		b.out("y", b.relu(n.norm("n", b.add(n.conv("a", x, 5, 3, square(1, 1)), x))))
	})
	t.add("plumbing/add_of_a_bias_shape", func(b *builder) {
		x, w := b.in("x", 2, 5, 6, 6), b.variable("w", 0.3, 0, 17, 5, 3, 3)
		y := b.add(b.op(square(1, 1), x, w), b.variable("c", 1, 0, 1, 17, 1, 1)) // broadcast, not residual
		b.grads(b.relu(y), x, w)
	})
	for _, fn := range []graph.UnaryFn{graph.Relu, graph.Clip, graph.Silu, graph.HardSwish, graph.Sigmoid, graph.LeakyRelu, graph.Gelu} {
		t.add(fmt.Sprintf("plumbing/conv_norm_%v_add", fn), func(b *builder) {
			n := &net{builder: b}
			x := b.in("x", 2, 16, 6, 6)
			y := b.op(graph.Unary{Fn: fn, A: 0.1, B: 0.9}, n.convNorm("a", x, 16, 3, 1))
			b.out("y", b.add(y, x)) // the sum comes after the function
		})
		t.add(fmt.Sprintf("plumbing/linear_%v", fn), func(b *builder) {
			n := &net{builder: b}
			x := b.in("x", 5, 20)
			y := b.op(graph.Unary{Fn: fn, A: 0.1, B: 0.9}, n.linear("a", x, 20))
			b.grads(b.add(y, x), append(n.params, x)...)
		})
	}
	// In channels-last memory, flattening must restore the order C, H, W.
	t.add("plumbing/flatten_linear", func(b *builder) {
		x, w := b.in("x", 3, 5, 4, 3), b.variable("w", 0.2, 0, 10, 60)
		y := b.op(graph.Reshape{Shape: []int{3, 60}}, b.relu(x))
		b.grads(b.op(graph.Linear{}, y, w), x, w)
	})
	t.add("plumbing/unflatten_conv", func(b *builder) {
		x, w := b.in("x", 3, 60), b.variable("w", 0.2, 0, 7, 5, 3, 3)
		y := b.op(graph.Reshape{Shape: []int{3, 5, 4, 3}}, b.relu(x))
		b.grads(b.op(square(1, 1), y, w), x, w)
	})
	t.add("plumbing/attention", func(b *builder) {
		b.tol(1e-4)
		x, w := b.in("x", 2, 16, 3, 5), b.variable("w", 0.2, 0, 48, 16, 1, 1)
		qkv := b.op(graph.Reshape{Shape: []int{2, 48, 15}}, b.op(square(1, 0), x, w))
		part := func(i int) *graph.Value { return b.op(graph.Slice{Axis: 1, Start: 16 * i, Count: 16, Step: 1}, qkv) }
		scores := b.op(graph.Softmax{}, b.op(graph.Affine{Scale: 0.25}, b.op(graph.MatMul{TransA: true}, part(0), part(1))))
		y := b.op(graph.MatMul{TransB: true}, part(2), scores)
		b.grads(b.add(b.op(graph.Reshape{Shape: []int{2, 16, 3, 5}}, y), x), x, w)
	})
	t.add("plumbing/normalised_embedding", func(b *builder) {
		x := b.in("x", 3, 17, 4, 4)
		v := b.op(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, x)
		norm := b.op(graph.Reduce{Fn: graph.Sum, Axes: []int{1}, Keep: true}, b.op(graph.Unary{Fn: graph.Square}, v))
		b.grads(b.mul(v, b.op(graph.Unary{Fn: graph.Rsqrt}, norm)), x)
	})
	t.add("plumbing/images_concatenated_and_cut", func(b *builder) {
		x, y := b.in("x", 2, 17, 3, 4), b.in("y", 3, 17, 3, 4)
		both := b.op(graph.Concat{Axis: 0}, b.relu(x), y)
		b.grads(b.op(graph.Slice{Axis: 0, Start: 1, Count: 3, Step: 1}, both), x, y)
	})
	t.add("plumbing/weights_as_images", func(b *builder) {
		// A four-dimensional variable is a weight in one place, data in others.
		w := b.variable("w", 0.3, 0, 5, 3, 3, 4)
		x := b.in("x", 2, 3, 7, 7)
		y := b.out("y", b.op(square(1, 1), x, w))
		b.out("mean", b.op(graph.Reduce{Fn: graph.Mean, Axes: []int{1, 2, 3}, Keep: true}, w))
		b.out("pooled", b.op(graph.MaxPool2d{Window: pooling(2, 1, 0)}, w))
		b.gradsOf(b.op(graph.Reduce{Fn: graph.Sum}, b.mul(y, y)), w)
	})
	t.add("plumbing/weight_standardisation", func(b *builder) {
		b.tol(1e-4)
		x, w := b.in("x", 2, 5, 6, 6), b.variable("w", 1, 0.5, 16, 5, 3, 3)
		all := graph.Reduce{Fn: graph.Mean, Axes: []int{1, 2, 3}, Keep: true}
		centred := b.op(graph.Binary{Fn: graph.Sub}, w, b.op(all, w))
		variance := b.op(all, b.op(graph.Unary{Fn: graph.Square}, centred))
		inv := b.op(graph.Unary{Fn: graph.Rsqrt}, b.op(graph.Affine{Scale: 45, Shift: 1e-5}, variance))
		b.grads(b.op(square(1, 1), x, b.mul(centred, inv)), x, w)
	})
	t.add("plumbing/gradient_of_unused_is_zero", func(b *builder) {
		x, y := b.in("x", 2, 3), b.in("y", 2, 5, 3, 3)
		b.gradsOf(b.op(graph.Reduce{Fn: graph.Sum}, x), x, y)
	})
	t.add("plumbing/grad_cam", func(b *builder) {
		b.tol(1e-4)
		n := &net{builder: b}
		features := n.basic("a", b.in("x", 1, 5, 8, 8), 16, 1)
		logits := n.linear("fc", n.globalPool(features), 10)
		d := b.gradsOf(b.op(graph.Reshape{Shape: tensor.Shape{}}, b.op(graph.Slice{Axis: 1, Start: 3, Count: 1, Step: 1}, logits)), features)
		weights := b.op(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}, Keep: true}, d[0])
		b.out("cam", b.relu(b.op(graph.Reduce{Fn: graph.Sum, Axes: []int{1}}, b.mul(weights, features))))
	})
}
