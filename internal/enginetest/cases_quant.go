package enginetest

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// quantized adds the quantization of values, alone and around what integer
// kernels compute. A result on the border between two integers may round to
// either, so values compared are real numbers read before the last rounding.
func (t *table) quantised() {
	for _, s := range [][]int{{}, {7}, {3, 5}, {2, 5, 3, 7}} {
		for _, signed := range []bool{false, true} {
			t.add(fmt.Sprintf("quantize/%v_%v", s, signed), func(b *builder) {
				q := graph.QuantizeLinear{Scale: []float32{0.0123}, Zero: []int32{5}, Signed: signed}
				v := b.out("q", b.op(q, b.in("x", s...)))
				b.out("x'", b.op(graph.DequantizeLinear{Scale: q.Scale, Zero: q.Zero}, v))
			})
		}
	}
	t.add("quantize/by_channel", func(b *builder) {
		q := graph.QuantizeLinear{Scale: []float32{0.01, 0.02, 0.5}, Zero: []int32{0, 100, 255}, Axis: 1}
		v := b.op(q, b.in("x", 2, 3, 4, 5))
		b.out("x'", b.op(graph.DequantizeLinear{Scale: q.Scale, Zero: q.Zero, Axis: 1}, v))
	})
	conv := func(name string, signed, perTensor bool, change func(*graph.Conv2d), shape ...int) {
		t.add("quantised/"+name, func(b *builder) {
			x := b.in("x", shape...)
			q := graph.QuantizeLinear{Scale: []float32{0.02}, Zero: []int32{100}, Signed: signed}
			dq := graph.DequantizeLinear{Scale: q.Scale, Zero: q.Zero}
			x = b.op(dq, b.op(q, x))
			c := square(1, 1)
			change(&c)
			k, r := 18, 3
			if c.PadTop == 0 {
				r = 1
			}
			ws := scales(k, perTensor)
			w := b.op(ws, b.g.Const(b.integers(127, k, shape[1]/c.Groups, r, r)))
			// A bias in units of the sums, as ONNX wants it.
			bs := graph.DequantizeLinear{Zero: ws.Zero}
			for _, s := range ws.Scale {
				bs.Scale = append(bs.Scale, 0.02*s)
			}
			bias := b.op(bs, b.g.Const(b.integers(900, k)))
			y := b.op(c, x, w, bias)
			res := b.op(dq, b.op(q, b.in("r", y.Shape...)))
			y = b.op(graph.Binary{Fn: graph.Add}, y, res)
			b.out("y", b.op(graph.Unary{Fn: graph.Relu}, y))
		})
	}
	conv("3x3", false, false, func(*graph.Conv2d) {}, 2, 8, 7, 9)
	conv("3x3_signed", true, true, func(*graph.Conv2d) {}, 1, 5, 6, 6)
	conv("3x3_groups", true, false, func(c *graph.Conv2d) { c.Groups = 3 }, 2, 9, 6, 5)
	conv("3x3_stride", false, false, func(c *graph.Conv2d) { c.StrideH, c.StrideW = 2, 2 }, 2, 16, 9, 8)
	conv("1x1", false, false, func(c *graph.Conv2d) { *c = square(1, 0) }, 2, 20, 5, 5)
	conv("1x1_stride", true, false, func(c *graph.Conv2d) { *c = square(2, 0) }, 2, 7, 5, 6)
	conv("depthwise", true, false, func(c *graph.Conv2d) { c.Groups = 18 }, 2, 18, 6, 7)
	conv("depthwise_stride", false, true, func(c *graph.Conv2d) { c.Groups, c.StrideH, c.StrideW = 18, 2, 2 }, 1, 18, 9, 8)
	t.add("quantised/real_bias", func(b *builder) {
		b.tol(1e-3) // the bias is rounded to a unit of the sums
		q := graph.QuantizeLinear{Scale: []float32{0.02}, Zero: []int32{9}}
		x := b.op(graph.DequantizeLinear{Scale: q.Scale, Zero: q.Zero}, b.op(q, b.in("x", 2, 8, 5, 5)))
		b.out("y", b.op(square(1, 1), x, b.op(scales(5, true), b.g.Const(b.integers(127, 5, 8, 3, 3))), b.g.Const(b.random(1, 0, 5))))
	})
	// What a residual block and a stem become: everything rounded, of either
	// signedness. A result may be one step off where a sum lies between two.
	for _, signed := range []bool{false, true} {
		zero := int32(0)
		if signed {
			zero = -128
		}
		round := func(b *builder, x *graph.Value, scale float32, zero int32) *graph.Value {
			q := graph.QuantizeLinear{Scale: []float32{scale}, Zero: []int32{zero}, Signed: signed}
			return b.op(graph.DequantizeLinear{Scale: q.Scale, Zero: q.Zero}, b.op(q, x))
		}
		t.add(fmt.Sprintf("quantised/block_%v", signed), func(b *builder) {
			b.tol(0.02)
			x := round(b, b.in("x", 2, 12, 9, 7), 0.021, 3)
			w := b.op(scales(32, false), b.g.Const(b.integers(90, 32, 12, 3, 3)))
			y := round(b, b.op(square(1, 1), x, w), 0.3, 7)
			res := round(b, b.in("r", y.Shape...), 0.033, 5)
			sum := b.op(graph.Unary{Fn: graph.Relu}, b.op(graph.Binary{Fn: graph.Add}, res, y))
			b.out("y", round(b, sum, 0.21, zero))
		})
		// ReLU6 whose upper bound, and without negative integers whose lower one too, is
		// where the integers end; and bounds within them.
		for i, bounds := range [][2]float32{{0, 6}, {-1, 2}} {
			t.add(fmt.Sprintf("quantised/clip_%d_%v", i, signed), func(b *builder) {
				b.tol(0.05)
				x := round(b, b.in("x", 2, 19, 7, 6), 0.021, 3)
				c := square(1, 1)
				c.Groups = 19
				y := b.op(c, x, b.op(scales(19, false), b.g.Const(b.integers(90, 19, 1, 3, 3))))
				clip := graph.Unary{Fn: graph.Clip, A: bounds[0], B: bounds[1]}
				b.out("y", round(b, b.op(clip, y), 6/255.0, zero))
			})
		}
		t.add(fmt.Sprintf("quantised/max_pool_%v", signed), func(b *builder) {
			x := round(b, b.in("x", 2, 70, 9, 7), 0.021, 3)
			pool := graph.MaxPool2d{Window: graph.Window{KernelH: 3, KernelW: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1}}
			b.out("y", round(b, b.g.Must(pool, x)[0], 0.021, 3))
		})
	}
	t.add("quantised/linear", func(b *builder) {
		q := graph.QuantizeLinear{Scale: []float32{0.02}, Zero: []int32{0}, Signed: true}
		dq := graph.DequantizeLinear{Scale: q.Scale, Zero: q.Zero}
		x := b.op(dq, b.op(q, b.in("x", 3, 37)))
		w := b.op(scales(11, false), b.g.Const(b.integers(127, 11, 37)))
		b.out("y", b.op(graph.Linear{}, x, w, b.op(graph.DequantizeLinear{Scale: []float32{0.001}, Zero: []int32{0}}, b.g.Const(b.integers(900, 11)))))
	})
}

// scales dequantizes weights of k output channels.
func scales(k int, perTensor bool) graph.DequantizeLinear {
	if perTensor {
		return graph.DequantizeLinear{Scale: []float32{0.003}, Zero: []int32{0}}
	}
	o := graph.DequantizeLinear{Scale: make([]float32, k), Zero: make([]int32, k)}
	for i := range o.Scale {
		o.Scale[i] = 0.001 * float32(i+1)
	}
	return o
}

// integers returns whole numbers in -n..n.
func (b *builder) integers(n int, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	for i := range t.Float32s() {
		t.Float32s()[i] = float32(b.rng.IntN(2*n+1) - n)
	}
	return t
}
