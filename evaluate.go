package resnet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/tensor"
)

// EvaluateOptions are the choices of [Model.Evaluate]. The zero value is the
// usual one.
type EvaluateOptions struct {
	// Mirror averages the logits of each picture and of its mirror image
	// (test-time augmentation).
	Mirror bool
	// SkipBad leaves out pictures that cannot be decoded, and counts them.
	SkipBad bool
	// Threshold is the probability from which a label counts as predicted, for
	// models of several labels per picture; 0 means 0.5.
	Threshold float64
	// Progress is called after each batch with its number of pictures; may be nil.
	Progress func(pictures int)
}

// Evaluation is how a model does on a dataset. Either Single or Multi is set.
type Evaluation struct {
	Single *metrics.Report           // of models of one label per picture
	Multi  *metrics.MultiLabelReport // of models of several labels per picture
	// Samples are what the model answered on each picture, in the dataset's
	// order. It is nil for models of several labels per picture.
	Samples []SamplePrediction
	Skipped int // pictures that could not be decoded
	// Notes describe what was assumed and may be wrong.
	Notes []string

	Index  []int     // of each evaluated picture, in the dataset
	Logits []float32 // [len(Index) classes]
}

// SamplePrediction is a model's answer on one sample of a dataset.
type SamplePrediction struct {
	Name            string  `json:"name"` // of the sample
	True            string  `json:"true"`
	Predicted       string  `json:"predicted"`
	Probability     float64 `json:"probability"` // of the prediction
	TrueProbability float64 `json:"true_probability"`
	Loss            float64 `json:"loss"` // cross-entropy, nats
}

// Worst returns the n wrong predictions with the highest loss, the worst first.
func (e *Evaluation) Worst(n int) []SamplePrediction {
	out := []SamplePrediction{}
	for _, p := range e.Samples {
		if p.True != p.Predicted {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b SamplePrediction) int { return cmp.Compare(b.Loss, a.Loss) })
	return out[:min(n, len(out))]
}

// Evaluate runs the model on every picture of a dataset and compares its answers
// with the labels. Classes are matched as [Model.LabelsOf] does. The error for a
// picture that cannot be decoded is a *data.SampleError.
func (m *Model) Evaluate(ctx context.Context, ds data.Dataset, opt EvaluateOptions) (*Evaluation, error) {
	if err := m.isFor(models.Classification, "Evaluate"); err != nil {
		return nil, err
	}
	labels, err := m.LabelsOf(ds)
	if err != nil {
		return nil, err
	}
	e, err := m.score(ctx, ds, opt)
	if err != nil {
		return nil, err
	}
	e.Notes = orderNotes(m.classes, ds.Classes())
	truth := make([][]int, len(e.Index))
	for i, k := range e.Index {
		truth[i] = labels(k)
	}
	if m.MultiLabel() {
		threshold := opt.Threshold
		if threshold == 0 {
			threshold = 0.5
		}
		if e.Multi, err = metrics.EvaluateMultiLabel(e.Logits, truth, m.classes, threshold); err != nil {
			return nil, fmt.Errorf("resnet: %s: %w", m.name, err)
		}
		return e, nil
	}
	first := make([]int, len(truth))
	for i, ls := range truth {
		first[i] = ls[0]
	}
	if e.Single, err = metrics.Evaluate(e.Logits, first, m.classes); err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	n := len(m.classes)
	for i, label := range first {
		z := e.Logits[i*n : (i+1)*n]
		p, top := metrics.Softmax(z, 1), metrics.ArgMax(z)
		e.Samples = append(e.Samples, SamplePrediction{
			Name: ds.Name(e.Index[i]), True: m.classes[label], Predicted: m.classes[top],
			Probability: p[top], TrueProbability: p[label], Loss: metrics.CrossEntropy(z, label),
		})
	}
	return e, nil
}

// score computes the logits of a dataset.
func (m *Model) score(ctx context.Context, ds data.Dataset, opt EvaluateOptions) (*Evaluation, error) {
	e := new(Evaluation)
	var err error
	e.Index, e.Skipped, err = m.batches(ctx, ds, opt, func(x *tensor.Tensor, index []int) error {
		z, _, err := m.forwardMirrored(ctx, x, opt.Mirror)
		if err != nil {
			return err
		}
		for i, k := range index {
			if err := m.CheckFinite(ds.Name(k), rowOf(z, i), nil); err != nil {
				return fmt.Errorf("resnet: %w", err)
			}
		}
		e.Logits = append(e.Logits, z.Float32s()...)
		return nil
	})
	return e, err
}

