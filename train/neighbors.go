package train

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/features"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// neighborEvaluator measures a backbone by what its features tell of labels that it does
// not learn from: the accuracy of weighted nearest neighbors, those of the training part.
type neighborEvaluator struct {
	backbone *models.Model
	options  infer.Options
	known    *data.Loader
	queries  *data.Loader
	classes  int
	group    group  // each rank computes the features of some of the batches
	sizes    [2]int // pictures of known and queries
	// seen are the features of the last evaluation, of known and queries, until training
	// goes on.
	seen *[2]features.Set
}

// forget frees the features of an evaluation: the weights will change.
func (e *neighborEvaluator) forget() { e.seen = nil }

// pictures is the number of pictures that an evaluation looks at.
func (e *neighborEvaluator) pictures() int { return e.sizes[0] + e.sizes[1] }

// probeTime estimates how long the linear probe takes when the features are there: by
// 100 steps of the fit.
func (e *neighborEvaluator) probeTime() time.Duration {
	const step = 0.5 * float64(time.Nanosecond) // for a feature of a picture and a class, on two cores
	return time.Duration(100 * step * float64(e.sizes[0]) * float64(e.backbone.Config.Features()) * float64(e.classes))
}

// maxKnown is the largest number of training pictures whose features are neighbors. Of
// more pictures, every second or third and so on is taken.
const maxKnown = 50_000

// judges reports whether the labels of data can judge features: one for each picture.
func judges(sp *data.Splits) bool { return !sp.MultiLabel() && len(sp.Classes()) >= 2 }

// newNeighborEvaluator returns nil for data whose labels are none, or several for a
// picture.
func newNeighborEvaluator(backbone *models.Model, sp *data.Splits, cfg data.LoaderConfig, opt infer.Options, g group) (*neighborEvaluator, error) {
	ev := sp.Eval()
	if ev == nil || ev.Len() == 0 || !judges(sp) {
		return nil, nil
	}
	cfg.Last, cfg.Part = data.Pad, g.part()
	known := sp.Train
	if step := (known.Len() + maxKnown - 1) / maxKnown; step > 1 {
		var every []int
		for i := 0; i < known.Len(); i += step {
			every = append(every, i)
		}
		known = data.Subset(known, every)
	}
	e := &neighborEvaluator{backbone: backbone, options: opt, classes: len(sp.Classes()), sizes: [2]int{known.Len(), ev.Len()}, group: g}
	for _, part := range []struct {
		ds data.Dataset
		l  **data.Loader
	}{{known, &e.known}, {ev, &e.queries}} {
		c := cfg
		c.BatchSize = min(c.BatchSize, part.ds.Len())
		var err error
		if *part.l, err = data.NewLoader(part.ds, c); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// featured is what one batch gives.
type featured struct {
	Step   int
	Rows   []float32 // [pictures features]
	Labels []int64
}

// features returns the features of a part with its labels, as all ranks have computed
// them, in the order of the data.
func (e *neighborEvaluator) features(ctx context.Context, r *infer.Runner, l *data.Loader, each func(samples int)) (features.Set, error) {
	s := features.Set{Classes: e.classes}
	var own []featured
	for b, err := range l.Epoch(ctx, 0, 0) {
		if err != nil {
			return s, err
		}
		x, err := tensor.FromNHWC(b.X, b.N, b.C, b.H, b.W)
		if err != nil {
			return s, err
		}
		out, err := r.Run(ctx, infer.Query{}, infer.Tensors{nn.ImageInput: x})
		if err != nil {
			return s, err
		}
		f := out[infer.Output]
		own = append(own, featured{b.Step, slices.Clone(f.Float32s()[:b.Real*f.Shape()[1]]), slices.Clone(b.Labels[:b.Real])})
		if each != nil {
			each(b.Real)
		}
	}
	all, err := inOrder(e.group, own, func(f featured) int { return f.Step })
	if err != nil {
		return s, err
	}
	var rows []float32
	for _, f := range all {
		rows = append(rows, f.Rows...)
		for _, c := range f.Labels {
			s.Labels = append(s.Labels, int(c))
		}
	}
	if len(s.Labels) == 0 {
		return s, fmt.Errorf("no sample could be evaluated: all pictures are bad")
	}
	s.X, err = tensor.FromFloat32(rows, len(s.Labels), len(rows)/len(s.Labels))
	return s, err
}

// both returns the features of the training part and of the part to evaluate on, which
// are kept until training goes on.
func (e *neighborEvaluator) both(ctx context.Context, vars *engine.Vars, each func(samples int)) (known, queries features.Set, err error) {
	if e.seen != nil {
		return e.seen[0], e.seen[1], nil
	}
	r, err := runnerOf(e.backbone, vars, e.options)
	if err != nil {
		return known, queries, err
	}
	if known, err = e.features(ctx, r, e.known, nil); err != nil {
		return known, queries, err
	}
	if queries, err = e.features(ctx, r, e.queries, e.group.progress(each)); err == nil {
		e.seen = &[2]features.Set{known, queries}
	}
	return known, queries, err
}

func (e *neighborEvaluator) run(ctx context.Context, vars *engine.Vars, each func(samples int)) (Metrics, error) {
	known, queries, err := e.both(ctx, vars, each)
	if err != nil {
		return Metrics{}, err
	}
	answers, err := features.Neighbors{Threads: e.options.Threads}.Classify(known, queries.X)
	if err != nil {
		return Metrics{}, err
	}
	accuracy := queries.Accuracy(answers)
	return Metrics{KNN: &accuracy, Samples: len(answers)}, nil
}

// probe returns the accuracy of a linear classifier of the features.
func (e *neighborEvaluator) probe(ctx context.Context, vars *engine.Vars) (float64, error) {
	known, queries, err := e.both(ctx, vars, nil)
	if err != nil {
		return 0, err
	}
	l, err := features.FitLinear(known, features.LinearOptions{Threads: e.options.Threads})
	if err != nil {
		return 0, err
	}
	answers, err := l.Classify(queries.X)
	return queries.Accuracy(answers), err
}

func (e *neighborEvaluator) prepare(ctx context.Context) { e.known.Prepare(ctx, 0, 0) }
func (e *neighborEvaluator) idle() int                   { return e.group.turns(e.queries.Steps()) }
func (e *neighborEvaluator) skipped() int                { return len(e.queries.Bad()) }
func (e *neighborEvaluator) close() {
	e.known.Close()
	e.queries.Close()
}

// linearProbe fits a linear classifier to the features at the end of a run without
// labels, where there are labels to judge by.
func (s *session) linearProbe(ctx context.Context, r *Result) error {
	e, ok := s.eval.(*neighborEvaluator)
	if !ok || s.last() == nil {
		return nil
	}
	if s.cutOff {
		s.log.note("the linear probe is left out, because there was no time for the features")
		return nil
	}
	accuracy, err := e.probe(ctx, s.vars)
	if err != nil {
		return fmt.Errorf("linear probe: %w", err)
	}
	r.LinearProbe = &accuracy
	return nil
}
