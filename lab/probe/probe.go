// Package probe measures inside a network: its error on given pictures,
// gradient and signal by layer, features by block, the loss around its weights,
// and what a deleted block costs.
package probe

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// State are a network's values by state-dict key.
type State map[string]*tensor.Tensor

// StateOf returns the values of m's parameters, which must have some.
func StateOf(m nn.Module) State { return nn.Values(m) }

// Pictures are prepared inputs, [N H W C], and their labels.
type Pictures struct {
	Shape  tensor.Shape // [C H W] of one
	X      []float32
	Labels []int64
}

// Load prepares the first n pictures of each class, or all if n is 0.
func Load(ctx context.Context, ds data.Dataset, prep data.Preprocess, n int) (*Pictures, error) {
	p := &Pictures{Shape: tensor.Shape{prep.Channels, prep.Height, prep.Width}}
	size := p.Shape.Numel()
	taken := make([]int, len(ds.Classes()))
	var img imaging.Image
	for i := range ds.Len() {
		l := ds.Labels(i)
		if len(l) != 1 || n > 0 && taken[l[0]] >= n {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		taken[l[0]]++
		if err := ds.Decode(i, &img); err != nil {
			return nil, fmt.Errorf("%s: %w", ds.Name(i), err)
		}
		x := make([]float32, size)
		if err := prep.ApplyNHWC(x, &img); err != nil {
			return nil, fmt.Errorf("%s: %w", ds.Name(i), err)
		}
		p.X, p.Labels = append(p.X, x...), append(p.Labels, int64(l[0]))
	}
	if len(p.Labels) == 0 {
		return nil, fmt.Errorf("probe: no pictures")
	}
	return p, nil
}

// batch returns pictures from to from+n.
func (p *Pictures) batch(from, n int) (*tensor.Tensor, error) {
	size := p.Shape.Numel()
	return tensor.FromNHWC(p.X[from*size:(from+n)*size], n, p.Shape[0], p.Shape[1], p.Shape[2])
}

// Take returns the first n pictures of p, all if it has fewer.
func (p *Pictures) Take(n int) *Pictures {
	n = min(n, len(p.Labels))
	return &Pictures{p.Shape, p.X[:n*p.Shape.Numel()], p.Labels[:n]}
}

// Net is a network to measure: its modules, and the values to run them with
// instead of their own.
type Net struct {
	Module  nn.Module
	State   State
	Threads int // 0 means one for each processor that Go uses
	Batch   int // pictures that are computed at once; 0 means 100
}

// runner returns the network ready to run with its state.
func (n *Net) runner() (*infer.Runner, error) {
	vars, err := infer.Adopt(n.Module, n.State)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return infer.New(n.Module, vars, infer.Options{Threads: n.Threads, Exact: true})
}

// run computes for all pictures the values that outputs picks from the trace,
// [N features] each, in inference. visit gets them batch by batch, with the
// number of the first picture.
func (n *Net) run(ctx context.Context, p *Pictures, outputs func(*nn.Traced) ([]*graph.Value, error), visit func(first int, out [][]float32)) error {
	r, err := n.runner()
	if err != nil {
		return err
	}
	q := infer.Query{Name: "probe", Build: func(t *nn.Traced) error {
		outs, err := outputs(t)
		for i, o := range outs {
			t.Graph.Output(strconv.Itoa(i), o)
		}
		return err
	}}
	batch := n.batch()
	for first := 0; first < len(p.Labels); first += batch {
		x, err := p.batch(first, min(batch, len(p.Labels)-first))
		if err != nil {
			return err
		}
		outs, err := r.Run(ctx, q, infer.Tensors{nn.ImageInput: x})
		if err != nil {
			return err
		}
		rows := make([][]float32, len(outs))
		for i := range rows {
			rows[i] = outs[strconv.Itoa(i)].Float32s()
		}
		visit(first, rows)
	}
	return nil
}

// Evaluate returns the mean cross entropy and the share of pictures that are
// taken for another class.
func (n *Net) Evaluate(ctx context.Context, p *Pictures) (loss, wrong float64, err error) {
	err = n.run(ctx, p, func(t *nn.Traced) ([]*graph.Value, error) { return []*graph.Value{t.Output}, nil }, func(first int, out [][]float32) {
		k := min(n.batch(), len(p.Labels)-first)
		classes := len(out[0]) / k
		for i := range k {
			z, label := out[0][i*classes:(i+1)*classes], int(p.Labels[first+i])
			loss += metrics.CrossEntropy(z, label)
			if metrics.ArgMax(z) != label {
				wrong++
			}
		}
	})
	if err != nil {
		return 0, 0, err
	}
	count := float64(len(p.Labels))
	if loss /= count; math.IsNaN(loss) {
		loss = math.Inf(1)
	}
	return loss, wrong / count, nil
}

func (n *Net) batch() int {
	if n.Batch > 0 {
		return n.Batch
	}
	return 100
}
