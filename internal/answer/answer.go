// Package answer weighs which output of a foreign network is the one that users
// mean by its answer: the scores of the classes, and not features, the head of an
// auxiliary loss or labels.
package answer

import "strings"

// good and bad are parts of the names that exporters and people give to outputs.
var (
	good = []string{"logit", "prob", "pred", "class", "score", "softmax"}
	bad  = []string{"aux", "feat", "embed", "hidden", "pool", "mask", "indic", "attention", "loss"}
)

// Score returns how likely an output is the answer; the highest is it, the first of
// equal ones. end is the function at its end, "softmax", "sigmoid" or "". axes is the
// number of its axes beside the batch that have an extent other than 1, or -1 if it
// is not known.
func Score(name, end string, axes int) int {
	s := 0
	switch end {
	case "softmax":
		s += 20
	case "sigmoid":
		s += 15
	}
	has := func(parts []string) bool {
		for _, p := range parts {
			if strings.Contains(strings.ToLower(name), p) {
				return true
			}
		}
		return false
	}
	if has(good) {
		s += 5
	}
	if has(bad) {
		s -= 10
	}
	if axes > 1 { // a map, or a sequence
		s -= 8
	}
	return s
}
