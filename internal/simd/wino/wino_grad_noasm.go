//go:build (!amd64 && !arm64) || purego

package wino

func OutputGrad(v *float32, pos int, in *GradTile, c int, tmp *float32) {
	winogradOutputGradGeneric(v, pos, in, 0, c)
}

func WeightGrad(dw *float32, tap int, u *float32, pos, n int, tmp *float32) {
	winogradWeightGradGeneric(dw, tap, u, pos, 0, n)
}
