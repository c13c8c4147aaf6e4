package ref

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
)

// weightedTargets turns targets of both kinds into one: the loss is the sum of
// -log p[n, c] * t[n, c], divided by total.
func weightedTargets(o graph.CrossEntropy, in []array) (t array, total float64, err error) {
	logits, target := in[0], in[1]
	classes := logits.shape[1]
	rows := len(logits.f) / classes
	weight := func(c int) float64 {
		if len(in) == 3 {
			return in[2].f[c]
		}
		return 1
	}
	s := float64(o.LabelSmoothing)
	t = zeros(logits.shape...)
	for n := 0; n < rows; n++ {
		row := t.f[n*classes : (n+1)*classes]
		if target.i == nil {
			copy(row, target.f[n*classes:])
			total++
		} else {
			label := target.i[n]
			if label == graph.IgnoreLabel {
				continue
			}
			if label < 0 || label >= int64(classes) {
				return t, 0, fmt.Errorf("%w: label %d of sample %d is not in 0..%d", ErrValue, label, n, classes-1)
			}
			row[label] = 1
			total += weight(int(label))
		}
		for c := range row {
			row[c] = weight(c) * ((1-s)*row[c] + s/float64(classes))
		}
	}
	if total == 0 { // no row counts
		total = 1
	}
	return t, total, nil
}

// classesLast brings the axis of classes to the end: rows of classes for labels of
// the shape of what is left.
func classesLast(a array) array {
	if len(a.shape) == 2 {
		return a
	}
	return permute(graph.Permute{Perm: []int{0, 2, 3, 1}}, a)
}

// pixelRows is in with logits, and targets that are distributions, as rows of classes.
func pixelRows(in []array) []array {
	out := append([]array{}, in...)
	for i, a := range in[:2] {
		if a.i == nil {
			a = classesLast(a)
			out[i] = array{shape: []int{len(a.f) / in[0].shape[1], in[0].shape[1]}, f: a.f}
		}
	}
	return out
}

func crossEntropy(o graph.CrossEntropy, in []array) ([]array, error) {
	in = pixelRows(in)
	t, total, err := weightedTargets(o, in)
	if err != nil {
		return nil, err
	}
	loss := 0.0
	for i, logp := range logSoftmax(in[0]).f {
		if t.f[i] != 0 { // 0 * -Inf is 0 here
			loss -= t.f[i] * logp
		}
	}
	return one(scalar(loss / total))
}

func crossEntropyGrad(o graph.CrossEntropyGrad, in []array) ([]array, error) {
	dloss, in := in[0].f[0], in[1:]
	s := in[0].shape
	in = pixelRows(in)
	t, total, err := weightedTargets(o.Of, in)
	if err != nil {
		return nil, err
	}
	classes := in[0].shape[1]
	dx := softmax(in[0])
	for n := 0; n < in[0].shape[0]; n++ {
		sum := 0.0
		for c := 0; c < classes; c++ {
			sum += t.f[n*classes+c]
		}
		for c := 0; c < classes; c++ {
			i := n*classes + c
			dx.f[i] = dx.f[i]*sum - t.f[i]
			dx.f[i] *= dloss / total
		}
	}
	if len(s) == 4 {
		dx = permute(graph.Permute{Perm: []int{0, 3, 1, 2}}, array{shape: []int{s[0], s[2], s[3], s[1]}, f: dx.f})
	}
	return one(dx)
}

// positive returns the weight of positives of element i.
func positive(in []array, i int) float64 {
	if len(in) == 3 {
		return in[2].f[i%len(in[2].f)]
	}
	return 1
}

func bceWithLogits(in []array) array {
	loss := 0.0
	for i, x := range in[0].f {
		t := in[1].f[i]
		// -log σ(x) = softplus(-x), -log(1-σ(x)) = softplus(x)
		loss += positive(in, i)*t*softplus(-x) + (1-t)*softplus(x)
	}
	return scalar(loss / float64(len(in[0].f)))
}

func bceWithLogitsGrad(in []array) array {
	dloss, in := in[0].f[0], in[1:]
	dx := zeros(in[0].shape...)
	for i, x := range in[0].f {
		t := in[1].f[i]
		d := -positive(in, i)*t*sigmoid(-x) + (1-t)*sigmoid(x)
		dx.f[i] = dloss * d / float64(len(dx.f))
	}
	return dx
}
