//go:build !amd64 || purego

package kernel

func int8Tile(m, nz int, g *int8Args) { int8TileGeneric(m, nz, g) }

func (g *int8Store) store() { int8StoreGeneric(g) }
