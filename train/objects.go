package train

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/detect"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

// objects is the task of a box and a class for each object: of detectors.
type objects struct {
	net      *models.Model
	training *detect.Training
}

func newObjects(m nn.Module, d DetectionStep) (*objects, error) {
	if !isDetector(m) {
		return nil, fmt.Errorf("train: StepOptions.Detection is for detectors of package models, not for %s", nn.Kind(m))
	}
	net := m.(*models.Model)
	t, err := detect.NewTraining(net, d.Capacity, d.Sampling)
	return &objects{net, t}, err
}

func isDetector(m nn.Module) bool {
	net, ok := m.(*models.Model)
	return ok && net.Config.Task() == models.Detection
}

func (o *objects) module(*Step) nn.Module { return o.training.Module() }

func (o *objects) loss(s *Step, t *nn.Traced) (loss, logits *graph.Value, err error) {
	l, err := o.training.Loss(t)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range l.Parts {
		t.Graph.Output(outPart+p.Name, p.Value)
	}
	return l.Total, nil, nil
}

func (o *objects) targets(_ *Step, in StepInput) (infer.Tensors, error) {
	return o.training.Targets(in.Objects, in.Seed, in.Draw)
}

func (o *objects) count(sums *tally, r StepResult, b batch, _ int) (hits int, share float64) {
	sums.Samples += b.objects.Real
	if sums.Parts == nil {
		sums.Parts = map[string]float64{}
	}
	for _, p := range r.Parts {
		sums.Parts[p.Name] += p.Value
	}
	return 0, 0
}

// objectSet is a part of a dataset with boxes: as a dataset of pictures with labels,
// whose content, and hash, includes the boxes and masks.
type objectSet struct {
	*detection.Dataset
	masks bool // all objects have masks
}

// objectsOf returns a dataset as one with boxes; nil if it is none.
func objectsOf(ds data.Dataset) *detection.Dataset {
	switch d := ds.(type) {
	case objectSet:
		return d.Dataset
	case *detection.Dataset:
		return d
	}
	return nil
}

