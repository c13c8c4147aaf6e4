package resnet

import (
	"context"
	"fmt"
	"iter"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// group is a number of pictures that are computed together.
type group struct {
	results []Result // without predictions; results with an error have no row in x
	x       []float32
	good    int // rows of x
}

// decodeAhead decodes the pictures in groups of a batch, one or two groups
// before they are asked for. It stops early when outer ends, even if a reader is
// stuck in the middle of a picture.
func (m *Model) decodeAhead(outer context.Context, ps iter.Seq[Picture]) iter.Seq[*group] {
	return func(yield func(*group) bool) {
		ctx, cancel := context.WithCancel(outer)
		groups := make(chan *group, 1)
		var producer sync.WaitGroup
		defer func() {
			cancel()
			if outer.Err() == nil {
				producer.Wait()
			}
		}()
		producer.Go(func() {
			defer close(groups)
			var waiting []Picture
			send := func() bool {
				g := m.decodeGroup(waiting)
				waiting = waiting[:0]
				select {
				case groups <- g:
					return true
				case <-ctx.Done():
					return false
				}
			}
			for p := range ps {
				if waiting = append(waiting, p); len(waiting) == m.batch() && !send() {
					return
				}
				if ctx.Err() != nil {
					return
				}
			}
			if len(waiting) > 0 {
				send()
			}
		})
		for {
			select {
			case g, more := <-groups:
				if !more || !yield(g) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func (m *Model) batch() int {
	if m.fixed > 1 {
		return m.fixed
	}
	if m.opt.Batch > 0 {
		return m.opt.Batch
	}
	return 16
}

func (m *Model) decodeGroup(ps []Picture) *group {
	size := m.Input().Numel()
	g := &group{results: make([]Result, len(ps)), x: make([]float32, len(ps)*size)}
	workers := m.opt.Threads
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, len(ps)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ps); i = int(next.Add(1)) - 1 {
				g.results[i].Name = ps[i].Name
				img, err := ps[i].load(m.opt.decode())
				if err == nil {
					err = m.prep.ApplyNHWC(g.x[i*size:(i+1)*size], img)
				}
				if err != nil {
					g.results[i].Err = named(ps[i].Name, err)
				}
			}
		})
	}
	wg.Wait()
	for i := range ps { // close the gaps of pictures with errors
		if g.results[i].Err == nil {
			copy(g.x[g.good*size:(g.good+1)*size], g.x[i*size:(i+1)*size])
			g.good++
		}
	}
	m.sendAhead(g.x, g.good)
	return g
}

// sendAhead sends n pictures, if they are a batch, to the device, if there is one, while
// others are computed. If that fails, the run tries again and has the error.
func (m *Model) sendAhead(x []float32, n int) {
	if d, in := m.opt.Compute.Device, m.Input(); d != nil && n == m.batch() {
		if x, err := tensor.FromNHWC(x[:n*in.Numel()], n, in[0], in[1], in[2]); err == nil {
			_ = d.Stage(x)
		}
	}
}

// batchSizes cuts n into sizes for which plans are kept: the largest batch and
// powers of two, so that few plans serve all.
func batchSizes(n, largest int) []int {
	var sizes []int
	for n > 0 {
		size := largest
		if n < largest {
			size = 1 << (bits.Len(uint(n)) - 1)
		}
		sizes = append(sizes, size)
		n -= size
	}
	return sizes
}

// Forward computes the logits, [n classes], of n inputs x, [n C H W] in either
// layout, and the features that the last layer gets, [n features]. Inputs are
// pictures as [Model.Preprocess] prepares them; see [Model.Input]. More inputs
// than Options.Batch are computed one batch after another. For a model without a last
// layer, logits are the features, too.
func (m *Model) Forward(ctx context.Context, x *tensor.Tensor) (logits, features *tensor.Tensor, err error) {
	if m.task != models.Features {
		if err := m.isFor(models.Classification, "Forward"); err != nil {
			return nil, nil, err
		}
	}
	in := m.Input()
	if x == nil {
		return nil, nil, fmt.Errorf("resnet: %s: the inputs are nil, must be float32[n %d %d %d]", m.name, in[0], in[1], in[2])
	}
	if s := x.Shape(); x.DType() != tensor.Float32 || len(s) != 4 || s[0] < 1 || !s[1:].Equal(in) {
		return nil, nil, fmt.Errorf("resnet: %s: the inputs are %v, must be float32[n %d %d %d]", m.name, x, in[0], in[1], in[2])
	}
	n, size, done := x.Shape()[0], in.Numel(), 0
	wrap := func(x []float32, n int) (*tensor.Tensor, error) { return tensor.FromFloat32(x, n, in[0], in[1], in[2]) }
	if x.Layout() == tensor.NHWC {
		wrap = func(x []float32, n int) (*tensor.Tensor, error) { return tensor.FromNHWC(x, n, in[0], in[1], in[2]) }
	}
	var z, f []float32
	batches := batchSizes(n, m.batch())
	if m.fixed > 0 {
		batches = slices.Repeat([]int{m.fixed}, (n+m.fixed-1)/m.fixed)
	}
	for _, k := range batches {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		pictures := x.Float32s()[done*size : min(done+k, n)*size]
		if missing := k*size - len(pictures); missing > 0 { // the last batch is filled up
			pictures = append(slices.Clone(pictures), make([]float32, missing)...)
		}
		part, err := wrap(pictures, k)
		if err != nil {
			return nil, nil, err
		}
		out, err := m.runner.Run(ctx, m.forward(), infer.Tensors{nn.ImageInput: part})
		if err != nil {
			return nil, nil, fmt.Errorf("resnet: %s: %w", m.name, err)
		}
		z, f = append(z, out[logitsOutput].Float32s()...), append(f, out[featuresOutput].Float32s()...)
		done += k
	}
	z, f = z[:len(z)/done*n], f[:len(f)/done*n]
	if logits, err = tensor.FromFloat32(z, n, len(z)/n); err != nil {
		return nil, nil, err
	}
	features, err = tensor.FromFloat32(f, n, len(f)/n)
	return logits, features, err
}

// The outputs of the query [forward].
const (
	logitsOutput   = "logits"
	featuresOutput = "features"
)

// forward asks for the logits and features of a batch.
func (m *Model) forward() infer.Query {
	if m.task == models.Features {
		return infer.Query{Name: "forward", Build: func(t *nn.Traced) error {
			t.Graph.Output(logitsOutput, t.Output)
			t.Graph.Output(featuresOutput, t.Output)
			return nil
		}}
	}
	return infer.Query{Name: "forward", Build: func(t *nn.Traced) error { return m.ends.build(t) }}
}

func (e ends) build(t *nn.Traced) error {
	z, _ := graph.Logits(t.Output)
	f := graph.Features(z)
	z = e.logits(t.Graph, z)
	if len(f.Shape) != 2 {
		n := t.Input.Shape[0]
		f = t.Graph.Must1(graph.Reshape{Shape: tensor.Shape{n, f.Shape.Numel() / n}}, f)
	}
	t.Graph.Output(logitsOutput, z)
	t.Graph.Output(featuresOutput, f)
	return nil
}
