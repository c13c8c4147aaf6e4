package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// Bounds of the blocks.
const (
	winogradBlock = 96 << 10 // floats of a block's transform and of its products at a time
	minTasks      = 16       // tasks to aim at
	fewTiles      = 64       // up to which the panels are divided among the tasks, too
	fewBlock      = 24       // tiles, at least, of a block where there are few
)

// cut chooses the blocks of a task, from the geometry and the instruction set
// alone. A block of tiles is so large that each weight read does the work of
// many tiles, and so small that its transform stays in the second-level cache.
// Where there are few tiles in all, each task has some of the panels only.
// Neighbouring tasks have the same tiles and mostly the same worker, which
// transforms them once.
func (f *Winograd) cut() {
	f.nz, f.maxM = gemm.PairOfPanels(f.panels)
	if f.way == inRegisters {
		f.nz, f.maxM = gemm.PairOfPanels(1)
	}
	f.heavy = f.PackedLen() > weightsFloats
	var tb int
	pb := f.panels
	switch {
	case f.way == inRegisters:
		tb = wino.MaxGroup
	case f.tiles <= fewTiles:
		tb = isa.CeilDiv(f.tiles, max(1, f.tiles/fewBlock))
	default:
		tb = max(1, winogradBlock/(f.positions()*(f.conv.C+f.nz*isa.PanelWidth)))
		if f.heavy {
			tb = max(tb, 2*f.maxM)
		}
		tb = min(tb, max(f.maxM, f.tiles/minTasks))
		tb = isa.CeilDiv(f.tiles, isa.CeilDiv(f.tiles, tb))
	}
	tb = min(tb, f.tiles)
	if f.tiles <= fewTiles {
		pb = isa.CeilDiv(isa.CeilDiv(f.panels*isa.CeilDiv(f.tiles, tb), minTasks), f.nz) * f.nz
	}
	f.setBlocks(tb, min(pb, f.panels))
}

// setBlocks gives each task that many tiles and panels.
func (f *Winograd) setBlocks(tiles, panels int) {
	f.tileBlock, f.panelBlock = tiles, panels
	f.tileBlocks, f.panelBlocks = isa.CeilDiv(f.tiles, tiles), isa.CeilDiv(f.panels, panels)
	if f.way == inRegisters {
		f.vPos, f.mPos = wino.Grouped(tiles)*isa.CeilDiv(f.conv.C, wino.TilesDepth)*wino.TilesDepth, wino.GroupOf(tiles)*isa.PanelWidth
		return
	}
	f.vPos, f.mPos = padded(tiles*f.conv.C), padded(tiles*f.nz*isa.PanelWidth)
}
