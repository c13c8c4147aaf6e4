package onnx

import (
	"math"

	"github.com/resnet-go/resnet/graph"
)

var unaryFns = map[string]graph.UnaryFn{
	"Relu": graph.Relu, "Sigmoid": graph.Sigmoid, "Tanh": graph.Tanh, "Softplus": graph.Softplus,
	"HardSwish": graph.HardSwish, "Exp": graph.Exp, "Log": graph.Log, "Sqrt": graph.Sqrt, "Abs": graph.Abs,
}

func unary(n *node) {
	if n.allStatic() && n.foldUnary() || n.logic() {
		return
	}
	x := n.x(0)
	if fn, ok := unaryFns[n.op]; ok {
		n.set(n.unary(fn, x))
		return
	}
	one := func() *graph.Value { return n.g.Scalar(1) }
	switch n.op {
	case "LeakyRelu":
		if a := n.attrFloat("alpha", 0.01); a >= 0 {
			n.set(n.do(graph.Unary{Fn: graph.LeakyRelu, A: a}, x))
		} else {
			n.set(n.slopes(x, n.g.Scalar(a)))
		}
	case "HardSigmoid":
		a, b := n.attrFloat("alpha", 0.2), n.attrFloat("beta", 0.5)
		if math.Abs(float64(a)-1.0/6) < 1e-6 && b == 0.5 {
			n.set(n.unary(graph.HardSigmoid, x))
		} else {
			n.set(n.clip(n.affine(x, a, b), 0, 1))
		}
	case "Neg":
		n.set(n.affine(x, -1, 0))
	case "Reciprocal":
		n.set(n.binary(graph.Div, one(), x))
	case "Softsign":
		n.set(n.binary(graph.Div, x, n.affine(n.unary(graph.Abs, x), 1, 1)))
	case "Erf":
		n.set(n.erf(x))
	case "Gelu":
		switch mode := n.attrString("approximate", "none"); mode {
		case "none":
			n.set(n.unary(graph.Gelu, x))
		case "tanh":
			n.set(n.tanhGelu(x))
		default:
			n.failf("the approximation %q is not known", mode)
		}
	case "Elu", "Celu":
		a := n.attrFloat("alpha", 1)
		scale := a
		if n.op == "Celu" { // max(x, 0) + min(0, a*(e^(x/a) - 1))
			if a == 0 {
				n.failf("alpha is 0")
			}
			scale = 1 / a
		} else {
			scale = 1
		}
		n.set(n.elu(x, a, scale))
	case "Selu":
		y := n.elu(x, n.attrFloat("alpha", 1.6732632), 1)
		n.set(n.affine(y, n.attrFloat("gamma", 1.050701), 0))
	case "ThresholdedRelu": // x where x > alpha, else 0
		a := n.attrFloat("alpha", 1)
		n.set(n.binary(graph.Mul, x, n.step(n.affine(x, 1, -a))))
	case "Shrink": // x-bias where x > lambd, x+bias where x < -lambd, else 0
		lambda, bias := n.attrFloat("lambd", 0.5), n.attrFloat("bias", 0)
		high := n.binary(graph.Mul, n.affine(x, 1, -bias), n.step(n.affine(x, 1, -lambda)))
		low := n.binary(graph.Mul, n.affine(x, 1, bias), n.step(n.affine(x, -1, -lambda)))
		n.set(n.binary(graph.Add, high, low))
	case "Sign":
		n.set(n.binary(graph.Sub, n.step(x), n.step(n.affine(x, -1, 0))))
	case "Mish":
		n.set(n.binary(graph.Mul, x, n.unary(graph.Tanh, n.unary(graph.Softplus, x))))
	case "Swish":
		if a := n.attrFloat("alpha", 1); a == 1 {
			n.set(n.unary(graph.Silu, x))
		} else {
			n.set(n.binary(graph.Mul, x, n.unary(graph.Sigmoid, n.affine(x, a, 0))))
		}
	default:
		n.constantsOnly()
	}
}

