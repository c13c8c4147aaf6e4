package enginetest

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

func (t *table) optimisers() {
	for _, s := range [][]int{{}, {17}, {10, 33}, {5, 3, 3, 3}, {64, 20, 1, 1}, {2, 16, 65, 33}} {
		for _, o := range []graph.SGD{{}, {WeightDecay: 0.01}, {Momentum: 0.9}, {Momentum: 0.9, WeightDecay: 0.01}, {Momentum: 0.9, WeightDecay: 0.01, Nesterov: true}} {
			t.add(fmt.Sprintf("sgd/%v_%v", s, o), func(b *builder) {
				b.steps(3)
				p, v, grad, lr := b.variable("p", 1, 0, s...), b.zeros("v", s...), b.in("grad", s...), b.feed("lr", b.random(0, 0.1))
				out := b.g.Must(o, p, grad, v, lr)
				b.assign(p, out[0])
				b.assign(v, out[1])
			})
		}
		for _, decay := range []float32{0, 0.05} {
			for name, o := range map[string]graph.Op{
				"adamw": graph.AdamW{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: decay},
				"adam":  graph.Adam{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: decay},
				"lamb":  graph.LAMB{Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, WeightDecay: decay},
			} {
				t.add(fmt.Sprintf("%s/%v_%g", name, s, decay), func(b *builder) {
					b.steps(3)
					p, m, v, grad := b.variable("p", 1, 0, s...), b.zeros("m", s...), b.zeros("v", s...), b.in("grad", s...)
					step := b.zeros("t")
					next := b.op(graph.Affine{Scale: 1, Shift: 1}, step)
					out := b.g.Must(o, p, grad, m, v, b.feed("lr", b.random(0, 0.01)), next)
					b.assign(step, next)
					b.assign(p, out[0])
					b.assign(m, out[1])
					b.assign(v, out[2])
				})
			}
		}
		t.add(fmt.Sprintf("lamb/%v_zero", s), func(b *builder) { // ‖p‖ is 0 in the first step
			p, m, v, grad := b.zeros("p", s...), b.zeros("m", s...), b.zeros("v", s...), b.in("grad", s...)
			out := b.g.Must(graph.LAMB{Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, WeightDecay: 0.1}, p, grad, m, v, b.feed("lr", b.random(0, 0.01)), b.g.Scalar(1))
			for i, x := range []*graph.Value{p, m, v} {
				b.assign(x, out[i])
			}
		})
		for _, o := range []graph.RMSprop{{Alpha: 0.99, Eps: 1e-8}, {Alpha: 0.9, Eps: 1e-3, Momentum: 0.9, WeightDecay: 0.01}} {
			t.add(fmt.Sprintf("rmsprop/%v_%v", s, o), func(b *builder) {
				b.steps(3)
				p, v, m, grad := b.variable("p", 1, 0, s...), b.zeros("v", s...), b.zeros("b", s...), b.in("grad", s...)
				out := b.g.Must(o, p, grad, v, m, b.feed("lr", b.random(0, 0.01)))
				for i, x := range []*graph.Value{p, v, m} {
					b.assign(x, out[i])
				}
			})
		}
		for _, zero := range []bool{false, true} {
			t.add(fmt.Sprintf("lars/%v_%v", s, zero), func(b *builder) {
				b.steps(3)
				p, v, grad := b.variable("p", 1, 0, s...), b.zeros("v", s...), b.in("grad", s...)
				if zero {
					b.c.Vars["p"] = tensor.New(s...)
				}
				o := graph.LARS{Momentum: 0.9, WeightDecay: 0.01, Trust: 0.001, Eps: 1e-8}
				out := b.g.Must(o, p, grad, v, b.feed("lr", b.random(0, 10)))
				b.assign(p, out[0])
				b.assign(v, out[1])
			})
		}
		t.add(fmt.Sprintf("ema/%v", s), func(b *builder) {
			b.steps(3)
			e := b.variable("e", 1, 0, s...)
			b.assign(e, b.op(graph.EMA{}, e, b.in("p", s...), b.feed("decay", b.random(0, 0.9))))
		})
		t.add(fmt.Sprintf("globalnorm/%v", s), func(b *builder) {
			b.out("norm", b.op(graph.GlobalNorm{}, b.in("a", s...), b.variable("b", 1, 0, 5, 3, 3, 3), b.in("c", 2, 3, 4, 5), b.in("d")))
		})
	}
}

