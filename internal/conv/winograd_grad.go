package conv

import (
	"fmt"

	"github.com/resnet-go/resnet/internal/simd/wino"
)

// winogradInputGrad is the algorithm of an input gradient with tiles of it of a kind:
// a [winograd] of the transposed convolution.
func winogradInputGrad(tile wino.Tile) algorithm {
	return func(c Conv, w Want) (candidate, error) {
		t, err := c.transposed()
		if err != nil {
			return candidate{}, err
		}
		return winogradCandidate(t, tile, w, c.FLOPs(), c.inFloat32().inputGradPacking)
	}
}

// transposed returns the convolution that is the input gradient of c: that of dy,
// [N][OutH][OutW][K], with the flipped and transposed weights is dx,
// [N][H][W][C].
func (c Conv) transposed() (Conv, error) {
	if err := c.checkWinograd(); err != nil {
		return c, err
	}
	reachH, reachW := 2*c.DilH, 2*c.DilW // from the first tap to the last
	if max(c.PadTop, c.PadBottom) > reachH || max(c.PadLeft, c.PadRight) > reachW {
		return c, fmt.Errorf("convolution: Winograd's input gradient wants a padding of at most %dx%d, got %d, %d, %d, %d",
			reachH, reachW, c.PadTop, c.PadLeft, c.PadBottom, c.PadRight)
	}
	g := c
	g.H, g.W, g.C, g.K = c.OutH(), c.OutW(), c.K, c.C
	g.PadTop, g.PadLeft, g.PadBottom, g.PadRight = reachH-c.PadTop, reachW-c.PadLeft, reachH-c.PadBottom, reachW-c.PadRight
	return g, nil
}