// tanhGelu is x/2 * (1 + tanh(√(2/π) * (x + 0.044715 x³))).
func (n *node) tanhGelu(x *graph.Value) *graph.Value {
	cube := n.binary(graph.Mul, x, n.unary(graph.Square, x))
	in := n.binary(graph.Add, x, n.affine(cube, 0.044715, 0))
	t := n.unary(graph.Tanh, n.affine(in, float32(math.Sqrt(2/math.Pi)), 0))
	return n.binary(graph.Mul, n.affine(x, 0.5, 0), n.affine(t, 1, 1))
}

// elu is max(x, 0) + alpha*(e^(scale*min(x, 0)) - 1).
func (n *node) elu(x *graph.Value, alpha, scale float32) *graph.Value {
	low := n.binary(graph.Min, x, n.g.Scalar(0))
	if scale != 1 {
		low = n.affine(low, scale, 0)
	}
	return n.binary(graph.Add, n.unary(graph.Relu, x), n.affine(n.unary(graph.Exp, low), alpha, -alpha))
}

// step is 1 where x > 0, else 0: the positive part times a number that makes even
// the smallest one larger than 1, up to 1.
func (n *node) step(x *graph.Value) *graph.Value {
	y := n.unary(graph.Relu, x)
	for range 2 { // the smallest normal number is 2^-126
		y = n.clip(n.affine(y, 1<<63, 0), 0, 1)
	}
	return y
}

// slopes is x where x > 0, else slope*x.
func (n *node) slopes(x, slope *graph.Value) *graph.Value {
	low := n.binary(graph.Mul, n.binary(graph.Min, x, n.g.Scalar(0)), slope)
	return n.binary(graph.Add, n.unary(graph.Relu, x), low)
}

func pRelu(n *node) { n.set(n.slopes(n.x(0), n.x(1))) }

// erf writes the error function with the operators that we have, as
// tanh(x*P(x²)): P is a polynomial fitted to atanh(erf(x))/x on [0, 4] so that
// the error of the whole is below 2e-7 (testdata/gen/erf.py), and the form is
// precise near 0, where 2Φ(√2 x)-1 loses its digits.
func (n *node) erf(x *graph.Value) *graph.Value {
	x = n.do(graph.Unary{Fn: graph.Clip, A: -erfLimit, B: erfLimit}, x)
	square := n.unary(graph.Square, x)
	last := len(erfCoefficients) - 1
	p := n.affine(square, erfCoefficients[last], erfCoefficients[last-1])
	for i := last - 2; i >= 0; i-- {
		p = n.affine(n.binary(graph.Mul, p, square), 1, erfCoefficients[i])
	}
	return n.unary(graph.Tanh, n.binary(graph.Mul, x, p))
}

var binaryFns = map[string]graph.BinaryFn{
	"Add": graph.Add, "Sub": graph.Sub, "Mul": graph.Mul, "Div": graph.Div, "Max": graph.Max, "Min": graph.Min,
}

func arithmetic(n *node) {
	if n.allStatic() && n.foldBinary() {
		return
	}
	if n.logic() {
		return
	}
	fn, ok := binaryFns[n.op]
	if !ok {
		n.constantsOnly()
	}
	if y := n.recognize(); y != nil {
		n.set(y)
		return
	}
	// A number alone becomes part of the operator.
	if s := n.loneNumber(1); s != nil && n.ins[0].dyn != nil {
		x, c := n.x(0), *s
		switch n.op {
		case "Add":
			n.set(n.affine(x, 1, c))
			return
		case "Sub":
			n.set(n.affine(x, 1, -c))
			return
		case "Mul":
			n.set(n.affine(x, c, 0))
			return
		}
	}
	if s := n.loneNumber(0); s != nil && n.ins[1].dyn != nil {
		x, c := n.x(1), *s
		switch n.op {
		case "Add":
			n.set(n.affine(x, 1, c))
			return
		case "Sub":
			n.set(n.affine(x, -1, c))
			return
		case "Mul":
			n.set(n.affine(x, c, 0))
			return
		}
	}
	n.set(n.binary(fn, n.x(0), n.x(1)))
}

