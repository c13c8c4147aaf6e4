// Package detect runs detectors of package models on pictures: it prepares the
// picture, computes the network and turns its outputs into objects with a box, a
// class and a score, all as torchvision 0.29 does.
package detect

import (
	"context"
	"errors"
	"fmt"

	"github.com/resnet-go/resnet/boxes"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/tensor"
)

// Object is what a detector has found in a picture.
type Object struct {
	Box   boxes.Box // in pixels of the picture
	Class int
	Score float32 // 0 to 1
	// Mask is the object's part of the picture, where the network finds masks; else
	// nil.
	Mask *masks.RLE
}

// Detector is a network with its values, ready to find objects. It is safe for
// concurrent use.
type Detector struct {
	prep   detection.Preprocess
	finder finder
}

// finder is the part of a detector that depends on the kind of network.
type finder interface {
	// find returns what the network finds, best first, in pixels of an input of which
	// only a part of height h and width w is the picture.
	find(ctx context.Context, x *tensor.Tensor, h, w int) ([]found, error)
}

// found is an object in an input.
type found struct {
	Object
	at   int       // which of the network's rows of logits has its score, where that is known
	mask []float32 // probabilities [models.MaskSize models.MaskSize] inside the box; nil for none
}

// Plans is a good number of plans for the runner of a [Detector], whose inputs have many
// sizes.
const Plans = 8

// New returns the detector that a runner of net runs.
func New(r *infer.Runner, net *models.Model) (*Detector, error) {
	p, err := Preprocess(net.Config)
	if err != nil {
		return nil, err
	}
	d := &Detector{prep: p}
	switch m := net.Detector.(type) {
	case *models.RetinaNet:
		d.finder = &retina{net: m, head: net.Config.Detection, classes: net.Config.Classes, runner: r, levels: map[inputSize][]boxes.Level{}}
	case *models.RCNN:
		d.finder = newTwoStage(r, m, net.Config)
	default:
		return nil, fmt.Errorf("detect: %s has an unknown kind of detector, %T", net.Config.Name, m)
	}
	return d, nil
}

// Input returns a picture as the network's input [1 3 H W], of which the upper left h by
// w pixels are the picture, resized, and the rest is zero.
func (d *Detector) Input(m *imaging.Image) (x *tensor.Tensor, h, w int, err error) {
	if m == nil || m.W < 1 || m.H < 1 {
		return nil, 0, 0, errors.New("detect: the picture is empty")
	}
	if x, h, w, err = input(d.prep, m); err != nil {
		err = fmt.Errorf("detect: %w", err)
	}
	return x, h, w, err
}

// Detect returns the objects in a picture, the highest score first. Each picture is
// computed alone, so that its objects do not depend on the size of others.
func (d *Detector) Detect(ctx context.Context, m *imaging.Image) ([]Object, error) {
	x, h, w, err := d.Input(m)
	if err != nil {
		return nil, err
	}
	all, err := d.finder.find(ctx, x, h, w)
	if err != nil {
		return nil, err
	}
	return d.objects(m, all, h, w), nil
}

// objects brings what was found in an input, of which h by w pixels are the picture m,
// to pixels of m.
func (d *Detector) objects(m *imaging.Image, all []found, h, w int) []Object {
	objects := make([]Object, len(all))
	sx, sy := float32(m.W)/float32(w), float32(m.H)/float32(h)
	var pixels []float32
	for i, f := range all {
		objects[i] = f.Object
		b := f.Box.Scale(sx, sy)
		objects[i].Box = b
		if f.mask != nil {
			if pixels == nil {
				pixels = make([]float32, m.W*m.H)
			}
			masks.Paste(pixels, f.mask, models.MaskSize, [4]float32{b.X1, b.Y1, b.X2, b.Y2}, m.H, m.W)
			mask := masks.Threshold(pixels, m.H, m.W, maskThreshold)
			objects[i].Mask = &mask
		}
	}
	return objects
}

// maskThreshold is the probability above which a pixel belongs to an object.
const maskThreshold = 0.5
