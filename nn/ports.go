package nn

import (
	"slices"

	"github.com/resnet-go/resnet/graph"
)

// Input returns another input of the model, besides x of Forward, by its name: what
// the caller feeds under that name at each run. sample is the type for one sample,
// such as graph.F32(4) for four numbers beside each picture; the value has the batch
// in front, [N 4], as many as the model's own input. The first use makes the input,
// which [Traced.Inputs] lists; later uses, in any module, return the same value. It
// stops the trace if the name had another type before, or is that of the model's own
// input.
func (c *Context) Input(name string, sample graph.Type) *graph.Value {
	if name == "" || name == ImageInput || name == RNGInput {
		c.Failf("the input %q must have another name: it must not be empty, %s or %s", name, ImageInput, RNGInput)
	}
	if len(c.traced.Input.Shape) == 0 {
		c.Failf("the input %q has no batch, because the model's own input is a single number", name)
	}
	sample.Shape = slices.Insert(slices.Clone(sample.Shape), 0, c.traced.Input.Shape[0])
	v, err := c.Graph().Input(name, sample)
	if err != nil {
		panic(err)
	}
	if !slices.ContainsFunc(c.traced.Inputs, func(n Named) bool { return n.Name == name }) {
		c.traced.Inputs = append(c.traced.Inputs, Named{name, v})
	}
	return v
}

// Output makes v another output of the model, besides what its Forward returns,
// which [Traced.Outputs] lists and package infer returns under that name. Within a
// trace a name must be given once.
func (c *Context) Output(name string, v *graph.Value) {
	switch {
	case v == nil:
		c.Failf("the output %q is nil", name)
	case name == "" || name == MainOutput:
		c.Failf("the output %q must have another name: it must not be empty or %s, which is what Forward returns", name, MainOutput)
	case slices.ContainsFunc(c.traced.Outputs, func(n Named) bool { return n.Name == name }):
		c.Failf("two outputs are called %q", name)
	}
	c.traced.Outputs = append(c.traced.Outputs, Named{name, v})
}
