package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// The output of a residual network's first convolution is its largest value by
// far, and max pooling, which alone reads it, leaves a quarter. So for batches
// the two are computed for a few images at a time: the arena is smaller, and
// pooling finds its input in the cache.

// groupFloats bounds the floats of the convolution's output for a group of
// images, unless one image has more.
const groupFloats = 2 << 20

// fusedConvPool is pool(conv). Inputs: those of the convolution.
type fusedConvPool struct {
	conv fusedConv
	path string // of the convolution
	pool graph.MaxPool2d
}

func (fusedConvPool) Name() string { return "Conv2d+MaxPool2d" }

func (o fusedConvPool) Infer(in []graph.Type) ([]graph.Type, error) {
	out, err := o.conv.Infer(in)
	if err != nil {
		return nil, err
	}
	out, err = o.pool.Infer(out[:1])
	if err != nil {
		return nil, err
	}
	return out[:1], nil
}

// fuseConvPool joins a convolution with the max pooling that alone reads it, when
// computing them a few images at a time pays off.
func fuseConvPool(g *graph.Graph) edit {
	e := newEdit()
	use := users(g)
	for _, n := range g.Nodes {
		pool, ok := n.Op.(graph.MaxPool2d)
		if !ok || len(use[n.Out[1]]) > 0 {
			continue
		}
		y := n.In[0]
		conv, ok := y.Node.Op.(fusedConv)
		if !ok || conv.stats || conv.residual || len(use[y]) != 1 || imagesOf(y.Shape) >= y.Shape[0] {
			continue
		}
		e.skip[y.Node] = true
		e.put[n] = replacement{
			op: fusedConvPool{conv: conv, path: y.Node.Path, pool: pool},
			in: operands(y.Node.In...), out: []*graph.Value{n.Out[0]},
		}
	}
	return e
}

// imagesOf returns the number of images of a group; y is the shape of the
// convolution's output for the whole batch.
func imagesOf(y tensor.Shape) int { return max(1, groupFloats/y[1:].Numel()) }

func (c *compiler) convPool(n *graph.Node, op fusedConvPool) error {
	x, y := c.in(n.In[0], activation), c.out(n.Out[0], activation)
	types, err := op.conv.Infer(typesOf(n.In))
	if err != nil {
		return err
	}
	middle := types[0].Shape
	batch, size := middle[0], imagesOf(middle)
	for at := 0; at < batch; at += size {
		k := min(size, batch-at)
		part := func(v *graph.Value, b *buf) *graph.Value {
			s := append(tensor.Shape{k}, v.Shape[1:]...)
			p := &graph.Value{Type: graph.Type{DType: v.DType, Shape: s}}
			c.at[p] = place{c.part(b, at*s[1:].Numel(), s.Numel()), activation}
			return p
		}
		conv := &graph.Node{
			Op: op.conv, Path: fmt.Sprintf("%s[%d:%d]", op.path, at, at+k),
			In:  append([]*graph.Value{part(n.In[0], x)}, n.In[1:]...),
			Out: []*graph.Value{{Type: graph.F32(append([]int{k}, middle[1:]...)...)}},
		}
		pool := &graph.Node{
			Op: op.pool, Path: fmt.Sprintf("%s[%d:%d]", n.Path, at, at+k),
			In: conv.Out, Out: []*graph.Value{part(n.Out[0], y), {}},
		}
		c.node = conv
		if err := c.conv(conv, op.conv); err != nil {
			return err
		}
		c.node = pool
		if err := c.maxPool(pool, op.pool); err != nil {
			return err
		}
	}
	c.node = n
	return nil
}

// part returns size floats of b from at on as a buffer.
func (c *compiler) part(b *buf, at, size int) *buf {
	p := c.newBuf(size)
	p.kind, p.of, p.at = part, b, at
	c.plan.parts = append(c.plan.parts, p)
	return p
}

// whole returns the buffer that b is a part of, or b.
func (b *buf) whole() *buf {
	if b.kind == part {
		return b.of
	}
	return b
}

// setParts points the parts to where their buffers are in this run.
func (r *run) setParts() {
	for _, b := range r.plan.parts {
		r.b[b.id] = r.b[b.of.id][b.at : b.at+b.size : b.at+b.size]
	}
}
