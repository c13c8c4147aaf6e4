//go:build (!amd64 && !arm64) || purego

package kernel

func winogradInput(t int, v *float32, pos int, in *inputTile, c int, _ *float32) {
	winogradInputGeneric(t, v, pos, in, 0, c)
}

func winogradOutput(t int, m *float32, pos int, o *outputTile, c int, _ *float32) {
	winogradOutputGeneric(t, m, pos, o, 0, c)
}