// net traces networks in training or inference form and keeps what an optimizer
// needs.
type net struct {
	*builder
	train  bool
	params []*graph.Value
}

func (n *net) conv(name string, x *graph.Value, k, size int, o graph.Conv2d) *graph.Value {
	c := x.Shape[1] / o.Groups
	w := n.variable(name+".w", 1.4/float64(size)/float64(c+1), 0, k, c, size, size)
	n.params = append(n.params, w)
	return n.op(o, x, w)
}

func (n *net) norm(name string, x *graph.Value) *graph.Value {
	p := n.normParams(name+".", x.Shape[1])
	n.params = append(n.params, p[0], p[1])
	if !n.train {
		return n.op(graph.BatchNorm{Eps: 1e-5}, x, p[0], p[1], p[2], p[3])
	}
	out := n.g.Must(graph.BatchNormTrain{Eps: 1e-5, Momentum: 0.1}, x, p[0], p[1], p[2], p[3])
	n.assign(p[2], out[3])
	n.assign(p[3], out[4])
	return out[0]
}

func (n *net) convNorm(name string, x *graph.Value, k, size, stride int) *graph.Value {
	return n.norm(name, n.conv(name, x, k, size, square(stride, size/2)))
}

func (n *net) linear(name string, x *graph.Value, o int) *graph.Value {
	w, bias := n.variable(name+".w", 0.2, 0, o, x.Shape[1]), n.variable(name+".b", 0.1, 0, o)
	n.params = append(n.params, w, bias)
	return n.op(graph.Linear{}, x, w, bias)
}

func (n *net) globalPool(x *graph.Value) *graph.Value {
	return n.op(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, x)
}

// basic is the block of ResNet-18, with a projection where the shape changes.
func (n *net) basic(name string, x *graph.Value, k, stride int) *graph.Value {
	y := n.relu(n.convNorm(name+".1", x, k, 3, stride))
	y = n.convNorm(name+".2", y, k, 3, 1)
	short := x
	if stride != 1 || x.Shape[1] != k {
		short = n.convNorm(name+".down", x, k, 1, stride)
	}
	return n.relu(n.add(y, short))
}

// padded is the basic block with the zero-padding shortcut of CIFAR networks.
func (n *net) padded(name string, x *graph.Value, k, stride int) *graph.Value {
	y := n.relu(n.convNorm(name+".1", x, k, 3, stride))
	y = n.convNorm(name+".2", y, k, 3, 1)
	short := x
	for axis := 2; axis < 4; axis++ {
		count := (x.Shape[axis] + stride - 1) / stride
		short = n.op(graph.Slice{Axis: axis, Count: count, Step: stride}, short)
	}
	more := k - x.Shape[1]
	short = n.op(graph.Pad{Axis: 1, Before: more / 2, After: more - more/2}, short)
	return n.relu(n.add(short, y))
}

// bottleneck is the block of ResNet-50, v1.5.
func (n *net) bottleneck(name string, x *graph.Value, k, stride int) *graph.Value {
	y := n.relu(n.convNorm(name+".1", x, k, 1, 1))
	y = n.relu(n.convNorm(name+".2", y, k, 3, stride))
	y = n.convNorm(name+".3", y, 4*k, 1, 1)
	short := x
	if stride != 1 || x.Shape[1] != 4*k {
		short = n.convNorm(name+".down", x, 4*k, 1, stride)
	}
	return n.relu(n.add(y, short))
}

// preact is the block of He et al. 2016, "Identity Mappings": norms come first
// and the sum is not rectified.
func (n *net) preact(name string, x *graph.Value, k int) *graph.Value {
	y := n.conv(name+".1", n.relu(n.norm(name+".1", x)), k, 3, square(1, 1))
	y = n.conv(name+".2", n.relu(n.norm(name+".2", y)), k, 3, square(1, 1))
	return n.add(x, y)
}

