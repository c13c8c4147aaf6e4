package graph

// Logits returns what a network's output was before the softmax or sigmoid at its
// end, which files of other tools may have, and the name of that end; or the
// output itself and "".
func Logits(out *Value) (logits *Value, end string) {
	switch op := out.Node.Op.(type) {
	case Softmax:
		return out.Node.In[0], "softmax"
	case Unary:
		if op.Fn == Sigmoid {
			return out.Node.In[0], "sigmoid"
		}
	case Reshape:
		if in := out.Node.In[0]; in.Shape.Numel() == out.Shape.Numel() && len(in.Shape) > 1 && in.Shape[1] == out.Shape[1] {
			if inner, end := Logits(in); end != "" && inner.Shape.Equal(out.Shape) {
				return inner, end
			}
		}
	}
	return out, ""
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
