package keras

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/graph"
)

// operator is a node of the graph that is written as Keras layers.
type operator struct {
	*exporter
	n  *graph.Node
	in []string // the layers of the inputs, without parameters
	// nonNegative is set if the first input has no negative numbers, and before put
	// if the result has none.
	nonNegative bool
}

var errNoLayer = errors.New("no Keras layer computes it")

// put adds the operator's last layer.
func (o *operator) put(class, name string, config object) {
	o.result(o.add(class, o.unique(name), config, o.in...))
}

// result makes a layer's output the operator's.
func (o *operator) result(layer string) { o.at[o.n.Out[0]] = place{layer, o.nonNegative} }

// need returns an error unless the operator has this many inputs that are not
// parameters.
func (o *operator) need(count int) error {
	if len(o.in) != count {
		return fmt.Errorf("it has %d inputs besides parameters, must have %d", len(o.in), count)
	}
	return nil
}

// trained checks an operator with one input and parameters, and returns its
// module's path. A layer of Keras has its own parameters, so a module that is
// called twice cannot be written.
func (o *operator) trained() (string, error) {
	if err := o.need(1); err != nil {
		return "", err
	}
	name, err := o.paramName(o.n.In[1], "weight")
	if err != nil {
		return "", err
	}
	if o.used[name] {
		return "", fmt.Errorf("the module %s is called twice", name)
	}
	o.nonNegative = false
	return name, nil
}

// padded adds a layer of zeros in front of the operator unless pad, which is top,
// bottom, left, right, has none.
func (o *operator) padded(name string, pad [4]int) {
	if pad != [4]int{} {
		o.in[0] = o.padSides(o.unique(under(name, "pad")), pad, o.in[0])
	}
}

func (o *operator) write() error {
	switch op := o.n.Op.(type) {
	case graph.Input, graph.Variable, graph.Const:
		return nil
	case graph.Conv2d:
		return o.conv(op)
	case graph.Linear:
		name, err := o.trained()
		if err != nil {
			return err
		}
		o.put("Dense", name, object{"units": o.n.In[1].Shape[0], "activation": "linear", "use_bias": len(o.n.In) == 3})
	case graph.BatchNorm:
		return o.batchNorm(op)
	case graph.Unary:
		return o.unary(op)
	case graph.Binary:
		return o.binary(op)
	case graph.Affine:
		o.nonNegative = false
		o.put("Rescaling", o.label(o.n.Path, "rescaling"), object{"scale": op.Scale, "offset": op.Shift})
	case graph.MaxPool2d:
		return o.maxPool(op)
	case graph.AvgPool2d:
		return o.avgPool(op)
	case graph.Reduce:
		class := map[graph.ReduceFn]string{graph.Mean: "GlobalAveragePooling2D", graph.MaxOf: "GlobalMaxPooling2D"}[op.Fn]
		if class == "" || len(o.n.In[0].Shape) != 4 || !slices.Equal(op.Axes, []int{2, 3}) {
			return errors.New("only the mean and the maximum of an image have Keras layers")
		}
		o.put(class, o.label(o.n.Path, "global_pool"), object{"data_format": "channels_last", "keepdims": op.Keep})
	case graph.Softmax:
		if len(o.n.In[0].Shape) > 3 {
			return errors.New("a softmax along the width")
		}
		o.nonNegative = true
		o.put("Softmax", o.label(o.n.Path, "softmax"), object{"axis": -1})
	case graph.Concat:
		return o.concat(op)
	case graph.Pad:
		return o.pad(op)
	case graph.Slice:
		return o.slice(op)
	case graph.Reshape:
		return o.reshape()
	case graph.Resize:
		return o.resize(op)
	default:
		return errNoLayer
	}
	return nil
}

