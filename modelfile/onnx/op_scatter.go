package onnx

import "slices"

// scatterND writes slices of known values into others, which is how PyTorch exports an
// assignment to a part of a tensor, such as of the masks of shifted windows (Swin).
func scatterND(n *node) {
	data, index, updates := n.static(0, "the values"), n.static(1, "the positions"), n.static(2, "the new values")
	rank := len(index.shape)
	if index.elem != elemInt64 || rank == 0 || index.shape[rank-1] > len(data.shape) {
		n.failf("positions %v of type %v in values %v", index.shape, index.elem, data.shape)
	}
	if data.elem != updates.elem {
		n.failf("values of type %v and new ones of type %v", data.elem, updates.elem)
	}
	depth := index.shape[rank-1]
	if want := slices.Concat(index.shape[:rank-1], data.shape[depth:]); !slices.Equal(updates.shape, want) {
		n.failf("new values %v for positions %v in values %v, want %v", updates.shape, index.shape, data.shape, want)
	}
	reduce := n.reduction()
	out := n.empty(data.elem, data.shape)
	copy(out.f, data.f)
	copy(out.i, data.i)
	size, stride := data.shape[depth:].Numel(), stridesOf(data.shape)
	for k := range index.shape[:rank-1].Numel() {
		to := 0
		for a, at := range index.i[k*depth : (k+1)*depth] {
			to += n.position(at, data.shape[a]) * stride[a]
		}
		for j := range size {
			reduce(out, to+j, updates, k*size+j)
		}
	}
	n.fold(out)
}

// reduction returns what brings element j of from into element i of to, by the attribute
// of that name.
func (n *node) reduction() func(to *static, i int, from *static, j int) {
	mode := n.attrString("reduction", "none")
	if mode == "none" {
		return (*static).at
	}
	fn, ok := foldFns[map[string]string{"add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}[mode]]
	if !ok {
		n.failf("the reduction %q is not known", mode)
	}
	return func(to *static, i int, from *static, j int) {
		if to.elem.isFloat() {
			to.f[i] = round(to.elem, float32(fn.floats(float64(to.f[i]), float64(from.f[j]))))
		} else {
			to.i[i] = wrap(to.elem, fn.ints(to.i[i], from.i[j]))
		}
	}
}