// loneNumber returns input i if it is a known scalar that does not change the
// rank of the result.
func (n *node) loneNumber(i int) *float32 {
	s := n.ins[i].st
	if s == nil || len(s.f) != 1 || n.ins[1-i].dyn == nil || len(s.shape) > len(n.ins[1-i].dyn.Shape) {
		return nil
	}
	return &s.f[0]
}

// recognize finds the functions that exporters write out in small operators,
// of which the last is a product, and for which we have a kernel.
func (n *node) recognize() *graph.Value {
	if n.op != "Mul" || n.ins[0].dyn == nil && n.ins[1].dyn == nil {
		return nil
	}
	for i := range 2 {
		a, b := n.ins[i].dyn, n.ins[1-i].dyn
		if a == nil || b == nil {
			continue
		}
		if u, ok := b.Node.Op.(graph.Unary); ok && b.Node.In[0] == a {
			switch u.Fn {
			case graph.Sigmoid:
				return n.unary(graph.Silu, a)
			case graph.HardSigmoid:
				return n.unary(graph.HardSwish, a)
			}
		}
	}
	return nil
}

func variadic(n *node) {
	if n.op == "Max" || n.op == "Min" {
		if n.allStatic() && len(n.ins) == 2 && n.foldBinary() {
			return
		}
		if n.allStatic() && len(n.ins) == 1 {
			n.put(0, n.ins[0])
			return
		}
	}
	fn, ok := binaryFns[n.op]
	if !ok {
		fn = graph.Add
	}
	y := n.x(0)
	for i := 1; i < len(n.ins); i++ {
		y = n.binary(fn, y, n.x(i))
	}
	if n.op == "Mean" {
		y = n.affine(y, 1/float32(len(n.ins)), 0)
	}
	n.set(y)
}

func clip(n *node) {
	lo, hi := float32(math.Inf(-1)), float32(math.Inf(1))
	if n.version() < 11 {
		n.set(n.clip(n.x(0), n.attrFloat("min", lo), n.attrFloat("max", hi)))
		return
	}
	if !n.ins[0].elem.isFloat() && n.allStatic() {
		n.foldClip()
		return
	}
	x := n.x(0)
	if n.has(1) && n.ins[1].st == nil || n.has(2) && n.ins[2].st == nil {
		if n.has(1) {
			x = n.binary(graph.Max, x, n.x(1))
		}
		if n.has(2) {
			x = n.binary(graph.Min, x, n.x(2))
		}
		n.set(x)
		return
	}
	if n.has(1) {
		lo = n.number(1, "the lower bound")
	}
	if n.has(2) {
		hi = n.number(2, "the upper bound")
	}
	n.set(n.clip(x, lo, hi))
}

func (n *node) foldClip() {
	a := n.static(0, "the operand")
	out := n.empty(a.elem, a.shape)
	copy(out.i, a.i)
	for i := 1; i <= 2; i++ {
		if !n.has(i) {
			continue
		}
		b := n.ints(i, "a bound")
		if len(b) != 1 {
			n.failf("a bound has %d elements, not one", len(b))
		}
		for j, x := range out.i {
			if i == 1 {
				out.i[j] = max(x, b[0])
			} else {
				out.i[j] = min(x, b[0])
			}
		}
	}
	n.fold(out)
}

