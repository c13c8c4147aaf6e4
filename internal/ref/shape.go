package ref

import "github.com/resnet-go/resnet/graph"

func permute(o graph.Permute, x array) array {
	from := strides(x.shape)
	shape, st := x.shape.Clone(), make([]int, len(from))
	for i, a := range o.Perm {
		shape[i], st[i] = x.shape[a], from[a]
	}
	y := zeros(shape...)
	walk(shape, func(at int, pos []int) { y.f[at] = x.f[pos[0]] }, st)
	return y
}

func concat(o graph.Concat, in []array) array {
	shape := in[0].shape.Clone()
	for _, x := range in[1:] {
		shape[o.Axis] += x.shape[o.Axis]
	}
	y := zeros(shape...)
	before, behind := around(shape, o.Axis)
	at := 0
	for b := 0; b < before; b++ {
		for _, x := range in {
			run := x.shape[o.Axis] * behind
			at += copy(y.f[at:], x.f[b*run:(b+1)*run])
		}
	}
	return y
}

func slice(o graph.Slice, x array) array {
	shape := x.shape.Clone()
	shape[o.Axis] = o.Count
	y := zeros(shape...)
	before, behind := around(shape, o.Axis)
	at := 0
	for b := 0; b < before; b++ {
		for i := 0; i < o.Count; i++ {
			from := (b*x.shape[o.Axis] + o.Start + i*o.Step) * behind
			at += copy(y.f[at:], x.f[from:from+behind])
		}
	}
	return y
}

func pad(o graph.Pad, x array) array {
	size := x.shape[o.Axis]
	shape := x.shape.Clone()
	shape[o.Axis] = o.Before + size + (size-1)*o.Between + o.After
	y := zeros(shape...)
	for i := range y.f {
		y.f[i] = float64(o.Value)
	}
	before, behind := around(shape, o.Axis)
	for b := 0; b < before; b++ {
		for i := 0; i < size; i++ {
			to := b*shape[o.Axis] + o.Before + i*(1+o.Between)
			copy(y.f[to*behind:(to+1)*behind], x.f[(b*size+i)*behind:])
		}
	}
	return y
}
