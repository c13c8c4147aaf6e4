package vec

import (
	"fmt"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
)

// BenchmarkVec runs the element-wise kernels over arrays that fit the
// L2 cache and ones that do not fit any, piece by piece as the engine
// does. MB/s counts every array that is read or written once: compare with copy.
func BenchmarkVec(b *testing.B) {
	for _, size := range []struct {
		name  string
		total int
	}{{"L2", PieceLen}, {"DRAM", 1 << 24}} {
		const c = 64
		n := size.total
		arr := make([][]float32, 4)
		for i := range arr {
			arr[i] = make([]float32, n)
			for j := range arr[i] {
				arr[i][j] = float32(j%251)/251 - 0.4
			}
		}
		x, y, z, u := arr[0], arr[1], arr[2], arr[3]
		k := make([]float32, c)
		Fill(k, 0.5)
		part := make([]float32, 2*c)
		arg := make([]uint16, n)
		key := DropoutKey{Seed: 1}
		sgd := SGD{LR: 1e-9, Momentum: 0.9, WeightDecay: 1e-4}
		adam := Adam{LR: 1e-9, Beta1: 0.9, Beta2: 0.99, Eps: 1e-3, Step: 2, Decoupled: true}
		side := 32 // of the images that are pooled
		for n/side/side/c == 0 {
			side /= 2
		}
		ps := PoolShape{N: n / side / side / c, H: side, W: side, C: c, KH: 3, KW: 3, SH: 2, SW: 2, PadTop: 1, PadLeft: 1, OH: side / 2, OW: side / 2}
		for _, f := range []struct {
			name   string
			arrays float64 // of n floats that go to or from memory
			f      func(lo, hi int)
		}{
			{"copy", 2, func(lo, hi int) { copy(y[lo:hi], x[lo:hi]) }},
			{"BatchNormStats", 1, func(lo, hi int) { BatchNormStats(part, x[lo:hi], c) }},
			{"ScaleShift+ReLU", 2, func(lo, hi int) { ScaleShift(y[lo:hi], x[lo:hi], k, k, true) }},
			{"ScaleShiftAdd+ReLU", 3, func(lo, hi int) { ScaleShiftAdd(y[lo:hi], x[lo:hi], k, k, z[lo:hi], true) }},
			{"ScaleShiftAddScaled+ReLU", 3, func(lo, hi int) { ScaleShiftAddScaled(y[lo:hi], x[lo:hi], k, k, z[lo:hi], k, k, true) }},
			{"BatchNormGradReduce", 2, func(lo, hi int) { BatchNormGradReduce(part, nil, y[lo:hi], nil, x[lo:hi], k) }},
			{"BatchNormGradReduce+ReLU", 3, func(lo, hi int) { BatchNormGradReduce(part, nil, y[lo:hi], z[lo:hi], x[lo:hi], k) }},
			{"BatchNormGradReduce+ReLU+dz", 4, func(lo, hi int) { BatchNormGradReduce(part, u[lo:hi], y[lo:hi], z[lo:hi], x[lo:hi], k) }},
			{"BatchNormGradApply", 3, func(lo, hi int) {
				BatchNormGradApply(u[lo:hi], y[lo:hi], nil, x[lo:hi], NormGradCoefs{Mean: k, A: k, B: k, C: k}, false)
			}},
			{"BatchNormGradApply+ReLU", 4, func(lo, hi int) {
				BatchNormGradApply(u[lo:hi], y[lo:hi], z[lo:hi], x[lo:hi], NormGradCoefs{Mean: k, A: k, B: k, C: k}, false)
			}},
			{"ReLU", 2, func(lo, hi int) { Unary(OpReLU, y[lo:hi], x[lo:hi], 0, 0) }},
			{"ReLUGrad", 3, func(lo, hi int) { UnaryGrad(OpReLU, z[lo:hi], y[lo:hi], nil, x[lo:hi], 0, 0, false) }},
			{"Add", 3, func(lo, hi int) { Binary(OpAdd, z[lo:hi], y[lo:hi], x[lo:hi]) }},
			{"MulRow", 2, func(lo, hi int) { BinaryRow(OpMul, y[lo:hi], x[lo:hi], k) }},
			{"SumRows", 1, func(lo, hi int) { SumRows(k, x[lo:hi], c, 1e-9) }},
			{"SumMulRows", 2, func(lo, hi int) { SumMulRows(k, x[lo:hi], y[lo:hi], c, 1e-9) }},
			{"Exp", 2, func(lo, hi int) { Unary(OpExp, y[lo:hi], x[lo:hi], 0, 0) }},
			{"Sigmoid", 2, func(lo, hi int) { Unary(OpSigmoid, y[lo:hi], x[lo:hi], 0, 0) }},
			{"Tanh", 2, func(lo, hi int) { Unary(OpTanh, y[lo:hi], x[lo:hi], 0, 0) }},
			{"SiLU", 2, func(lo, hi int) { Unary(OpSiLU, y[lo:hi], x[lo:hi], 0, 0) }},
			{"SiLUGrad", 3, func(lo, hi int) { UnaryGrad(OpSiLU, z[lo:hi], y[lo:hi], x[lo:hi], nil, 0, 0, false) }},
			{"GELU", 2, func(lo, hi int) { Unary(OpGELU, y[lo:hi], x[lo:hi], 0, 0) }},
			{"GELUGrad", 3, func(lo, hi int) { UnaryGrad(OpGELU, z[lo:hi], y[lo:hi], x[lo:hi], nil, 0, 0, false) }},
			{"Softmax1024", 2, func(lo, hi int) { Softmax(y[lo:hi], x[lo:hi], 1024) }},
			{"Dropout", 2, func(lo, hi int) { Dropout(y[lo:hi], x[lo:hi], 0.3, key, lo) }},
			{"MaxPool3x3s2", 1.375, func(lo, hi int) {
				per := side * c * 2
				MaxPool(y, arg, x, &ps, lo/per, hi/per)
			}},
			{"MaxPool3x3s2Grad", 1.375, func(lo, hi int) {
				per := side * c
				MaxPoolGrad(x, y, arg, &ps, lo/per, hi/per, false)
			}},
			{"Transpose1024x64", 2, func(lo, hi int) {
				for ; lo < hi; lo += 1024 * 64 {
					Transpose(y[lo:lo+1024*64], x[lo:lo+1024*64], 1024, 64)
				}
			}},
			{"SGD", 5, func(lo, hi int) { sgd.Step(x[lo:hi], y[lo:hi], z[lo:hi]) }},
			{"AdamW", 7, func(lo, hi int) { adam.Update(x[lo:hi], y[lo:hi], u[lo:hi], z[lo:hi]) }},
			{"EMA", 3, func(lo, hi int) { EMA(x[lo:hi], y[lo:hi], 0.9) }},
			{"SumSquares", 1, func(lo, hi int) { SumSquares(x[lo:hi]) }},
			{"SumCols", 1, func(lo, hi int) { SumCols(u[lo/c:hi/c], x[lo:hi], c, 1) }},
		} {
			for _, set := range []struct {
				name    string
				avx512  bool
				present bool
			}{{"avx512", true, isa.UseAVX512}, {"avx2", false, isa.UseAVX2}} {
				if !set.present || f.name == "copy" && !set.avx512 {
					continue
				}
				b.Run(fmt.Sprintf("%s/%s/%s", f.name, size.name, set.name), func(b *testing.B) {
					had := isa.UseAVX512
					defer func() { isa.UseAVX512 = had }()
					isa.UseAVX512 = set.avx512
					b.SetBytes(int64(float64(4*n) * f.arrays))
					for b.Loop() {
						for i := range Pieces(n, PieceLen) {
							f.f(PieceBounds(i, PieceLen, n))
						}
					}
				})
			}
		}
	}
}

