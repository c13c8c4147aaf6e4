package onnx

import (
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

func ceil(x float64) float64 { return math.Ceil(x) }

// resizing is how an axis is resampled.
type resizing struct {
	mode, coordinates, nearest string
	cubic                      float64
	outside                    bool // exclude_outside
}

// resize scales axes, all or the images'. What PyTorch writes goes to the
// engine's own operator; every other way of sampling is linear in the input, so
// a matrix that is known is multiplied with each axis.
func resize(n *node) {
	x := n.x(0)
	rank := len(x.Shape)
	r := resizing{
		mode: n.attrString("mode", "nearest"), coordinates: n.attrString("coordinate_transformation_mode", "half_pixel"),
		nearest: n.attrString("nearest_mode", "round_prefer_floor"), cubic: float64(n.attrFloat("cubic_coeff_a", -0.75)),
		outside: n.attrInt("exclude_outside", 0) != 0,
	}
	if n.attrInt("antialias", 0) != 0 {
		n.failf("antialiasing is not supported")
	}
	var scales []float32
	var sizes []int64
	switch {
	case n.op == "Upsample" || n.version() < 11:
		r.coordinates, r.nearest = "asymmetric", "floor"
		if n.op == "Upsample" && n.version() < 9 {
			a := n.attr("scales")
			if a == nil {
				n.failf("it has no scales")
			}
			scales = a.floats
		} else {
			scales = n.static(1, "the scales").floats()
		}
		if r.mode == "bilinear" {
			r.mode = "linear"
		}
	case n.has(3) && n.ins[3].st != nil || n.has(3) && !n.has(2):
		sizes = n.ints(3, "the sizes")
	default:
		scales = n.static(2, "the scales").floats()
	}
	if len(scales) == 0 && n.has(3) {
		sizes = n.ints(3, "the sizes")
	}
	var axes []int
	if as := n.attrInts("axes"); as != nil {
		n.axes(as, rank)
		for _, a := range as {
			axes = append(axes, n.axis(a, rank))
		}
	} else {
		for a := range rank {
			axes = append(axes, a)
		}
	}
	if sizes != nil && len(sizes) != len(axes) || sizes == nil && len(scales) != len(axes) {
		n.failf("%d sizes and %d scales for %d axes", len(sizes), len(scales), len(axes))
	}
	out, scale := x.Shape.Clone(), make([]float64, rank)
	for i := range scale {
		scale[i] = 1
	}
	fixed := n.aspect(x.Shape, axes, sizes)
	for i, a := range axes {
		if sizes != nil {
			out[a] = n.small("the sizes", sizes, 1, 1<<16)[i]
			scale[a] = float64(out[a]) / float64(x.Shape[a])
			if fixed > 0 {
				scale[a] = fixed
				out[a] = n.small("the size", []int64{int64(math.Floor(fixed*float64(x.Shape[a]) + 0.5))}, 1, 1<<16)[0]
			}
			continue
		}
		if !(scales[i] > 0 && scales[i] < 1<<16) {
			n.failf("the scales are %v", scales)
		}
		scale[a] = float64(scales[i])
		if out[a] = int(math.Floor(float64(x.Shape[a]) * scale[a])); out[a] < 1 || out[a] > 1<<16 {
			n.failf("scales %v of %v", scales, x.Shape)
		}
	}
	if op, ok := r.native(x.Shape, out, scale); ok {
		n.set(n.do(op, x))
		return
	}
	for a := range rank {
		if out[a] != x.Shape[a] || scale[a] != 1 {
			x = n.resample(x, a, out[a], r.matrix(n, x.Shape[a], out[a], scale[a]))
		}
	}
	n.set(x)
}

// aspect returns the scale that all axes have by keep_aspect_ratio_policy, or 0
// if each follows its own size.
func (n *node) aspect(shape tensor.Shape, axes []int, sizes []int64) (scale float64) {
	policy := n.attrString("keep_aspect_ratio_policy", "stretch")
	if policy == "stretch" || sizes == nil {
		return 0
	}
	for i, a := range axes {
		s := float64(sizes[i]) / float64(shape[a])
		switch {
		case i == 0:
			scale = s
		case policy == "not_larger":
			scale = min(scale, s)
		case policy == "not_smaller":
			scale = max(scale, s)
		default:
			n.failf("the policy %q is not known", policy)
		}
	}
	return scale
}

// native returns the engine's operator if it does just this.
func (r resizing) native(in, out tensor.Shape, scale []float64) (graph.Resize, bool) {
	if len(in) != 4 || in[0] != out[0] || in[1] != out[1] {
		return graph.Resize{}, false
	}
	for a := 2; a < 4; a++ {
		if math.Abs(scale[a]*float64(in[a])-float64(out[a])) > 1e-4 {
			return graph.Resize{}, false
		}
	}
	op := graph.Resize{OH: out[2], OW: out[3]}
	switch {
	case r.mode == "linear" && (r.coordinates == "half_pixel" || r.coordinates == "pytorch_half_pixel" && out[2] > 1 && out[3] > 1):
		op.Bilinear = true
		return op, true
	case r.mode == "nearest" && r.coordinates == "asymmetric" && r.nearest == "floor":
		return op, true
	}
	return op, false
}

// resample multiplies axis a with w [out in].
func (n *node) resample(x *graph.Value, a, out int, w []float32) *graph.Value {
	t, err := tensor.FromFloat32(w, out, x.Shape[a])
	if err != nil {
		n.failf("%w", err)
	}
	rank := len(x.Shape)
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = i
	}
	perm[a], perm[rank-1] = rank-1, a // its own inverse
	y := n.do(graph.Permute{Perm: perm}, x)
	shape := y.Shape.Clone()
	y = n.do(graph.Linear{}, n.reshape(y, shape[:rank-1].Numel(), shape[rank-1]), n.g.Const(t))
	shape[rank-1] = out
	return n.do(graph.Permute{Perm: perm}, n.reshape(y, shape...))
}

