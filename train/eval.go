package train

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/term"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
	"github.com/resnet-go/resnet/weights"
)

// Metrics are the results of one pass over data.
type Metrics struct {
	// Loss is the mean of the batches' losses in training, as the recipe
	// defines it, and the plain mean cross entropy (multi-label data: binary
	// cross entropy) in nats in evaluation.
	Loss float64 `json:"loss"`
	Top1 float64 `json:"top1"` // share of samples, 0 to 1
	Top5 float64 `json:"top5"` // 1 with up to five classes
	// MAP is the mean average precision, of multi-label data in evaluation.
	MAP float64 `json:"map,omitempty"`
	// MeanIoU is the mean over the classes of intersection over union, of pixels in
	// evaluation, and PixelAccuracy the share of pixels whose class is right. Top1 and
	// Top5 are then 0.
	MeanIoU       float64 `json:"mean_iou,omitempty"`
	PixelAccuracy float64 `json:"pixel_accuracy,omitempty"`
	Samples       int     `json:"samples"`
	// KNN is the share of the pictures that weighted nearest neighbors classify right by
	// the features of a network that learns without labels, in evaluation; Loss, Top1 and
	// Top5 are then 0. Gauge shows whether it collapses, in training. Both are nil for
	// other networks.
	KNN   *float64 `json:"knn,omitempty"`
	Gauge *Gauge   `json:"gauge,omitempty"`
	// Detection is of detectors, nil of others. MAP is then COCO's AP of boxes, and Loss,
	// Top1 and Top5 are 0 in evaluation.
	Detection *DetectionMetrics `json:"detection,omitempty"`
}

// DetectionMetrics are the results of a detector.
type DetectionMetrics struct {
	// Parts are the means of the losses that add up to Loss, in training, called as in
	// torchvision.
	Parts map[string]float64 `json:"parts,omitempty"`
	// Boxes and Masks are COCO's 12 numbers in evaluation, see metrics.COCO.Stats; Masks
	// is there where a detector finds masks and the data have them.
	Boxes   []float64 `json:"boxes,omitempty"`
	Masks   []float64 `json:"masks,omitempty"`
	Objects int       `json:"objects,omitempty"` // true ones, in evaluation
}

// Score is the figure by which a model is the best: top-1, mean average precision, mean
// intersection over union, or accuracy of nearest neighbors.
func (m Metrics) Score() float64 {
	s := m.Top1 + m.MAP + m.MeanIoU
	if m.KNN != nil {
		s += *m.KNN
	}
	return s
}

// text returns the figures besides the loss for a line of the log.
func (m Metrics) text() string {
	switch d := m.Detection; {
	case d != nil && len(d.Masks) > 1:
		return fmt.Sprintf("box AP %s, AP50 %s, mask AP %s", precision(d.Boxes[0]), precision(d.Boxes[1]), precision(d.Masks[0]))
	case d != nil && len(d.Boxes) > 1:
		return fmt.Sprintf("box AP %s, AP50 %s", precision(d.Boxes[0]), precision(d.Boxes[1]))
	case d != nil:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(d.Parts)) {
			parts = append(parts, fmt.Sprintf("%s %.3f", strings.TrimPrefix(name, "loss_"), d.Parts[name]))
		}
		return strings.Join(parts, ", ")
	case m.KNN != nil || m.Gauge != nil:
		return viewsText(m)
	case m.MeanIoU > 0:
		return fmt.Sprintf("mIoU %s, pixel accuracy %s", term.Percent(m.MeanIoU), term.Percent(m.PixelAccuracy))
	case m.PixelAccuracy > 0:
		return "pixel accuracy " + term.Percent(m.PixelAccuracy)
	case m.MAP > 0:
		return "mAP " + term.Percent(m.MAP)
	}
	return "top-1 " + term.Percent(m.Top1)
}

// precision writes one of COCO's numbers, which is -1 without objects to measure by.
func precision(v float64) string {
	if v < 0 {
		return "none"
	}
	return fmt.Sprintf("%.3f", v)
}

