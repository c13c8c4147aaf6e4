package resnet

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// Description gives the inputs and outputs of a network their meaning. Preprocess
// must be given, except for a detector.
type Description struct {
	Name       string          // of the model, for messages; may be empty
	Classes    []string        // by index; nil numbers them
	MultiLabel bool            // a picture may have any number of classes
	Preprocess data.Preprocess // how pictures become inputs
	// Meta holds what else [Model.Meta] returns and [Model.Save] writes, such as
	// figures and seed. The fields that are given above are not read.
	Meta weights.Meta
}

// FromModule makes a model of a network in memory, which has its values: one of
// package models, or any module whose output is logits, [N classes] for pictures
// or [N classes H W] for their pixels. The values
// are copied; the module keeps its own. Options.Weights must not be set.
func FromModule(net nn.Module, d Description, opt Options) (*Model, error) {
	if err := opt.check(); err != nil {
		return nil, err
	}
	m, known := net.(*models.Model)
	detector := known && m.Config.Task() == models.Detection
	switch {
	case net == nil || d.Preprocess.Width == 0 && !detector:
		return nil, errors.New("resnet: FromModule needs a network and Description.Preprocess")
	case detector && d.Preprocess.Width != 0:
		return nil, errors.New("resnet: FromModule: a detector prepares pictures itself: leave out Description.Preprocess")
	}
	if opt.Weights.Preprocess != nil || opt.Weights.Classes != nil || opt.Weights.Keys != nil || opt.Weights.Partial {
		return nil, errors.New("resnet: FromModule: Preprocess and Classes belong to the Description; Keys and Partial belong to files")
	}
	if d.Name == "" {
		d.Name = fmt.Sprintf("%T", net)
	}
	if err := nn.Check(net); err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", d.Name, err)
	}
	p := d.Preprocess
	input := tensor.Shape{p.Channels, p.Height, p.Width}
	var task models.Task
	var classes int
	var err error
	file := &weights.File{Meta: d.Meta}
	file.Classes, file.MultiLabel = d.Classes, d.MultiLabel
	if detector {
		task, classes, input, file.Preprocess = models.Detection, m.Config.Classes, m.Input(), nil
	} else {
		if task, classes, err = modelfile.TaskOf(net, input); err != nil {
			return nil, fmt.Errorf("resnet: %s: %w", d.Name, err)
		}
		if file.Preprocess, err = json.Marshal(p); err != nil {
			return nil, err
		}
	}
	file.Architecture = nil
	if known {
		if err := modelfile.Describe(&file.Meta, net, input); err != nil {
			return nil, err
		}
	}
	values := map[string]*tensor.Tensor{}
	for _, e := range nn.Params(net) {
		if e.Param.Value != nil {
			values[e.Name] = e.Param.Value.Clone()
		}
	}
	vars, err := infer.Adopt(net, values)
	if err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", d.Name, err)
	}
	return assemble(d.Name, &modelfile.Result{Module: net, Task: task, Input: input, Classes: classes, File: file}, vars, opt)
}

// Save writes the model as a file of this project, which [Open] and all commands
// open: the file describes a network of package models by its configuration, and any
// other by its graph for inference. It holds the weights by state-dict key, for
// nn.Load. A network whose graph cannot be written, because of an operator that ONNX
// lacks or because it takes only one batch size, is in the file by its weights alone;
// the error of Open then has the reason.
func (m *Model) Save(path string) error {
	f := &weights.File{Meta: m.meta, Tensors: map[string]*tensor.Tensor{}}
	f.Classes, f.Training = m.classes, nil
	var err error
	f.Preprocess = nil
	if m.task != models.Detection {
		if f.Preprocess, err = json.Marshal(m.prep); err != nil {
			return err
		}
	}
	if err := modelfile.Describe(&f.Meta, m.net, m.Input()); err != nil {
		return err
	}
	for _, e := range nn.Params(m.net) {
		t, err := m.Vars().Get(e.Name)
		if err != nil {
			return fmt.Errorf("resnet: %s: %w", m.name, err)
		}
		f.Tensors[e.Name] = t
	}
	return weights.Save(path, f, weights.SaveOptions{})
}