func (o *operator) conv(op graph.Conv2d) error {
	name, err := o.trained()
	if err != nil {
		return err
	}
	bias := len(o.n.In) == 3
	if bias {
		if _, err := o.paramName(o.n.In[2], "bias"); err != nil {
			return err
		}
	}
	w := o.n.In[1].Shape
	padding := "valid"
	if op.StrideH == 1 && op.StrideW == 1 && evenPad(op.PadTop, op.PadBottom, w[2], op.DilationH) && evenPad(op.PadLeft, op.PadRight, w[3], op.DilationW) {
		padding = "same"
	} else if pad := [4]int{op.PadTop, op.PadBottom, op.PadLeft, op.PadRight}; pad != [4]int{} {
		o.in[0] = o.padSides(o.unique(name+".pad"), pad, o.in[0])
	}
	o.put("Conv2D", name, object{
		"filters": w[0], "kernel_size": []int{w[2], w[3]}, "strides": []int{op.StrideH, op.StrideW}, "padding": padding,
		"data_format": "channels_last", "dilation_rate": []int{op.DilationH, op.DilationW}, "groups": op.Groups,
		"activation": "linear", "use_bias": bias,
	})
	return nil
}

// evenPad reports whether padding is TensorFlow's "same" at stride 1.
func evenPad(before, after, kernel, dilation int) bool {
	return before == after && 2*before == (kernel-1)*dilation
}

func (o *operator) batchNorm(op graph.BatchNorm) error {
	name, err := o.trained()
	if err != nil {
		return err
	}
	momentum := float32(0.9)
	if bn := o.norms[name]; bn != nil {
		momentum = 1 - bn.Momentum
	}
	o.put("BatchNormalization", name, object{"axis": -1, "momentum": momentum, "epsilon": op.Eps, "center": true, "scale": true})
	return nil
}

func (o *operator) unary(op graph.Unary) error {
	if err := o.need(1); err != nil {
		return err
	}
	for _, name := range exported {
		if a := activations[name]; a.unary == op {
			o.nonNegative = a.nonNegative()
			o.put("Activation", o.label(o.n.Path, name), object{"activation": name})
			return nil
		}
	}
	switch op.Fn {
	case graph.LeakyRelu:
		o.nonNegative = false
		o.put("LeakyReLU", o.label(o.n.Path, "leaky_relu"), object{"negative_slope": op.A})
	case graph.Clip:
		if op.A != 0 {
			return fmt.Errorf("bounds %g and %g", op.A, op.B)
		}
		o.nonNegative = true
		o.put("ReLU", o.label(o.n.Path, "relu"), object{"max_value": op.B})
	default:
		return errNoLayer
	}
	return nil
}

func (o *operator) binary(op graph.Binary) error {
	class := map[graph.BinaryFn]string{graph.Add: "Add", graph.Sub: "Subtract", graph.Mul: "Multiply", graph.Max: "Maximum", graph.Min: "Minimum"}[op.Fn]
	x, y := o.n.In[0], o.n.In[1]
	if class == "" || len(x.Shape) != len(y.Shape) {
		return errNoLayer
	}
	if err := o.need(2); err != nil {
		return err
	}
	o.nonNegative = class != "Subtract" && o.nonNegative && o.at[y].nonNegative
	o.put(class, o.label(o.n.Path, strings.ToLower(class)), nil)
	return nil
}

// maxPool writes padding as zeros, which do not change a maximum of numbers that
// are not negative.
func (o *operator) maxPool(op graph.MaxPool2d) error {
	pad := [4]int{op.PadTop, op.PadBottom, op.PadLeft, op.PadRight}
	if op.Ceil || pad != [4]int{} && !o.nonNegative {
		return errors.New("padding of numbers that may be negative, or ceil mode")
	}
	o.padded(o.n.Path, pad)
	o.put("MaxPooling2D", o.label(o.n.Path, "pool"), poolConfig(op.Window))
	return nil
}

func (o *operator) avgPool(op graph.AvgPool2d) error {
	pad := [4]int{op.PadTop, op.PadBottom, op.PadLeft, op.PadRight}
	if op.Ceil || pad != [4]int{} && !op.CountPad {
		return errors.New("padding that does not count, or ceil mode")
	}
	o.padded(o.n.Path, pad)
	o.put("AveragePooling2D", o.label(o.n.Path, "pool"), poolConfig(op.Window))
	return nil
}

func poolConfig(w graph.Window) object {
	return object{"pool_size": []int{w.KernelH, w.KernelW}, "strides": []int{w.StrideH, w.StrideW}, "padding": "valid", "data_format": "channels_last"}
}

