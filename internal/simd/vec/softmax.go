package vec

import (
	"math"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Softmax computes y[r][j] = exp(x[r][j]-m)/sum over k of exp(x[r][k]-m), m the
// largest x[r], for rows x c. y may be x.
func Softmax(y, x []float32, c int) {
	isa.CheckLen(len(y), len(x), "Softmax y")
	for r := 0; r < len(x); r += c {
		out := y[r : r+c]
		_, sum := expRow(out, x[r:r+c])
		binaryScalar(OpMul, out, out, float32(1/sum))
	}
}

// LogSoftmax computes y[r][j] = x[r][j] - m - ln(sum over k of exp(x[r][k]-m)), m
// the largest x[r], for rows x c. y may be x.
func LogSoftmax(y, x []float32, c int) {
	isa.CheckLen(len(y), len(x), "LogSoftmax y")
	for r := 0; r < len(x); r += c {
		m, sum := sumExp(x[r : r+c])
		logSum := math.Log(sum)
		for j, v := range x[r : r+c] {
			y[r+j] = float32(float64(v-m) - logSum)
		}
	}
}

// SoftmaxGrad computes dx[r][j] (+)= y[r][j]*(dy[r][j] - sum over k of
// dy[r][k]*y[r][k]), y the output of [Softmax]. dx may be dy or y.
func SoftmaxGrad(dx, dy, y []float32, c int, accumulate bool) {
	isa.CheckLen(len(dy), len(dx), "SoftmaxGrad dy")
	isa.CheckLen(len(y), len(dx), "SoftmaxGrad y")
	for r := 0; r < len(dx); r += c {
		dot := float32(rowDot(dy[r:r+c], y[r:r+c]))
		for i := r; i < r+c; i++ {
			d := y[i] * (dy[i] - dot)
			if accumulate {
				d += dx[i]
			}
			dx[i] = d
		}
	}
}

// LogSoftmaxGrad computes dx[r][j] (+)= dy[r][j] - exp(y[r][j])*sum over k of
// dy[r][k], y the output of [LogSoftmax]. dx may be dy or y.
func LogSoftmaxGrad(dx, dy, y []float32, c int, accumulate bool) {
	isa.CheckLen(len(dy), len(dx), "LogSoftmaxGrad dy")
	isa.CheckLen(len(y), len(dx), "LogSoftmaxGrad y")
	for r := 0; r < len(dx); r += c {
		sum := rowSum(dy[r : r+c])
		for i := r; i < r+c; i++ {
			d := float32(float64(dy[i]) - math.Exp(float64(y[i]))*sum)
			if accumulate {
				d += dx[i]
			}
			dx[i] = d
		}
	}
}

// rowMax returns the largest value. A NaN may or may not be noticed: it shows
// in the sum of the exponentials anyway.
func rowMax(x []float32) float32 {
	n, lanes := len(x), isa.Lanes()
	if n < 16 || lanes == 0 {
		return rowMaxGeneric(x)
	}
	var lane [maxLanes]float32
	rowMaxAsm(&x[0], n, &lane[0])
	return rowMaxGeneric(lane[:lanes])
}

func rowMaxGeneric(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

// expRow sets y = exp(x-m), m the largest x, and returns m and the sum of y.
func expRow(y, x []float32) (m float32, sum float64) {
	m = rowMax(x)
	return m, expShift(y, x, m)
}

// sumExp returns m, the largest x, and the sum of exp(x-m).
func sumExp(x []float32) (m float32, sum float64) {
	m = rowMax(x)
	var y [256]float32
	for len(x) > 0 {
		n := min(len(x), len(y))
		sum += expShift(y[:n], x[:n], m)
		x = x[n:]
	}
	return m, sum
}

// expShift sets y = exp(x-m) and returns the sum of y.
func expShift(y, x []float32, m float32) float64 {
	n := len(x)
	if n == 0 {
		return 0
	}
	y = y[:n]
	if isa.Lanes() == 0 {
		return expShiftGeneric(y, x, m)
	}
	var lane [maxLanes]float32
	expShiftAsm(&y[0], &x[0], n, m, &lane[0])
	return laneTotal(&lane)
}

// expShiftGeneric sets y = exp(x-m) and returns the sum of y.
func expShiftGeneric(y, x []float32, m float32) float64 {
	sum := 0.0
	for i, v := range x {
		e := math.Exp(float64(v - m))
		y[i] = float32(e)
		sum += e
	}
	return sum
}
