package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/tensor"
)

// focal is what the focal loss and its gradient share.
type focal struct {
	op            vec.Focal
	rows, classes int
	logits        *buf
	labels        int  // slot of int64 classes, -1 for targets
	targets       *buf // or nil
	weights       *buf // or nil
	path          string
}

func (c *compiler) newFocal(o graph.SigmoidFocal, in []*graph.Value) (*focal, error) {
	s := in[0].Shape
	f := &focal{op: vec.Focal(o), rows: s[0], classes: s[1], labels: -1, logits: c.in(in[0], rowMajor), path: c.node.String()}
	if in[1].DType == tensor.Int64 {
		slot, err := c.intsOf(in[1])
		if err != nil {
			return nil, err
		}
		f.labels = slot
	} else {
		f.targets = c.in(in[1], rowMajor)
	}
	if len(in) == 3 {
		f.weights = c.in(in[2], rowMajor)
	}
	return f, nil
}

func (f *focal) reads(more ...*buf) []*buf {
	return present(append(more, f.logits, f.targets, f.weights))
}

// each emits a step over the rows.
func (f *focal) each(c *compiler, do func(r *run, row int, scratch []float32), reads, writes []*buf) {
	c.needScratch(vec.FocalScratch)
	size := vec.PieceRows(f.rows, f.classes)
	c.step("", vec.Pieces(f.rows, size), func(r *run, task, worker int) {
		lo, hi := vec.PieceBounds(task, size, f.rows)
		for i := lo; i < hi; i++ {
			do(r, i, r.scratch[worker])
		}
	}, reads, writes)
}

// row computes row i: its weighted loss, and the gradient in dx unless it is nil.
func (f *focal) row(r *run, i int, dx []float32, scale float32, scratch []float32) float32 {
	label, weight := -1, float32(1)
	if f.labels >= 0 {
		l := r.i64[f.labels][i]
		switch {
		case l == graph.IgnoreLabel:
			weight = 0
		case l < -1 || l >= int64(f.classes):
			r.fail(fmt.Errorf("engine: %s: class %d of row %d is not in -1..%d", f.path, l, i, f.classes-1))
			return 0
		default:
			label = int(l)
		}
	}
	if f.weights != nil && weight != 0 {
		weight = r.b[f.weights.id][i]
	}
	if weight == 0 {
		clear(dx)
		return 0
	}
	lo, hi := i*f.classes, (i+1)*f.classes
	return float32(float64(weight) * f.op.Row(dx, r.b[f.logits.id][lo:hi], r.part(f.targets, lo, hi), label, scale*weight, scratch))
}

func (c *compiler) sigmoidFocal(n *graph.Node, o graph.SigmoidFocal) error {
	f, err := c.newFocal(o, n.In)
	if err != nil {
		return err
	}
	loss := c.newBuf(f.rows)
	y := c.out(n.Out[0], rowMajor)
	f.each(c, func(r *run, i int, scratch []float32) {
		r.b[loss.id][i] = f.row(r, i, nil, 1, scratch)
	}, f.reads(), writes(loss))
	c.step("sum", 1, func(r *run, _, _ int) {
		r.b[y.id][0] = float32(sum64(r.b[loss.id]))
	}, reads(loss), writes(y))
	return nil
}

func (c *compiler) sigmoidFocalGrad(n *graph.Node, o graph.SigmoidFocalGrad) error {
	f, err := c.newFocal(o.Of, n.In[1:])
	if err != nil {
		return err
	}
	dloss := c.in(n.In[0], rowMajor)
	dx := c.out(n.Out[0], rowMajor)
	f.each(c, func(r *run, i int, scratch []float32) {
		f.row(r, i, r.b[dx.id][i*f.classes:(i+1)*f.classes], r.b[dloss.id][0], scratch)
	}, f.reads(dloss), writes(dx))
	return nil
}

func (c *compiler) oneHot(n *graph.Node, o graph.OneHot) error {
	slot, err := c.intsOf(n.In[0])
	if err != nil {
		return err
	}
	y := c.out(n.Out[0], rowMajor)
	rows, path := n.In[0].Shape.Numel(), n.String()
	c.rows("", rows, o.Classes, func(r *run, lo, hi int) {
		clear(r.b[y.id][lo*o.Classes : hi*o.Classes])
		for i, label := range r.i64[slot][lo:hi] {
			switch {
			case label == graph.IgnoreLabel:
			case label < 0 || label >= int64(o.Classes):
				r.fail(fmt.Errorf("engine: %s: label %d at %d is not in 0..%d", path, label, lo+i, o.Classes-1))
				return
			default:
				r.b[y.id][(lo+i)*o.Classes+int(label)] = 1
			}
		}
	}, nil, writes(y))
	return nil
}
