//go:build !amd64 || purego

package wino

func Stride2Input(v *float32, pos int, in *Stride2Tile, c int, _ *float32) {
	winogradStride2InputGeneric(v, pos, in, 0, c)
}

func Stride2Output(p *float32, pos int, o *OutputTile, c int, _ *float32) {
	winogradStride2OutputGeneric(p, pos, o, 0, c)
}
