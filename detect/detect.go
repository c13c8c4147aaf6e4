// Package detect runs detectors of package models on pictures: it prepares the
// picture, computes the network and turns its outputs into objects with a box, a
// class and a score, all as torchvision 0.29 does.
package detect

import (
	"context"
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// Object is what a detector has found in a picture.
type Object struct {
	Box   boxes.Box // in pixels of the picture
	Class int
	Score float32 // 0 to 1
}

// Detector is a network with its values, ready to find objects. It keeps a plan for
// each size of input, of which there are at most about 70. It is safe for concurrent use.
type Detector struct {
	head      *models.DetectionHead
	channels  int
	classes   int
	transform *transform
	runner    *infer.Runner
	finder    finder
}

// finder is the part of a detector that depends on the kind of network.
type finder interface {
	// query asks for the outputs that objects needs.
	query() infer.Query
	// objects returns what the network has found, best first, in pixels of an input
	// of padded size of which only a part of height h and width w is the picture.
	objects(x *tensor.Tensor, h, w int, out infer.Tensors) []Object
}

// New returns a detector with the values in vars, which must not be changed while
// it is in use; nil takes those of the network's parameters.
func New(net *models.Model, vars *engine.Vars, opt infer.Options) (*Detector, error) {
	h := net.Config.Detection
	if h == nil {
		return nil, fmt.Errorf("detect: %s is not a detector", net.Config.Name)
	}
	d := &Detector{head: h, channels: net.Config.InChannels, classes: net.Config.Classes, transform: newTransform(h)}
	switch m := net.Detector.(type) {
	case *models.RetinaNet:
		d.finder = &retina{net: m, head: h, classes: d.classes, levels: map[inputSize][]boxes.Level{}}
	default:
		return nil, fmt.Errorf("detect: %s has an unknown kind of detector, %T", net.Config.Name, m)
	}
	var err error
	d.runner, err = infer.New(net, vars, opt)
	return d, err
}

// Vars returns the values that the detector runs with.
func (d *Detector) Vars() *engine.Vars { return d.runner.Vars() }

// Classes returns the number of classes, class 0 included.
func (d *Detector) Classes() int { return d.classes }

// Detect returns the objects in a picture, the highest score first. Each picture is
// computed alone, so that its objects do not depend on the size of others.
func (d *Detector) Detect(ctx context.Context, m *imaging.Image) ([]Object, error) {
	if m == nil || m.W < 1 || m.H < 1 {
		return nil, errors.New("detect: the picture is empty")
	}
	x, h, w, err := d.transform.apply(m)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	out, err := d.runner.Run(ctx, d.finder.query(), infer.Tensors{nn.ImageInput: x})
	if err != nil {
		return nil, err
	}
	objects := d.finder.objects(x, h, w, out)
	sx, sy := float32(m.W)/float32(w), float32(m.H)/float32(h)
	for i := range objects {
		objects[i].Box = objects[i].Box.Scale(sx, sy)
	}
	return objects, nil
}
