package wino

import "github.com/resnet-go/resnet/internal/simd/isa"

// The way inRegisters. It does tiles by groups of 8, and of 4 at the end. The
// transformed inputs of each group are
//
//	[channels/48][position][tile][48]
//
// and its products [position][tile][16], so that all offsets are constant.
const (
	TilesDepth = 48
	MaxGroup   = 8
)

// GroupOf returns the size of the first group of some tiles.
func GroupOf(tiles int) int {
	if tiles > MaxGroup/2 {
		return MaxGroup
	}
	return MaxGroup / 2
}

// Grouped returns how many places tiles take, some of them empty.
func Grouped(tiles int) int { return isa.CeilDiv(tiles, MaxGroup/2) * (MaxGroup / 2) }
