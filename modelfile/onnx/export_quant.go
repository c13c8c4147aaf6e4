package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/graph"
)

// quantizer writes a QuantizeLinear or DequantizeLinear, whose integers are of
// the type elem.
func (x *exporter) quantizer(n *graph.Node, op, in string, scale []float32, zero []int32, axis int, elem elemType) string {
	var dims []int64
	var attrs []*attrProto
	if len(scale) > 1 {
		dims, attrs = []int64{int64(len(scale))}, []*attrProto{attrI("axis", int64(axis))}
	}
	s := x.init(x.unique(constName(n, "scale")), dims, scale, nil)
	z := x.initIntegers(x.unique(constName(n, "zero_point")), elem, dims, zero)
	return x.add(n, op, []string{in, s, z}, attrs...)
}

// dequantize writes a DequantizeLinear, either of a QuantizeLinear's result or of
// constant integers, which become an initializer of the smallest type that holds
// them.
func (x *exporter) dequantize(n *graph.Node, op graph.DequantizeLinear, in string) (string, error) {
	switch from := n.In[0].Node.Op.(type) {
	case graph.QuantizeLinear:
		elem := elemUint8
		if from.Signed {
			elem = elemInt8
		}
		return x.quantizer(n, "DequantizeLinear", in, op.Scale, op.Zero, op.Axis, elem), nil
	case graph.Const:
		q := make([]int32, from.Tensor.Numel())
		for i, v := range from.Tensor.Float32s() {
			if q[i] = int32(v); v < math.MinInt32 || v > 1<<30 || float32(q[i]) != v {
				return "", fmt.Errorf("a constant to dequantize holds %g, not an integer of 32 bits", v)
			}
		}
		elem := elemInt32
		if len(n.In[0].Shape) == 1 {
			// A bias: kernels of integers take no other type.
		} else if within(q, math.MinInt8, math.MaxInt8) && within(op.Zero, math.MinInt8, math.MaxInt8) {
			elem = elemInt8
		} else if within(q, 0, math.MaxUint8) && within(op.Zero, 0, math.MaxUint8) {
			elem = elemUint8
		}
		w := x.initIntegers(x.unique(constName(n, "quantized")), elem, shape64(n.In[0].Shape), q)
		if x.used[n.In[0]] == 1 { // nothing reads its float form
			x.out.initializers = slices.DeleteFunc(x.out.initializers, func(t *tensorProto) bool { return t.name == in })
		}
		return x.quantizer(n, "DequantizeLinear", w, op.Scale, op.Zero, op.Axis, elem), nil
	}
	return "", fmt.Errorf("its input is neither quantized nor constant")
}

func within(q []int32, lo, hi int32) bool { return slices.Min(q) >= lo && slices.Max(q) <= hi }

// initIntegers adds an initializer of 8 or 32 bits.
func (x *exporter) initIntegers(name string, elem elemType, dims []int64, v []int32) string {
	t := &tensorProto{name: name, dims: dims, elem: elem, hasRaw: true}
	for _, q := range v {
		if elem == elemInt32 {
			t.raw = append(t.raw, byte(q), byte(q>>8), byte(q>>16), byte(q>>24))
		} else {
			t.raw = append(t.raw, byte(q))
		}
	}
	x.out.initializers = append(x.out.initializers, t)
	return name
}
