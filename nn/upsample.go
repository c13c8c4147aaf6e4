package nn

import (
	"math"

	"github.com/resnet-go/resnet/graph"
)

// Upsample changes the size of images [N C H W] by nearest neighbor or bilinear
// interpolation, as PyTorch's Upsample without align_corners; see [graph.Resize]. The
// output is Height by Width, or floor(Scale*H) by floor(Scale*W) if those are 0.
type Upsample struct {
	Height, Width int
	Scale         float64
	Bilinear      bool
}

// NewUpsample scales by a factor, by nearest neighbor unless bilinear.
func NewUpsample(scale float64, bilinear bool) *Upsample {
	return &Upsample{Scale: scale, Bilinear: bilinear}
}

// Forward resizes x.
func (m *Upsample) Forward(c *Context, x *graph.Value) *graph.Value {
	op := graph.Resize{OH: m.Height, OW: m.Width, Bilinear: m.Bilinear}
	if m.Height == 0 && m.Width == 0 {
		if len(x.Shape) != 4 || !(m.Scale > 0 && m.Scale < math.MaxInt16) {
			c.Failf("want an input [N C H W] and a positive scale, got %v and %g", x.Shape, m.Scale)
		}
		op.OH, op.OW = int(float64(x.Shape[2])*m.Scale), int(float64(x.Shape[3])*m.Scale)
		op.ScaleH, op.ScaleW = m.Scale, m.Scale
	}
	return c.Op1(op, x)
}

// PReLU is x where x > 0 and Weight*x elsewhere (He et al. 2015); see [graph.PReLU].
// Input [N C ...], output the same.
type PReLU struct {
	Weight *Param // [1] or [C]
}

// NewPReLU returns a PReLU with one slope, or one for each of the channels, that starts at
// 0.25.
func NewPReLU(slopes int) *PReLU {
	p := NewParam(Constant(0.25), slopes)
	p.NoDecay = true // decay would pull it to a plain ReLU (He et al. 2015, section 2.1)
	return &PReLU{p}
}

// Forward applies the function to each element.
func (m *PReLU) Forward(c *Context, x *graph.Value) *graph.Value {
	return graph.PReLU(c.Graph(), x, c.Param(m.Weight))
}

// Embedding is a table of vectors, read by int64 indices; see [graph.Gather]. Input int64
// of any shape, output float32 of that shape and a last axis Features.
type Embedding struct {
	Weight *Param // [Entries Features]
}

// NewEmbedding returns a table of standard normal numbers, as PyTorch does.
func NewEmbedding(entries, features int) *Embedding {
	return &Embedding{NewParam(Normal(0, 1), entries, features)}
}

// Forward reads the rows of x's indices.
func (m *Embedding) Forward(c *Context, x *graph.Value) *graph.Value {
	return c.Gather(c.Param(m.Weight), x, 0)
}
