package bench

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/detect"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// This file measures detectors: from a picture to objects, with all that torchvision's
// models do when they are called. Programs order objects of nearly equal scores
// differently, so it is the logits of the anchors that are compared.

// step is what a process repeats.
type step struct {
	run func() error
	// outputs computes what programs compare.
	outputs func() ([]float32, error)
}

// newRun opens the network of a configuration as [newStep] does and makes the step
// that is timed.
func newRun(cfg Config, state string) (*step, error) {
	n, err := open(cfg, state, true)
	if err != nil {
		return nil, err
	}
	if n.detector() && cfg.Mode == Infer {
		return n.detection()
	}
	if n.detector() {
		return n.detectorTraining()
	}
	s, err := n.compile(cfg.Tuning)
	if err != nil {
		return nil, err
	}
	first := func() ([]float32, error) { return s.Out()[0].Float32s(), s.Run() }
	if t, err := n.trace(); err != nil {
		return nil, err
	} else if t.RNG != nil {
		first = n.logits // other programs drop other values
	}
	return &step{s.Run, first}, nil
}

// logits computes what the network answers outside training.
func (n *network) logits() ([]float32, error) {
	r, err := infer.New(n.module, n.vars, infer.Options{Threads: n.cfg.Threads, Exact: n.cfg.Exact})
	if err != nil {
		return nil, err
	}
	c, err := r.Bind(context.Background(), infer.Query{}, infer.Tensors{nn.ImageInput: random(n.input)})
	if err != nil {
		return nil, err
	}
	return c.Out()[0].Float32s(), c.Run()
}

// detector reports whether the network finds objects.
func (n *network) detector() bool { return n.model != nil && n.model.Detector != nil }

// ErrOnePicture is wrapped by errors for a larger batch of a detector.
var ErrOnePicture = errors.New("the inference of a detector is measured with a batch of 1")

// checkDetector returns an error for what is not measured of detectors.
func (n *network) checkDetector() error {
	if !n.detector() {
		return nil
	}
	if n.cfg.Mode == Infer && n.cfg.Batch != 1 {
		return fmt.Errorf("bench: %s: %w", n.cfg.Model, ErrOnePicture)
	}
	if n.input.Shape[1] != 3 {
		return fmt.Errorf("bench: %s takes %d channels, a detector of pictures must take 3", n.cfg.Model, n.input.Shape[1])
	}
	return nil
}

// picturesOf returns random pictures of the size of an input.
func picturesOf(t graph.Type) []*imaging.Image {
	ms := make([]*imaging.Image, t.Shape[0])
	values := random(t).Float32s()
	for i := range ms {
		m := imaging.New(t.Shape[3], t.Shape[2], 3)
		for k := range m.Pix {
			m.Pix[k] = uint8(min(max(128+50*values[i*len(m.Pix)+k], 0), 255))
		}
		ms[i] = m
	}
	return ms
}

// pictureOf returns the first of them.
func pictureOf(t graph.Type) *imaging.Image { return picturesOf(t)[0] }

// given returns what peers get as input, NHWC: a batch of random numbers or, of a
// detector, pictures with values from 0 to 1.
func (n *network) given() []float32 {
	if !n.detector() {
		return random(n.input).Float32s()
	}
	var x []float32
	for _, m := range picturesOf(n.input) {
		for _, v := range m.Pix {
			x = append(x, float32(v)/255)
		}
	}
	return x
}

// detection makes the step of a detector.
func (n *network) detection() (*step, error) {
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
	m := pictureOf(n.input)
	run := func() error {
		_, err := d.Detect(context.Background(), m)
		return err
	}
	return &step{run, func() ([]float32, error) { return n.logitsOf(d, r, m) }}, nil
}

// logitsOf computes the logits of a picture's anchors.
func (n *network) logitsOf(d *detect.Detector, r *infer.Runner, m *imaging.Image) ([]float32, error) {
	x, h, w, err := d.Input(m)
	if err != nil {
		return nil, err
	}
	return n.anchorLogits(r, x, h, w)
}

