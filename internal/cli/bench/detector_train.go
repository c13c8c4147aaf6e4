package bench

import (
	"fmt"

	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/detect"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/masks"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/train"
)

// objectsPerPicture is the number of objects in a picture that a detector is trained
// on, as in peers/torch/peer_models.py.
const objectsPerPicture = 6

// detectorRate is the learning rate, as in peers/torch/bench.py: random weights below
// frozen norms have gradients so large that their losses are NaN after five steps at
// 1e-4. The time of a step does not depend on it.
const detectorRate = 1e-8

// detectorTraining makes the training step of a detector, matching of anchors and
// sampling included: all parameters learn, and batch norms of the backbone are frozen,
// as torchvision's are when a trained backbone is given. Samples are drawn at random,
// so it is the anchors' logits that programs compare.
func (n *network) detectorTraining() (*step, error) {
	for path, m := range nn.Modules(n.module) {
		if _, ok := m.(*nn.BatchNorm); ok {
			if _, err := nn.Freeze(n.module, path); err != nil {
				return nil, err
			}
		}
	}
	opt, err := n.options(n.cfg.Tuning)
	if err != nil {
		return nil, err
	}
	r, err := infer.New(n.module, nil, opt)
	if err != nil {
		return nil, err
	}
	d, err := detect.New(r, n.model)
	if err != nil {
		return nil, err
	}
	b, err := n.objects(d)
	if err != nil {
		return nil, err
	}
	s, err := train.NewStep(n.module, train.StepOptions{
		Input: []int{b.N, 3, b.H, b.W}, Classes: n.model.Config.Classes, Vars: r.Vars(), Compute: opt, Optimizer: sgd,
		Detection: &train.DetectionStep{Capacity: b.Capacity},
	})
	if err != nil {
		return nil, err
	}
	update := 0
	run := func() error {
		update++
		res, err := s.Run(train.StepInput{Objects: b, LR: detectorRate, Update: update, Draw: update})
		if err == nil && !(res.Loss > 0) {
			err = fmt.Errorf("bench: the loss of %s is %g", n.cfg.Model, res.Loss)
		}
		return err
	}
	return &step{run, func() ([]float32, error) { return n.logitsOf(d, r, pictureOf(n.input)) }}, nil
}

// objects returns a batch of random pictures, each with objects on a grid.
func (n *network) objects(d *detect.Detector) (*detection.Batch, error) {
	b := &detection.Batch{Capacity: objectsPerPicture}
	for i, m := range picturesOf(n.input) {
		x, h, w, err := d.Input(m)
		if err != nil {
			return nil, err
		}
		b.N, b.Real, b.H, b.W = i+1, i+1, x.Shape()[2], x.Shape()[3]
		b.X = append(b.X, x.Float32s()...)
		b.Sizes, b.Original = append(b.Sizes, [2]int{h, w}), append(b.Original, [2]int{m.H, m.W})
		b.Index, b.Valid = append(b.Index, i), append(b.Valid, objectsPerPicture)
		var found []*masks.Bitmap
		for k := range objectsPerPicture {
			// Three in a row, of three sizes.
			x0, y0 := w*(k%3)/3, h*(k/3)/2
			cols, rows := w/(4+k%3), h/(3+k%4)
			b.Boxes = append(b.Boxes, float32(x0), float32(y0), float32(x0+cols), float32(y0+rows))
			b.Labels = append(b.Labels, int64(1+k*7%(n.model.Config.Classes-1)))
			inside := &masks.Bitmap{H: h, W: w, X: x0, Y: y0, Rows: rows, Cols: cols, Pix: make([]uint8, rows*cols)}
			for j := range inside.Pix {
				inside.Pix[j] = 1
			}
			found = append(found, inside)
		}
		if n.model.Config.Detection.Kind == models.DetectorMaskRCNN {
			b.Masks = append(b.Masks, found)
		}
	}
	return b, nil
}
