package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// CrossEntropy is the softmax cross entropy of torch's CrossEntropyLoss, one
// row of c logits an example.
type CrossEntropy struct {
	// Smoothing is the share s of the target that is spread evenly over all
	// classes (Szegedy et al., arXiv 1512.00567, section 7).
	Smoothing float32
	Weight    []float32 // a weight per class; nil: ones
	// UseIgnore makes rows with the label Ignore count for nothing.
	UseIgnore bool
	Ignore    int64
}

// Check returns the index of the first label that is neither in [0, c) nor
// ignored, or -1 if there is none.
func (e *CrossEntropy) Check(labels []int64, c int) int {
	for i, l := range labels {
		if (l < 0 || l >= int64(c)) && !e.ignored(l) {
			return i
		}
	}
	return -1
}

func (e *CrossEntropy) ignored(label int64) bool { return e.UseIgnore && label == e.Ignore }

func (e *CrossEntropy) weight(class int) float64 {
	if e.Weight == nil {
		return 1
	}
	return float64(e.Weight[class])
}

// Denominator returns the sum of the class weights of the labels that are not
// ignored: what the mean over the examples is divided by.
func (e *CrossEntropy) Denominator(labels []int64) float64 {
	sum := 0.0
	for _, l := range labels {
		if !e.ignored(l) {
			sum += e.weight(int(l))
		}
	}
	return sum
}

// Labels computes, for each row of logits x and its label t, with p = softmax(x),
//
//	loss = (1-s)*w[t]*-ln p[t] + s/c * sum over j of w[j]*-ln p[j]
//	dx[j] = scale * d loss/d x[j]
//
// loss is not scaled and is 0 for ignored rows. dx may be nil, or x. The labels
// must have passed [CrossEntropy.Check].
func (e *CrossEntropy) Labels(loss, dx, x []float32, labels []int64, c int, scale float32) {
	isa.CheckLen(len(x), len(labels)*c, "CrossEntropy.Labels x")
	isa.CheckLen(len(loss), len(labels), "CrossEntropy.Labels loss")
	s := float64(e.Smoothing)
	spread := s / float64(c)
	total := float64(c)
	if e.Weight != nil {
		total = sum64(e.Weight[:c])
	}
	for r, label := range labels {
		row := x[r*c : r*c+c]
		var grad []float32
		if dx != nil {
			grad = dx[r*c : r*c+c]
		}
		if e.ignored(label) {
			loss[r] = 0
			clear(grad)
			continue
		}
		t := int(label)
		m := rowMax(row)
		own := float64(row[t] - m)
		var all float64 // sum over j of w[j]*(x[j]-m)
		if s != 0 {
			for j, v := range row {
				all += e.weight(j) * float64(v-m)
			}
		}
		var sum float64
		if grad != nil {
			sum = expShift(grad, row, m)
		} else {
			_, sum = sumExp(row)
		}
		logSum := math.Log(sum)
		w := (1 - s) * e.weight(t)
		l := w * (logSum - own)
		if s != 0 {
			l += spread * (total*logSum - all)
		}
		loss[r] = float32(l)
		if grad == nil {
			continue
		}
		k := float64(scale)
		binaryScalar(OpMul, grad, grad, float32(k*(w+spread*total)/sum))
		if s != 0 {
			if e.Weight == nil {
				binaryScalar(OpSub, grad, grad, float32(k*spread))
			} else {
				axpy(grad, e.Weight[:c], float32(-k*spread))
			}
		}
		grad[t] = float32(float64(grad[t]) - k*w)
	}
}

// Soft computes the same for targets that are distributions, with t' =
// (1-s)*t + s/c:
//
//	loss = sum over j of w[j]*t'[j]*-ln p[j]
//	dx[j] = scale * (p[j]*sum over k of w[k]*t'[k] - w[j]*t'[j])
//
// torch's mean divides by the number of rows. dx may be nil; it may not be x.
func (e *CrossEntropy) Soft(loss, dx, x, target []float32, c int, scale float32) {
	isa.CheckLen(len(target), len(x), "CrossEntropy.Soft target")
	isa.CheckLen(len(x), len(loss)*c, "CrossEntropy.Soft x")
	s := float64(e.Smoothing)
	for r := range loss {
		row, tgt := x[r*c:r*c+c], target[r*c:r*c+c]
		m, sum := sumExp(row)
		logSum := math.Log(sum)
		l, mass := 0.0, 0.0
		for j, v := range row {
			w := e.weight(j) * ((1-s)*float64(tgt[j]) + s/float64(c))
			if w == 0 {
				continue // 0*-ln 0 is 0
			}
			l += w * (logSum - float64(v-m))
			mass += w
		}
		loss[r] = float32(l)
		if dx == nil {
			continue
		}
		for j, v := range row {
			w := e.weight(j) * ((1-s)*float64(tgt[j]) + s/float64(c))
			dx[r*c+j] = float32(float64(scale) * (math.Exp(float64(v-m))/sum*mass - w))
		}
	}
}

// BCEWithLogits computes the binary cross entropy of c independent labels a
// row, z = target in [0, 1], with q = posWeight (nil: ones):
//
//	loss[r] = sum over j of (1-z)*x + (1+(q-1)*z)*softplus(-x)
//	dx = scale * ((1-z) - (1+(q-1)*z)*sigmoid(-x))
//
// as torch's BCEWithLogitsLoss, whose mean divides by rows*c. dx may be nil, or
// x.
func BCEWithLogits(loss, dx, x, target, posWeight []float32, c int, scale float32) {
	isa.CheckLen(len(target), len(x), "BCEWithLogits target")
	isa.CheckLen(len(x), len(loss)*c, "BCEWithLogits x")
	for r := range loss {
		sum := 0.0
		for j := 0; j < c; j++ {
			i := r*c + j
			v, z, q := float64(x[i]), float64(target[i]), 1.0
			if posWeight != nil {
				q = float64(posWeight[j])
			}
			k := 1 + (q-1)*z
			sum += (1-z)*v + k*softplus(-v)
			if dx != nil {
				dx[i] = float32(float64(scale) * ((1 - z) - k*sigmoid(-v)))
			}
		}
		loss[r] = float32(sum)
	}
}
