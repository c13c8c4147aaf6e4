//go:build (!amd64 && !arm64) || purego

package kernel

// winogradPair transforms two rows of positions; see the one of amd64.
func winogradPair(pair int, dst *float32, pos int, w *float32, tap, c int) {
	winogradPairGeneric(pair, dst, pos, w, tap, c)
}

// winogradTiles multiplies 4 or 8 tiles; see the one of amd64.
func winogradTiles(tiles int, c, v, w *float32, tap, k int, _ uintptr, more int) {
	winogradTilesGeneric(tiles, c, v, w, tap, k, more)
}