// batches calls each with the inputs of every batch of a dataset and their numbers in it.
// It returns the numbers of all, and how many could not be decoded.
func (m *Model) batches(ctx context.Context, ds data.Dataset, opt EvaluateOptions, each func(x *tensor.Tensor, index []int) error) (all []int, skipped int, err error) {
	loader, err := data.NewLoader(ds, data.LoaderConfig{
		BatchSize: m.batch(), Preprocess: m.prep, Last: data.Keep,
		SkipBad: opt.SkipBad, Workers: m.opt.Threads, CacheBytes: -1,
		Made: func(b *data.Batch) { m.sendAhead(b.X, b.Real) },
	})
	if err != nil {
		return nil, 0, err
	}
	for b, err := range loader.Epoch(ctx, 0, 0) {
		if err != nil {
			return nil, 0, err
		}
		x, err := tensor.FromNHWC(b.X[:b.Real*b.H*b.W*b.C], b.Real, b.C, b.H, b.W)
		if err != nil {
			return nil, 0, err
		}
		if err := each(x, b.Index[:b.Real]); err != nil {
			return nil, 0, err
		}
		all = append(all, b.Index[:b.Real]...)
		if opt.Progress != nil {
			opt.Progress(b.Real)
		}
	}
	return all, len(loader.Bad()), nil
}

// forwardMirrored is Forward of pictures x with the channels last. With mirrored, the logits
// are the mean of those of the pictures and of their mirror images, and x is mirrored
// afterwards.
func (m *Model) forwardMirrored(ctx context.Context, x *tensor.Tensor, mirrored bool) (logits, features *tensor.Tensor, err error) {
	if logits, features, err = m.Forward(ctx, x); err != nil || !mirrored {
		return logits, features, err
	}
	in := m.Input()
	data.Mirror(x.Float32s(), in[2], in[0])
	turned, _, err := m.Forward(ctx, x)
	if err != nil {
		return nil, nil, err
	}
	z := logits.Float32s()
	for i, v := range turned.Float32s() {
		z[i] = (z[i] + v) / 2
	}
	return logits, features, nil
}

// LabelsOf returns a function that gives the labels of a sample of ds as indexes
// into the model's classes. Classes are matched by name. Where either side has
// only numbers for names, they are matched by position, if both have the same
// number of classes. Otherwise a class that the model does not know is an error,
// and so is a dataset of several labels per picture for a model of one, or the
// reverse.
func (m *Model) LabelsOf(ds data.Dataset) (func(sample int) []int, error) {
	if m.MultiLabel() != ds.MultiLabel() {
		if m.MultiLabel() {
			return nil, errors.New("the data have one label per picture, but the model gives any number of labels")
		}
		return nil, errors.New("the data have any number of labels per picture, but the model gives one")
	}
	index := make(map[string]int)
	for i, name := range m.classes {
		index[name] = i
	}
	theirs := ds.Classes()
	to := make([]int, len(theirs))
	var unknown []string
	for i, name := range theirs {
		k, ok := index[name]
		if !ok {
			unknown = append(unknown, name)
		}
		to[i] = k
	}
	if len(unknown) > 0 {
		if len(to) != len(m.classes) || !(numbered(m.classes) || numbered(theirs)) {
			return nil, fmt.Errorf("the data have %d classes (%s), but the model knows %d others (%s): not known to it: %s",
				len(to), firstNames(theirs, 3), len(m.classes), firstNames(m.classes, 3), firstNames(unknown, 5))
		}
		return ds.Labels, nil
	}
	return func(sample int) []int {
		ls := ds.Labels(sample)
		out := make([]int, len(ls))
		for i, l := range ls {
			out[i] = to[l]
		}
		return out
	}, nil
}

// orderNotes returns a note if the classes of a model and of the data have numbers
// for names, and torchvision would have matched them in another order: it sorts
// folders as text, 10 before 2.
func orderNotes(model, theirs []string) []string {
	if !numbered(model) || !slices.IsSorted(theirs) || len(theirs) != len(model) || numbered(theirs) {
		return nil
	}
	return []string{fmt.Sprintf("the classes of the model and of the data have only numbers for names, and were matched by number (0, 1, 2, 3). "+
		"PyTorch's ImageFolder takes folders in the order of text (%s): for a model trained so, give the names in that order (--classes)", firstNames(theirs, 4))}
}

// numbered reports whether the names are 0, 1, 2, …
func numbered(names []string) bool {
	for i, n := range names {
		if n != strconv.Itoa(i) {
			return false
		}
	}
	return true
}

func firstNames(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + ", …"
}
