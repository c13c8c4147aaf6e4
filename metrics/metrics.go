// Package metrics turns a model's scores and the true labels into figures:
// top-k accuracy, loss, the confusion matrix, precision, recall and F1 of each
// class, the pairs of classes that are mixed up most, calibration, and for
// multi-label data average precision. All results are plain data with JSON tags.
//
// Scores are logits, row-major [samples][classes]; labels are class indexes.
package metrics

import (
	"fmt"
	"math"
)

// TopK reports whether label is among the k highest scores of one sample.
// Among equal scores the lower class index ranks first, as in a stable sort. A
// NaN score of the label is never among the highest.
func TopK(scores []float32, label, k int) bool {
	s := scores[label]
	if s != s {
		return false
	}
	above := 0
	for i, v := range scores {
		if v > s || v == s && i < label || v != v {
			above++
		}
	}
	return above < k
}

// ArgMax returns the index of the highest score, the first among equal ones.
func ArgMax(scores []float32) int {
	best := 0
	for i, v := range scores {
		if v > scores[best] {
			best = i
		}
	}
	return best
}

// Softmax returns the probabilities of one sample's logits at a temperature:
// exp(z/T) / sum exp(z/T). Temperature 1 is the plain softmax.
func Softmax(logits []float32, temperature float64) []float64 {
	p := make([]float64, len(logits))
	softmax(p, logits, 1/temperature)
	return p
}

// softmax writes softmax(beta*z) and returns log(sum exp(beta*z)).
func softmax(p []float64, z []float32, beta float64) float64 {
	top := math.Inf(-1)
	for _, v := range z {
		top = math.Max(top, beta*float64(v))
	}
	sum := 0.0
	for i, v := range z {
		p[i] = math.Exp(beta*float64(v) - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return top + math.Log(sum)
}

// CrossEntropy returns the loss of one sample, -log softmax(logits)[label], in
// nats.
func CrossEntropy(logits []float32, label int) float64 {
	return softmax(make([]float64, len(logits)), logits, 1) - float64(logits[label])
}

// Report is the evaluation of a classifier on samples with one label each.
type Report struct {
	Samples     int         `json:"samples"`
	Top1        float64     `json:"top1"` // share of samples, 0 to 1
	Top5        float64     `json:"top5"` // 1 with fewer than five classes
	Loss        float64     `json:"loss"` // mean cross-entropy, nats
	Macro       Scores      `json:"macro"`
	Weighted    Scores      `json:"weighted"`
	Classes     []Class     `json:"classes"`
	Confusion   *Confusion  `json:"confusion"`
	MostMixedUp []Pair      `json:"most_mixed_up"`
	Calibration Calibration `json:"calibration"`
}

// Scores are precision, recall and F1, each from 0 to 1.
type Scores struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

// Evaluate makes the report of logits, [len(labels)][len(classes)] row-major.
// It returns an error if the sizes do not fit, a label is out of range, a logit
// is not a finite number, or there are no samples.
func Evaluate(logits []float32, labels []int, classes []string) (*Report, error) {
	if err := check(logits, labels, len(classes)); err != nil {
		return nil, err
	}
	c, n := len(classes), len(labels)
	r := &Report{Samples: n, Confusion: NewConfusion(classes)}
	p := make([]float64, c)
	for i, label := range labels {
		z := logits[i*c : (i+1)*c]
		r.Confusion.Add(label, ArgMax(z))
		if TopK(z, label, 1) {
			r.Top1++
		}
		if TopK(z, label, 5) {
			r.Top5++
		}
		r.Loss += softmax(p, z, 1) - float64(z[label])
	}
	r.Top1 /= float64(n)
	r.Top5 /= float64(n)
	r.Loss /= float64(n)
	r.Classes = r.Confusion.PerClass()
	r.Macro, r.Weighted = Averages(r.Classes)
	r.MostMixedUp = r.Confusion.MostMixedUp(10)
	r.Calibration = Calibrate(logits, labels, c)
	return r, nil
}

func check(logits []float32, labels []int, classes int) error {
	if len(labels) == 0 {
		return fmt.Errorf("metrics: there are no samples")
	}
	if len(logits) != len(labels)*classes {
		return fmt.Errorf("metrics: there are %d scores for %d samples of %d classes, must be one per sample and class", len(logits), len(labels), classes)
	}
	for i, l := range labels {
		if l < 0 || l >= classes {
			return fmt.Errorf("metrics: label %d of sample %d must be from 0 to below the number of classes, %d", l, i, classes)
		}
	}
	for i, v := range logits {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("metrics: score %d of sample %d is %v, must be finite", i%classes, i/classes, v)
		}
	}
	return nil
}