// tally adds up metrics over batches. It is part of a checkpoint.
type tally struct {
	Loss    float64 `json:"loss"` // sum of the batches' losses
	Batches int     `json:"batches"`
	Top1    int     `json:"top1"`
	Top5    int     `json:"top5"`
	Samples int     `json:"samples"`
	Pixels  int     `json:"pixels,omitempty"` // with classes; Top1 then counts pixels
	Gauge   *Gauge  `json:"gauge,omitempty"`  // moving averages, without labels
	// Parts are the sums of a detector's losses.
	Parts map[string]float64 `json:"parts,omitempty"`
}

// count adds the hits of a batch's real rows and returns the number of top-1 hits.
func (t *tally) count(logits []float32, labels []int64, real, classes int) (hits int) {
	for n := range real {
		row, label := logits[n*classes:(n+1)*classes], int(labels[n])
		if metrics.TopK(row, label, 1) {
			hits++
		}
		if metrics.TopK(row, label, 5) {
			t.Top5++
		}
	}
	t.Top1 += hits
	t.Samples += real
	return hits
}

func (t *tally) metrics() Metrics {
	m := Metrics{Samples: t.Samples, Loss: t.Loss / float64(max(t.Batches, 1))}
	if t.Parts != nil {
		m.Detection = &DetectionMetrics{Parts: map[string]float64{}}
		for name, sum := range t.Parts {
			m.Detection.Parts[name] = sum / float64(max(t.Batches, 1))
		}
		return m
	}
	if t.Gauge != nil {
		g := *t.Gauge
		m.Gauge = &g
		return m
	}
	if t.Pixels > 0 {
		m.PixelAccuracy = float64(t.Top1) / float64(t.Pixels)
		return m
	}
	if t.Samples > 0 {
		m.Top1, m.Top5 = float64(t.Top1)/float64(t.Samples), float64(t.Top5)/float64(t.Samples)
	}
	return m
}

// pictureEvaluator runs a classifier's inference form on a dataset.
type pictureEvaluator struct {
	module  nn.Module
	options infer.Options
	loader  *data.Loader
	prep    data.Preprocess
	batch   int
	classes int
	multi   bool
	labels  func(i int) []int // of the dataset
	group   group             // each rank evaluates some of the batches
	mirror  bool              // takes the mean of each picture and its mirror image
}

func newPictureEvaluator(m nn.Module, ds data.Dataset, cfg data.LoaderConfig, opt infer.Options, g group) (evaluator, error) {
	cfg.Last, cfg.Shuffle, cfg.Balanced, cfg.Augment, cfg.Part = data.Pad, false, false, nil, g.part()
	cfg.BatchSize = min(cfg.BatchSize, max(1, ds.Len()))
	l, err := data.NewLoader(ds, cfg)
	if err != nil {
		return nil, err
	}
	return &pictureEvaluator{module: m, options: opt, loader: l, prep: cfg.Preprocess, batch: cfg.BatchSize,
		classes: len(ds.Classes()), multi: ds.MultiLabel(), labels: ds.Labels, group: g}, nil
}

func (e *pictureEvaluator) prepare(ctx context.Context) { e.loader.Prepare(ctx, 0, 0) }
func (e *pictureEvaluator) skipped() int                { return len(e.loader.Bad()) }
func (e *pictureEvaluator) close()                      { e.loader.Close() }

// idle is the number of batches but those that are made ahead.
func (e *pictureEvaluator) idle() int {
	steps := e.group.turns(e.loader.Steps())
	return steps - min(e.loader.Prefetch(), steps-1)
}