// matrix returns with which weight each of in elements counts in each of out.
func (r resizing) matrix(n *node, in, out int, scale float64) []float32 {
	if int64(in)*int64(out) > 1<<24 {
		n.failf("resizing %d elements to %d in this mode takes too much memory", in, out)
	}
	n.spend(in * out)
	w := make([]float32, in*out)
	for i := range out {
		row := w[i*in : (i+1)*in]
		at := r.at(n, float64(i), float64(in), float64(out), scale)
		switch r.mode {
		case "nearest":
			row[min(max(r.nearestTo(n, at), 0), in-1)] = 1
		case "linear":
			lo := math.Floor(at)
			t := at - lo
			row[clamp(lo, in)] += float32(1 - t)
			row[clamp(lo+1, in)] += float32(t)
		case "cubic":
			r.cubicRow(row, at)
		default:
			n.failf("the mode %q is not known", r.mode)
		}
	}
	return w
}

func clamp(x float64, n int) int { return min(max(int(x), 0), n-1) }

// at returns the position in the input of the output's element i.
func (r resizing) at(n *node, i, in, out, scale float64) float64 {
	switch r.coordinates {
	case "half_pixel":
		return (i+0.5)/scale - 0.5
	case "half_pixel_symmetric":
		adjust := out / (scale * in)
		return in/2*(1-adjust) + (i+0.5)/scale - 0.5
	case "pytorch_half_pixel":
		if out > 1 {
			return (i+0.5)/scale - 0.5
		}
		return 0
	case "align_corners": // by the scale, though the output has a whole length
		if out > 1 {
			return i * (in - 1) / (in*scale - 1)
		}
		return 0
	case "asymmetric":
		return i / scale
	case "tf_half_pixel_for_nn":
		return (i + 0.5) / scale
	}
	n.failf("the coordinates %q are not supported", r.coordinates)
	return 0
}

func (r resizing) nearestTo(n *node, x float64) int {
	switch r.nearest {
	case "round_prefer_floor":
		return int(math.Ceil(x - 0.5))
	case "round_prefer_ceil":
		return int(math.Floor(x + 0.5))
	case "floor":
		return int(math.Floor(x))
	case "ceil":
		return int(math.Ceil(x))
	}
	n.failf("the nearest mode %q is not known", r.nearest)
	return 0
}

// cubicRow is cubic convolution (Keys 1981) with the parameter a.
func (r resizing) cubicRow(row []float32, at float64) {
	lo := math.Floor(at)
	a := r.cubic
	kernel := func(x float64) float64 {
		if x = math.Abs(x); x <= 1 {
			return ((a+2)*x-(a+3))*x*x + 1
		}
		return ((a*x-5*a)*x+8*a)*x - 4*a
	}
	var sum float64
	for k := -1.0; k <= 2; k++ {
		weight := kernel(at - lo - k)
		if out := lo+k < 0 || int(lo+k) >= len(row); out && r.outside {
			continue
		}
		row[clamp(lo+k, len(row))] += float32(weight)
		sum += weight
	}
	if r.outside && sum != 0 {
		for i := range row {
			row[i] /= float32(sum)
		}
	}
}
