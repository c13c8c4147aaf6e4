package conv

import (
	"github.com/resnet-go/resnet/internal/simd/gemm"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// Groups of few channels, such as ResNeXt's of 4 and RegNet's of 8, leave most columns of
// a panel empty, and are copied and multiplied in many short pieces. Several of them
// become one group, whose weights are zero between the channels of different groups: as
// many products, in a fraction of the pieces. Zeros do not change a sum, but for a channel
// that is not finite, which reaches the groups merged with its own.

// mergeable returns how many groups fit into a panel, 0 if one is larger.
func (c *Conv) mergeable() int {
	return min(isa.PanelWidth/max(c.K/c.Groups, 1), c.Groups)
}

// merged returns how many groups of a direct forward convolution become one, 1 for none,
// and how many at the end are left as they are.
func (c *Conv) merged() (m, rest int) {
	m = c.mergeable()
	if m < 2 || c.Precision != gemm.FP32 {
		return 1, 0
	}
	return m, c.Groups % m
}

// evenlyMerged returns how many groups become one where none may be left.
func (c *Conv) evenlyMerged() int {
	m := c.mergeable()
	for ; m > 1 && c.Groups%m != 0; m-- {
	}
	return max(m, 1)
}

// forwardParts are the convolutions of merged groups and of those that are left.
func forwardParts(c Conv) *directParts {
	m, rest := c.merged()
	p := &directParts{}
	if m == 1 {
		p.add(newDirectForward(c))
		return p
	}
	cg, kg := c.C/c.Groups, c.K/c.Groups
	add := func(first, groups, merge, packed int) {
		if groups == 0 {
			return
		}
		shape := forwardShape(c)
		shape.groups, shape.c, shape.k = groups/merge, cg*merge, kg*merge
		shape.xOff, shape.kOff, shape.wOff = first*cg, first*kg, packed
		p.add(newDirect(shape))
	}
	whole := c.Groups - rest
	add(0, whole, m, 0)
	add(whole, rest, 1, whole*cg*c.R*c.S*isa.PanelWidth)
	return p
}

// mergedPacking returns the panels of forwardParts, one for each of their groups.
func (c Conv) mergedPacking() *Packing {
	m, rest := c.merged()
	if m == 1 {
		return c.forwardPacking()
	}
	cg, kg, taps := c.C/c.Groups, c.K/c.Groups, c.R*c.S
	whole := c.Groups - rest
	size := taps * cg * isa.PanelWidth // of the panel of one group
	return &Packing{
		Len: c.Groups * size, Tasks: whole/m + rest, Key: c.key("merged panels"), OIHW: true, weights: c.WLen(),
		pack: func(task int, dst []float32, w Weights) {
			first, n := task*m, m
			if first >= whole {
				first, n = whole+task-whole/m, 1
			}
			dst = dst[first*size:][:n*size]
			clear(dst)
			for j := range n {
				for k := range kg {
					out := (first+j)*kg + k
					for tap := range taps {
						for ch := range cg {
							at := (tap*cg+ch)*c.K + out
							if w.Order == OIHW {
								at = (out*cg+ch)*taps + tap
							}
							v := w.Data[at]
							if w.Scale != nil {
								v = float32(float64(v) * w.Scale[out])
							}
							dst[((tap*n+j)*cg+ch)*isa.PanelWidth+j*kg+k] = v
						}
					}
				}
			}
		},
	}
}
