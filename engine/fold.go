package engine

import (
	"crypto/sha256"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/memory"
	"github.com/resnet-go/resnet/tensor"
)

// foldScale returns the factor of each filter of a convolution (bias may be nil),
// and the bias [K], with which the convolution computes a batch norm, too.
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

// source records how a constant in the public order (NCHW, OIHW) is derived.
type source struct {
	w     *tensor.Tensor    // what data is of, or nil
	scale []float64         // what data is still to be multiplied by, or nil
	by    [2]*tensor.Tensor // see scaledWeight
	eps   float32
	// hash is the SHA-256 of quantized weights; zero of others. Each trace of a file
	// makes these constants anew, so only their content identifies them.
	hash [sha256.Size]byte
}

// scaledWeight notes where the weight lies; packing scales it.
func (c *compiler) scaledWeight(v *graph.Value, op scaledWeight) {
	b := c.newBuf(v.Shape.Numel())
	b.constant(source{w: op.w, scale: op.scale, by: op.by, eps: op.eps})
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

// packed identifies packed weights within a plan.
type packed struct {
	weight *buf
	key    conv.PackingKey
	order  conv.Order
}

// sharedPack identifies packed weights among the plans over one Vars.
type sharedPack struct {
	w, gamma, variance *tensor.Tensor
	eps                float32
	hash               [sha256.Size]byte // instead of w, of quantized weights
	key                conv.PackingKey
	order              conv.Order
}

// pack returns the weights v as p lays them out: packed at once where they are
// constant, by a step of each run where they are trained.
func (c *compiler) pack(v *graph.Value, p *conv.Packing) *buf {
	at := c.at[v]
	if at.buf.kind != constant {
		w, dst := c.in(v, weight), c.newBuf(p.Len)
		c.step("pack", p.Tasks, func(r *run, task, _ int) {
			p.Pack(task, r.b[dst.id], conv.Weights{Data: r.b[w.id]})
		}, reads(w), writes(dst))
		return dst
	}
	if at.layout != rowMajor || !p.OIHW {
		return c.packConstant(c.in(v, weight), p, conv.HWIO)
	}
	return c.packConstant(at.buf, p, conv.OIHW)
}

// packConstant returns constant weights, stored in the given order, as p lays them out.
func (c *compiler) packConstant(from *buf, p *conv.Packing, order conv.Order) *buf {
	key := packed{from, p.Key, order}
	if b, ok := c.packs[key]; ok {
		return b
	}
	b := c.newBuf(p.Len)
	b.kind = constant
	made := c.vars.shared(from.source, p.Key, order, func() (made pack) {
		w := conv.Weights{Data: c.read(from), Order: order}
		if c.err != nil {
			return made
		}
		if order == conv.OIHW {
			w.Scale = from.source.scale
		}
		made.floats, made.block = c.slabs.Floats(p.Len)
		c.plan.pool.Run(p.Tasks, func(task, _ int) { p.Pack(task, made.floats, w) })
		return made
	})
	b.data = made.floats
	c.plan.keep = append(c.plan.keep, made.block)
	c.packs[key] = b
	return b
}

// pack is packed weights, and what keeps their memory.
type pack struct {
	floats []float32
	block  *memory.Block
}

// shared returns what do makes of s in a layout, once for all plans if all of s
// is adopted or known by its content.
func (v *Vars) shared(s source, layout conv.PackingKey, order conv.Order, do func() pack) pack {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := sharedPack{s.w, s.by[0], s.by[1], s.eps, s.hash, layout, order}
	switch {
	case s.hash != [sha256.Size]byte{}:
		key.w = nil
	case !v.owned[s.w] || s.scale != nil && !(v.owned[s.by[0]] && v.owned[s.by[1]]):
		return do()
	}
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