// anchorLogits computes the logits of all anchors, level by level, of an input of which
// h by w pixels are the picture.
func (n *network) anchorLogits(r *infer.Runner, x *tensor.Tensor, h, w int) ([]float32, error) {
	q := infer.Query{Name: "bench", Build: func(t *nn.Traced) error {
		var levels []*graph.Value
		switch m := n.model.Detector.(type) {
		case *models.RetinaNet:
			_, levels, _ = m.Levels(t)
		case *models.RCNN:
			for _, c := range t.Calls {
				if c.Module == nn.Module(m.RPN.Head) {
					levels = append(levels, c.Out)
				}
			}
		}
		t.Graph.Output("logits", t.Graph.Must1(graph.Concat{Axis: 1}, levels...))
		return nil
	}}
	in := infer.Tensors{nn.ImageInput: x}
	if _, ok := n.model.Detector.(*models.RCNN); ok {
		sizes, err := tensor.FromFloat32([]float32{float32(h), float32(w)}, 1, 2)
		if err != nil {
			return nil, err
		}
		in[models.SizesInput] = sizes
	}
	out, err := r.Run(context.Background(), q, in)
	if err != nil {
		return nil, err
	}
	return out["logits"].Float32s(), nil
}

// spread scales the last layers of a detector with random weights so that some of the
// scores are high: with scores that are all alike, no program finds an object, and
// what follows takes no time.
func (n *network) spread() error {
	r, err := infer.New(n.module, nil, infer.Options{Threads: n.cfg.Threads})
	if err != nil {
		return err
	}
	d, err := detect.New(r, n.model)
	if err != nil {
		return err
	}
	x, h, w, err := d.Input(pictureOf(n.input))
	if err != nil {
		return err
	}
	z, err := n.anchorLogits(r, x, h, w)
	if err != nil {
		return err
	}
	switch m := n.model.Detector.(type) {
	case *models.RetinaNet:
		last := m.Head.ClassificationHead.ClsLogits
		scale(last.Weight, 1.5/deviation(z))
		fillWith(last.Bias, -5)
	case *models.RCNN:
		scale(m.RPN.Head.ClsLogits.Weight, 2/deviation(z))
		q := infer.Query{Name: "scores", Build: func(t *nn.Traced) error {
			logits, _, _ := m.Scores(t)
			t.Graph.Output("logits", logits)
			return nil
		}}
		sizes, err := tensor.FromFloat32([]float32{float32(h), float32(w)}, 1, 2)
		if err != nil {
			return err
		}
		// The values have changed: another runner.
		if r, err = infer.New(n.module, nil, infer.Options{Threads: n.cfg.Threads}); err != nil {
			return err
		}
		out, err := r.Run(context.Background(), q, infer.Tensors{nn.ImageInput: x, models.SizesInput: sizes})
		if err != nil {
			return err
		}
		score := m.RoIHeads.BoxPredictor.ClsScore
		scale(score.Weight, 2/deviation(out["logits"].Float32s()))
		// Proposals of one picture of noise look alike: classes must differ by themselves.
		for i, v := range random(graph.F32(1, len(score.Bias.Value.Float32s()), 1, 1)).Float32s() {
			score.Bias.Value.Float32s()[i] = 1.5 * v
		}
	}
	return nil
}

func scale(p *nn.Param, by float64) {
	for i, v := range p.Value.Float32s() {
		p.Value.Float32s()[i] = float32(float64(v) * by)
	}
}

func fillWith(p *nn.Param, v float32) {
	for i := range p.Value.Float32s() {
		p.Value.Float32s()[i] = v
	}
}

// deviation returns the standard deviation of values, 1 if they are equal.
func deviation(values []float32) float64 {
	var sum, squares float64
	for _, v := range values {
		sum, squares = sum+float64(v), squares+float64(v)*float64(v)
	}
	mean := sum / float64(len(values))
	if v := squares/float64(len(values)) - mean*mean; v > 0 {
		return math.Sqrt(v)
	}
	return 1
}
