package train

import (
	"context"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/infer"
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
	MAP     float64 `json:"map,omitempty"`
	Samples int     `json:"samples"`
}

// tally adds up metrics over batches. It is part of a checkpoint.
type tally struct {
	Loss    float64 `json:"loss"` // sum of the batches' losses
	Batches int     `json:"batches"`
	Top1    int     `json:"top1"`
	Top5    int     `json:"top5"`
	Samples int     `json:"samples"`
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
	if t.Samples > 0 {
		m.Top1, m.Top5 = float64(t.Top1)/float64(t.Samples), float64(t.Top5)/float64(t.Samples)
	}
	return m
}

// evaluator runs a network's inference form on a dataset.
type evaluator struct {
	module  nn.Module
	options infer.Options
	loader  *data.Loader
	prep    data.Preprocess
	batch   int
	classes int
	multi   bool
	labels  func(i int) []int // of the dataset
}

func newEvaluator(m nn.Module, ds data.Dataset, cfg data.LoaderConfig, opt infer.Options) (*evaluator, error) {
	cfg.Last, cfg.Shuffle, cfg.Balanced, cfg.Augment = data.Pad, false, false, nil
	cfg.BatchSize = min(cfg.BatchSize, max(1, ds.Len()))
	l, err := data.NewLoader(ds, cfg)
	if err != nil {
		return nil, err
	}
	return &evaluator{module: m, options: opt, loader: l, prep: cfg.Preprocess, batch: cfg.BatchSize,
		classes: len(ds.Classes()), multi: ds.MultiLabel(), labels: ds.Labels}, nil
}

// run evaluates the network with the values of vars, the moving averages where
// there are any; nil stands for the parameters' own. each, if not nil, is called
// after every batch.
func (e *evaluator) run(ctx context.Context, vars *engine.Vars, each func(samples int)) (Metrics, error) {
	r, err := e.runner(vars)
	if err != nil {
		return Metrics{}, err
	}
	input := infer.Input{Shape: tensor.Shape{e.batch, e.prep.Channels, e.prep.Height, e.prep.Width}, Layout: tensor.NHWC}
	plan, err := r.Plan(ctx, infer.Query{}, input)
	if err != nil {
		return Metrics{}, err
	}
	if s := plan.Outputs()[0].Shape; len(s) != 2 || s[1] != e.classes {
		return Metrics{}, fmt.Errorf("the network's output is %v, but the data have %d classes", s, e.classes)
	}
	var t tally
	var all []float32
	var truth [][]int
	loss := 0.0
	for b, err := range e.loader.Epoch(ctx, 0, 0) {
		if err != nil {
			return Metrics{}, err
		}
		x, err := tensor.FromNHWC(b.X, b.N, b.C, b.H, b.W)
		if err != nil {
			return Metrics{}, err
		}
		out, err := r.Run(ctx, infer.Query{}, infer.Tensors{nn.ImageInput: x})
		if err != nil {
			return Metrics{}, err
		}
		logits := out[infer.Output].Float32s()[:b.Real*e.classes]
		if e.multi {
			for _, z := range logits {
				if notFinite("", float64(z)) != "" {
					return Metrics{Loss: math.NaN()}, nil // the caller reports it
				}
			}
			all = append(all, logits...)
			for _, i := range b.Index[:b.Real] {
				truth = append(truth, e.labels(i))
			}
		} else {
			t.count(logits, b.Labels, b.Real, e.classes)
			for n := range b.Real {
				loss += metrics.CrossEntropy(logits[n*e.classes:(n+1)*e.classes], int(b.Labels[n]))
			}
		}
		if each != nil {
			each(b.Real)
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

// runner returns the network ready to run with the values of vars.
func (e *evaluator) runner(vars *engine.Vars) (*infer.Runner, error) {
	if vars == nil {
		return infer.New(e.module, nil, e.options)
	}
	values := map[string]*tensor.Tensor{} // copies: training goes on to change vars
	for _, p := range nn.Params(e.module) {
		t, err := vars.Get(weights.EMAPrefix + p.Name)
		if err != nil {
			t, err = vars.Get(p.Name)
		}
		if err != nil {
			return nil, err
		}
		values[p.Name] = t
	}
	own, err := infer.Adopt(e.module, values)
	if err != nil {
		return nil, err
	}
	return infer.New(e.module, own, e.options)
}
