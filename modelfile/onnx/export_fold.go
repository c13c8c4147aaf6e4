package onnx

import (
	"math"

	"github.com/resnet-go/resnet/graph"
)

// fold is a batch norm that becomes part of the layer before it:
//
//	w' = w * gamma / sqrt(var + eps),  b' = (b - mean) * gamma / sqrt(var + eps) + beta
type fold struct {
	norm, layer *graph.Node
}

// findFold notes a batch norm that follows a convolution or linear layer whose
// result goes nowhere else and whose weights serve nothing else.
func (x *exporter) findFold(n *graph.Node) {
	if _, ok := n.Op.(graph.BatchNorm); !ok {
		return
	}
	layer := n.In[0].Node
	switch layer.Op.(type) {
	case graph.Conv2d, graph.Linear:
	default:
		return
	}
	if x.used[n.In[0]] != 1 {
		return
	}
	for _, v := range append(append([]*graph.Value{}, layer.In[1:]...), n.In[1:]...) {
		op, ok := v.Node.Op.(graph.Variable)
		if !ok || x.used[v] != 1 || x.values[op.Label] == nil {
			return
		}
	}
	f := &fold{n, layer}
	x.folded[n], x.folded[layer] = f, f
}

// folds reports whether the only use of a parameter is in a fold.
func (x *exporter) folds(v *graph.Value) bool {
	for n, f := range x.folded {
		if n != f.norm {
			continue
		}
		for _, in := range f.norm.In[1:] {
			if in == v {
				return true
			}
		}
		for _, in := range f.layer.In[1:] {
			if in == v {
				return true
			}
		}
	}
	return false
}

// foldedInputs returns the inputs of a layer with the batch norm behind it
// folded in, if there is one. The new weight and bias have the layer's keys.
func (x *exporter) foldedInputs(n *graph.Node, in []string) ([]string, error) {
	f := x.folded[n]
	if f == nil {
		return in, nil
	}
	var params [][]float32 // weight, [bias,] then gamma, beta, mean, variance
	for _, v := range append(append([]*graph.Value{}, n.In[1:]...), f.norm.In[1:]...) {
		t, err := x.value(v.Node.Op.(graph.Variable))
		if err != nil {
			return nil, err
		}
		params = append(params, t.Float32s())
	}
	norm := params[len(params)-4:]
	eps := float64(f.norm.Op.(graph.BatchNorm).Eps)
	shape := n.In[1].Shape
	channels := shape[0]
	w, b := make([]float32, len(params[0])), make([]float32, channels)
	each := len(w) / channels
	for k := range channels {
		scale := float64(norm[0][k]) / math.Sqrt(float64(norm[3][k])+eps)
		for i := k * each; i < (k+1)*each; i++ {
			w[i] = float32(float64(params[0][i]) * scale)
		}
		bias := 0.0
		if len(n.In) == 3 {
			bias = float64(params[1][k])
		}
		b[k] = float32((bias-float64(norm[2][k]))*scale + float64(norm[1][k]))
	}
	biasName := n.Path + ".bias"
	if len(n.In) == 3 {
		biasName = in[2]
	} else {
		biasName = x.unique(biasName)
	}
	x.init(in[1], shape64(shape), w, nil)
	x.init(biasName, []int64{int64(channels)}, b, nil)
	return []string{in[0], in[1], biasName}, nil
}
