//go:build !amd64 || purego

package kernel

func winogradStride2Input(v *float32, pos int, in *stride2Tile, c int, _ *float32) {
	winogradStride2InputGeneric(v, pos, in, 0, c)
}

func winogradStride2Output(p *float32, pos int, o *outputTile, c int, _ *float32) {
	winogradStride2OutputGeneric(p, pos, o, 0, c)
}