// squeeze is the basic block with squeeze and excitation (Hu et al. 2018).
func (n *net) squeeze(name string, x *graph.Value) *graph.Value {
	c := x.Shape[1]
	y := n.convNorm(name+".1", x, c, 3, 1)
	s := n.op(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, y)
	s = n.relu(n.linear(name+".squeeze", s, max(c/4, 1)))
	s = n.op(graph.Unary{Fn: graph.Sigmoid}, n.linear(name+".excite", s, c))
	y = n.mul(y, n.op(graph.Reshape{Shape: []int{x.Shape[0], c, 1, 1}}, s))
	return n.relu(n.add(y, x))
}

// stem is ResNet's: a 7x7 convolution and a 3x3 pooling, both of stride 2.
func (n *net) stem(name string, x *graph.Value, k int) *graph.Value {
	y := n.relu(n.convNorm(name, x, k, 7, 2))
	return n.op(graph.MaxPool2d{Window: pooling(3, 2, 1)}, y)
}

// body is one composite network up to its last feature map.
type body struct {
	name  string
	shape []int
	make  func(n *net, x *graph.Value) *graph.Value
}

func bodies() []body {
	return []body{
		{"basic", []int{2, 16, 6, 6}, func(n *net, x *graph.Value) *graph.Value { return n.basic("a", x, 16, 1) }},
		{"basic_odd", []int{3, 5, 7, 6}, func(n *net, x *graph.Value) *graph.Value { return n.basic("b", n.basic("a", x, 5, 1), 17, 2) }},
		{"projection", []int{2, 16, 8, 8}, func(n *net, x *graph.Value) *graph.Value { return n.basic("a", x, 32, 2) }},
		{"bottleneck", []int{2, 20, 5, 5}, func(n *net, x *graph.Value) *graph.Value {
			return n.bottleneck("b", n.bottleneck("a", x, 8, 1), 8, 2)
		}},
		{"bottleneck_identity", []int{1, 64, 4, 4}, func(n *net, x *graph.Value) *graph.Value { return n.bottleneck("a", x, 16, 1) }},
		{"zero_padding", []int{2, 16, 8, 8}, func(n *net, x *graph.Value) *graph.Value {
			return n.padded("b", n.padded("a", x, 32, 2), 35, 1)
		}},
		{"preact", []int{2, 16, 6, 6}, func(n *net, x *graph.Value) *graph.Value {
			return n.relu(n.norm("end", n.preact("b", n.preact("a", x, 16), 16)))
		}},
		{"squeeze", []int{3, 17, 5, 5}, func(n *net, x *graph.Value) *graph.Value { return n.squeeze("b", n.squeeze("a", x)) }},
		{"stem", []int{2, 3, 24, 20}, func(n *net, x *graph.Value) *graph.Value { return n.basic("a", n.stem("stem", x, 16), 16, 1) }},
		{"grouped", []int{2, 16, 6, 6}, func(n *net, x *graph.Value) *graph.Value {
			o := square(1, 1)
			o.Groups = 4
			return n.relu(n.add(x, n.norm("a", n.conv("a", x, 16, 3, o))))
		}},
		{"depthwise_relu6", []int{2, 17, 6, 6}, func(n *net, x *graph.Value) *graph.Value {
			o := square(2, 1)
			o.Groups = 17
			y := n.op(graph.Unary{Fn: graph.Clip, A: 0, B: 6}, n.norm("a", n.conv("a", x, 17, 3, o)))
			return n.op(graph.Unary{Fn: graph.HardSwish}, n.convNorm("b", y, 20, 1, 1))
		}},
		{"dense", []int{2, 5, 6, 6}, func(n *net, x *graph.Value) *graph.Value {
			for i := range 3 {
				y := n.relu(n.convNorm(fmt.Sprint(i), x, 7, 3, 1))
				x = n.op(graph.Concat{Axis: 1}, x, y)
			}
			return x
		}},
		{"unet", []int{1, 3, 8, 8}, func(n *net, x *graph.Value) *graph.Value {
			fine := n.relu(n.convNorm("fine", x, 8, 3, 1))
			coarse := n.relu(n.convNorm("coarse", fine, 16, 3, 2))
			up := n.op(graph.Resize{OH: 8, OW: 8, Bilinear: true}, coarse)
			return n.relu(n.convNorm("join", n.op(graph.Concat{Axis: 1}, up, fine), 8, 3, 1))
		}},
		{"average_shortcut", []int{2, 16, 7, 7}, func(n *net, x *graph.Value) *graph.Value {
			w := pooling(2, 2, 0)
			w.Ceil = true
			short := n.convNorm("down", n.op(graph.AvgPool2d{Window: w}, x), 20, 1, 1)
			return n.relu(n.add(short, n.convNorm("a", x, 20, 3, 2)))
		}},
	}
}

