package golden

import "github.com/resnet-go/resnet/graph"

// Attrs are the attributes that the metadata of the operators' goldens has
// (graph/testdata/gen/ops.py).
type Attrs struct {
	Stride, Padding, Dilation, Kernel, Size      []int
	Groups, Axis                                 int
	Axes, Starts, Ends, Steps, Pads, Shape, Perm []int
	Training, Weighted, Keepdims, Nesterov       bool
	CeilMode                                     bool `json:"ceil_mode"`
	CountIncludePad                              bool `json:"count_include_pad"`
	TransA                                       bool `json:"trans_a"`
	TransB                                       bool `json:"trans_b"`
	Approximate                                  string
	Momentum, Eps, Min, Max, Value, Decay        float32
	Alpha, Gamma, Beta, Smooth                   float32
	Beta1, Beta2, Trust                          float32
	NegativeSlope                                float32 `json:"negative_slope"`
	LabelSmoothing                               float32 `json:"label_smoothing"`
	WeightDecay                                  float32 `json:"weight_decay"`
	LR                                           []float32
	Scale                                        float32
	ScaleHW                                      [2]float64 `json:"scale_hw"`
	SamplingRatio                                int        `json:"sampling_ratio"`
	K                                            int
	OutputPadding                                []int `json:"output_padding"`
	Compare                                      graph.CompareFn
	Smallest                                     bool
	Aligned                                      bool
}

// Unary are the goldens that are one element-wise function each.
var Unary = map[string]graph.Unary{
	"relu": {Fn: graph.Relu}, "relu6": {Fn: graph.Clip, A: 0, B: 6}, "sigmoid": {Fn: graph.Sigmoid},
	"tanh": {Fn: graph.Tanh}, "silu": {Fn: graph.Silu}, "exp": {Fn: graph.Exp}, "log": {Fn: graph.Log},
	"sqrt": {Fn: graph.Sqrt}, "rsqrt": {Fn: graph.Rsqrt}, "square": {Fn: graph.Square}, "abs": {Fn: graph.Abs},
	"softplus": {Fn: graph.Softplus}, "hard_sigmoid": {Fn: graph.HardSigmoid}, "hard_swish": {Fn: graph.HardSwish},
}

// Binary are the goldens of functions of two numbers.
var Binary = map[string]graph.BinaryFn{
	"add": graph.Add, "sub": graph.Sub, "mul": graph.Mul, "div": graph.Div, "maximum": graph.Max, "minimum": graph.Min,
}

// Reduce are the goldens of reductions.
var Reduce = map[string]graph.ReduceFn{
	"reduce_sum": graph.Sum, "reduce_mean": graph.Mean, "reduce_max": graph.MaxOf,
}

