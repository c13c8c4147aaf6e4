package onnx

import (
	"fmt"
	"slices"
	"strings"
)

// opDef is how an operator is read: with min to max inputs, the first min of
// which must be given.
type opDef struct {
	fn       func(n *node)
	min, max int
}

const many = 1 << 16 // inputs of a variadic operator

// operators are the operators that are read, those of ai.onnx by their name, others
// with their domain before it.
var operators map[string]opDef

func init() { // the branches of If lead back to the table
	operators = map[string]opDef{
		"Conv":                         {conv, 2, 3},
		"ConvTranspose":                {convTranspose, 2, 3},
		"Gemm":                         {gemm, 2, 3},
		"MatMul":                       {matMul, 2, 2},
		"BatchNormalization":           {batchNormalization, 5, 5},
		"InstanceNormalization":        {instanceNormalization, 3, 3},
		"LayerNormalization":           {layerNormalization, 2, 3},
		"Dropout":                      {dropout, 1, 3},
		"GroupNormalization":           {groupNormalization, 3, 3},
		"RMSNormalization":             {rmsNormalization, 2, 2},
		"SimplifiedLayerNormalization": {rmsNormalization, 2, 2},
		"MeanVarianceNormalization":    {meanVariance, 1, 1},
		"LpNormalization":              {lpNormalization, 1, 1},
		"LRN":                          {localResponse, 1, 1},
		"Einsum":                       {einsum, 1, 2},
		"QuantizeLinear":               {quantizeLinear, 2, 3},
		"DequantizeLinear":             {dequantizeLinear, 2, 3},

		"MaxPool":           {maxPool, 1, 1},
		"AveragePool":       {averagePool, 1, 1},
		"GlobalAveragePool": {globalPool, 1, 1},
		"GlobalMaxPool":     {globalPool, 1, 1},
		"LpPool":            {lpPool, 1, 1},
		"GlobalLpPool":      {globalLpPool, 1, 1},

		"Relu": {unary, 1, 1}, "LeakyRelu": {unary, 1, 1}, "Sigmoid": {unary, 1, 1}, "HardSigmoid": {unary, 1, 1},
		"HardSwish": {unary, 1, 1}, "Tanh": {unary, 1, 1}, "Softplus": {unary, 1, 1}, "Softsign": {unary, 1, 1},
		"Erf": {unary, 1, 1}, "Gelu": {unary, 1, 1}, "Exp": {unary, 1, 1}, "Log": {unary, 1, 1}, "Sqrt": {unary, 1, 1},
		"Abs": {unary, 1, 1}, "Neg": {unary, 1, 1}, "Reciprocal": {unary, 1, 1}, "Elu": {unary, 1, 1},
		"Selu": {unary, 1, 1}, "Celu": {unary, 1, 1}, "Mish": {unary, 1, 1}, "Swish": {unary, 1, 1},
		"Floor": {unary, 1, 1}, "Ceil": {unary, 1, 1}, "Round": {unary, 1, 1}, "Not": {unary, 1, 1}, "Sign": {unary, 1, 1},
		"ThresholdedRelu": {unary, 1, 1}, "Shrink": {unary, 1, 1},
		"Clip": {clip, 1, 3}, "PRelu": {pRelu, 2, 2}, "Pow": {pow, 2, 2},

		"Add": {arithmetic, 2, 2}, "Sub": {arithmetic, 2, 2}, "Mul": {arithmetic, 2, 2}, "Div": {arithmetic, 2, 2}, "Mod": {arithmetic, 2, 2},
		"And": {arithmetic, 2, 2}, "Or": {arithmetic, 2, 2}, "Xor": {arithmetic, 2, 2}, "Equal": {arithmetic, 2, 2},
		"Greater": {arithmetic, 2, 2}, "Less": {arithmetic, 2, 2}, "GreaterOrEqual": {arithmetic, 2, 2}, "LessOrEqual": {arithmetic, 2, 2},
		"Max": {variadic, 1, many}, "Min": {variadic, 1, many}, "Sum": {variadic, 1, many}, "Mean": {variadic, 1, many},
		"Where": {where, 3, 3},

		"ReduceMean": {reduce, 1, 2}, "ReduceSum": {reduce, 1, 2}, "ReduceMax": {reduce, 1, 2}, "ReduceMin": {reduce, 1, 2},
		"ReduceProd": {reduce, 1, 2}, "ReduceL1": {reduce, 1, 2}, "ReduceL2": {reduce, 1, 2},
		"ReduceSumSquare": {reduce, 1, 2}, "ReduceLogSum": {reduce, 1, 2}, "ReduceLogSumExp": {reduce, 1, 2},
		"Softmax": {softmax, 1, 1}, "LogSoftmax": {softmax, 1, 1},

		"Flatten": {flatten, 1, 1}, "Reshape": {reshape, 1, 2}, "Transpose": {transpose, 1, 1},
		"Squeeze": {squeeze, 1, 2}, "Unsqueeze": {unsqueeze, 1, 2}, "Concat": {concat, 1, many},
		"Slice": {slice, 1, 5}, "Split": {split, 1, 2}, "Pad": {pad, 1, 4}, "Expand": {expand, 2, 2}, "Tile": {tile, 2, 2},
		"Gather": {gather, 2, 2}, "DepthToSpace": {depthToSpace, 1, 1}, "SpaceToDepth": {depthToSpace, 1, 1},
		"GatherElements": {gatherElements, 2, 2}, "OneHot": {oneHot, 3, 3}, "TopK": {topK, 1, 2}, "ArgMax": {argMax, 1, 1}, "ArgMin": {argMax, 1, 1},
		"RoiAlign": {roiAlign, 3, 3}, "ScatterND": {scatterND, 3, 3},
		"Resize": {resize, 1, 4}, "Upsample": {resize, 1, 2},

		"Identity": {identity, 1, 1}, "Cast": {cast, 1, 1}, "CastLike": {cast, 2, 2}, "Constant": {constant, 0, 0},
		"ConstantOfShape": {constantOfShape, 1, 1}, "Shape": {shapeOf, 1, 1}, "Size": {shapeOf, 1, 1},
		"Range": {rangeOf, 3, 3}, "If": {branch, 1, 1},

		"DynamicQuantizeLinear": {dynamicQuantize, 1, 1},
		"QLinearConv":           {qLinearConv, 8, 9},
		"QLinearMatMul":         {qLinearMatMul, 8, 8},
		"ConvInteger":           {integerProduct, 2, 4},
		"MatMulInteger":         {integerProduct, 2, 4},

		"ai.onnx.ml.Scaler":     {scaler, 1, 1},
		"ai.onnx.ml.Normalizer": {normalizer, 1, 1},

		"com.microsoft.FusedConv":                {fusedConv, 2, 4},
		"com.microsoft.FusedGemm":                {fusedGemm, 2, 3},
		"com.microsoft.FusedMatMul":              {fusedMatMul, 2, 2},
		"com.microsoft.Gelu":                     {microsoftGelu, 1, 1},
		"com.microsoft.FastGelu":                 {microsoftGelu, 1, 2},
		"com.microsoft.BiasGelu":                 {microsoftGelu, 2, 2},
		"com.microsoft.QuickGelu":                {microsoftGelu, 1, 1},
		"com.microsoft.SkipLayerNormalization":   {skipLayerNorm, 3, 5},
		"com.microsoft.QLinearAdd":               {qLinearBinary, 7, 8},
		"com.microsoft.QLinearMul":               {qLinearBinary, 7, 8},
		"com.microsoft.QLinearSigmoid":           {qLinearUnary, 4, 5},
		"com.microsoft.QLinearLeakyRelu":         {qLinearUnary, 4, 5},
		"com.microsoft.QLinearSoftmax":           {qLinearUnary, 4, 5},
		"com.microsoft.QLinearGlobalAveragePool": {qLinearUnary, 4, 5},
		"com.microsoft.QLinearAveragePool":       {qLinearUnary, 4, 5},
		"com.microsoft.QLinearConcat":            {qLinearConcat, 5, many},
		"com.microsoft.QGemm":                    {qGemm, 8, 9},
		"com.microsoft.DynamicQuantizeMatMul":    {dynamicMatMul, 3, 5},
		"com.microsoft.MatMulIntegerToFloat":     {matMulToFloat, 4, 7},
		"com.microsoft.QuantizeLinear":           {quantizeLinear, 2, 3},
		"com.microsoft.DequantizeLinear":         {dequantizeLinear, 2, 3},
	}
}

