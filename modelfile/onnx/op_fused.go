package onnx

import (
	"math"

	"github.com/resnet-go/resnet/graph"
)

// This file has operators of onnxruntime's own domain, com.microsoft, which its
// optimizer makes of several of ai.onnx.

// activate applies the activation that is a part of a fused operator.
func (n *node) activate(y *graph.Value, name string, params []float32) *graph.Value {
	param := func(i int, fallback float32) float32 {
		if i < len(params) {
			return params[i]
		}
		return fallback
	}
	switch name {
	case "":
		return y
	case "Relu":
		return n.unary(graph.Relu, y)
	case "Tanh":
		return n.unary(graph.Tanh, y)
	case "Sigmoid":
		return n.unary(graph.Sigmoid, y)
	case "LeakyRelu":
		a := param(0, 0.01)
		if a < 0 {
			return n.slopes(y, n.g.Scalar(a))
		}
		return n.do(graph.Unary{Fn: graph.LeakyRelu, A: a}, y)
	case "Clip":
		return n.clip(y, param(0, float32(math.Inf(-1))), param(1, float32(math.Inf(1))))
	case "HardSigmoid":
		return n.clip(n.affine(y, param(0, 0.2), param(1, 0.5)), 0, 1)
	case "HardSwish":
		return n.unary(graph.HardSwish, y)
	case "Elu":
		return n.elu(y, param(0, 1), 1)
	case "Softplus":
		return n.unary(graph.Softplus, y)
	}
	n.failf("the activation %q is not supported", name)
	return nil
}

// fusedConv is a convolution, possibly an addition, and an activation.
func fusedConv(n *node) {
	ins := n.ins
	if len(n.ins) > 3 {
		n.ins = n.ins[:3]
	}
	conv(n)
	n.ins = ins
	y := n.vals[n.out[0]].dyn
	if n.has(3) {
		y = n.binary(graph.Add, y, n.x(3))
	}
	var params []float32
	if a := n.attr("activation_params"); a != nil {
		params = a.floats
	}
	n.set(n.activate(y, n.attrString("activation", ""), params))
}

func fusedGemm(n *node) {
	gemm(n)
	params := []float32{n.attrFloat("activation_alpha", 0.01), n.attrFloat("activation_beta", 0.5)}
	n.set(n.activate(n.vals[n.out[0]].dyn, n.attrString("activation", ""), params))
}

// fusedMatMul is alpha * op(A) * op(B), where op may transpose the last two axes.
func fusedMatMul(n *node) {
	if n.attrInt("transBatchA", 0) != 0 || n.attrInt("transBatchB", 0) != 0 {
		n.failf("transposed batches (transBatchA, transBatchB) are not supported")
	}
	for i, name := range []string{"transA", "transB"} {
		if x := n.x(i); n.attrInt(name, 0) != 0 && len(x.Shape) > 1 {
			n.ins[i] = value{dyn: n.swapLast(x), elem: n.ins[i].elem}
		}
	}
	matMul(n)
	if alpha := n.attrFloat("alpha", 1); alpha != 1 {
		n.set(n.affine(n.vals[n.out[0]].dyn, alpha, 0))
	}
}

// swapLast transposes the last two axes.
func (n *node) swapLast(x *graph.Value) *graph.Value {
	r := len(x.Shape)
	perm := make([]int, r)
	for i := range perm {
		perm[i] = i
	}
	perm[r-2], perm[r-1] = r-1, r-2
	return n.do(graph.Permute{Perm: perm}, x)
}

// microsoftGelu is one of the forms of GELU, of the input or of its sum with a bias.
func microsoftGelu(n *node) {
	x := n.x(0)
	if n.has(1) {
		x = n.binary(graph.Add, x, n.x(1))
	}
	switch n.op {
	case "QuickGelu":
		n.set(n.binary(graph.Mul, x, n.unary(graph.Sigmoid, n.affine(x, n.attrFloat("alpha", 1.702), 0))))
	case "FastGelu":
		n.set(n.tanhGelu(x))
	default:
		n.set(n.unary(graph.Gelu, x))
	}
}

// skipLayerNorm is layer norm of a sum.
func skipLayerNorm(n *node) {
	n.only("the statistics of a fused layer norm are not computed")
	x := n.binary(graph.Add, n.x(0), n.x(1))
	if n.has(4) {
		x = n.binary(graph.Add, x, n.x(4))
	}
	y, _, _ := n.normalize(x, []int{len(x.Shape) - 1}, n.attrFloat("epsilon", 1e-12))
	y = n.binary(graph.Mul, y, n.x(2))
	if n.has(3) {
		y = n.binary(graph.Add, y, n.x(3))
	}
	n.set(y)
}
