//go:build (!amd64 && !arm64) || purego

package wino

func Input(t int, v *float32, pos int, in *InputTile, c int, _ *float32) {
	winogradInputGeneric(t, v, pos, in, 0, c)
}

func Output(t int, m *float32, pos int, o *OutputTile, c int, _ *float32) {
	winogradOutputGeneric(t, m, pos, o, 0, c)
}