func (t *table) inference() {
	for _, q := range bodies() {
		t.add("inference/"+q.name, func(b *builder) {
			b.tol(5e-5)
			n := &net{builder: b}
			y := b.out("features", q.make(n, b.in("x", q.shape...)))
			b.out("logits", n.linear("fc", n.globalPool(y), 10))
		})
		// A frozen body: gradients go through norms with fixed statistics.
		t.add("frozen/"+q.name, func(b *builder) {
			b.tol(1e-4)
			n, x := &net{builder: b}, b.in("x", q.shape...)
			b.grads(q.make(n, x), append([]*graph.Value{x}, n.params...)...)
		})
	}
}

func (t *table) training() {
	sgd := func(n *net, grads []*graph.Value) {
		lr := n.feed("lr", n.random(0, 0.05))
		for i, p := range n.params {
			v := n.zeros(fmt.Sprintf("v%d", i), p.Shape...)
			out := n.g.Must(graph.SGD{Momentum: 0.9, WeightDecay: 1e-4, Nesterov: true}, p, grads[i], v, lr)
			n.assign(p, out[0])
			n.assign(v, out[1])
		}
	}
	gradients := func(n *net, loss *graph.Value) []*graph.Value {
		n.out("loss", loss)
		grads, err := n.g.Gradients(loss, n.params)
		if err != nil {
			panic(err)
		}
		return grads
	}
	head := func(n *net, y *graph.Value) *graph.Value { return n.linear("fc", n.globalPool(y), 10) }
	for _, q := range bodies() {
		t.add("train/"+q.name, func(b *builder) {
			b.steps(2)
			b.tol(1e-3)
			n := &net{builder: b, train: true}
			logits := b.out("logits", head(n, q.make(n, b.in("x", q.shape...))))
			sgd(n, gradients(n, b.op(graph.CrossEntropy{}, logits, b.labels("t", q.shape[0], 10))))
		})
	}
	small := func(n *net) *graph.Value {
		return head(n, n.basic("a", n.in("x", 4, 5, 6, 6), 16, 2))
	}
	t.add("train/adamw_ema", func(b *builder) {
		b.steps(3)
		b.tol(1e-3)
		n := &net{builder: b, train: true}
		grads := gradients(n, b.op(graph.CrossEntropy{LabelSmoothing: 0.1}, small(n), b.labels("t", 4, 10)))
		lr, decay, step := b.feed("lr", b.random(0, 0.01)), b.feed("decay", b.random(0, 0.9)), b.zeros("t0")
		next := b.op(graph.Affine{Scale: 1, Shift: 1}, step)
		b.assign(step, next)
		for i, p := range n.params {
			m, v, e := b.zeros(fmt.Sprintf("m%d", i), p.Shape...), b.zeros(fmt.Sprintf("v%d", i), p.Shape...), b.zeros(fmt.Sprintf("e%d", i), p.Shape...)
			// Adam divides by the gradient's own size, so a large Eps keeps the
			// signs of tiny gradients from mattering.
			out := b.g.Must(graph.AdamW{Beta1: 0.9, Beta2: 0.999, Eps: 1e-3, WeightDecay: 0.05}, p, grads[i], m, v, lr, next)
			b.assign(p, out[0])
			b.assign(m, out[1])
			b.assign(v, out[2])
			b.assign(e, b.op(graph.EMA{}, e, out[0], decay))
		}
	})
	t.add("train/clipped_lars", func(b *builder) {
		b.steps(3)
		b.tol(1e-3)
		n := &net{builder: b, train: true}
		grads := gradients(n, b.op(graph.CrossEntropy{}, small(n), b.labels("t", 4, 10)))
		norm := b.out("norm", b.op(graph.GlobalNorm{}, grads...))
		// min(1, 0.1/norm)
		scale := b.op(graph.Binary{Fn: graph.Div}, b.g.Scalar(0.1), norm)
		scale = b.op(graph.Binary{Fn: graph.Min}, scale, b.g.Scalar(1))
		lr := b.feed("lr", b.random(0, 1))
		for i, p := range n.params {
			v := b.zeros(fmt.Sprintf("v%d", i), p.Shape...)
			out := b.g.Must(graph.LARS{Momentum: 0.9, WeightDecay: 1e-4, Trust: 0.01, Eps: 1e-8}, p, b.mul(grads[i], scale), v, lr)
			b.assign(p, out[0])
			b.assign(v, out[1])
		}
	})
	t.add("train/soft_targets_dropout", func(b *builder) {
		b.steps(2)
		b.tol(1e-3)
		n := &net{builder: b, train: true}
		rng := b.rngInput(42, 7)
		x := b.in("x", 5, 16, 6, 6)
		// Stochastic depth on the branch, dropout before the classifier.
		y := b.op(graph.Dropout{P: 0.4, Key: 1, PerSample: true}, n.convNorm("a", x, 16, 3, 1), rng)
		y = b.op(graph.Dropout{P: 0.2, Key: 2}, b.relu(b.add(y, x)), rng)
		y = b.op(graph.Dropout{P: 0.5, Key: 3}, n.globalPool(y), rng)
		target := b.op(graph.Softmax{}, b.in("t", 5, 10))
		sgd(n, gradients(n, b.op(graph.CrossEntropy{LabelSmoothing: 0.1}, n.linear("fc", y, 10), target)))
	})
	t.add("train/multi_label", func(b *builder) {
		b.steps(2)
		b.tol(1e-3)
		n := &net{builder: b, train: true}
		target := b.op(graph.Unary{Fn: graph.HardSigmoid}, b.feed("t", b.random(9, 0, 4, 10)))
		sgd(n, gradients(n, b.op(graph.BCEWithLogits{}, small(n), target, b.positive("pos", 10))))
	})
	t.add("train/frozen_body", func(b *builder) {
		b.steps(2)
		b.tol(1e-3)
		n := &net{builder: b} // fixed statistics
		y := n.basic("a", b.in("x", 3, 5, 6, 6), 16, 2)
		n.params = nil // and fixed weights
		n.train = true
		y = n.basic("b", y, 17, 1)
		sgd(n, gradients(n, b.op(graph.CrossEntropy{}, head(n, y), b.labels("t", 3, 10))))
	})
	t.add("train/weight_decay_in_the_loss", func(b *builder) {
		b.steps(2)
		b.tol(1e-3)
		n := &net{builder: b, train: true}
		loss := b.op(graph.CrossEntropy{}, small(n), b.labels("t", 4, 10))
		for _, p := range n.params {
			loss = b.add(loss, b.op(graph.Affine{Scale: 0.01}, b.op(graph.Reduce{Fn: graph.Sum}, b.op(graph.Unary{Fn: graph.Square}, p))))
		}
		sgd(n, gradients(n, loss))
	})
	t.add("train/gradient_penalty", func(b *builder) {
		b.tol(1e-3)
		x, w, v := b.in("x", 2, 5, 6, 6), b.variable("w", 0.2, 0, 7, 5, 3, 3), b.variable("v", 0.2, 0, 3, 7)
		y := b.op(graph.Linear{}, b.op(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, b.relu(b.op(square(1, 1), x, w))), v)
		dx, err := b.g.Gradients(b.op(graph.Reduce{Fn: graph.Sum}, y), []*graph.Value{x})
		if err != nil {
			panic(err)
		}
		b.gradsOf(b.op(graph.Reduce{Fn: graph.Sum}, b.op(graph.Unary{Fn: graph.Square}, dx[0])), w, v)
	})
}
