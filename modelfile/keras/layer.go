package keras

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// layer is a Keras layer made of our modules. Images, [N H W C] in Keras, are
// [N C H W] here; tensors of other ranks are as in Keras.
type layer interface {
	nn.Module
	// build is called once with the shapes of the inputs as Keras has them,
	// without the batch, makes the parameters and returns the output's shape.
	build(in [][]int) ([]int, error)
	// variables lists the layer's variables in the order of Keras's files.
	variables() []variable
}

// merger is a layer of several inputs.
type merger interface {
	layer
	merge(c *nn.Context, xs []*graph.Value) *graph.Value
}

// variable is a parameter with its name and form in Keras.
type variable struct {
	name     string
	param    *nn.Param
	form     form
	channels int // of the input, for formDepthwise
}

// form is the layout of a Keras array.
type form uint8

const (
	formSame      form = iota
	formConv           // [H W In Out], ours [Out In H W]
	formDepthwise      // [H W C Multiplier], ours [C*Multiplier 1 H W]
	formDense          // [In Out], ours [Out In]
)

// shape returns Keras's shape of a parameter of ours.
func (v variable) shape() []int {
	s := v.param.Shape
	switch v.form {
	case formConv:
		return []int{s[2], s[3], s[1], s[0]}
	case formDense:
		return []int{s[1], s[0]}
	case formDepthwise:
		return []int{s[2], s[3], v.channels, s[0] / v.channels}
	}
	return s.Clone()
}

// transpose moves elements between Keras's order and ours, bit by bit.
func (v variable) transpose(src []float32, toKeras bool) []float32 {
	if v.form == formSame {
		return src
	}
	s := v.param.Shape
	out, in, spatial := s[0], 1, 1
	switch v.form {
	case formConv:
		in, spatial = s[1], s[2]*s[3]
	case formDense:
		in = s[1]
	case formDepthwise: // the multiplier runs fastest in both
		spatial = s[2] * s[3]
	}
	dst := make([]float32, len(src))
	// In blocks that stay in the cache, since one side jumps by a row.
	const block = 32
	for k0 := 0; k0 < out; k0 += block {
		for c0 := 0; c0 < in; c0 += block {
			for p := range spatial {
				for k := k0; k < min(k0+block, out); k++ {
					for c := c0; c < min(c0+block, in); c++ {
						ours, theirs := (k*in+c)*spatial+p, (p*in+c)*out+k
						if toKeras {
							dst[theirs] = src[ours]
						} else {
							dst[ours] = src[theirs]
						}
					}
				}
			}
		}
	}
	return dst
}

// value returns the parameter's elements as Keras has them: []float32, or
// []int32 for a counter.
func (v variable) value() (any, error) {
	t := v.param.Value
	switch {
	case t == nil:
		return nil, errors.New("it has no value: load or initialize the model first")
	case t.DType() == tensor.Int64:
		out := make([]int32, t.Numel())
		for i, n := range t.Int64s() {
			out[i] = int32(n)
		}
		return out, nil
	}
	return v.transpose(t.Float32s(), true), nil
}

func (v variable) set(data []float32) error {
	t, err := tensor.FromFloat32(v.transpose(data, false), v.param.Shape...)
	if err != nil {
		return err
	}
	v.param.Value = t
	return nil
}

// plain is embedded by layers without variables.
type plain struct{ nn.Stateless }

func (plain) variables() []variable { return nil }

// newLayer makes the layer of a class.
func newLayer(class string, config json.RawMessage) (layer, error) {
	make, ok := classes[class]
	if class != "RandomCrop" && strings.HasPrefix(class, "Random") || slices.Contains(passives, class) {
		return &passive{name: class}, nil
	}
	if !ok {
		return nil, fmt.Errorf("layers of this class are not supported; those that are: %s, and augmentation", strings.Join(Layers(), ", "))
	}
	if len(config) == 0 {
		config = json.RawMessage("{}")
	}
	var common struct {
		Format string `json:"data_format"`
	}
	if err := json.Unmarshal(config, &common); err != nil {
		return nil, err
	}
	if common.Format == "channels_first" {
		return nil, fmt.Errorf("data_format channels_first is not supported")
	}
	return make(config)
}