// Operators lists the operators of ai.onnx that are read.
func Operators() []string {
	var names []string
	for name := range operators {
		if !strings.Contains(name, ".") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// refuse returns an error for what can be seen from the operators' names alone,
// so that it comes before any shape is known.
func (m *Model) refuse() error {
	if m.FindsObjects() {
		return nil // it may be built anew, see Detector
	}
	nodes := m.proto.graph.nodes
	wanted := []string{m.answers[0].value}
	if m.main != nil { // all outputs of our own are computed
		for _, a := range m.answers[1:] {
			wanted = append(wanted, a.value)
		}
	}
	lives := live(nodes, wanted)
	for _, n := range nodes {
		if _, ok := operators[n.key()]; ok || !lives[n] {
			continue
		}
		why := ""
		switch {
		case n.domain == "com.microsoft.nchwc":
			why = ": onnxruntime has optimized the file for one kind of machine. Give the file from before, or save it with the optimization level basic"
		case n.domain == "com.microsoft":
			why = ": it belongs to onnxruntime. Give the file from before it was optimized or quantized, or save it with the optimization level basic"
		case n.domain == "ai.onnx.ml":
			why = ": only networks are computed here, not other classifiers behind them"
		case !isONNX(n.domain):
			why = ": it is of an extension that the file does not define as a function"
		}
		return fmt.Errorf("node %q: operator %s is not supported (opset %d)%s", n.name, n.key(), m.opset, why)
	}
	return nil
}