// BenchmarkBatchNorm runs the batch norm kernels over 256 KiB of rows of
// different length.
func BenchmarkBatchNorm(b *testing.B) {
	for _, c := range []int{3, 16, 24, 32, 64, 100, 256, 2048} {
		n := PieceLen / c * c
		x, y, z, k, part := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, c), make([]float32, 2*c)
		Fill(x, 0.25)
		Fill(k, 0.5)
		for _, f := range []struct {
			name   string
			arrays int
			f      func()
		}{
			{"Stats", 1, func() { BatchNormStats(part, x, c) }},
			{"ScaleShiftAdd", 3, func() { ScaleShiftAdd(y, x, k, k, z, true) }},
			{"GradReduce", 3, func() { BatchNormGradReduce(part, nil, y, z, x, k) }},
			{"GradReduceRecomputed", 2, func() { BatchNormGradReduceRecomputed(part, y, x, k, k, k) }},
			{"GradApply", 4, func() { BatchNormGradApply(y, y, z, x, NormGradCoefs{Mean: k, A: k, B: k, C: k}, false) }},
			{"GradApplyRecomputed", 3, func() { BatchNormGradApplyRecomputed(y, y, x, NormGradCoefs{k, k, k, k, k, k}, false) }},
		} {
			b.Run(fmt.Sprintf("%s/%d", f.name, c), func(b *testing.B) {
				b.SetBytes(int64(4 * n * f.arrays))
				for b.Loop() {
					f.f()
				}
			})
		}
	}
}
