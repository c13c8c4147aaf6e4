// Package nn builds networks from modules: plain Go structs that own parameters
// and compute, in Forward, an output from an input.
//
// [Trace] runs Forward once on symbolic values, which writes the graph that
// package engine compiles; Go's if and for are the control flow. A module runs
// its parts by [Context.Call]. Modules and parameters are found by reflection
// over exported fields, and the fields' names make the state-dict keys, which for
// package models are torchvision's: the field Layer1 of type [Sequential] holds
// "layer1.0.conv1.weight". The tag `key:"name"` sets another key, `key:"-"`
// leaves a field out.
//
// Building, tracing and summarizing a network allocate no weights; [Init] and
// [Load] do.
package nn

import (
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Module is a part of a network. Forward adds its operators to the graph
// behind c and returns the output. [Context.Call] runs it at each [Trace]; it
// must not change the module. Shapes are N, C, H, W unless a module's doc gives
// others. A network of several inputs or outputs asks for the other inputs by
// [Context.Input] and gives the other outputs by [Context.Output].
type Module interface {
	Forward(c *Context, x *graph.Value) *graph.Value
}

// Stateless is embedded in module types without fields, such as
//
//	type Clamp struct{ nn.Stateless }
//
// so that each variable of the type has its own address, by which [Context.Call]
// finds the module's path. A struct without it has no size, and Go may give all
// its variables one address: Call then finds the path only where the calling
// module holds one module of that type.
type Stateless struct{ _ byte }

// Param is a tensor that a module owns: a parameter that training changes or,
// with Buffer, a running statistic or counter. Each Param must be reachable from
// the traced model by exported fields.
type Param struct {
	Shape   tensor.Shape
	DType   tensor.DType
	Value   *tensor.Tensor // nil until [Init] or [Load]
	Init    Initializer    // nil stands for zeros
	Buffer  bool           // not trained
	NoDecay bool           // excluded from weight decay: a bias, or the scale or shift of a norm
	Frozen  bool           // not changed by training, see [Freeze]
}

// Trainable reports whether gradients and the optimizer apply to p.
func (p *Param) Trainable() bool { return !p.Buffer && !p.Frozen }

// NewParam returns a float32 parameter of the given shape.
func NewParam(init Initializer, shape ...int) *Param {
	return &Param{Shape: shape, Init: init}
}

// NewBias returns a float32 parameter of one axis, with NoDecay.
func NewBias(init Initializer, channels int) *Param {
	return &Param{Shape: tensor.Shape{channels}, Init: init, NoDecay: true}
}

// NewBuffer returns a float32 buffer of the given shape.
func NewBuffer(init Initializer, shape ...int) *Param {
	return &Param{Shape: shape, Init: init, Buffer: true}
}

func (p *Param) typ() graph.Type { return graph.Type{DType: p.DType, Shape: p.Shape} }

// Entry is a parameter with its name: the state-dict key, which is also the name
// of the variable in graphs and in the engine.
type Entry struct {
	Name  string
	Param *Param
}

// Params lists the parameters and buffers of m in the order of PyTorch's
// state_dict: a module's own before those in its fields, fields in order of
// declaration. A Param that is reached by two paths is listed under both, as in
// PyTorch. [Check] reports mistakes in m's fields; Params does not.
func Params(m Module) []Entry { return walk(m).params }

// NumParams counts the elements of all parameters of m, frozen ones too,
// without buffers: 11,689,512 for ResNet-18.
func NumParams(m Module) int {
	n := 0
	for p := range walk(m).names {
		if !p.Buffer {
			n += p.Shape.Numel()
		}
	}
	return n
}
