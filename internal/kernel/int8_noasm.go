//go:build !amd64 || purego

package kernel

func int8Tile(m, nz int, g *int8Args) { int8TileGeneric(m, nz, g) }

func (g *int8Store) store() { int8StoreGeneric(g) }

func (q Int8Quant) quantizeVec([]uint8, []float32) int { return 0 }

func (q Int8Quant) dequantizeVec([]float32, []uint8) int { return 0 }

func maxBytesVec(_, _, _ []uint8) int { return 0 }
