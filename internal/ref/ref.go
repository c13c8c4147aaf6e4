// Package ref interprets a graph the slow, obviously right way: one plain loop
// nest per operator, in float64, in N, C, H, W order. Tests compare the engine
// and the operators' gradients with it. Each file mirrors the file of package
// graph that has the operators' formulas.
package ref

import (
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// ErrValue is part of the error of an operator that refuses a value, rather than a
// shape: a label that is no class, an index outside of its axis.
var ErrValue = errors.New("an input has a value out of range")

// Result holds the values of one run.
type Result struct{ values map[*graph.Value]array }

// Value returns the value that v had in the run, or nil if it was not
// computed. Each call makes a new tensor.
func (r *Result) Value(v *graph.Value) *tensor.Tensor {
	a, ok := r.values[v]
	if !ok {
		return nil
	}
	return a.tensor()
}

// Float64s returns the elements of v before their rounding to float32 (see
// [Run64]), or nil if v was not computed or holds integers. The caller must
// not change them.
func (r *Result) Float64s(v *graph.Value) []float64 { return r.values[v].f }

// Run computes every node of g. vars and in hold the variables and the inputs
// by name; neither is changed. Each operator computes in float64 and its
// outputs are rounded to float32. Updates are not applied: read their New
// values. An operator that is unknown, or whose computed shape differs from
// the one that its shape rule gave, is an error that names it.
func Run(g *graph.Graph, vars, in map[string]*tensor.Tensor) (*Result, error) {
	return run(g, vars, in, func(x float64) float64 { return float64(float32(x)) })
}

// Run64 is [Run] without the rounding between operators, so that finite
// differences of its results are precise.
func Run64(g *graph.Graph, vars, in map[string]*tensor.Tensor) (*Result, error) {
	return run(g, vars, in, nil)
}

func run(g *graph.Graph, vars, in map[string]*tensor.Tensor, round func(float64) float64) (*Result, error) {
	r := &Result{values: map[*graph.Value]array{}}
	for _, n := range g.Nodes {
		args := make([]array, len(n.In))
		for i, v := range n.In {
			a, ok := r.values[v]
			if !ok {
				return nil, fmt.Errorf("ref: %v: input %d is not computed before it", n, i)
			}
			args[i] = a
		}
		var out []array
		var err error
		switch op := n.Op.(type) {
		case graph.Input:
			out, err = source("input", op.Label, op.Type, op.Layout, in)
		case graph.Variable:
			out, err = source("variable", op.Label, op.Type, tensor.NCHW, vars)
		case graph.Const:
			out = []array{fromTensor(op.Tensor)}
		default:
			out, err = eval(n.Op, args)
		}
		if err != nil {
			return nil, fmt.Errorf("ref: %v: %w", n, err)
		}
		if len(out) != len(n.Out) {
			return nil, fmt.Errorf("ref: %v: %d outputs where the shape rule has %d", n, len(out), len(n.Out))
		}
		for i, a := range out {
			if t := n.Out[i].Type; a.dtype() != t.DType || !a.shape.Equal(t.Shape) {
				return nil, fmt.Errorf("ref: %v: output %d is %s%v where the shape rule has %s", n, i, a.dtype(), a.shape, t)
			}
			if round != nil {
				for j, x := range a.f {
					a.f[j] = round(x)
				}
			}
			r.values[n.Out[i]] = a
		}
	}
	return r, nil
}

func source(what, name string, want graph.Type, layout tensor.Layout, from map[string]*tensor.Tensor) ([]array, error) {
	t, ok := from[name]
	if !ok || t == nil {
		return nil, fmt.Errorf("no %s %q is given", what, name)
	}
	if t.DType() != want.DType || !t.Shape().Equal(want.Shape) {
		return nil, fmt.Errorf("%s %q must be %s, is %v", what, name, want, t)
	}
	if t.Layout() != layout {
		return nil, fmt.Errorf("%s %q must be laid out as %v, is %v", what, name, layout, t.Layout())
	}
	t, err := t.In(tensor.NCHW)
	if err != nil {
		return nil, err
	}
	return []array{fromTensor(t)}, nil
}

// eval computes one operator. The graph's shape rules have accepted the
// inputs.
func eval(op graph.Op, in []array) ([]array, error) {
	switch op := op.(type) {
	case graph.Conv2d:
		return one(conv2d(op, in))
	case graph.Conv2dInputGrad:
		return one(conv2dInputGrad(op, in[0], in[1]))
	case graph.Conv2dWeightGrad:
		return one(conv2dWeightGrad(op, in[0], in[1]))

	case graph.Linear:
		y := matmul(in[0], in[1], false, true)
		if len(in) == 3 {
			addRow(y, in[2])
		}
		return one(y)
	case graph.LinearInputGrad:
		return one(matmul(in[0], in[1], false, false))
	case graph.LinearWeightGrad:
		return one(matmul(in[1], in[0], true, false))
	case graph.MatMul:
		return one(matmul(in[0], in[1], op.TransA, op.TransB))

	case graph.BatchNorm:
		return one(batchNorm(op, in))
	case graph.BatchNormTrain:
		return batchNormTrain(op, in), nil
	case graph.BatchNormRecomputed:
		return one(batchNormRecomputed(in[0], in[1], in[2], in[3], in[4]))
	case graph.BatchNormGrad:
		return batchNormGrad(in), nil

	case graph.GroupNorm:
		return groupNorm(op, in[0], in[1], in[2]), nil
	case graph.GroupNormGrad:
		return groupNormGrad(op, in[0], in[1], in[2], in[3], in[4]), nil

	case graph.Unary:
		return unary(op, in[0])
	case graph.UnaryGrad:
		return unaryGrad(op.Of, in[0], in[1])
	case graph.Binary:
		return binary(op, in[0], in[1])
	case graph.SelectGrad:
		return one(selectGrad(op, in[0], in[1], in[2]))
	case graph.Affine:
		return one(in[0].apply(func(x float64) float64 { return float64(op.Scale)*x + float64(op.Shift) }))

	case graph.QuantizeLinear:
		return one(quantizeLinear(op, in[0]))
	case graph.DequantizeLinear:
		return one(dequantizeLinear(op, in[0]))

	case graph.MaxPool2d:
		return maxPool2d(op, in[0]), nil
	case graph.MaxPool2dGrad:
		return one(maxPool2dGrad(op, in[0], in[1]))
	case graph.AvgPool2d:
		return one(avgPool2d(op, in[0]))
	case graph.AvgPool2dGrad:
		return one(avgPool2dGrad(op, in[0]))
	case graph.Resize:
		return one(resize(op, in[0]))
	case graph.ResizeGrad:
		return one(resizeGrad(op, in[0]))

	case graph.RoIAlign:
		return roiAlign(op, in[0], in[1])
	case graph.RoIAlignGrad:
		return roiAlignGrad(op, in[0], in[1])
	case graph.Detach:
		return in, nil

	case graph.Reduce:
		return reduce(op, in[0])
	case graph.ReduceMaxGrad:
		return one(reduceMaxGrad(op, in[0], in[1], in[2]))
	case graph.BroadcastTo:
		return one(broadcastTo(in[0], op.Shape))
	case graph.Softmax:
		return one(softmax(in[0]))
	case graph.LogSoftmax:
		return one(logSoftmax(in[0]))

	case graph.Reshape:
		return one(array{shape: op.Shape, f: append([]float64(nil), in[0].f...)})
	case graph.Permute:
		return one(permute(op, in[0]))
	case graph.Concat:
		return one(concat(op, in))
	case graph.Slice:
		return one(slice(op, in[0]))
	case graph.Pad:
		return one(pad(op, in[0]))

	case graph.CrossEntropy:
		return crossEntropy(op, in)
	case graph.CrossEntropyGrad:
		return crossEntropyGrad(op, in)
	case graph.BCEWithLogits:
		return one(bceWithLogits(in))
	case graph.BCEWithLogitsGrad:
		return one(bceWithLogitsGrad(in))

	case graph.Compare:
		return one(compare(op, in[0], in[1]))
	case graph.Where:
		return one(where(in[0], in[1], in[2]))
	case graph.ToFloat:
		return one(toFloat(in[0]))
	case graph.ToInt:
		return toInt(in[0])
	case graph.Gather:
		return gather(op, in[0], in[1])
	case graph.GatherGrad:
		return gatherGrad(op, in[0], in[1])
	case graph.GatherElements:
		return gatherElements(op, in[0], in[1])
	case graph.GatherElementsGrad:
		return gatherElementsGrad(op, in[0], in[1])
	case graph.TopK:
		return topK(op, in[0]), nil
	case graph.ArgMax:
		return one(argMax(op, in[0]))

	case graph.SigmoidFocal:
		return sigmoidFocal(op, in)
	case graph.SigmoidFocalGrad:
		return sigmoidFocalGrad(op, in)
	case graph.OneHot:
		return oneHot(op, in[0])

	case graph.Dropout:
		return one(dropout(op, in[0], in[1]))

	case graph.SGD:
		return sgd(op, in), nil
	case graph.AdamW:
		return adamW(op, in), nil
	case graph.Adam:
		return adam(op, in), nil
	case graph.LAMB:
		return lamb(op, in), nil
	case graph.RMSprop:
		return rmsProp(op, in), nil
	case graph.LARS:
		return lars(op, in), nil
	case graph.EMA:
		return one(ema(in))
	case graph.GlobalNorm:
		return one(globalNorm(in))
	}
	if op, ok := op.(graph.HostOp); ok {
		return host(op, in)
	}
	return nil, fmt.Errorf("the interpreter has no operator %s (%T)", op.Name(), op)
}

// host calls an operator's own Compute.
func host(op graph.HostOp, in []array) ([]array, error) {
	types, tensors := make([]graph.Type, len(in)), make([]*tensor.Tensor, len(in))
	for i, a := range in {
		types[i], tensors[i] = graph.Type{DType: a.dtype(), Shape: a.shape}, a.tensor()
	}
	results, err := op.Infer(types)
	if err != nil {
		return nil, err
	}
	room := make([]*tensor.Tensor, len(results))
	for i, t := range results {
		if room[i] = tensor.New(t.Shape...); t.DType == tensor.Int64 {
			room[i] = tensor.NewInt64(t.Shape...)
		}
	}
	if err := op.Compute(tensors, room); err != nil {
		return nil, err
	}
	out := make([]array, len(room))
	for i, t := range room {
		out[i] = fromTensor(t)
	}
	return out, nil
}

func one(a array) ([]array, error) { return []array{a}, nil }