// Apply builds the golden's operation on the values in and returns the outputs
// that the golden stores; nil for an operation that it does not know.
func (a Attrs) Apply(g *graph.Graph, op string, in []*graph.Value) []*graph.Value {
	if u, ok := Unary[op]; ok {
		return g.Must(u, in...)
	}
	if fn, ok := Binary[op]; ok {
		return g.Must(graph.Binary{Fn: fn}, in...)
	}
	if fn, ok := Reduce[op]; ok {
		return g.Must(graph.Reduce{Fn: fn, Axes: a.Axes, Keep: a.Keepdims}, in...)
	}
	switch op {
	case "conv2d":
		p := a.Padding
		if len(p) == 2 {
			p = []int{p[0], p[0], p[1], p[1]}
		}
		return g.Must(graph.Conv2d{StrideH: a.Stride[0], StrideW: a.Stride[1], PadTop: p[0], PadBottom: p[1], PadLeft: p[2],
			PadRight: p[3], DilationH: a.Dilation[0], DilationW: a.Dilation[1], Groups: a.Groups}, in...)
	case "linear":
		return g.Must(graph.Linear{}, in...)
	case "matmul":
		return g.Must(graph.MatMul{TransA: a.TransA, TransB: a.TransB}, in...)
	case "batch_norm":
		if !a.Training {
			return g.Must(graph.BatchNorm{Eps: a.Eps}, in...)
		}
		out := g.Must(graph.BatchNormTrain{Eps: a.Eps, Momentum: a.Momentum}, in...)
		return []*graph.Value{out[0], out[3], out[4]}
	case "group_norm":
		return []*graph.Value{graph.GroupNormOf(g, in[0], in[1], in[2], a.Groups, a.Eps)}
	case "layer_norm":
		return []*graph.Value{graph.LayerNorm(g, in[0], in[1], in[2], a.Eps)}
	case "instance_norm":
		return []*graph.Value{graph.InstanceNorm(g, in[0], in[1], in[2], a.Eps)}
	case "l2_normalize":
		squares := g.Must1(graph.Reduce{Fn: graph.Sum, Axes: []int{a.Axis}, Keep: true}, g.Must1(graph.Unary{Fn: graph.Square}, in[0]))
		norm := g.Must1(graph.Unary{Fn: graph.Sqrt}, squares)
		norm = g.Must1(graph.Binary{Fn: graph.Max}, norm, g.Scalar(a.Eps))
		return g.Must(graph.Binary{Fn: graph.Div}, in[0], norm)
	case "max_pool2d":
		return g.Must(graph.MaxPool2d{Window: a.window()}, in...)[:1]
	case "avg_pool2d":
		return g.Must(graph.AvgPool2d{Window: a.window(), CountPad: a.CountIncludePad}, in...)
	case "global_avg_pool":
		return g.Must(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}, Keep: true}, in...)
	case "upsample_nearest", "upsample_bilinear":
		return g.Must(graph.Resize{OH: a.Size[0], OW: a.Size[1], Bilinear: op == "upsample_bilinear", ScaleH: a.ScaleHW[0], ScaleW: a.ScaleHW[1]}, in...)
	case "gather":
		return g.Must(graph.Gather{Axis: a.Axis}, in...)
	case "gather_elements":
		return g.Must(graph.GatherElements{Axis: a.Axis}, in...)
	case "topk":
		return g.Must(graph.TopK{K: a.K, Axis: a.Axis, Smallest: a.Smallest}, in...)
	case "argmax":
		return g.Must(graph.ArgMax{Axis: a.Axis, Keep: a.Keepdims}, in...)
	case "where": // of a comparison of the first two
		return g.Must(graph.Where{}, g.Must1(graph.Compare{Fn: a.Compare}, in[0], in[1]), in[2], in[3])
	case "prelu":
		return []*graph.Value{graph.PReLU(g, in[0], in[1])}
	case "conv_transpose2d":
		var bias *graph.Value
		if len(in) == 3 {
			bias = in[2]
		}
		return []*graph.Value{graph.ConvTranspose2d{StrideH: a.Stride[0], StrideW: a.Stride[1], PadH: a.Padding[0], PadW: a.Padding[1],
			OutputPadH: a.OutputPadding[0], OutputPadW: a.OutputPadding[1], DilationH: a.Dilation[0], DilationW: a.Dilation[1],
			Groups: a.Groups}.Apply(g, in[0], in[1], bias)}
	case "roi_align":
		return g.Must(graph.RoIAlign{OH: a.Size[0], OW: a.Size[1], Scale: a.Scale, SamplingRatio: a.SamplingRatio, Aligned: a.Aligned}, in...)
	case "leaky_relu":
		return g.Must(graph.Unary{Fn: graph.LeakyRelu, A: a.NegativeSlope}, in...)
	case "clip":
		return g.Must(graph.Unary{Fn: graph.Clip, A: a.Min, B: a.Max}, in...)
	case "gelu":
		if a.Approximate == "none" {
			return g.Must(graph.Unary{Fn: graph.Gelu}, in...)
		}
		// x/2 * (1 + tanh(sqrt(2/π) * (x + 0.044715 x³)))
		mul := func(x, y *graph.Value) *graph.Value { return g.Must1(graph.Binary{Fn: graph.Mul}, x, y) }
		x := in[0]
		inner := g.Must1(graph.Affine{Scale: 0.044715, Shift: 1}, g.Must1(graph.Unary{Fn: graph.Square}, x))
		inner = g.Must1(graph.Affine{Scale: 0.7978845608}, mul(x, inner))
		half := g.Must1(graph.Affine{Scale: 0.5, Shift: 0.5}, g.Must1(graph.Unary{Fn: graph.Tanh}, inner))
		return []*graph.Value{mul(x, half)}
	case "softmax", "log_softmax":
		var f graph.Op = graph.Softmax{}
		if op == "log_softmax" {
			f = graph.LogSoftmax{}
		}
		return a.alongLast(g, f, in[0])
	case "cross_entropy", "cross_entropy_soft":
		return g.Must(graph.CrossEntropy{LabelSmoothing: a.LabelSmoothing}, in...)
	case "focal":
		return g.Must(graph.SigmoidFocal{Alpha: a.Alpha, Gamma: a.Gamma}, in...)
	case "l1_loss", "smooth_l1_loss":
		return []*graph.Value{graph.SmoothL1Loss(g, in[0], in[1], in[2], a.Beta)}
	case "giou_loss":
		return []*graph.Value{graph.GIoULoss(g, in[0], in[1], in[2], a.Eps)}
	case "bce_loss":
		return []*graph.Value{graph.BCELoss(g, in[0], in[1], in[2])}
	case "dice_loss":
		return []*graph.Value{graph.DiceLoss(g, in[0], in[1], a.Smooth)}
	case "bce_with_logits":
		return g.Must(graph.BCEWithLogits{}, in...)
	case "concat":
		return g.Must(graph.Concat{Axis: a.Axis}, in...)
	case "slice":
		y := in[0]
		for i, axis := range a.Axes {
			count := (a.Ends[i] - a.Starts[i] + a.Steps[i] - 1) / a.Steps[i]
			y = g.Must1(graph.Slice{Axis: axis, Start: a.Starts[i], Count: count, Step: a.Steps[i]}, y)
		}
		return []*graph.Value{y}
	case "pad":
		y := in[0]
		for axis := range a.Pads[:len(a.Pads)/2] {
			y = g.Must1(graph.Pad{Axis: axis, Before: a.Pads[axis], After: a.Pads[len(a.Pads)/2+axis], Value: a.Value}, y)
		}
		return []*graph.Value{y}
	case "reshape":
		return g.Must(graph.Reshape{Shape: a.Shape}, in...)
	case "permute":
		return g.Must(graph.Permute{Perm: a.Perm}, in...)
	}
	return nil
}

