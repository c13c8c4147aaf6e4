//go:build (!amd64 && !arm64) || purego

package wino

// WeightRows transforms two rows of positions; see the one of amd64.
func WeightRows(pair int, dst *float32, pos int, w *float32, tap, c int) {
	winogradPairGeneric(pair, dst, pos, w, tap, c)
}

// MultiplyTiles multiplies 4 or 8 tiles; see the one of amd64.
func MultiplyTiles(tiles int, c, v, w *float32, tap, k int, _ uintptr, more int) {
	winogradTilesGeneric(tiles, c, v, w, tap, k, more)
}
