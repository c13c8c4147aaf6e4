package onnx

import (
	"github.com/resnet-go/resnet/graph"
)

// scales returns the scales and zero points of QuantizeLinear and
// DequantizeLinear, and the type of the zero points: elem where there are none.
func (n *node) scales(elem elemType) (scale []float32, zero []int32, axis int, _ elemType) {
	if n.attrInt("block_size", 0) != 0 {
		n.failf("scales for blocks (block_size) are not supported")
	}
	scale = n.static(1, "the scale").floats()
	zero = make([]int32, len(scale))
	if n.has(2) {
		elem = n.static(2, "the zero point").elem
		z := n.ints(2, "the zero point")
		if len(z) != len(scale) {
			n.failf("%d scales but %d zero points", len(scale), len(z))
		}
		for i, v := range z {
			zero[i] = int32(v)
		}
	}
	if len(scale) != 1 {
		shape := n.dynamic(n.must(0)).Shape
		axis = n.axis(n.attrInt("axis", 1), len(shape))
	}
	return scale, zero, axis, elem
}

func quantizeLinear(n *node) {
	elem := elemType(n.attrInt("output_dtype", int64(elemUint8)))
	if elem == 0 {
		elem = elemUint8
	}
	scale, zero, axis, elem := n.scales(elem)
	if elem != elemInt8 && elem != elemUint8 {
		n.failf("integers of type %v: only int8 and uint8 are supported", elem)
	}
	op := graph.QuantizeLinear{Scale: scale, Zero: zero, Axis: axis, Signed: elem == elemInt8}
	n.put(0, value{dyn: n.do(op, n.x(0)), elem: elem})
}

func dequantizeLinear(n *node) {
	v := n.must(0)
	if v.elem != elemInt8 && v.elem != elemUint8 && v.elem != elemInt32 {
		n.failf("integers of type %v: only int8, uint8 and int32 are supported", v.elem)
	}
	scale, zero, axis, _ := n.scales(v.elem)
	if v.st != nil && len(v.st.i) == 1 && len(scale) == 1 {
		// One number, such as the value of a padding, is known now.
		s := newStatic(elemFloat, v.st.shape)
		s.f[0] = float32(v.st.i[0]-int64(zero[0])) * scale[0]
		n.fold(s)
		return
	}
	y := n.do(graph.DequantizeLinear{Scale: scale, Zero: zero, Axis: axis}, n.dynamic(v))
	n.put(0, value{dyn: y, elem: elemFloat})
}
