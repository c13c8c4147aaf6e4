package metrics

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// MultiLabelReport is the evaluation of a classifier on samples that may have any
// number of labels, with a separate sigmoid for each class.
type MultiLabelReport struct {
	Samples   int       `json:"samples"`
	Threshold float64   `json:"threshold"` // of the probability, from which a class counts as predicted
	MAP       float64   `json:"map"`       // mean average precision over the classes that occur
	Loss      float64   `json:"loss"`      // mean binary cross-entropy over samples and classes, nats
	Exact     float64   `json:"exact"`     // share of samples with exactly the right labels
	Hamming   float64   `json:"hamming"`   // share of wrong decisions
	Micro     Scores    `json:"micro"`     // over all decisions together
	Macro     Scores    `json:"macro"`     // mean over classes
	Classes   []ClassAP `json:"classes"`
}

// ClassAP is how well one class of a multi-label problem is recognized.
type ClassAP struct {
	Class
	AP float64 `json:"ap"` // average precision; 0 if the class does not occur
}

// EvaluateMultiLabel makes the report of logits, [len(labels)][len(classes)]
// row-major; labels lists the classes of each sample. threshold is the
// probability from which a class counts as predicted, usually 0.5. It returns
// an error if the sizes do not fit, a label is out of range, a logit is not a
// finite number, or there are no samples.
func EvaluateMultiLabel(logits []float32, labels [][]int, classes []string, threshold float64) (*MultiLabelReport, error) {
	c, n := len(classes), len(labels)
	if !(threshold > 0 && threshold < 1) {
		return nil, fmt.Errorf("metrics: threshold is %v, must be between 0 and 1", threshold)
	}
	if err := check(logits, make([]int, n), c); err != nil {
		return nil, err
	}
	truth := make([]bool, n*c)
	for i, ls := range labels {
		for _, l := range ls {
			if l < 0 || l >= c {
				return nil, fmt.Errorf("metrics: label %d of sample %d must be from 0 to below the number of classes, %d", l, i, c)
			}
			truth[i*c+l] = true
		}
	}

	r := &MultiLabelReport{Samples: n, Threshold: threshold, Classes: make([]ClassAP, c)}
	for k := range r.Classes {
		r.Classes[k].Name = classes[k]
	}
	cut := math.Log(threshold / (1 - threshold))
	wrong, exact := 0, 0
	for i := range n {
		before := wrong
		for k := range c {
			z, y := float64(logits[i*c+k]), truth[i*c+k]
			said := z >= cut
			r.Classes[k].count(y, said)
			if y != said {
				wrong++
			}
			r.Loss += binaryCrossEntropy(z, y)
		}
		if wrong == before {
			exact++
		}
	}
	r.Loss /= float64(n * c)
	r.Exact = ratio(exact, n)
	r.Hamming = ratio(wrong, n*c)

	var all Class
	occurring := 0
	for k := range r.Classes {
		class := &r.Classes[k]
		class.Scores = scores(class.Correct, class.Predicted, class.Samples)
		r.Macro.add(class.Scores, 1/float64(c))
		all.Correct += class.Correct
		all.Predicted += class.Predicted
		all.Samples += class.Samples
		if class.Samples > 0 {
			occurring++
			class.AP = averagePrecision(logits, truth, k, c)
			r.MAP += class.AP
		}
	}
	r.Micro = scores(all.Correct, all.Predicted, all.Samples)
	if occurring > 0 {
		r.MAP /= float64(occurring)
	}
	return r, nil
}

func (c *Class) count(is, said bool) {
	if is {
		c.Samples++
	}
	if said {
		c.Predicted++
	}
	if is && said {
		c.Correct++
	}
}

// binaryCrossEntropy is log(1+exp(z)) - y*z without overflow.
func binaryCrossEntropy(z float64, y bool) float64 {
	loss := math.Max(z, 0) + math.Log1p(math.Exp(-math.Abs(z)))
	if y {
		loss -= z
	}
	return loss
}

// averagePrecision of class k is the sum over the distinct scores, from the
// highest down, of (recall gained) x (precision there), without interpolation,
// as scikit-learn's average_precision_score.
func averagePrecision(logits []float32, truth []bool, k, c int) float64 {
	type decision struct {
		score float32
		is    bool
	}
	var ds []decision
	positives := 0
	for i := k; i < len(logits); i += c {
		ds = append(ds, decision{logits[i], truth[i]})
		if truth[i] {
			positives++
		}
	}
	slices.SortFunc(ds, func(a, b decision) int { return cmp.Compare(b.score, a.score) })
	ap, found, before := 0.0, 0, 0
	for i, d := range ds {
		if d.is {
			found++
		}
		if i+1 == len(ds) || ds[i+1].score != d.score {
			ap += ratio(found-before, positives) * ratio(found, i+1)
			before = found
		}
	}
	return ap
}