var classes = map[string]func(json.RawMessage) (layer, error){
	"InputLayer":             newInput,
	"Conv2D":                 newConv,
	"DepthwiseConv2D":        newDepthwise,
	"Dense":                  newDense,
	"BatchNormalization":     newBatchNorm,
	"Activation":             newActivation,
	"ReLU":                   func(c json.RawMessage) (layer, error) { return activationOf(reluLayer(c)) },
	"LeakyReLU":              func(c json.RawMessage) (layer, error) { return activationOf(leakyLayer(c)) },
	"Softmax":                newSoftmax,
	"Add":                    func(json.RawMessage) (layer, error) { return &elementwise{fn: graph.Add, name: "Add"}, nil },
	"Subtract":               func(json.RawMessage) (layer, error) { return &elementwise{fn: graph.Sub, name: "Subtract"}, nil },
	"Multiply":               func(json.RawMessage) (layer, error) { return &elementwise{fn: graph.Mul, name: "Multiply"}, nil },
	"Maximum":                func(json.RawMessage) (layer, error) { return &elementwise{fn: graph.Max, name: "Maximum"}, nil },
	"Minimum":                func(json.RawMessage) (layer, error) { return &elementwise{fn: graph.Min, name: "Minimum"}, nil },
	"Concatenate":            newConcat,
	"ZeroPadding2D":          newZeroPadding,
	"Cropping2D":             newCropping,
	"MaxPooling2D":           func(c json.RawMessage) (layer, error) { return newPooling(c, true) },
	"AveragePooling2D":       func(c json.RawMessage) (layer, error) { return newPooling(c, false) },
	"GlobalAveragePooling2D": func(c json.RawMessage) (layer, error) { return newGlobal(c, graph.Mean) },
	"GlobalMaxPooling2D":     func(c json.RawMessage) (layer, error) { return newGlobal(c, graph.MaxOf) },
	"Flatten":                func(json.RawMessage) (layer, error) { return &flatten{}, nil },
	"Reshape":                newReshape,
	"Permute":                newPermute,
	"Dropout":                newDropout,
	"Rescaling":              newRescaling,
	"Normalization":          newNormalization,
	"UpSampling2D":           newUpsampling,
	"SeparableConv2D":        newSeparable,
	"SeparableConvolution2D": newSeparable,
	"Convolution2D":          newConv,
	"Conv2DTranspose":        newTransposed,
	"PReLU":                  newPReLU,
	"ELU":                    func(c json.RawMessage) (layer, error) { return activationOf(eluLayer(c)) },
	"ThresholdedReLU":        func(c json.RawMessage) (layer, error) { return activationOf(thresholdedLayer(c)) },
	"LayerNormalization":     newNorm("LayerNormalization"),
	"RMSNormalization":       newNorm("RMSNormalization"),
	"GroupNormalization":     newNorm("GroupNormalization"),
	"UnitNormalization":      newNorm("UnitNormalization"),
	"Average": func(json.RawMessage) (layer, error) {
		return &average{elementwise{fn: graph.Add, name: "Average"}}, nil
	},
	"CenterCrop": newResizing(true),
	"Resizing":   newResizing(false),
	"Lambda":     lambda,
}

// Layers lists the classes of layers that can be read, sorted.
func Layers() []string {
	var names []string
	for n := range classes {
		if n != "Lambda" && !strings.HasPrefix(n, "Convolution") && n != "SeparableConvolution2D" { // older names
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// image checks that the only input is an image and returns its extents.
func image(in [][]int) (h, w, c int, err error) {
	if len(in) != 1 || len(in[0]) != 3 {
		return 0, 0, 0, fmt.Errorf("want one image [H W C], got %v", in)
	}
	return in[0][0], in[0][1], in[0][2], nil
}

func single(in [][]int) ([]int, error) {
	if len(in) != 1 {
		return nil, fmt.Errorf("want one input, got %d", len(in))
	}
	return in[0], nil
}

// padding reads "valid" or "same".
func padding(s string) (same bool, err error) {
	switch s {
	case "", "valid", "VALID":
		return false, nil
	case "same", "SAME":
		return true, nil
	}
	return false, fmt.Errorf("padding %q is not supported", s)
}

// samePad is TensorFlow's "same" along one axis: as many windows as fit at
// every stride-th element, what is missing added on both sides, an odd one
// after.
func samePad(size, kernel, stride, dilation int) (before, after int) {
	n := (size + stride - 1) / stride
	total := max((n-1)*stride+(kernel-1)*dilation+1-size, 0)
	return total / 2, total - total/2
}

// outExtent is the number of windows along one axis.
func outExtent(size, kernel, stride, dilation int, same bool) (int, error) {
	if same {
		return (size + stride - 1) / stride, nil
	}
	n := size - (kernel-1)*dilation - 1
	if n < 0 {
		return 0, fmt.Errorf("a window of %d does not fit into %d", (kernel-1)*dilation+1, size)
	}
	return n/stride + 1, nil
}

// input is where the model begins.
type input struct{ plain }

func newInput(json.RawMessage) (layer, error) { return &input{}, nil }

func (l *input) Kind() string                    { return "InputLayer" }
func (l *input) build(in [][]int) ([]int, error) { return single(in) }

// Forward implements [nn.Module].
func (l *input) Forward(c *nn.Context, x *graph.Value) *graph.Value {
	return x
}
