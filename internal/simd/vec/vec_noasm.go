//go:build (!amd64 && !arm64) || purego

package vec

func shiftedSums(sum, sq, x, origin []float32) { shiftedSumsGeneric(sum, sq, x, origin) }

func scaleShift(y, x, scale, shift, res, rs, rb []float32, relu bool) {
	scaleShiftGeneric(y, x, scale, shift, res, rs, rb, relu)
}

func gradReduce(s, t, dz, dy, y, x, mean []float32) { gradReduceGeneric(s, t, dz, dy, y, x, mean) }

func gradReduceAgain(s, t, dy, x, mean, scale, shift []float32) {
	gradReduceAgainGeneric(s, t, dy, x, mean, scale, shift)
}

func gradApplyAgain(dx, dy, x, mean, a, b, c, scale, shift []float32, accumulate bool) {
	gradApplyAgainGeneric(dx, dy, x, mean, a, b, c, scale, shift, accumulate)
}

func gradApply(dx, dy, y, x, mean, a, b, c []float32, accumulate bool) {
	gradApplyGeneric(dx, dy, y, x, mean, a, b, c, accumulate)
}

func scaleGrad(dx, dy, y, a []float32, accumulate bool) { scaleGradGeneric(dx, dy, y, a, accumulate) }

func unary(op UnaryOp, y, x []float32, a, b float32) bool { return false }

func unaryGrad(op UnaryOp, dx, dy, x, y []float32, a, b float32, accumulate bool) bool { return false }

func binary(op BinaryOp, y, a, b []float32) { binaryGeneric(op, y, a, b) }

func binaryScalar(op BinaryOp, y, a []float32, s float32) { binaryScalarGeneric(op, y, a, s) }

func axpy(y, x []float32, a float32) { axpyGeneric(y, x, a) }

func sumRows(out, a, b []float32) { sumRowsGeneric(out, a, b) }

func rowSum(x []float32) float64 { return sum64(x) }

func rowDot(a, b []float32) float64 { return dot64(a, b) }

func rowMax(x []float32) float32 { return rowMaxGeneric(x) }

func expShift(y, x []float32, m float32) float64 { return expShiftGeneric(y, x, m) }

func maxPool(y []float32, arg []uint16, x []float32, w *window) { maxPoolChannels(y, arg, x, w, 0) }

func maxPoolGrad(dx, dy []float32, arg []uint16, tap uint16, c, step int) {
	maxPoolGradChannels(dx, dy, arg, tap, c, step, 0)
}

func TransposeStrided(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	transposeGeneric(dst, dstStride, src, srcStride, rows, cols)
}

func normalizeU8(dst []float32, src []byte, scale, shift []float32) {
	normalizeU8Generic(dst, src, scale, shift)
}

func dropout(y, x []float32, limit uint32, scale float32, ctr [4]uint32, key [2]uint32, first int) {
	dropoutGeneric(y, x, limit, scale, ctr, key, first)
}

func sgd(p, v, g []float32, k *sgdCoefs) { sgdGeneric(p, v, g, k) }

func adam(p, m, v, g []float32, k *adamCoefs) { adamGeneric(p, m, v, g, k) }

func ema(avg, p []float32, decay, fresh float32) { emaGeneric(avg, p, decay, fresh) }

func sumSquares(lane *[sumLanes]float64, x []float32) { sumSquaresGeneric(lane, x) }
