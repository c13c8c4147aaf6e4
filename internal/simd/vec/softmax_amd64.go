//go:build !purego

package vec

import "github.com/resnet-go/resnet/internal/simd/isa"

// expShift sets y = exp(x-m) and returns the sum of y.
func expShift(y, x []float32, m float32) float64 {
	n := len(x)
	if n == 0 {
		return 0
	}
	y = y[:n]
	if !isa.UseAVX2 && !isa.UseAVX512 {
		return expShiftGeneric(y, x, m)
	}
	var lane [16]float32
	if isa.UseAVX512 {
		expShiftAVX512(&y[0], &x[0], n, m, &lane[0])
	} else {
		expShiftAVX2(&y[0], &x[0], n, m, &lane[0])
	}
	return laneTotal(&lane)
}

// rowMax returns the largest value. A NaN may or may not be noticed: it shows
// in the sum of the exponentials anyway.
func rowMax(x []float32) float32 {
	n := len(x)
	if n < 16 || !isa.UseAVX2 && !isa.UseAVX512 {
		return rowMaxGeneric(x)
	}
	var lane [16]float32
	if isa.UseAVX512 {
		rowMaxAVX512(&x[0], n, &lane[0])
		return rowMaxGeneric(lane[:])
	}
	rowMaxAVX2(&x[0], n, &lane[0])
	return rowMaxGeneric(lane[:8])
}

// rowSum returns the sum of x.
func rowSum(x []float32) float64 {
	n := len(x)
	if n < 32 || !isa.UseAVX2 && !isa.UseAVX512 {
		return sum64(x)
	}
	var lane [16]float32
	if isa.UseAVX512 {
		laneSumAVX512(&x[0], n, &lane[0])
	} else {
		laneSumAVX2(&x[0], n, &lane[0])
	}
	return laneTotal(&lane)
}

// rowDot returns the sum of a*b.
func rowDot(a, b []float32) float64 {
	n := len(a)
	if n < 32 || !isa.UseAVX2 && !isa.UseAVX512 {
		return dot64(a, b)
	}
	b = b[:n]
	var lane [16]float32
	if isa.UseAVX512 {
		laneDotAVX512(&a[0], &b[0], n, &lane[0])
	} else {
		laneDotAVX2(&a[0], &b[0], n, &lane[0])
	}
	return laneTotal(&lane)
}

// laneTotal adds the sums of the lanes of a vector.
func laneTotal(lane *[16]float32) float64 {
	sum := 0.0
	for _, v := range lane {
		sum += float64(v)
	}
	return sum
}