func (o *operator) concat(op graph.Concat) error {
	axis := op.Axis
	if len(o.n.In[0].Shape) == 4 {
		axis = []int{0, 3, 1, 2}[axis] // of N, H, W, C
	}
	if err := o.need(len(o.n.In)); err != nil {
		return err
	}
	o.nonNegative = false
	o.put("Concatenate", o.label(o.n.Path, "concatenate"), object{"axis": axis})
	return nil
}

// pad writes padding of zeros along the height, the width, or, with the axes
// exchanged around it, the channels.
func (o *operator) pad(op graph.Pad) error {
	if len(o.n.In[0].Shape) != 4 || op.Value != 0 || op.Between != 0 || op.Axis == 0 {
		return errors.New("only zeros around an image have a Keras layer")
	}
	x := o.in[0]
	name := func(what string) string { return o.unique(under(o.n.Path, what)) }
	switch op.Axis {
	case 1:
		x = o.add("Permute", name("channels_to_width"), object{"dims": []int{1, 3, 2}}, x)
		x = o.padSides(name("pad"), [4]int{0, 0, op.Before, op.After}, x)
		x = o.add("Permute", name("width_to_channels"), object{"dims": []int{1, 3, 2}}, x)
	case 2:
		x = o.padSides(name("pad"), [4]int{op.Before, op.After, 0, 0}, x)
	case 3:
		x = o.padSides(name("pad"), [4]int{0, 0, op.Before, op.After}, x)
	}
	o.result(x)
	return nil
}

// slice writes every Step-th row or column as a pooling of windows of one
// element, and a range of rows or columns as cropping.
func (o *operator) slice(op graph.Slice) error {
	x := o.n.In[0].Shape
	if len(x) != 4 || op.Axis < 2 || op.Step < 1 {
		return errors.New("only slices of rows and columns have Keras layers")
	}
	name := o.in[0]
	end := op.Start + (op.Count-1)*op.Step + 1
	if after := x[op.Axis] - end; op.Start > 0 || after >= op.Step {
		crop := [2][2]int{}
		crop[op.Axis-2] = [2]int{op.Start, after}
		name = o.add("Cropping2D", o.unique(under(o.n.Path, "crop")), object{"cropping": crop, "data_format": "channels_last"}, name)
	}
	if op.Step > 1 {
		strides := []int{1, 1}
		strides[op.Axis-2] = op.Step
		name = o.add("MaxPooling2D", o.unique(under(o.n.Path, "subsample")), object{"pool_size": []int{1, 1}, "strides": strides, "padding": "valid", "data_format": "channels_last"}, name)
	}
	o.result(name)
	return nil
}

// reshape writes a flatten, with the elements in the order N, C, H, W, and the
// way back from a vector to an image.
func (o *operator) reshape() error {
	if len(o.in) == 0 {
		return errors.New("a parameter is given another shape")
	}
	x, y := o.n.In[0].Shape, o.n.Out[0].Shape
	name := o.in[0]
	switch {
	case len(x) == 4 && len(y) == 2:
		if x[2] != 1 || x[3] != 1 {
			name = o.add("Permute", o.unique(under(o.n.Path, "channels_first")), object{"dims": []int{3, 1, 2}}, name)
		}
		name = o.add("Flatten", o.unique(o.label(o.n.Path, "flatten")), object{"data_format": "channels_last"}, name)
	case len(x) == 2 && len(y) == 4 && y[2] == 1 && y[3] == 1:
		name = o.add("Reshape", o.unique(o.label(o.n.Path, "reshape")), object{"target_shape": []int{1, 1, y[1]}}, name)
	case x.Equal(y):
	default:
		return fmt.Errorf("from %v to %v", x, y)
	}
	o.result(name)
	return nil
}

func (o *operator) resize(op graph.Resize) error {
	x := o.n.In[0].Shape
	if op.OH%x[2] != 0 || op.OW%x[3] != 0 {
		return fmt.Errorf("%dx%d is not a multiple of %dx%d", op.OH, op.OW, x[2], x[3])
	}
	mode := "nearest"
	if op.Bilinear {
		mode = "bilinear"
	}
	o.put("UpSampling2D", o.label(o.n.Path, "up"), object{"size": []int{op.OH / x[2], op.OW / x[3]}, "interpolation": mode, "data_format": "channels_last"})
	return nil
}
