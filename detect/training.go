package detect

import (
	"fmt"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Sampling is how much of a picture a step of training of a two-stage detector looks
// at, the same in each step, so that a step is one plan.
type Sampling struct {
	// Anchors of the region proposal network, of which up to half are objects; 0 means
	// 256, torchvision's.
	Anchors int
	// Boxes of the box head, of which up to a quarter are objects; 0 means 512,
	// torchvision's. The mask head learns of the objects among them.
	Boxes int
}

func (s Sampling) orDefault() Sampling {
	if s.Anchors == 0 {
		s.Anchors = 256
	}
	if s.Boxes == 0 {
		s.Boxes = 512
	}
	return s
}

// Valid returns an error that names the field that is out of range.
func (s Sampling) Valid() error {
	for _, f := range []struct {
		name string
		n    int
	}{{"anchors", s.Anchors}, {"boxes", s.Boxes}} {
		if f.n != 0 && (f.n < 4 || f.n > 1<<16) {
			return fmt.Errorf("detect: %d sampled %s are not within 4 to %d", f.n, f.name, 1<<16)
		}
	}
	return nil
}

// Training is what a step of training of a detector adds to its network: the losses,
// as torchvision 0.29 defines them, and the targets that are fed to it. It is for
// batches of one shape.
type Training struct {
	net      *models.Model
	capacity int
	sampling Sampling
	module   nn.Module
	targets  targets
}

// targets makes graph inputs of a batch; seed and draw choose its random numbers.
type targets interface {
	Targets(b *detection.Batch, seed uint64, draw int) (infer.Tensors, error)
}

// NewTraining returns the training of a detector by batches with room for that number
// of objects in a picture. An object's label is the class's index in the network, from
// 1: class 0 is never an object.
func NewTraining(net *models.Model, capacity int, s Sampling) (*Training, error) {
	if net == nil || net.Detector == nil {
		return nil, fmt.Errorf("detect: NewTraining needs a detector")
	}
	if capacity < 1 {
		return nil, fmt.Errorf("detect: the capacity is %d objects in a picture, must be at least 1", capacity)
	}
	if err := s.Valid(); err != nil {
		return nil, err
	}
	t := &Training{net: net, capacity: capacity, sampling: s.orDefault(), module: net}
	if m, ok := net.Detector.(*models.RCNN); ok {
		t.module = m.Training(capacity, t.sampling.Boxes)
	}
	return t, nil
}

// Module returns what is to be traced: the network, or a form of it with the same
// state-dict keys.
func (t *Training) Module() nn.Module { return t.module }

// Loss adds the losses to the graph of a trace of Module.
func (t *Training) Loss(tr *nn.Traced) (*Loss, error) {
	switch m := t.module.(type) {
	case *models.RCNNTraining:
		l, loss, err := newRCNNLoss(m, t.net.Config, t.sampling, tr)
		t.targets = l
		return loss, err
	default:
		l, loss, err := NewRetinaLoss(t.net.Detector.(*models.RetinaNet), t.net.Config, tr)
		t.targets = retinaTargets{l}
		return loss, err
	}
}

// Targets returns the graph inputs for a batch of the shape that was traced. seed and
// draw, the number of the batch in the whole training, choose what is sampled: the
// same at any number of threads. An object without an area or of a class that the
// network does not have is an error. Loss must have been called.
func (t *Training) Targets(b *detection.Batch, seed uint64, draw int) (infer.Tensors, error) {
	if b.Capacity != t.capacity {
		return nil, fmt.Errorf("detect: the batch has room for %d objects in a picture, the step was made for %d", b.Capacity, t.capacity)
	}
	return t.targets.Targets(b, seed, draw)
}

// retinaTargets are those of a RetinaNet, which depend on no random numbers.
type retinaTargets struct{ *RetinaLoss }

func (t retinaTargets) Targets(b *detection.Batch, _ uint64, _ int) (infer.Tensors, error) {
	return t.RetinaLoss.Targets(b)
}

// addInput adds a graph input. A mistake is a panic with a [*graph.Error].
func addInput(g *graph.Graph, op, name string, t graph.Type) *graph.Value {
	v, err := g.Input(name, t)
	if err != nil {
		panic(&graph.Error{Op: op, Err: err})
	}
	return v
}

// joinLevels joins what a head computes of each level, [N rows k], to [N*rows k].
func joinLevels(g *graph.Graph, levels []*graph.Value, rows, k int) *graph.Value {
	return g.Must1(graph.Reshape{Shape: tensor.Shape{rows, k}}, g.Must1(graph.Concat{Axis: 1}, levels...))
}

// classesFrom is the label of the first class of objects.
const classesFrom = 1

// objectsOf returns the boxes of a picture of a batch, and an error for one that
// cannot be trained on.
func objectsOf(b *detection.Batch, row, classes int) ([]boxes.Box, error) {
	objects := make([]boxes.Box, b.Valid[row])
	for i := range objects {
		at := row*b.Capacity + i
		v := b.Boxes[4*at : 4*at+4]
		o := boxes.Box{X1: v[0], Y1: v[1], X2: v[2], Y2: v[3]}
		if !o.Finite() || !(o.W() > 0) || !(o.H() > 0) {
			return nil, fmt.Errorf("detect: picture %d of the batch has the box %v, whose sides must be positive", row, v)
		}
		if c := b.Labels[at]; c < classesFrom || c >= int64(classes) {
			return nil, fmt.Errorf("detect: picture %d of the batch has an object of class %d, the network has classes %d to %d", row, c, classesFrom, classes-1)
		}
		objects[i] = o
	}
	return objects, nil
}
