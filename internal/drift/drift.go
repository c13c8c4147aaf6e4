// Package drift compares what a classifier gives on the pictures of now with what it gave
// on pictures like those of its training: the classes that it predicts, and its embeddings.
package drift

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/resnet-go/resnet/metrics"
)

// Reference is what a model gave on known pictures.
type Reference struct {
	Pictures  int       `json:"pictures"`
	Predicted []float64 `json:"predicted"` // by class: the share of the pictures of which it was the most probable
	Mean      []float64 `json:"mean"`      // of each number of the embeddings
	Std       []float64 `json:"std"`
}

// Parse reads a reference for a model of so many classes; of text that is none it is an
// error.
func Parse(text json.RawMessage, classes int) (*Reference, error) {
	r := new(Reference)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, err
	}
	bad := func(v float64) bool { return !(v >= 0 && v <= math.MaxFloat32) }
	switch {
	case r.Pictures < 1 || len(r.Predicted) != classes || len(r.Mean) == 0 || len(r.Mean) != len(r.Std):
		return nil, fmt.Errorf("it is of %d pictures, %d classes, %d means and %d deviations, and the model has %d classes", r.Pictures, len(r.Predicted), len(r.Mean), len(r.Std), classes)
	case slices.ContainsFunc(r.Predicted, bad), slices.ContainsFunc(r.Std, bad), slices.ContainsFunc(r.Mean, func(v float64) bool { return bad(math.Abs(v)) }):
		return nil, errors.New("it has shares, means or deviations that are negative, infinite or no numbers")
	}
	return r, nil
}

// Builder makes a reference; the zero value is ready.
type Builder struct {
	pictures   int
	predicted  []int
	mean, squa []float64 // of Welford's method: the mean, and the sum of squares around it
}

// Add adds a picture's logits and embedding.
func (b *Builder) Add(logits, embedding []float32) {
	if b.pictures == 0 {
		b.predicted = make([]int, len(logits))
		b.mean, b.squa = make([]float64, len(embedding)), make([]float64, len(embedding))
	}
	b.pictures++
	b.predicted[metrics.ArgMax(logits)]++
	for i, v := range embedding {
		d := float64(v) - b.mean[i]
		b.mean[i] += d / float64(b.pictures)
		b.squa[i] += d * (float64(v) - b.mean[i])
	}
}

// Reference returns the reference of what was added; at least one picture must have been.
func (b *Builder) Reference() *Reference {
	r := &Reference{Pictures: b.pictures, Mean: b.mean}
	for _, n := range b.predicted {
		r.Predicted = append(r.Predicted, float64(n)/float64(b.pictures))
	}
	for _, s := range b.squa {
		r.Std = append(r.Std, math.Sqrt(s/float64(b.pictures)))
	}
	return r
}

// Memory is the number of pictures over which a [Watch] forgets: each weighs 1/e of what
// it did after as many others.
const Memory = 1000

// leastShare is the share of a bin of classes, at least: rarer ones are counted together,
// because a few pictures more or less of them would pass for a drift.
const leastShare = 0.05

// Watch follows the pictures of now.
type Watch struct {
	bins []int     // of each class
	want []float64 // share of each bin
	ref  *Reference
	std  []float64

	mu       sync.Mutex
	pictures int64
	have     []float64 // share of each bin
	mean     []float64
}

// NewWatch makes a watch.
func NewWatch(r *Reference) *Watch {
	w := &Watch{ref: r, bins: make([]int, len(r.Predicted)), std: make([]float64, len(r.Std)), mean: make([]float64, len(r.Mean))}
	// Rare classes are taken in their order, not by their shares, whose noise would make
	// bins that only the reference has. What is left over is a bin, however little it is.
	rare := -1
	for class, share := range r.Predicted {
		if share >= leastShare {
			w.bins[class] = len(w.want)
			w.want = append(w.want, share)
			continue
		}
		if rare < 0 || w.want[rare] >= leastShare {
			rare = len(w.want)
			w.want = append(w.want, 0)
		}
		w.bins[class] = rare
		w.want[rare] += share
	}
	w.have = make([]float64, len(w.want))
	// A number that is the same in nearly all pictures is measured by the others' deviation.
	typical := 0.0
	for _, s := range r.Std {
		typical += s / float64(len(r.Std))
	}
	for i, s := range r.Std {
		w.std[i] = max(s, typical/10, 1e-12)
	}
	return w
}

// Fits reports whether pictures with so many logits and numbers can be added.
func (w *Watch) Fits(logits, embedding int) bool {
	return logits == len(w.bins) && embedding == len(w.mean)
}

// Add adds a picture's logits and embedding. It may be called from several goroutines.
func (w *Watch) Add(logits, embedding []float32) {
	bin := w.bins[metrics.ArgMax(logits)]
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pictures++
	a := max(1/float64(w.pictures), 1./Memory)
	for i := range w.have {
		w.have[i] *= 1 - a
	}
	w.have[bin] += a
	for i, v := range embedding {
		w.mean[i] += a * (float64(v) - w.mean[i])
	}
}

// State returns the number of pictures so far; the population stability index of the
// predicted classes (the sum of (p-q) ln(p/q) over p of now and q of the reference: 0 if
// they are the same, above 0.25 they have changed, by the usual rule); and the distance of
// the mean embedding, the root of the mean square, in standard deviations of the reference.
func (w *Watch) State() (pictures int64, psi, distance float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pictures == 0 {
		return 0, 0, 0
	}
	n := float64(min(w.pictures, 2*Memory)) // pictures of equal weight that tell as much
	smooth := func(p, n float64) float64 { return (p*n + 0.5) / (n + 0.5*float64(len(w.want))) }
	for i, q := range w.want {
		p, q := smooth(w.have[i], n), smooth(q, float64(w.ref.Pictures))
		psi += (p - q) * math.Log(p/q)
	}
	for i, m := range w.mean {
		d := (m - w.ref.Mean[i]) / w.std[i]
		distance += d * d
	}
	return w.pictures, psi, math.Sqrt(distance / float64(len(w.mean)))
}
