package stablehlo

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// interpolation is the matrix [out in] that resizes an axis, see graph.Resize: products
// with such matrices are what accelerators do best.
func interpolation(in, out int, bilinear bool, scale float64) *tensor.Tensor {
	t := tensor.New(out, in)
	ratio := float32(in) / float32(out)
	if scale != 0 && in != out {
		ratio = float32(1 / scale)
	}
	last := float64(in - 1)
	for i := range out {
		row := t.Float32s()[i*in : (i+1)*in]
		if !bilinear {
			row[int(min(math.Floor(float64(float32(i)*ratio)), last))] = 1
			continue
		}
		at := min(max(float64(float32(float32(i)+0.5)*ratio)-0.5, 0), last)
		a := int(at)
		row[a] += float32(1 - (at - float64(a)))
		row[min(a+1, in-1)] += float32(at - float64(a))
	}
	return t
}

// resize multiplies the rows and the columns of x by their matrices, transposed for the
// gradient, in float32 whatever the options.
func (w *writer) resize(o graph.Resize, from tensor.Shape, x value, transposed bool) value {
	inner := 1
	if transposed {
		inner = 0
	}
	// Contracting axis 2 twice: rows go to the end, then columns.
	for _, axis := range []struct {
		in, out int
		scale   float64
	}{{from[2], o.OH, o.ScaleH}, {from[3], o.OW, o.ScaleW}} {
		m := w.constant(interpolation(axis.in, axis.out, o.Bilinear, axis.scale))
		shape := tensor.Shape{x.shape[0], x.shape[1], x.shape[3], m.shape[1-inner]}
		x = w.emit("f32", shape, []value{x, m}, "stablehlo.dot_general %s, %s, contracting_dims = [2] x [%d], precision = [HIGHEST, HIGHEST]", x.name, m.name, inner)
	}
	return x
}

// gathering describes how whole slices along an axis are read by indices [...]: the
// axes of the result that are not the indices'.
func gathering(x tensor.Shape, axis, indexRank int) (windowAxes []int) {
	for i := range x {
		switch {
		case i < axis:
			windowAxes = append(windowAxes, i)
		case i > axis:
			windowAxes = append(windowAxes, i+indexRank-1)
		}
	}
	return windowAxes
}

// valid is i1 where an index is within an extent.
func (w *writer) valid(index value, extent int) value {
	low := w.compare("GE", index, w.whole("i64", 0, index.shape))
	return w.same("and", low, w.compare("LT", index, w.whole("i64", uint64(extent), index.shape)))
}

// gather reads slices of x. An index out of range, which stops a plan, gives NaN.
func (w *writer) gather(axis int, x, index value, shape tensor.Shape) value {
	sizes := x.shape.Clone()
	sizes[axis] = 1
	rank := len(index.shape)
	got := w.emit("f32", shape, []value{x, index},
		"\"stablehlo.gather\"(%s, %s) {dimension_numbers = #stablehlo.gather<offset_dims = %s, collapsed_slice_dims = [%d], start_index_map = [%d], index_vector_dim = %d>, slice_sizes = %s, indices_are_sorted = false}",
		x.name, index.name, numbers(gathering(x.shape, axis, rank)...), axis, axis, rank, array(sizes))
	at := make([]int, rank)
	for i := range at {
		at[i] = axis + i
	}
	valid := w.broadcast(w.valid(index, x.shape[axis]), shape, at...)
	return w.choose(valid, got, w.like(got, float32(math.NaN())))
}

// gatherGrad adds dy up at the indices.
func (w *writer) gatherGrad(axis int, to tensor.Shape, dy, index value) value {
	return w.scatter(to, dy, index, fmt.Sprintf("update_window_dims = %s, inserted_window_dims = [%d], scatter_dims_to_operand_dims = [%d], index_vector_dim = %d",
		numbers(gathering(to, axis, len(index.shape))...), axis, axis, len(index.shape)))
}

func (w *writer) scatter(to tensor.Shape, dy, index value, attributes string) value {
	zeros := w.fill(0, to)
	return w.emit("f32", to, []value{zeros, index, dy},
		"\"stablehlo.scatter\"(%s, %s, %s) ({\n    ^bb0(%%a: tensor<f32>, %%b: tensor<f32>):\n      %%c = stablehlo.add %%a, %%b : tensor<f32>\n      stablehlo.return %%c : tensor<f32>\n    }) {scatter_dimension_numbers = #stablehlo.scatter<%s>, indices_are_sorted = false, unique_indices = false}",
		zeros.name, index.name, dy.name, attributes)
}

// places returns the indices of single elements along an axis with the places along the
// others: [... rank].
func (w *writer) places(axis int, index value) value {
	shape := append(index.shape.Clone(), 1)
	var parts []value
	names := ""
	for i := range index.shape {
		part := index
		if i != axis {
			part = w.emit("i64", index.shape, nil, "stablehlo.iota dim = %d", i)
		}
		part = w.reshape(part, shape)
		if i > 0 {
			names += ", "
		}
		parts, names = append(parts, part), names+part.name
	}
	if len(parts) == 1 {
		return parts[0]
	}
	all := append(index.shape.Clone(), len(parts))
	return w.emit("i64", all, parts, "stablehlo.concatenate %s, dim = %d", names, len(index.shape))
}

// counting returns 0 to n-1.
func counting(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// gatherElements reads single elements of x. An index out of range gives NaN.
func (w *writer) gatherElements(axis int, x, index value) value {
	rank, at := len(x.shape), w.places(axis, index)
	all := numbers(counting(rank)...)
	sizes := x.shape.Clone()
	for i := range sizes {
		sizes[i] = 1
	}
	got := w.emit("f32", index.shape, []value{x, at},
		"\"stablehlo.gather\"(%s, %s) {dimension_numbers = #stablehlo.gather<collapsed_slice_dims = %s, start_index_map = %s, index_vector_dim = %d>, slice_sizes = %s, indices_are_sorted = false}",
		x.name, at.name, all, all, rank, array(sizes))
	return w.choose(w.valid(index, x.shape[axis]), got, w.like(got, float32(math.NaN())))
}

// gatherElementsGrad adds dy up at the indices.
func (w *writer) gatherElementsGrad(axis int, to tensor.Shape, dy, index value) value {
	all := numbers(counting(len(to))...)
	return w.scatter(to, dy, w.places(axis, index), fmt.Sprintf("inserted_window_dims = %s, scatter_dims_to_operand_dims = %s, index_vector_dim = %d", all, all, len(to)))
}

// array writes extents as an attribute.
func array(shape tensor.Shape) string {
	text := "array<i64: "
	for i, d := range shape {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(d)
	}
	return text + ">"
}