// Content returns the bytes of the picture's file and what the annotations have of it.
func (s objectSet) Content(i int, buf []byte) ([]byte, error) {
	b, err := s.Dataset.Content(i, buf)
	if err != nil {
		return nil, err
	}
	objects := s.Pictures[i].Objects
	for k := range objects {
		o := &objects[k]
		b = binary.LittleEndian.AppendUint64(b, uint64(o.Class))
		for _, v := range o.Box {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	if !s.masks {
		return b, nil
	}
	ms, err := s.Masks(i)
	for _, m := range ms {
		b = append(b, m.String()...)
	}
	return b, err
}

// useObjects makes the parts of the data those that a detector is trained on and
// evaluated on.
func (j *job) useObjects() error {
	sp := *j.splits // the caller's stay as they are
	for _, part := range []*data.Dataset{&sp.Train, &sp.Val, &sp.Test} {
		if *part == nil {
			continue
		}
		ds := objectsOf(*part)
		if ds == nil {
			return fmt.Errorf("%s has no boxes, which a detector learns from: name data of kind coco or voc", sp.Spec)
		}
		if part == &sp.Train {
			all := ds.Len()
			var err error
			if ds, err = ds.ForTraining(); err != nil {
				return err
			}
			if ds.Len() == 0 {
				return fmt.Errorf("no picture of the training part of %s has a box to learn from: %d pictures, whose boxes are missing, mark crowds or have no area; resnet data check %s lists them",
					sp.Spec, all, sp.Spec)
			}
			if left := all - ds.Len(); left > 0 {
				j.notes = append(j.notes, fmt.Sprintf("%d of %d training pictures are left out, because they have no objects", left, all))
			}
		}
		*part = objectSet{ds, ds.HasMasks()}
	}
	j.splits = &sp
	return nil
}

// loadObjects makes the loaders of a detector, and sets what a step depends on.
func (s *session) loadObjects(opt *StepOptions) error {
	rec, sp, net := s.rec, s.splits, s.module.(*models.Model)
	prep, err := detect.Preprocess(net.Config)
	if err != nil {
		return err
	}
	ds := objectsOf(sp.Train)
	workers := s.threads
	if s.workers > 0 {
		workers = s.workers
	}
	a := rec.augment()
	batch := rec.shardSize()
	l, err := detection.NewLoader(ds, detection.LoaderConfig{
		BatchSize: batch, Part: s.shardPart(), Preprocess: prep, Augment: a, Shapes: inputsOf(ds, prep, a), Masks: net.Config.Detection.Kind == models.DetectorMaskRCNN,
		Shuffle: true, Seed: s.seed, SkipBad: s.skipBad, Workers: workers,
	})
	if err != nil {
		return fmt.Errorf("training part of %s: %w", sp.Spec, err)
	}
	s.train = objectFeed{l}
	opt.Detection = &DetectionStep{Capacity: l.Capacity(), Sampling: rec.Detect.sampling()}
	opt.Classes = net.Config.Classes
	s.inputs = l.Used()
	opt.Input = []int{batch, 3, s.inputs[0].H, s.inputs[0].W}
	ev := sp.Eval()
	if ev == nil || ev.Len() == 0 {
		return nil
	}
	if !objectsOf(ev).HasObjects() {
		s.notes = append(s.notes, fmt.Sprintf("no picture of the validation part of %s has an object, so AP cannot be measured: there is no evaluation and no best epoch, and the model is the last one", sp.Spec))
		return nil
	}
	if s.eval, err = newEvaluator(net, ev, data.LoaderConfig{SkipBad: s.skipBad}, s.compute(engine.BF16Off), s.group); err != nil {
		return fmt.Errorf("validation part of %s: %w", sp.Spec, err)
	}
	return nil
}

// inputsOf returns the inputs that the pictures of a dataset need: one for landscape and
// one for portrait pictures, no larger than necessary; nil leaves them to the loader.
func inputsOf(ds *detection.Dataset, p detection.Preprocess, a *detection.Augment) []detection.Shape {
	if a.ScaleJitter != nil || a.IoUCrop {
		return nil
	}
	for _, n := range a.MinSizes {
		p.MinSize = max(p.MinSize, n)
	}
	var landscape, portrait detection.Shape
	for i := range ds.Pictures {
		w, h, err := ds.Size(i)
		if err != nil {
			continue // the error comes when the picture is used
		}
		w, h = p.Size(w, h)
		in := &landscape
		if h > w {
			in = &portrait
		}
		in.H, in.W = max(in.H, up32(h)), max(in.W, up32(w))
	}
	var inputs []detection.Shape
	for _, in := range []detection.Shape{landscape, portrait} {
		if in.H > 0 && !slices.Contains(inputs, in) {
			inputs = append(inputs, in)
		}
	}
	return inputs
}

// up32 returns n rounded up to a multiple of 32, the stride of a backbone.
func up32(n int) int { return (n + 31) / 32 * 32 }

// stepsOfInputs compiles the steps of the inputs of a detector besides the first.
func (s *session) stepsOfInputs(opt StepOptions) error {
	s.steps = map[detection.Shape]*Step{}
	for i, in := range s.inputs {
		if i == 0 {
			s.steps[in] = s.step
			continue
		}
		opt.Input = []int{opt.Input[0], opt.Input[1], in.H, in.W}
		step, err := NewStep(s.module, opt)
		if err != nil {
			return err
		}
		step.parts, step.buckets = s.step.parts, s.step.buckets // what ranks send does not depend on the input
		s.steps[in] = step
	}
	return nil
}

// stepFor returns the step for a batch.
func (s *session) stepFor(b batch) *Step {
	if b.objects != nil {
		return s.steps[detection.Shape{H: b.objects.H, W: b.objects.W}]
	}
	return s.step
}

// objectEvaluator evaluates a detector.
type objectEvaluator struct {
	net     *models.Model
	ds      *detection.Dataset
	skipBad bool
	options infer.Options
	group   group // each rank evaluates some of the pictures
	bad     int
}

func newObjectEvaluator(m nn.Module, ds *detection.Dataset, cfg data.LoaderConfig, opt infer.Options, g group) *objectEvaluator {
	opt.Plans = detect.Plans
	return &objectEvaluator{net: m.(*models.Model), ds: ds, skipBad: cfg.SkipBad, options: opt, group: g}
}

// background is the name of class 0 of detectors, torchvision's.
const background = "__background__"

// detectorClasses returns the names of the classes of a detector of these objects.
func detectorClasses(classes []string) []string { return append([]string{background}, classes...) }

func (e *objectEvaluator) run(ctx context.Context, vars *engine.Vars, each func(samples int)) (Metrics, error) {
	r, err := runnerOf(e.net, vars, e.options)
	if err != nil {
		return Metrics{}, err
	}
	d, err := detect.New(r, e.net)
	if err != nil {
		return Metrics{}, err
	}
	share := func(own []detect.Found) ([][]detect.Found, error) {
		e.bad = 0
		for _, f := range own {
			if f.Bad {
				e.bad++
			}
		}
		return together(e.group, own, nil)
	}
	found, err := d.Evaluate(ctx, e.ds, detectorClasses(e.ds.Classes()), detect.EvaluateOptions{
		SkipBad: e.skipBad, Progress: e.group.progress(each), Part: e.group.part(), Gather: share,
	})
	if err != nil {
		return Metrics{}, err
	}
	m := Metrics{Samples: found.Pictures, Detection: &DetectionMetrics{Objects: found.Objects}}
	boxes := found.Boxes.Stats()
	m.Detection.Boxes = boxes[:]
	m.MAP = max(boxes[0], 0)
	if found.Masks != nil {
		masks := found.Masks.Stats()
		m.Detection.Masks = masks[:]
	}
	return m, nil
}

func (e *objectEvaluator) prepare(context.Context) {}
func (e *objectEvaluator) idle() int               { return e.group.turns(e.ds.Len()) }
func (e *objectEvaluator) skipped() int            { return e.bad }
func (e *objectEvaluator) close()                  {}