func (a Attrs) window() graph.Window {
	return graph.Window{KernelH: a.Kernel[0], KernelW: a.Kernel[1], StrideH: a.Stride[0], StrideW: a.Stride[1],
		PadTop: a.Padding[0], PadBottom: a.Padding[0], PadLeft: a.Padding[1], PadRight: a.Padding[1], Ceil: a.CeilMode}
}

// alongLast applies f, which works along the last axis, along axis a.Axis.
func (a Attrs) alongLast(g *graph.Graph, f graph.Op, x *graph.Value) []*graph.Value {
	rank := len(x.Shape)
	if a.Axis == -1 || a.Axis == rank-1 {
		return g.Must(f, x)
	}
	swap := make([]int, rank)
	for i := range swap {
		swap[i] = i
	}
	swap[a.Axis], swap[rank-1] = rank-1, a.Axis
	y := g.Must1(f, g.Must1(graph.Permute{Perm: swap}, x))
	return g.Must(graph.Permute{Perm: swap}, y)
}

// Optimize builds the three steps of an optimizer's golden and returns the
// parameter after each; nil for another operation.
func (a Attrs) Optimize(g *graph.Graph, op string, in []*graph.Value) []*graph.Value {
	switch op {
	case "sgd", "adam", "adamw", "lamb", "lars", "rmsprop", "ema":
	default:
		return nil
	}
	p := in[0]
	var out []*graph.Value
	zero := g.Must1(graph.BroadcastTo{Shape: p.Shape}, g.Scalar(0))
	m, v := zero, zero
	for i, grad := range in[1:] {
		lr := g.Scalar(a.LR[i])
		switch op {
		case "sgd":
			o := g.Must(graph.SGD{Momentum: a.Momentum, WeightDecay: a.WeightDecay, Nesterov: a.Nesterov}, p, grad, v, lr)
			p, v = o[0], o[1]
		case "adamw":
			o := g.Must(graph.AdamW{Beta1: a.Beta1, Beta2: a.Beta2, Eps: a.Eps, WeightDecay: a.WeightDecay},
				p, grad, m, v, lr, g.Scalar(float32(i+1)))
			p, m, v = o[0], o[1], o[2]
		case "adam":
			o := g.Must(graph.Adam{Beta1: a.Beta1, Beta2: a.Beta2, Eps: a.Eps, WeightDecay: a.WeightDecay},
				p, grad, m, v, lr, g.Scalar(float32(i+1)))
			p, m, v = o[0], o[1], o[2]
		case "lamb":
			o := g.Must(graph.LAMB{Beta1: a.Beta1, Beta2: a.Beta2, Eps: a.Eps, WeightDecay: a.WeightDecay},
				p, grad, m, v, lr, g.Scalar(float32(i+1)))
			p, m, v = o[0], o[1], o[2]
		case "rmsprop":
			o := g.Must(graph.RMSprop{Alpha: a.Decay, Eps: a.Eps, Momentum: a.Momentum, WeightDecay: a.WeightDecay}, p, grad, v, m, lr)
			p, v, m = o[0], o[1], o[2]
		case "lars":
			o := g.Must(graph.LARS{Momentum: a.Momentum, WeightDecay: a.WeightDecay, Trust: a.Trust, Eps: a.Eps}, p, grad, v, lr)
			p, v = o[0], o[1]
		case "ema":
			p = g.Must1(graph.EMA{}, p, grad, g.Scalar(a.Decay))
		}
		out = append(out, p)
	}
	return out
}
