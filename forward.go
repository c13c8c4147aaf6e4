package resnet

import (
	"context"
	"fmt"
	"iter"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// group is a number of pictures that are computed together.
type group struct {
	results []Result // without predictions; those with an error have no row in x
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
				img, err := ps[i].load(imaging.DecodeOptions{MaxPixels: m.opt.MaxPixels})
				if err == nil {
					err = m.prep.ApplyNHWC(g.x[i*size:(i+1)*size], img)
				}
				if err != nil {
					g.results[i].Err = fmt.Errorf("%s: %w", ps[i].Name, err)
				}
			}
		})
	}
	wg.Wait()
	for i := range ps { // close the gaps
		if g.results[i].Err == nil {
			copy(g.x[g.good*size:(g.good+1)*size], g.x[i*size:(i+1)*size])
			g.good++
		}
	}
	return g
}

// plan is a compiled batch size.
type plan struct {
	*engine.Plan
	features int // numbers a picture
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

// Forward computes a batch: x holds n inputs as Preprocess.ApplyNHWC writes
// them, [n H W C]. It returns the logits, [n classes], and the features that
// the last layer got, [n features].
func (m *Model) Forward(ctx context.Context, x []float32, n int) (logits, features []float32, err error) {
	if size := m.Input().Numel(); len(x) != n*size {
		return nil, nil, fmt.Errorf("resnet: %d numbers are not %d inputs of %v", len(x), n, m.Input())
	}
	return m.forward(ctx, x, n)
}

func (m *Model) forward(ctx context.Context, x []float32, n int) (logits, features []float32, err error) {
	size, done := m.Input().Numel(), 0
	for _, k := range batchSizes(n, m.batch()) {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		p, err := m.plan(k)
		if err != nil {
			return nil, nil, err
		}
		in := m.Input()
		xs, err := tensor.FromFloat32(x[done*size:(done+k)*size], k, in[0], in[1], in[2])
		if err != nil {
			return nil, nil, err
		}
		z, f := tensor.New(k, len(m.classes)), tensor.New(k, p.features)
		if err := p.Run([]*tensor.Tensor{xs}, []*tensor.Tensor{z, f}); err != nil {
			return nil, nil, fmt.Errorf("resnet: %s: %w", m.name, err)
		}
		logits = append(logits, z.Float32s()...)
		features = append(features, f.Float32s()...)
		done += k
	}
	return logits, features, nil
}

// plan returns the plan of a batch size, compiled when it is first asked for.
func (m *Model) plan(n int) (*plan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.plans[n]; p != nil {
		return p, nil
	}
	in := m.Input()
	t, err := nn.Trace(m.net, nn.TraceOptions{Input: graph.F32(n, in[0], in[1], in[2])})
	if err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	z, _ := modelfile.Logits(t.Output)
	features := lastInput(z)
	if len(features.Shape) != 2 {
		features = t.Graph.Must(graph.Reshape{Shape: tensor.Shape{n, features.Shape.Numel() / n}}, features)[0]
	}
	t.Graph.Output("logits", z)
	t.Graph.Output("features", features)
	e, err := engine.Compile(t.Graph, m.vars, engine.Options{Pool: m.pool, ChannelsLast: []string{"input"}, Fast: !m.opt.Exact, BF16: m.opt.BF16, Tuning: m.opt.Tuning})
	if err != nil {
		return nil, fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	p := &plan{e, features.Shape.Numel() / n}
	m.plans[n] = p
	return p, nil
}

// lastInput returns what the last linear layer takes: of a 1x1 convolution and
// the like that end a network in place of one, too. A network that ends in no
// such layer has its logits for features.
func lastInput(z *graph.Value) *graph.Value {
	for v := z; ; {
		switch op := v.Node.Op.(type) {
		case graph.Linear, graph.MatMul, graph.Conv2d:
			return v.Node.In[0]
		case graph.Binary, graph.Unary, graph.Affine, graph.Reshape, graph.Dropout:
			v = v.Node.In[0]
		case graph.Reduce: // global average pooling behind a 1x1 convolution
			if op.Fn != graph.Mean {
				return z
			}
			v = v.Node.In[0]
		default:
			return z
		}
	}
}
