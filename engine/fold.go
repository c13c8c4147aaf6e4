package engine

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/memory"
	"github.com/resnet-go/resnet/tensor"
)

// foldScale returns what each filter of a convolution (bias may be nil) is to
// be multiplied by, and the bias [K], so that it does a batch norm too.
func foldScale(gamma, beta, mean, variance, bias *tensor.Tensor, eps float32) (scale []float64, fb *tensor.Tensor) {
	scale = make([]float64, gamma.Numel())
	fb = tensor.New(gamma.Numel())
	for k := range scale {
		scale[k] = float64(gamma.Float32s()[k]) / math.Sqrt(float64(variance.Float32s()[k])+float64(eps))
		b := -float64(mean.Float32s()[k])
		if bias != nil {
			b += float64(bias.Float32s()[k])
		}
		fb.Float32s()[k] = float32(b*scale[k] + float64(beta.Float32s()[k]))
	}
	return scale, fb
}

// scaledWeight is the constant w with each filter multiplied by its scale, in
// float64 and rounded once. It is not computed by itself but while it is packed:
// a network's weights are too large to be copied once more.
type scaledWeight struct {
	w     *tensor.Tensor // [K C R S]
	scale []float64      // [K]
	by    [2]*tensor.Tensor
	eps   float32 // scale is made of by, gamma and variance, and eps
}

func (scaledWeight) Name() string { return "ScaledWeight" }

func (o scaledWeight) Infer(in []graph.Type) ([]graph.Type, error) {
	if len(in) != 0 || len(o.scale) != o.w.Shape()[0] {
		return nil, fmt.Errorf("%d inputs and %d scales for %v", len(in), len(o.scale), o.w)
	}
	return []graph.Type{{DType: tensor.Float32, Shape: o.w.Shape()}}, nil
}

// tensor computes the constant.
func (o scaledWeight) tensor() *tensor.Tensor {
	t := tensor.New(o.w.Shape()...)
	filter := t.Numel() / len(o.scale)
	for i, x := range o.w.Float32s() {
		t.Float32s()[i] = float32(float64(x) * o.scale[i/filter])
	}
	return t
}

// source says what a constant in the public order is made of.
type source struct {
	w     *tensor.Tensor    // what data is of, or nil
	scale []float64         // what data is still to be multiplied by, or nil
	by    [2]*tensor.Tensor // see scaledWeight
	eps   float32
}

// scaledWeight notes where the weight lies; packing scales it.
func (c *compiler) scaledWeight(v *graph.Value, op scaledWeight) {
	b := c.newBuf(v.Shape.Numel())
	b.constant(source(op))
	c.at[v] = place{b, rowMajor}
}

// scaled computes a scaledWeight for a reader that cannot scale.
func (c *compiler) scaled(v *graph.Value) place {
	from := c.at[v].buf
	b := c.newBuf(from.size)
	b.kind, b.data = constant, make([]float32, from.size)
	filter := from.size / len(from.source.scale)
	for i, x := range c.read(from) {
		b.data[i] = float32(float64(x) * from.source.scale[i/filter])
	}
	c.at[v] = place{b, rowMajor}
	return c.at[v]
}

// sharedPack identifies packed weights among the plans over one Vars.
type sharedPack struct {
	w, gamma, variance *tensor.Tensor
	eps                float32
	packed             // without the weight
}

// packForward returns the weights v of a forward convolution in panels.
func (c *compiler) packForward(v *graph.Value, shape conv.Conv) *buf {
	at, ok := c.at[v]
	if !ok || at.buf.kind != constant || at.layout != rowMajor {
		return c.pack(c.in(v, weight), shape, false)
	}
	p := shape.ForwardPacking()
	return c.packConstant(v, packed{shape: shape}, p.Len(), func(dst, w []float32, scale []float64, _ layout) {
		c.plan.pool.Run(p.Tasks(), func(task, _ int) { p.RunOIHW(task, dst, w, scale) })
	})
}

// packConstant returns the constant weights v as do makes them, n floats, where
// as names the packing. do gets v in the public order, to be multiplied by scale
// unless that is nil, or in the layout weight.
func (c *compiler) packConstant(v *graph.Value, as packed, n int, do func(dst, w []float32, scale []float64, layout layout)) *buf {
	at := c.at[v]
	if at.layout != rowMajor {
		at = place{c.in(v, weight), weight}
	}
	as.shape.N, as.shape.H, as.shape.W = 1, 1, 1 // packed weights do not depend on the image
	key := as
	key.weight = at.buf
	if b, ok := c.packs[key]; ok {
		return b
	}
	b := c.newBuf(n)
	b.kind = constant
	made := c.vars.shared(at.buf.source, as, func() (p pack) {
		w := c.read(at.buf)
		if c.err != nil {
			return p
		}
		p.floats, p.block = c.slabs.Floats(n)
		do(p.floats, w, at.buf.source.scale, at.layout)
		return p
	})
	b.data = made.floats
	c.plan.keep = append(c.plan.keep, made.block)
	c.packs[key] = b
	return b
}

// floats returns memory for n floats of a constant.
func (c *compiler) floats(n int) []float32 {
	f, b := c.slabs.Floats(n)
	c.plan.keep = append(c.plan.keep, b)
	return f
}

// pack is packed weights, and what keeps their memory.
type pack struct {
	floats []float32
	block  *memory.Block
}

// shared returns what do makes of s, once for all plans if all of s is
// adopted.
func (v *Vars) shared(s source, as packed, do func() pack) pack {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.owned[s.w] || s.scale != nil && !(v.owned[s.by[0]] && v.owned[s.by[1]]) {
		return do()
	}
	key := sharedPack{s.w, s.by[0], s.by[1], s.eps, as}
	p, ok := v.packs[key]
	if !ok {
		if p = do(); p.block != nil { // else the weights could not be read
			v.packs[key] = p
		}
	}
	return p
}

// dropUnread forgets constants that no step reads, such as weights that were
// packed.
func (p *Plan) dropUnread() {
	used := map[*buf]bool{}
	for _, s := range p.steps {
		for _, b := range s.reads {
			used[b.whole()] = true
		}
		for _, b := range s.writes {
			used[b.whole()] = true
		}
	}
	for _, b := range p.bufs {
		if !used[b] && b.kind == constant {
			b.data = nil
		}
		b.source = source{}
	}
}
