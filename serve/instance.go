package serve

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/internal/drift"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// instance is an opened version of a model with its queue.
type instance struct {
	name, version string
	model         *resnet.Model
	queue         *queue
	stats         *stats
	server        *Server
	weightBytes   int64
	features      int // numbers of an embedding
	opened        time.Time
	layers        func() []string
	drift         *drift.Watch // nil if it is not watched

	admitted atomic.Int64 // pictures in progress

	mu      sync.Mutex
	users   int
	retired bool
	idle    chan struct{} // closed when it is retired and without users
}

// newInstance makes a model ready: its plan for one input is compiled, so that the
// first request does not wait for it. Plans for larger batches are compiled after that.
func (s *Server) newInstance(ctx context.Context, v *version, m *resnet.Model) (*instance, error) {
	in := &instance{name: v.Name, version: v.Version, model: m, server: s, opened: time.Now(), idle: make(chan struct{}),
		stats: newStats(s.metrics.model(v.Name, v.Version), s.log)}
	for _, p := range nn.Params(m.Network()) {
		in.weightBytes += 4 * int64(p.Param.Shape.Numel())
	}
	in.layers = sync.OnceValue(in.listLayers)
	if in.batched() {
		_, features, err := in.forward(ctx, make([]float32, m.Input().Numel()), 1)
		if err != nil {
			return nil, err
		}
		in.features = len(features)
	}
	in.drift = s.newWatch(in)
	in.queue = newQueue(s.opt.MaxBatch, s.opt.MaxDelay, in.stats, func(rows []float32, n int) (logits, features []float32, err error) {
		return in.forward(context.Background(), rows, n)
	})
	if in.batched() && s.opt.MaxBatch > 1 && !in.alone() {
		go in.warm()
	}
	return in, nil
}

// batched reports whether inputs are computed together: those of networks that answer
// with a row of numbers for each input.
func (in *instance) batched() bool {
	return in.model.Task() == models.Classification || in.model.Task() == models.Features
}

// alone reports whether each input is computed by itself, because nothing else makes its
// bits independent of the batch.
func (in *instance) alone() bool { return in.server.opt.SameBits && !in.model.BatchInvariant() }

// warm compiles the plans of larger batches. Whatever goes wrong will go wrong again for
// the request that needs the plan, which gets the error.
func (in *instance) warm() {
	defer func() { _ = recover() }()
	for n := 2; n <= in.server.opt.MaxBatch; n *= 2 {
		if !in.hold() {
			return
		}
		in.forward(context.Background(), make([]float32, n*in.model.Input().Numel()), n)
		in.drop()
	}
}

// forward computes n inputs, [n H W C].
func (in *instance) forward(ctx context.Context, rows []float32, n int) (logits, features []float32, err error) {
	shape, step := in.model.Input(), n
	if in.alone() {
		step = 1
	}
	for at := 0; at < n; at += step {
		x, err := tensor.FromNHWC(rows[at*shape.Numel():(at+step)*shape.Numel()], step, shape[0], shape[1], shape[2])
		if err != nil {
			return nil, nil, err
		}
		z, f, err := in.model.Forward(ctx, x)
		if err != nil {
			return nil, nil, err
		}
		logits, features = append(logits, z.Float32s()...), append(features, f.Float32s()...)
	}
	return logits, features, nil
}

// listLayers returns the layers that can be explained, from the input to the end.
func (in *instance) listLayers() []string {
	names := []string{}
	if in.model.Task() == models.Features { // no class has a score
		return names
	}
	e, err := in.model.Explainer()
	if err != nil {
		return names
	}
	for _, l := range e.Layers() {
		if len(l.Shape) == 3 {
			names = append(names, l.Path)
		}
	}
	return names
}

// hold counts a user; false means that the instance takes no more.
func (in *instance) hold() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.retired {
		return false
	}
	in.users++
	return true
}

// drop ends what hold began.
func (in *instance) drop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.users--; in.users == 0 && in.retired {
		close(in.idle)
	}
}

// retire waits for the users and ends the queue.
func (in *instance) retire() {
	in.mu.Lock()
	in.retired = true
	if in.users == 0 {
		close(in.idle)
	}
	in.mu.Unlock()
	<-in.idle
	in.queue.close()
}

// admit takes pictures in, before anything is computed for them; the caller calls
// leave when they are answered. The error is that of a full queue.
func (in *instance) admit(pictures int) (leave func(), err error) {
	inside := in.admitted.Add(int64(pictures))
	if inside > int64(in.server.opt.MaxQueue) {
		in.admitted.Add(-int64(pictures))
		if pictures > in.server.opt.MaxQueue {
			return nil, errorf(http.StatusRequestEntityTooLarge, "the request has %d pictures, but the queue has room for %d: send fewer in each request", pictures, in.server.opt.MaxQueue)
		}
		return nil, &apiError{http.StatusTooManyRequests, "the queue is full: try again later", in.stats.reject(int(inside) - pictures)}
	}
	return func() { in.admitted.Add(-int64(pictures)) }, nil
}
