package onnx

import (
	"slices"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// shape returns the shape of input i.
func (n *node) shape(i int) tensor.Shape {
	if v := n.must(i); v.st != nil {
		return v.st.shape
	}
	return n.ins[i].dyn.Shape
}

// view makes output 0 the first input under another shape.
func (n *node) view(shape tensor.Shape) {
	v := n.must(0)
	if v.st != nil {
		if shape.Numel() != v.st.shape.Numel() {
			n.failf("%v elements do not fill %v", v.st.shape, shape)
		}
		n.fold(v.st.as(shape))
		return
	}
	n.same(n.reshape(v.dyn, shape...))
}

func flatten(n *node) {
	s := n.shape(0)
	axis := n.attrInt("axis", 1)
	if axis < -int64(len(s)) || axis > int64(len(s)) {
		n.failf("axis %d of a tensor of rank %d", axis, len(s))
	}
	if axis < 0 {
		axis += int64(len(s))
	}
	n.view(tensor.Shape{s[:axis].Numel(), s[axis:].Numel()})
}

func reshape(n *node) {
	s := n.shape(0)
	var want []int64
	if n.has(1) {
		want = n.ints(1, "the new shape")
	} else if want = n.attrInts("shape"); want == nil {
		n.failf("it has no shape")
	}
	if len(want) > maxRank {
		n.failf("the new shape has %d axes", len(want))
	}
	out := make(tensor.Shape, len(want))
	open, known := -1, 1
	for i, d := range want {
		switch {
		case d == -1 && open < 0:
			open = i
			continue
		case d == 0 && n.attrInt("allowzero", 0) == 0:
			if i >= len(s) {
				n.failf("the new shape %v copies axis %d of %v", want, i, s)
			}
			d = int64(s[i])
		case d < 0 || d > maxElements:
			n.failf("the new shape is %v", want)
		}
		if out[i] = int(d); known <= maxElements {
			known *= int(d)
		}
	}
	total := s.Numel()
	if open >= 0 {
		if known == 0 || total%known != 0 {
			n.failf("%v does not become %v", s, want)
		}
		out[open] = total / known
	} else if known != total && n.grows(s, out, total) {
		out[0] = s[0]
	}
	if out.Numel() != total {
		n.failf("%v does not become %v", s, want)
	}
	n.view(out)
}

// grows reports whether a reshape was written for the file's own, fixed batch
// and only its first extent must follow this one's: each sample then keeps its
// elements.
func (n *node) grows(s, want tensor.Shape, total int) bool {
	return n.written > 0 && n.written != n.batch && len(s) > 0 && len(want) > 0 &&
		s[0] == n.batch && want[0] == n.written && want[1:].Numel()*n.batch == total
}

func transpose(n *node) {
	s := n.shape(0)
	perm := make([]int, len(s))
	if p := n.attrInts("perm"); p != nil {
		copy(perm, n.small("perm", p, 0, int64(len(s))-1))
		sorted := slices.Sorted(slices.Values(p))
		if len(p) != len(s) || len(slices.Compact(sorted)) != len(s) {
			n.failf("perm %v for %v", p, s)
		}
	} else {
		for i := range perm {
			perm[i] = len(s) - 1 - i
		}
	}
	if v := n.must(0); v.st != nil {
		n.fold(n.foldPermute(v.st, perm))
		return
	}
	if len(s) == 0 {
		n.put(0, n.ins[0])
		return
	}
	n.same(n.do(graph.Permute{Perm: perm}, n.moved(0)))
}

func squeeze(n *node) {
	s := n.shape(0)
	axes := n.axesOf(13, 1, len(s))
	out := tensor.Shape{}
	for a, d := range s {
		switch {
		case axes == nil && d == 1:
		case slices.Contains(axes, a):
			if d != 1 {
				n.failf("axis %d of %v is not 1", a, s)
			}
		default:
			out = append(out, d)
		}
	}
	n.view(out)
}

func unsqueeze(n *node) {
	s := n.shape(0)
	var as []int64
	if n.version() >= 13 {
		as = n.ints(1, "the axes")
	} else {
		as = n.attrInts("axes")
	}
	rank := len(s) + len(as)
	if rank > maxRank {
		n.failf("%d axes", rank)
	}
	axes := n.axes(as, rank)
	out := make(tensor.Shape, 0, rank)
	for a := range rank {
		if slices.Contains(axes, a) {
			out = append(out, 1)
		} else {
			out = append(out, s[len(out)-count(axes, a)])
		}
	}
	n.view(out)
}

// count returns how many of axes lie before a.
func count(axes []int, a int) (k int) {
	for _, x := range axes {
		if x < a {
			k++
		}
	}
	return k
}

func concat(n *node) {
	a := n.attr("axis")
	if a == nil {
		n.failf("it has no axis")
	}
	for i := range n.ins {
		n.must(i)
	}
	axis := n.axis(n.attrInt("axis", 0), len(n.shape(0)))
	if len(n.ins) == 1 {
		n.put(0, n.ins[0])
		return
	}
	if n.allStatic() {
		n.fold(n.foldConcat(axis))
		return
	}
	var in []*graph.Value
	for i := range n.ins {
		if v := n.ins[i]; v.st != nil && v.st.shape.Numel() == 0 {
			continue
		}
		in = append(in, n.moved(i))
	}
	n.same(n.do(graph.Concat{Axis: axis}, in...))
}

// cut takes elements along an axis, count of them from start by step.
func (n *node) cut(v value, axis, start, count, step int) value {
	if v.st != nil {
		index := make([]int, count)
		for i := range index {
			index[i] = start + i*step
		}
		st := n.take(v.st, axis, index)
		return value{st: st, elem: st.elem}
	}
	x := v.dyn
	switch {
	case count < 1:
		n.failf("nothing is left of axis %d of %v", axis, x.Shape)
	case step == 1 && start == 0 && count == x.Shape[axis]:
		return v
	case step > 0:
		return value{dyn: n.do(graph.Slice{Axis: axis, Start: start, Count: count, Step: step}, x), elem: v.elem}
	}
	index := make([]int, count)
	for i := range index {
		index[i] = start + i*step
	}
	return value{dyn: n.pick(x, axis, index), elem: v.elem}
}

// maxPieces bounds the operators that one node becomes.
const maxPieces = 4096

// maxRuns bounds the slices that pick takes.
const maxRuns = 16

// pick takes the elements of an axis in any order: by slices of the runs, if they are few.
func (n *node) pick(x *graph.Value, axis int, index []int) *graph.Value {
	var parts []graph.Op
	for i := 0; i < len(index); {
		step, count := 1, 1
		if i+1 < len(index) && index[i+1] > index[i] {
			step = index[i+1] - index[i]
		}
		for i+count < len(index) && index[i+count] == index[i]+count*step {
			count++
		}
		if len(parts) == maxRuns {
			at := tensor.NewInt64(len(index))
			for i, p := range index {
				at.Int64s()[i] = int64(p)
			}
			return n.do(graph.Gather{Axis: axis}, x, n.g.Const(at))
		}
		parts = append(parts, graph.Slice{Axis: axis, Start: index[i], Count: count, Step: step})
		i += count
	}
	var taken []*graph.Value
	for _, op := range parts {
		taken = append(taken, n.do(op, x))
	}
	if len(taken) == 1 {
		return taken[0]
	}
	return n.do(graph.Concat{Axis: axis}, taken...)
}

func slice(n *node) {
	s := n.shape(0)
	var starts, ends, axes, steps []int64
	if n.version() < 10 {
		starts, ends, axes = n.attrInts("starts"), n.attrInts("ends"), n.attrInts("axes")
	} else {
		starts, ends = n.ints(1, "the starts"), n.ints(2, "the ends")
		if n.has(3) {
			axes = n.ints(3, "the axes")
		}
		if n.has(4) {
			steps = n.ints(4, "the steps")
		}
	}
	if axes == nil {
		for a := range starts {
			axes = append(axes, int64(a))
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		n.failf("%d starts, %d ends, %d axes, %d steps", len(starts), len(ends), len(axes), len(steps))
	}
	n.axes(axes, len(s)) // none twice
	v := n.must(0)
	for i := range starts {
		a := n.axis(axes[i], len(s))
		d, step := int64(s[a]), int64(1)
		if steps != nil {
			step = steps[i]
		}
		if step == 0 || step < -maxElements || step > maxElements {
			n.failf("the step is %d", step)
		}
		lo, hi := int64(0), d // where start and end may lie
		if step < 0 {
			lo, hi = -1, d-1
		}
		place := func(x int64) int64 {
			if x < 0 {
				x = max(x, -d-1) + d
			}
			return min(max(x, lo), hi)
		}
		start, end := place(starts[i]), place(ends[i])
		if step < 0 && starts[i] < -d {
			start = 0
		}
		if step < 0 && ends[i] < -d {
			end = -1
		}
		count := (end - start + step - sign(step)) / step
		v = n.cut(v, a, int(start), int(max(count, 0)), int(step))
	}
	n.put(0, v)
}

func sign(x int64) int64 {
	if x < 0 {
		return -1
	}
	return 1
}

func split(n *node) {
	s := n.shape(0)
	axis := n.axis(n.attrInt("axis", 0), len(s))
	parts := n.attrInts("split")
	if n.version() >= 13 {
		parts = nil
		if n.has(1) {
			parts = n.ints(1, "the sizes")
		}
	}
	if parts == nil {
		k := n.attrInt("num_outputs", int64(len(n.out)))
		if k != int64(len(n.out)) {
			n.failf("num_outputs is %d, it has %d outputs", k, len(n.out))
		}
		each := (int64(s[axis]) + k - 1) / k
		for left := int64(s[axis]); len(parts) < int(k); left -= each {
			parts = append(parts, max(0, min(each, left)))
		}
	}
	if len(parts) != len(n.out) {
		n.failf("%d sizes for %d outputs", len(parts), len(n.out))
	}
	at := 0
	for i, p := range n.small("the sizes", parts, 0, int64(s[axis])) {
		if at+p > s[axis] {
			n.failf("sizes %v of an axis of %d", parts, s[axis])
		}
		n.put(i, n.cut(n.ins[0], axis, at, p, 1))
		at += p
	}
	if at != s[axis] {
		n.failf("sizes %v of an axis of %d", parts, s[axis])
	}
}

func pad(n *node) {
	s := n.shape(0)
	var pads []int64
	fill := float32(0)
	if n.version() < 11 {
		pads, fill = n.attrInts("pads"), n.attrFloat("value", 0)
	} else {
		pads = n.ints(1, "the padding")
		if n.has(2) {
			fill = n.number(2, "the padding's value")
		}
	}
	axes := make([]int, len(s))
	for a := range axes {
		axes[a] = a
	}
	if n.has(3) {
		axes = axes[:0]
		as := n.ints(3, "the axes")
		n.axes(as, len(s)) // none twice
		for _, a := range as {
			axes = append(axes, n.axis(a, len(s)))
		}
	}
	if len(pads) != 2*len(axes) {
		n.failf("%d paddings for %d axes", len(pads), len(axes))
	}
	p := n.small("the padding", pads, -maxElements, maxElements)
	mode := n.attrString("mode", "constant")
	v := n.must(0)
	if v.dyn != nil || v.elem.isFloat() {
		v = value{dyn: n.moved(0), elem: v.elem}
	}
	for i, a := range axes {
		before, after := p[i], p[len(axes)+i]
		if before < 0 || after < 0 { // crop
			start := max(0, -before)
			v = n.cut(v, a, start, max(0, s[a]-start-max(0, -after)), 1)
			before, after = max(0, before), max(0, after)
		}
		if before+after > 0 {
			v = n.padAxis(v, a, before, after, mode, fill)
		}
	}
	n.put(0, v)
}

func (n *node) padAxis(v value, a, before, after int, mode string, fill float32) value {
	var d int
	if v.st != nil {
		d = v.st.shape[a]
	} else {
		d = v.dyn.Shape[a]
	}
	if mode == "constant" {
		if v.st != nil {
			n.failf("integers are not padded by a constant")
		}
		v.dyn = n.do(graph.Pad{Axis: a, Before: before, After: after, Value: fill}, v.dyn)
		return v
	}
	if d == 0 || before+after > maxPieces {
		n.failf("%d elements of padding", before+after)
	}
	index := make([]int, before+d+after)
	for i := range index {
		j := i - before
		switch mode {
		case "edge":
			j = min(max(j, 0), d-1)
		case "wrap":
			j = ((j % d) + d) % d
		case "reflect":
			if before >= d || after >= d {
				n.failf("%d and %d elements of reflection of an axis of %d", before, after, d)
			}
			if j < 0 {
				j = -j
			}
			if j >= d {
				j = 2*(d-1) - j
			}
		default:
			n.failf("the mode %q is not known", mode)
		}
		index[i] = j
	}
	if v.st != nil {
		v.st = n.take(v.st, a, index)
	} else {
		v.dyn = n.pick(v.dyn, a, index)
	}
	return v
}

func expand(n *node) {
	s := n.shape(0)
	want, err := sized(n.ints(1, "the shape"))
	if err != nil {
		n.failf("%w", err)
	}
	shape := n.broadcast(s, want)
	if v := n.must(0); v.st != nil {
		n.fold(n.foldExpand(v.st, shape))
		return
	}
	if shape.Equal(s) {
		n.put(0, n.ins[0])
		return
	}
	n.same(n.do(graph.BroadcastTo{Shape: shape}, n.moved(0)))
}

func tile(n *node) {
	s := n.shape(0)
	r := n.ints(1, "the repeats")
	if len(r) != len(s) {
		n.failf("repeats %v for %v", r, s)
	}
	v := n.must(0)
	for a, k := range n.small("the repeats", r, 1, maxPieces) {
		if k == 1 {
			continue
		}
		if v.st != nil {
			n.spend(k * s[a])
			var index []int
			for range k {
				for j := range s[a] {
					index = append(index, j)
				}
			}
			v.st = n.take(v.st, a, index)
			continue
		}
		parts := make([]*graph.Value, k)
		for i := range parts {
			parts[i] = v.dyn
		}
		v.dyn = n.do(graph.Concat{Axis: a}, parts...)
	}
	n.put(0, v)
}

// gather takes positions of an axis.
func gather(n *node) {
	s := n.shape(0)
	axis := n.axis(n.attrInt("axis", 0), len(s))
	if n.must(1).dyn != nil {
		n.gatherAt()
		return
	}
	n.ints(1, "the positions")
	at := n.ins[1].st
	index := make([]int, len(at.i))
	for i, p := range at.i {
		index[i] = n.position(p, s[axis])
	}
	shape := slices.Concat(s[:axis], at.shape, s[axis+1:])
	if v := n.must(0); v.st != nil {
		n.fold(n.take(v.st, axis, index).as(shape))
		return
	}
	if len(index) == 0 {
		n.failf("no positions")
	}
	n.same(n.reshape(n.pick(n.moved(0), axis, index), shape...))
}

// depthToSpace moves blocks of channels into the image, SpaceToDepth back.
func depthToSpace(n *node) {
	x := n.x(0)
	b := n.small("blocksize", []int64{n.attrInt("blocksize", 0)}, 1, 1<<12)[0]
	if len(x.Shape) != 4 {
		n.failf("an input %v", x.Shape)
	}
	s := x.Shape
	if n.op == "SpaceToDepth" {
		if s[2]%b != 0 || s[3]%b != 0 {
			n.failf("%v does not divide into blocks of %d", s, b)
		}
		x = n.reshape(x, s[0], s[1], s[2]/b, b, s[3]/b, b)
		perm := []int{0, 3, 5, 1, 2, 4}
		switch mode := n.attrString("mode", "DCR"); mode {
		case "DCR":
		case "CRD":
			perm = []int{0, 1, 3, 5, 2, 4}
		default:
			n.failf("the mode %q is not known", mode)
		}
		x = n.do(graph.Permute{Perm: perm}, x)
		n.set(n.reshape(x, s[0], s[1]*b*b, s[2]/b, s[3]/b))
		return
	}
	if s[1]%(b*b) != 0 {
		n.failf("%v does not divide into blocks of %d", s, b)
	}
	c := s[1] / (b * b)
	switch mode := n.attrString("mode", "DCR"); mode {
	case "DCR":
		x = n.reshape(x, s[0], b, b, c, s[2], s[3])
		x = n.do(graph.Permute{Perm: []int{0, 3, 4, 1, 5, 2}}, x)
	case "CRD":
		x = n.reshape(x, s[0], c, b, b, s[2], s[3])
		x = n.do(graph.Permute{Perm: []int{0, 1, 4, 2, 5, 3}}, x)
	default:
		n.failf("the mode %q is not known", mode)
	}
	n.set(n.reshape(x, s[0], c, s[2]*b, s[3]*b))
}