// run calls each after every batch.
func (e *pictureEvaluator) run(ctx context.Context, vars *engine.Vars, each func(samples int)) (Metrics, error) {
	r, err := runnerOf(e.module, vars, e.options)
	if err != nil {
		return Metrics{}, err
	}
	defer func() { _ = r.Vars().FreeDevice() }() // this epoch's values: what is not freed now is later
	input := infer.Input{Shape: tensor.Shape{e.batch, e.prep.Channels, e.prep.Height, e.prep.Width}, Layout: tensor.NHWC}
	plan, err := r.Plan(ctx, infer.Query{}, input)
	if err != nil {
		return Metrics{}, err
	}
	if s := plan.Outputs()[0].Shape; len(s) != 2 || s[1] != e.classes {
		return Metrics{}, fmt.Errorf("the network's output is %v, but the data have %d classes", s, e.classes)
	}
	asks := func(name string) bool {
		return slices.ContainsFunc(plan.Inputs(), func(p engine.Port) bool { return p.Name == name })
	}
	var parts []evaluated
	each = e.group.progress(each)
	for b, err := range e.loader.Epoch(ctx, 0, 0) {
		if err != nil {
			return Metrics{}, err
		}
		x, err := tensor.FromNHWC(b.X, b.N, b.C, b.H, b.W)
		if err != nil {
			return Metrics{}, err
		}
		out, err := r.Run(ctx, infer.Query{}, inputsFor(asks, x, b))
		if err != nil {
			return Metrics{}, err
		}
		logits := out[infer.Output].Float32s()[:b.Real*e.classes]
		if e.mirror {
			logits = slices.Clone(logits)
			data.Mirror(b.X, b.W, b.C)
			if out, err = r.Run(ctx, infer.Query{}, inputsFor(asks, x, b)); err != nil {
				return Metrics{}, err
			}
			for i, z := range out[infer.Output].Float32s()[:len(logits)] {
				logits[i] = (logits[i] + z) / 2
			}
		}
		p := evaluated{Step: b.Step}
		if e.multi {
			p.Logits, p.Index = slices.Clone(logits), slices.Clone(b.Index[:b.Real])
		} else {
			p.Sums.count(logits, b.Labels, b.Real, e.classes)
			for n := range b.Real {
				p.Losses = append(p.Losses, metrics.CrossEntropy(logits[n*e.classes:(n+1)*e.classes], int(b.Labels[n])))
			}
		}
		parts = append(parts, p)
		if each != nil {
			each(b.Real)
		}
	}
	return e.merge(parts)
}

// evaluated is what the evaluation of a batch has found.
type evaluated struct {
	Step   int
	Sums   tally
	Losses []float64 // of the samples
	Logits []float32 // of multi-label data, with the samples' numbers
	Index  []int
}

// merge returns the metrics of all batches, those of the other ranks too, which are
// added up in the dataset's order.
func (e *pictureEvaluator) merge(own []evaluated) (Metrics, error) {
	parts, err := inOrder(e.group, own, func(p evaluated) int { return p.Step })
	if err != nil {
		return Metrics{}, err
	}
	var t tally
	var all []float32
	var truth [][]int
	loss := 0.0
	for _, p := range parts {
		t.plus(p.Sums)
		for _, x := range p.Losses {
			loss += x
		}
		for _, z := range p.Logits {
			if notFinite("", float64(z)) != "" {
				return Metrics{Loss: math.NaN()}, nil // the caller reports it
			}
		}
		all = append(all, p.Logits...)
		for _, i := range p.Index {
			truth = append(truth, e.labels(i))
		}
	}
	if e.multi {
		r, err := metrics.EvaluateMultiLabel(all, truth, classNumbers(e.classes), 0.5)
		if err != nil {
			return Metrics{}, err
		}
		return Metrics{Loss: r.Loss, MAP: r.MAP, Samples: len(truth)}, nil
	}
	if t.Samples == 0 {
		return Metrics{}, fmt.Errorf("no sample could be evaluated: all pictures are bad")
	}
	m := t.metrics()
	m.Loss = loss / float64(t.Samples)
	return m, nil
}

func classNumbers(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	return names
}

// runnerOf returns a network ready to run with the values of vars, the moving
// averages where there are any; nil stands for its parameters' own.
func runnerOf(m nn.Module, vars *engine.Vars, opt infer.Options) (*infer.Runner, error) {
	if vars == nil {
		return infer.New(m, nil, opt)
	}
	values := map[string]*tensor.Tensor{} // copies: training goes on to change vars
	for _, p := range nn.Params(m) {
		t, err := vars.Get(weights.EMAPrefix + p.Name)
		if err != nil {
			t, err = vars.Get(p.Name)
		}
		if err != nil {
			return nil, err
		}
		values[p.Name] = t
	}
	own, err := infer.Adopt(m, values)
	if err != nil {
		return nil, err
	}
	return infer.New(m, own, opt)
}