// pow raises to a constant whole or half power; products and roots say the
// same without a logarithm.
func pow(n *node) {
	if n.allStatic() && n.foldBinary() {
		return
	}
	if !n.ins[0].elem.isFloat() {
		n.constantsOnly()
	}
	x := n.x(0)
	e := n.static(1, "the exponent").floats()
	for _, v := range e {
		if v != e[0] {
			n.failf("the exponents differ")
		}
	}
	if len(e) == 0 || len(n.ins[1].st.shape) > len(x.Shape) || len(e) > 1 && !n.ins[1].st.shape.Equal(x.Shape) {
		n.failf("%d exponents for %v", len(e), x.Shape)
	}
	p := e[0]
	inverse := p < 0
	if inverse {
		p = -p
	}
	whole := float32(math.Floor(float64(p)))
	if p-whole != 0 && p-whole != 0.5 || p > 16 { // e^(p ln x); of a negative x it is NaN, as it must be
		n.set(n.unary(graph.Exp, n.affine(n.unary(graph.Log, x), e[0], 0)))
		return
	}
	var y *graph.Value
	times := func(f *graph.Value) {
		if y == nil {
			y = f
		} else {
			y = n.binary(graph.Mul, y, f)
		}
	}
	if p != whole {
		times(n.unary(graph.Sqrt, x))
	}
	for k, f := int(whole), x; k > 0; k >>= 1 {
		if k&1 != 0 {
			times(f)
		}
		if k > 1 {
			f = n.unary(graph.Square, f)
		}
	}
	switch {
	case y == nil:
		y = n.affine(x, 0, 1)
	case inverse:
		y = n.binary(graph.Div, n.g.Scalar(1), y)
	}
	n.set(y)
}

// where takes one side if a condition is known and the same everywhere.
func where(n *node) {
	if n.allStatic() {
		n.fold(n.foldWhere())
		return
	}
	c := n.must(0).st
	all := c != nil && len(c.i) > 0 && c.elem == elemBool
	for i := 0; all && i < len(c.i); i++ {
		all = c.i[i] == c.i[0]
	}
	if !all || !n.must(1).elem.isFloat() || !n.must(2).elem.isFloat() {
		n.chosen()
		return
	}
	a, b := n.x(1), n.x(2)
	shape := n.broadcast(n.broadcast(c.shape, a.Shape), b.Shape)
	if c.i[0] == 0 {
		a = b
	}
	if !a.Shape.Equal(shape) {
		a = n.do(graph.BroadcastTo{Shape: shape}, a)
	}
	n.put(0, value{dyn: a, elem: elemFloat})
}

// dropout does nothing at inference; in training it drops with the file's probability.
func dropout(n *node) {
	ratio := n.attrFloat("ratio", 0.5)
	if n.version() >= 12 && n.has(1) {
		ratio = n.number(1, "the ratio")
	}
	if n.version() >= 12 && n.has(2) {
		if t := n.ints(2, "training_mode"); len(t) == 1 && t[0] != 0 && ratio != 0 && !n.training {
			n.failf("the file asks for dropout at inference (training_mode is true): export it in evaluation mode")
		}
	}
	if !n.training || n.c == nil {
		n.put(0, n.ins[0])
		if len(n.out) > 1 && n.out[1] != "" { // the mask of what is kept
			mask := n.empty(elemBool, n.shape(0))
			for i := range mask.i {
				mask.i[i] = 1
			}
			n.put(1, value{st: mask, elem: elemBool})
		}
		return
	}
	n.only("the mask of a dropout is not given in training")
	if !(ratio >= 0 && ratio < 1) {
		n.failf("the ratio %g is not in [0, 1)", ratio)
	}
	n.set(n.c.Dropout(n.x(0), ratio))
}

const erfLimit = 4

// erfCoefficients are P's, lowest power first.
var erfCoefficients = [...]float32{1.128379225730896, 0.10277251899242401, -0.00020874018082395196, -0.0005909132887609303,
	6.496603600680828e-05, 3.63580988960166e-06, -1.986712277357583e-06, 2.787800212900038e-07, -2.0752331408857572e-08,
	8.233990156369941e-10, -1.3648228380791494e-11}
