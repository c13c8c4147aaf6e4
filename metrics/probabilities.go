package metrics

import "math"

// Probabilities turns the logits of one picture into the probability of each
// class: the softmax, whose values add up to 1, or with multiLabel the sigmoid of
// each, where any number of classes may be right.
func Probabilities(logits []float32, multiLabel bool) []float64 {
	if !multiLabel {
		return Softmax(logits, 1)
	}
	p := make([]float64, len(logits))
	for i, z := range logits {
		p[i] = 1 / (1 + math.Exp(-float64(z)))
	}
	return p
}
