//go:build (!amd64 && !arm64) || purego

package wino

// Weights transforms 3x3 filters; see the one of amd64.
func Weights(t int, dst *float32, pos int, w *float32, tap, row, c, cols int) {
	winogradWeightsGeneric(t, dst, pos, w, tap, row, c, cols)
}
