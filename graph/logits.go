package graph

import (
	"slices"

	"github.com/resnet-go/resnet/tensor"
)

// Logits returns what a network's output was before the softmax or sigmoid at its
// end, which files of other tools may have, and the name of that end; or the
// output itself and "". Operators behind it that only add or remove extents of 1 do
// not count.
func Logits(out *Value) (logits *Value, end string) {
	v := out
	for {
		op, ok := v.Node.Op.(Reshape)
		if !ok || !slices.Equal(withoutOnes(op.Shape), withoutOnes(v.Node.In[0].Shape)) {
			break
		}
		v = v.Node.In[0]
	}
	switch op := v.Node.Op.(type) {
	case Softmax:
		end = "softmax"
	case Unary:
		if op.Fn == Sigmoid {
			end = "sigmoid"
		}
	}
	if end == "" || !v.Node.In[0].Shape.Equal(out.Shape) {
		return out, ""
	}
	return v.Node.In[0], end
}

// withoutOnes returns the extents of a shape that are not 1, but the first always.
func withoutOnes(s tensor.Shape) []int {
	var out []int
	for a, d := range s {
		if a == 0 || d != 1 {
			out = append(out, d)
		}
	}
	return out
}

// EndsLinear reports whether a network's output is certainly scores and no
// probabilities: sums and parts of what linear layers, convolutions and batch norms
// give.
func EndsLinear(out *Value) bool {
	seen := map[*Value]bool{}
	stack := []*Value{out}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[v] {
			continue
		}
		seen[v] = true
		switch op := v.Node.Op.(type) {
		case Linear, MatMul, Conv2d, BatchNorm, Variable, Const:
			continue
		case Binary:
			if op.Fn != Add && op.Fn != Sub {
				return false
			}
		case Reduce:
			if op.Fn != Mean && op.Fn != Sum {
				return false
			}
		case Affine, Reshape, Permute, Concat, Slice, Dropout, BroadcastTo, DequantizeLinear, QuantizeLinear:
		default:
			return false
		}
		stack = append(stack, v.Node.In...)
	}
	return true
}

// Features returns the input of the last linear layer, whose output becomes the
// logits; a 1x1 convolution at the end of a network counts as one. The features of
// a network that does not end in such a layer are its logits.
func Features(logits *Value) *Value {
	for v := logits; ; {
		switch op := v.Node.Op.(type) {
		case Linear, MatMul, Conv2d:
			return v.Node.In[0]
		case Binary, Unary, Affine, Reshape, Dropout:
			v = v.Node.In[0]
		case Reduce: // global average pooling after a 1x1 convolution
			if op.Fn != Mean {
				return logits
			}
			v = v.Node.In[0]
		default:
			return logits
		}
	}
}
