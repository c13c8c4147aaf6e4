package train

import (
	"fmt"
	"maps"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// lossOf adds the loss of a classifier to its graph: by its logits, or, for an
// [OutputsLoss], by all that network and data have.
func (s *Step) lossOf(t *nn.Traced, y *graph.Value) (*graph.Value, error) {
	for _, in := range t.Inputs {
		if reserved(in.Name) {
			return nil, fmt.Errorf("the network's input %q has a name that training uses: give it another", in.Name)
		}
	}
	all, ok := s.loss.own.(OutputsLoss)
	if !ok {
		return s.loss.Loss(t.Graph, t.Output, y)
	}
	out := map[string]*graph.Value{nn.MainOutput: t.Output}
	for _, o := range t.Outputs {
		out[o.Name] = o.Value
	}
	targets := map[string]*graph.Value{inTarget: y}
	for _, name := range slices.Sorted(maps.Keys(s.inputs)) {
		if reserved(name) {
			return nil, fmt.Errorf("the input %q of the data has a name that training uses: give it another", name)
		}
		of := s.inputs[name]
		v, err := t.Graph.Input(name, graph.Type{DType: of.DType, Shape: append(tensor.Shape{s.input[0]}, of.Shape...)})
		if err != nil {
			return nil, err
		}
		targets[name] = v
	}
	loss, err := all.OutputsLoss(t.Graph, out, targets)
	if err == nil && (loss == nil || len(loss.Shape) != 0 || loss.DType != tensor.Float32) {
		err = fmt.Errorf("train: the loss %T must be a scalar of float32", all)
	}
	return loss, err
}

// reserved reports whether a step has another input of that name.
func reserved(name string) bool {
	return slices.Contains([]string{inTarget, inTeacher, inLR, inStep, inFixedLR, inDecay, inApart, nn.ImageInput, nn.RNGInput}, name)
}

// inputsFor returns what a run of a network's inference takes for a batch: the
// pictures, and what the dataset has beside them that the network asks for.
func inputsFor(asks func(name string) bool, x *tensor.Tensor, b *data.Batch) infer.Tensors {
	in := infer.Tensors{nn.ImageInput: x}
	for name, t := range b.Inputs {
		if asks(name) {
			in[name] = t
		}
	}
	return in
}
