package train

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// task is what a network is trained for, as far as a step depends on it: what
// targets are, what the loss is, and what is counted. See [classification],
// [segmentation] and [objects]; what feeds it is a [feed], and validation an
// [evaluator].
type task interface {
	// module is what is traced: the network, or a form of it with the same keys.
	module(s *Step) nn.Module
	// loss adds the inputs of the targets and the loss to the graph of a step. logits
	// is what count gets; nil for none.
	loss(s *Step, t *nn.Traced) (loss, logits *graph.Value, err error)
	// targets returns the targets of a batch by the names of these inputs.
	targets(s *Step, in StepInput) (infer.Tensors, error)
	// count adds what a step found on a batch to the sums of the epoch. It returns
	// the number of hits and their share.
	count(sums *tally, r StepResult, b batch, classes int) (hits int, share float64)
}

// taskOf returns what a network with that output is trained for.
func taskOf(output tensor.Shape) (task, error) {
	switch len(output) {
	case 2:
		return classification{}, nil
	case 4:
		return segmentation{}, nil
	}
	return nil, fmt.Errorf("the network's output is %v, must be logits [N classes] of pictures or [N classes H W] of pixels", output)
}

// evaluator measures a network on the part of the data to evaluate on.
type evaluator interface {
	// run evaluates with the values of vars, the moving averages where there are any;
	// nil stands for the parameters' own. each, if not nil, is called whenever some
	// samples are done.
	run(ctx context.Context, vars *engine.Vars, each func(samples int)) (Metrics, error)
	// prepare begins to make what run needs first.
	prepare(ctx context.Context)
	// idle returns the number of calls of each after which nothing is left to decode.
	idle() int
	// skipped returns the number of this rank's samples that could not be decoded.
	skipped() int
	// close discards what was prepared.
	close()
}

// newEvaluator returns the evaluator for a dataset, which ranks share.
func newEvaluator(m nn.Module, ds data.Dataset, cfg data.LoaderConfig, opt infer.Options, g group) (evaluator, error) {
	if masks := data.Masks(ds); masks != nil {
		return newPixelEvaluator(m, masks, cfg, opt, g)
	}
	if boxes := objectsOf(ds); boxes != nil && isDetector(m) {
		return newObjectEvaluator(m, boxes, cfg, opt, g), nil
	}
	return newPictureEvaluator(m, ds, cfg, opt, g)
}

// classification is the task of a class, or any number of labels, for each picture.
type classification struct{}

func (classification) module(s *Step) nn.Module { return s.module }

func (classification) loss(s *Step, t *nn.Traced) (loss, logits *graph.Value, err error) {
	g := t.Graph
	target := graph.Type{DType: tensor.Int64, Shape: tensor.Shape{s.input[0]}}
	if s.soft {
		target = graph.F32(s.input[0], s.classes)
	}
	y, err := g.Input(inTarget, target)
	if err != nil {
		return nil, nil, err
	}
	if loss, err = s.lossOf(t, y); err != nil {
		return nil, nil, err
	}
	if s.teacher != nil {
		if loss, err = s.distill(g, t.Output, loss); err != nil {
			return nil, nil, err
		}
	}
	return loss, t.Output, nil
}

func (classification) targets(s *Step, in StepInput) (infer.Tensors, error) {
	b := in.Batch
	var y *tensor.Tensor
	var err error
	if s.soft {
		y, err = tensor.FromFloat32(b.Targets, s.input[0], s.classes)
	} else {
		y, err = tensor.FromInt64(b.Labels, s.input[0])
	}
	return infer.Tensors{inTarget: y}, err
}

func (classification) count(sums *tally, r StepResult, of batch, classes int) (hits int, share float64) {
	b := of.labels
	if b.Labels == nil {
		sums.Samples += b.N
		return 0, 0
	}
	hits = sums.count(r.Logits, b.Labels, b.N, classes)
	return hits, float64(hits) / float64(b.N)
}

// headsOf returns the parts of a network that are not its backbone: those of a
// network of package models, the last fully connected layer of another; none if it
// has no such layer.
func headsOf(m nn.Module) []models.Head {
	if withoutLabels(m) != nil {
		return nil
	}
	if net, ok := m.(*models.Model); ok {
		return net.Heads()
	}
	last := nn.LastLinear(m)
	if last == "" {
		last = lastOfGraph(m)
	}
	if last != "" {
		return []models.Head{{Path: last, Last: last}}
	}
	return nil
}

// inHeads reports whether a parameter lies in one of the heads.
func inHeads(name string, heads []models.Head) bool {
	for _, h := range heads {
		if inModule(name, h.Path) {
			return true
		}
	}
	return false
}

// inLast reports whether a parameter lies in a layer that decides between the
// classes, and changes with their number.
func inLast(name string, heads []models.Head) bool {
	for _, h := range heads {
		if inModule(name, h.Last) {
			return true
		}
	}
	return false
}

// inBoxes reports whether a parameter lies in a layer of the boxes of each class.
func inBoxes(name string, heads []models.Head) bool {
	for _, h := range heads {
		if h.Boxes != "" && inModule(name, h.Boxes) {
			return true
		}
	}
	return false
}

// boxNames names these layers for people.
func boxNames(heads []models.Head) string {
	for _, h := range heads {
		if h.Boxes != "" {
			return fmt.Sprintf(", and for their boxes (%s)", h.Boxes)
		}
	}
	return ""
}

// lastNames names these layers for people.
func lastNames(heads []models.Head) string {
	names := ""
	for _, h := range heads {
		if h.Last != "" && names != "" {
			names += ", "
		}
		names += h.Last
	}
	return names
}

// checkTask returns an error unless a network fits the data: a segmentation network
// needs masks, and the other way around.
func (j *job) checkTask(cfg models.Config) error {
	masks := data.Masks(j.splits.Train) != nil
	switch {
	case cfg.Task() == models.Detection:
		return fmt.Errorf("%s is a detector, which learns from boxes: use --recipe detect, with data of kind %s", cfg.Name, strings.Join(detection.Kinds(), " or "))
	case masks && cfg.Task() != models.Segmentation:
		return fmt.Errorf("%s has masks, which need a segmentation network, but %s is for %s: name one, such as --model unet_%s or fcn_%s; with @FILE after the name it begins with the weights of a classifier's file. To learn the boxes of objects, use --recipe detect",
			j.splits.Spec, cfg.Name, cfg.Task(), cfg.Name, cfg.Name)
	case !masks && cfg.Task() == models.Segmentation:
		return fmt.Errorf("%s is a segmentation network, which learns from masks, but %s has labels of whole pictures: name data of kind masks, voc or coco", cfg.Name, j.splits.Spec)
	}
	return nil
}

var errNoTeacher = errors.New("distill is for classifiers, not for segmentation networks")
