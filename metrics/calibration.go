package metrics

import (
	"cmp"
	"math"
	"slices"
)

// Calibration compares a model's confidence with its accuracy.
type Calibration struct {
	// ECE is the expected calibration error over 15 bins of equal width (Guo et
	// al. 2017, arXiv 1706.04599, equation 3), MCE the largest error of a bin.
	ECE float64 `json:"ece"`
	MCE float64 `json:"mce"`
	// Brier is the mean squared distance of the probabilities from the truth,
	// summed over classes: 0 is perfect, 2 the worst.
	Brier float64 `json:"brier"`
	// Temperature is the divisor of the logits that gives the lowest loss on these
	// samples (section 4.2): above 1 for an overconfident model. It is fitted to the
	// samples that it is measured on, so LossScaled and ECEScaled are slightly
	// optimistic.
	Temperature float64 `json:"temperature"`
	LossScaled  float64 `json:"loss_scaled"` // mean cross-entropy at that temperature
	ECEScaled   float64 `json:"ece_scaled"`  // ECE at that temperature
	Bins        []Bin   `json:"bins"`        // reliability diagram at temperature 1
}

// Bin holds the samples whose highest probability lies in (Low, High].
type Bin struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Samples    int     `json:"samples"`
	Confidence float64 `json:"confidence"` // mean highest probability
	Accuracy   float64 `json:"accuracy"`   // share of correct predictions
}

// Calibrate measures the calibration of logits, [len(labels)][classes]
// row-major, and fits the temperature. The caller has checked logits and labels,
// as [Evaluate] does.
func Calibrate(logits []float32, labels []int, classes int) Calibration {
	var c Calibration
	c.Bins, c.Brier, _ = reliability(logits, labels, classes, 1)
	c.ECE, c.MCE = calibrationError(c.Bins, len(labels))
	c.Temperature = FitTemperature(logits, labels, classes)
	var bins []Bin
	bins, _, c.LossScaled = reliability(logits, labels, classes, 1/c.Temperature)
	c.ECEScaled, _ = calibrationError(bins, len(labels))
	return c
}

const bins = 15

func reliability(logits []float32, labels []int, classes int, beta float64) (out []Bin, brier, loss float64) {
	out = make([]Bin, bins)
	for i := range out {
		out[i].Low, out[i].High = float64(i)/bins, float64(i+1)/bins
	}
	p := make([]float64, classes)
	for i, label := range labels {
		z := logits[i*classes : (i+1)*classes]
		loss += softmax(p, z, beta) - beta*float64(z[label])
		for k, v := range p {
			if k == label {
				v--
			}
			brier += v * v
		}
		top := ArgMax(z)
		b := &out[max(int(math.Ceil(p[top]*bins))-1, 0)]
		b.Samples++
		b.Confidence += p[top]
		if top == label {
			b.Accuracy++
		}
	}
	for i := range out {
		if n := float64(out[i].Samples); n > 0 {
			out[i].Confidence /= n
			out[i].Accuracy /= n
		}
	}
	n := float64(len(labels))
	return out, brier / n, loss / n
}

func calibrationError(bins []Bin, samples int) (expected, maximum float64) {
	for _, b := range bins {
		gap := math.Abs(b.Accuracy - b.Confidence)
		expected += gap * float64(b.Samples) / float64(samples)
		if b.Samples > 0 {
			maximum = math.Max(maximum, gap)
		}
	}
	return expected, maximum
}

// Temperatures lie within these bounds. The loss of a model that is right on every
// sample is lowest at temperature 0, that of a model no better than chance at
// infinity: both get a bound.
const minTemperature, maxTemperature = 0.05, 20.0

// FitTemperature returns the temperature, from 0.05 to 20, at which the mean
// cross-entropy of logits is lowest. The loss is convex in b = 1/T with
// derivative E_softmax(bz)[z] - z_label, whose zero is found by bisection.
func FitTemperature(logits []float32, labels []int, classes int) float64 {
	p := make([]float64, classes)
	slope := func(beta float64) float64 {
		sum := 0.0
		for i, label := range labels {
			z := logits[i*classes : (i+1)*classes]
			softmax(p, z, beta)
			mean := 0.0
			for k, v := range p {
				mean += v * float64(z[k])
			}
			sum += mean - float64(z[label])
		}
		return sum
	}
	low, high := math.Log(1/maxTemperature), -math.Log(minTemperature)
	if slope(math.Exp(low)) >= 0 {
		return maxTemperature
	}
	if slope(math.Exp(high)) <= 0 {
		return minTemperature
	}
	for range 40 {
		middle := (low + high) / 2
		if slope(math.Exp(middle)) < 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return math.Exp(-(low + high) / 2)
}

// SureAbove returns the lowest probability of an answer such that, of the answers of that
// probability or more, at least the given share is right; 0 if there is none. Answers are
// the classes of the highest logits, [len(labels)][classes] row-major.
func SureAbove(logits []float32, labels []int, classes int, share float64) float64 {
	type answer struct {
		p     float64
		right bool
	}
	answers := make([]answer, len(labels))
	p := make([]float64, classes)
	for i, label := range labels {
		z := logits[i*classes : (i+1)*classes]
		softmax(p, z, 1)
		top := ArgMax(z)
		answers[i] = answer{p[top], top == label}
	}
	slices.SortFunc(answers, func(a, b answer) int { return cmp.Compare(b.p, a.p) })
	lowest, right := 0.0, 0
	for i, a := range answers {
		if a.right {
			right++
		}
		last := i+1 == len(answers) || answers[i+1].p < a.p
		if last && float64(right) >= share*float64(i+1) {
			lowest = a.p
		}
	}
	return lowest
}
