package engine

import (
	"fmt"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/simd/vec"
	"github.com/resnet-go/resnet/tensor"
)

// classifier is what the loss operators share: logits as rows of classes, with
// their targets.
type classifier struct {
	rows, classes int
	logits        *buf
	labels        int  // slot of int64 labels, -1 for distributions
	total         int  // place in run.f64 of the denominator, -1 if it is found anew for each piece
	targets       *buf // distributions
	weights       *buf // class weights, or nil
}

func (c *compiler) classifier(in []*graph.Value) (classifier, error) {
	s := in[0].Shape
	k := classifier{rows: s.Numel() / s[1], classes: s[1], labels: -1, total: -1, logits: c.in(in[0], activation)}
	if in[1].DType == tensor.Int64 {
		slot, err := c.intsOf(in[1])
		if err != nil {
			return k, err
		}
		k.labels = slot
	} else {
		k.targets = c.in(in[1], activation)
	}
	if len(in) == 3 {
		k.weights = c.in(in[2], rowMajor)
	}
	if len(s) == 4 && k.labels >= 0 { // a pass over all pixels, too long for each piece
		k.total = c.plan.doubles
		c.plan.doubles++
	}
	return k, nil
}

func (k classifier) reads(more ...*buf) []*buf {
	return present(append(more, k.logits, k.targets, k.weights))
}

// crossEntropyRows sets loss, and dx where there is one, for rows lo to hi.
func (k classifier) crossEntropyRows(r *run, e *vec.CrossEntropy, loss, dx []float32, scale float32, lo, hi int) {
	x := r.b[k.logits.id][lo*k.classes : hi*k.classes]
	if dx != nil {
		dx = dx[lo*k.classes : hi*k.classes]
	}
	if k.labels >= 0 {
		e.Labels(loss[lo:hi], dx, x, r.i64[k.labels][lo:hi], k.classes, scale)
	} else {
		e.Soft(loss[lo:hi], dx, x, r.b[k.targets.id][lo*k.classes:hi*k.classes], k.classes, scale)
	}
}

func (k classifier) kernel(r *run, o graph.CrossEntropy) vec.CrossEntropy {
	return vec.CrossEntropy{Smoothing: o.LabelSmoothing, Weight: r.opt(k.weights), Ignore: graph.IgnoreLabel, UseIgnore: true}
}

// findTotal emits the step that finds the denominator of a segmentation.
func (k classifier) findTotal(c *compiler, o graph.CrossEntropy) {
	if k.total < 0 {
		return
	}
	c.step("total", 1, func(r *run, _, _ int) {
		e := k.kernel(r, o)
		r.f64[k.total] = denominator(&e, r.i64[k.labels])
	}, reads(k.weights), nil)
}

// denominator is what the mean over the rows divides by.
func (k classifier) denominator(r *run, e *vec.CrossEntropy) float64 {
	if k.total >= 0 {
		return r.f64[k.total]
	}
	if k.labels >= 0 {
		return denominator(e, r.i64[k.labels])
	}
	return float64(k.rows)
}

// denominator is e.Denominator, and 1 where no label counts: the loss is 0 then.
func denominator(e *vec.CrossEntropy, labels []int64) float64 {
	if d := e.Denominator(labels); d != 0 {
		return d
	}
	return 1
}

func (c *compiler) crossEntropy(n *graph.Node, o graph.CrossEntropy) error {
	k, err := c.classifier(n.In)
	if err != nil {
		return err
	}
	loss := c.newBuf(k.rows)
	y := c.out(n.Out[0], rowMajor)
	path := n.String()
	if k.labels >= 0 {
		c.step("labels", 1, func(r *run, _, _ int) {
			e := k.kernel(r, o)
			if i := e.Check(r.i64[k.labels], k.classes); i >= 0 {
				r.fail(fmt.Errorf("engine: %s: label %d of sample %d is not in 0..%d", path, r.i64[k.labels][i], i, k.classes-1))
			}
		}, nil, nil)
	}
	k.findTotal(c, o)
	c.rows("", k.rows, k.classes, func(r *run, lo, hi int) {
		e := k.kernel(r, o)
		k.crossEntropyRows(r, &e, r.b[loss.id], nil, 1, lo, hi)
	}, k.reads(), writes(loss))
	c.step("mean", 1, func(r *run, _, _ int) {
		e := k.kernel(r, o)
		r.b[y.id][0] = float32(sum64(r.b[loss.id]) / k.denominator(r, &e))
	}, k.reads(loss), writes(y))
	return nil
}

func (c *compiler) crossEntropyGrad(n *graph.Node, o graph.CrossEntropyGrad) error {
	k, err := c.classifier(n.In[1:])
	if err != nil {
		return err
	}
	dloss := c.in(n.In[0], rowMajor)
	loss := c.newBuf(k.rows)
	dx := c.out(n.Out[0], activation)
	k.findTotal(c, o.Of)
	c.rows("", k.rows, k.classes, func(r *run, lo, hi int) {
		e := k.kernel(r, o.Of)
		scale := float32(float64(r.b[dloss.id][0]) / k.denominator(r, &e))
		k.crossEntropyRows(r, &e, r.b[loss.id], r.b[dx.id], scale, lo, hi)
	}, k.reads(dloss), writes(loss, dx))
	return nil
}

func (c *compiler) bce(n *graph.Node) error {
	k, err := c.classifier(n.In)
	if err != nil {
		return err
	}
	loss := c.newBuf(k.rows)
	y := c.out(n.Out[0], rowMajor)
	c.rows("", k.rows, k.classes, func(r *run, lo, hi int) {
		at, to := lo*k.classes, hi*k.classes
		vec.BCEWithLogits(r.b[loss.id][lo:hi], nil, r.b[k.logits.id][at:to], r.b[k.targets.id][at:to], r.opt(k.weights), k.classes, 1)
	}, k.reads(), writes(loss))
	c.step("mean", 1, func(r *run, _, _ int) {
		r.b[y.id][0] = float32(sum64(r.b[loss.id]) / float64(k.rows*k.classes))
	}, reads(loss), writes(y))
	return nil
}

func (c *compiler) bceGrad(n *graph.Node) error {
	k, err := c.classifier(n.In[1:])
	if err != nil {
		return err
	}
	dloss := c.in(n.In[0], rowMajor)
	loss := c.newBuf(k.rows)
	dx := c.out(n.Out[0], activation)
	c.rows("", k.rows, k.classes, func(r *run, lo, hi int) {
		at, to := lo*k.classes, hi*k.classes
		scale := r.b[dloss.id][0] / float32(k.rows*k.classes)
		vec.BCEWithLogits(r.b[loss.id][lo:hi], r.b[dx.id][at:to], r.b[k.logits.id][at:to], r.b[k.targets.id][at:to], r.opt(k.weights), k.classes, scale)
	}, k.reads(dloss), writes(loss, dx))
	return nil
}

func sum64(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	return sum
}
