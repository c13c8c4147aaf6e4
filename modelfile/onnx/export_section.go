package onnx

import (
	"fmt"
	"math"
)

// section writes nodes that no operator of the graph stands for, under a path of
// their own: what a detector does around its network.
type section struct {
	*exporter
	path string
}

// ops writes a node and returns the names of its outputs.
func (s section) ops(op string, outputs int, in []string, attrs ...*attrProto) []string {
	name := s.unique("/" + s.path + "/" + op)
	out := make([]string, outputs)
	for i := range out {
		out[i] = name
		if i > 0 {
			out[i] = s.unique(fmt.Sprintf("%s/%d", name, i))
		}
	}
	s.emit(&nodeProto{name: name, op: op, in: in, out: out, attrs: attrs})
	return out
}

// op is ops with one output.
func (s section) op(op string, in ...string) string { return s.ops(op, 1, in)[0] }

// with is op with attributes.
func (s section) with(op string, in []string, attrs ...*attrProto) string {
	return s.ops(op, 1, in, attrs...)[0]
}

// constant returns the initializer of those numbers, which sections share.
func (s section) constant(key string, make func(name string) string) string {
	name, ok := s.detect.constants[key]
	if !ok {
		name = make(s.unique(fmt.Sprintf("/constants/%d", len(s.detect.constants))))
		s.detect.constants[key] = name
	}
	return name
}

// ints returns whole numbers [n].
func (s section) ints(v ...int) string {
	return s.constant(fmt.Sprint("ints", v), func(name string) string { return s.init(name, []int64{int64(len(v))}, nil, shape64(v)) })
}

// int returns a whole number as a scalar.
func (s section) int(v int) string {
	return s.constant(fmt.Sprint("int", v), func(name string) string { return s.init(name, nil, nil, []int64{int64(v)}) })
}

// float returns a number as a scalar.
func (s section) float(v float32) string {
	return s.constant(fmt.Sprint("float", math.Float32bits(v)), func(name string) string { return s.init(name, nil, []float32{v}, nil) })
}

// floats returns numbers of a shape.
func (s section) floats(v []float32, dims ...int) string {
	return s.constant(fmt.Sprint("floats", dims, v), func(name string) string { return s.init(name, shape64(dims), v, nil) })
}

func (s section) cast(in string, to elemType) string {
	return s.with("Cast", []string{in}, attrI("to", int64(to)))
}

func (s section) concat(axis int, in ...string) string {
	if len(in) == 1 {
		return in[0]
	}
	return s.with("Concat", in, attrI("axis", int64(axis)))
}

// shape returns the extents from axis start to end.
func (s section) shape(in string, start, end int) string {
	return s.with("Shape", []string{in}, attrI("start", int64(start)), attrI("end", int64(end)))
}

// at returns element i of a list, as a scalar.
func (s section) at(in string, i int) string { return s.op("Gather", in, s.int(i)) }

// rows returns the rows of in with those numbers.
func (s section) rows(in, numbers string) string { return s.op("Gather", in, numbers) }

// where returns the rows of in for which a condition [n] holds.
func (s section) where(in, condition string) string {
	return s.with("Compress", []string{in, condition}, attrI("axis", 0))
}

// corners takes boxes [... 4] apart into four values [... 1].
func (s section) corners(boxes string) []string {
	return s.ops("Split", 4, []string{boxes}, attrI("axis", -1))
}

// above returns the largest float32 that is not above v: a float32 is above it if and
// only if it is above v.
func above(v float64) float32 {
	f := float32(v)
	if float64(f) > v {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}
