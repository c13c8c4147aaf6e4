package modelfile

import (
	"encoding/json"
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/modelfile/onnx"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// NoGraph is the key in the metadata of one of our own model files (see
// [weights.Meta].Extra) under which [Describe] notes why the file does not describe
// its network.
const NoGraph = "resnet.no_graph"

// Describe sets the description of a network in the content of a model file, so that
// [Open] makes the network from the file alone: the Config of a network of package
// models,
// and the graph of any other, for pictures of the shape input, [C H W]. A description
// that is there stays, unless the network is of package models. If
// the graph cannot be written, the file holds weights alone, and the error of Open
// for it has the reason: in training, weights are worth more than an error.
func Describe(m *weights.Meta, net nn.Module, input tensor.Shape) error {
	var err error
	if known, ok := net.(*models.Model); ok {
		m.Architecture, err = json.Marshal(known.Config)
		return err
	}
	if len(m.Architecture) > 0 {
		return nil // of Keras, or a graph that was opened
	}
	if m.Architecture, err = onnx.Architecture(net, input); err == nil {
		return nil
	}
	extra := map[string]string{NoGraph: err.Error()}
	for k, v := range m.Extra {
		extra[k] = v
	}
	m.Architecture, m.Extra = nil, extra
	return nil
}

// TaskOf returns what a network is for by its output for pictures [C H W], and the
// number of its classes.
func TaskOf(net nn.Module, input tensor.Shape) (models.Task, int, error) {
	if m, ok := net.(*models.Model); ok && m.Config.Task() == models.Features {
		return models.Features, 0, nil
	}
	if len(input) != 3 {
		return "", 0, fmt.Errorf("the pictures are %v, must be [C H W]", input)
	}
	t, err := nn.Trace(net, nn.TraceOptions{Input: graph.F32(1, input[0], input[1], input[2])})
	if err != nil {
		return "", 0, err
	}
	switch s := t.Output.Shape; len(s) {
	case 2:
		return models.Classification, s[1], nil
	case 4:
		return models.Segmentation, s[1], nil
	default:
		return "", 0, fmt.Errorf("the network's output is %v, must be logits [N classes] of pictures or [N classes H W] of pixels", s)
	}
}

// openGraph makes the network of a file that describes its graph. Tensors that the
// graph does not read, such as counters, are left out.
func (r *Result) openGraph(arch json.RawMessage) error {
	m, err := onnx.FromArchitecture(arch)
	if err != nil {
		return err
	}
	r.Module, r.Input, r.FixedSize = m, m.Picture(), true
	if r.Task, r.Classes, err = TaskOf(m, r.Input); err != nil {
		return err
	}
	read := map[string]*tensor.Tensor{}
	for name := range m.Params {
		if t := r.File.Tensors[name]; t != nil {
			read[name] = t
		}
	}
	r.File.Tensors = read
	return nil
}
