package ref

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
)

// focalTargets returns the targets [R C] and the weight of each row.
func focalTargets(in []array) (t array, weight []float64, err error) {
	rows, classes := in[0].shape[0], in[0].shape[1]
	t, weight = in[1], make([]float64, rows)
	for r := range weight {
		weight[r] = 1
		if len(in) == 3 {
			weight[r] = in[2].f[r]
		}
	}
	if in[1].i == nil {
		return t, weight, nil
	}
	t = zeros(rows, classes)
	for r, label := range in[1].i {
		switch {
		case label == graph.IgnoreLabel:
			weight[r] = 0
		case label >= 0 && label < int64(classes):
			t.f[r*classes+int(label)] = 1
		case label != -1:
			return t, nil, fmt.Errorf("%w: label %d of row %d", ErrValue, label, r)
		}
	}
	return t, weight, nil
}

// focal returns an element's loss and its derivative.
func focal(o graph.SigmoidFocal, x, t float64) (loss, d float64) {
	p := sigmoid(x)
	ce := t*softplus(-x) + (1-t)*softplus(x)
	miss := (1-p)*t + p*(1-t) // 1-pt
	a := 1.0
	if alpha := float64(o.Alpha); alpha >= 0 {
		a = alpha*t + (1-alpha)*(1-t)
	}
	gamma := float64(o.Gamma)
	power := math.Pow(miss, gamma)
	loss = a * power * ce
	d = a * power * (p - t)
	if gamma != 0 && miss > 0 {
		d += a * gamma * power / miss * (1 - 2*t) * p * (1 - p) * ce
	}
	return loss, d
}

func sigmoidFocal(o graph.SigmoidFocal, in []array) ([]array, error) {
	t, weight, err := focalTargets(in)
	sum := 0.0
	for i, x := range in[0].f {
		if w := weightOf(weight, i, in[0].shape[1]); err == nil && w != 0 {
			loss, _ := focal(o, x, t.f[i])
			sum += w * loss
		}
	}
	return []array{scalar(sum)}, err
}

func sigmoidFocalGrad(o graph.SigmoidFocalGrad, in []array) ([]array, error) {
	dloss, in := in[0].f[0], in[1:]
	t, weight, err := focalTargets(in)
	dx := zeros(in[0].shape...)
	for i, x := range in[0].f {
		if w := weightOf(weight, i, in[0].shape[1]); err == nil && w != 0 {
			_, d := focal(o.Of, x, t.f[i])
			dx.f[i] = dloss * w * d
		}
	}
	return []array{dx}, err
}

func weightOf(weight []float64, i, classes int) float64 {
	if weight == nil {
		return 0
	}
	return weight[i/classes]
}

func oneHot(o graph.OneHot, labels array) ([]array, error) {
	y := zeros(append(labels.shape.Clone(), o.Classes)...)
	for r, label := range labels.i {
		if label == graph.IgnoreLabel {
			continue
		}
		if label < 0 || label >= int64(o.Classes) {
			return nil, fmt.Errorf("%w: label %d at %d is not in 0..%d", ErrValue, label, r, o.Classes-1)
		}
		y.f[r*o.Classes+int(label)] = 1
	}
	return []array{y}, nil
}
