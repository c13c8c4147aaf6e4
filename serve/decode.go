package serve

import (
	"context"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/resnet-go/resnet/data/imaging"
)

// decoders decode pictures, a few at once, so that a flood of large ones leaves
// processors to the models and does not fill the memory.
type decoders struct {
	slots     chan struct{}       // holds a value for each picture that is being decoded
	memory    *semaphore.Weighted // in bytes
	most      int64               // of memory
	maxPixels int
	returning atomic.Bool // memory is about to be given back to the system
	readers   sync.Pool
}

// largePicture is the memory of a picture, in bytes, after which memory is given back to
// the system, returnAfter later, so that pictures that follow each other share the work.
const (
	largePicture = 128 << 20
	returnAfter  = 5 * time.Second
)

// newDecoders shares the memory that decoding the largest picture may take. Pictures of
// classifiers are let go when the network's input is made of them; those of detectors
// wait for the model.
func newDecoders(n, maxPixels int) *decoders {
	most := imaging.MaxMemory(maxPixels)
	return &decoders{slots: make(chan struct{}, n), memory: semaphore.NewWeighted(most), most: most, maxPixels: maxPixels,
		readers: sync.Pool{New: func() any { return new(imaging.Reader) }}}
}

// decode opens the file of a picture and reads it by a function, in a turn of its own.
// The caller calls release when it does not need the picture any more. An error of the
// file is a client's.
func (d *decoders) decode(ctx context.Context, p picture, opt imaging.DecodeOptions, read func(*imaging.Reader) error) (release func(), err error) {
	r := d.readers.Get().(*imaging.Reader)
	defer d.readers.Put(r)
	opt.MaxPixels = d.maxPixels
	if err := r.Open(p.file, opt); err != nil {
		return nil, errorf(http.StatusBadRequest, "%s: %v", p.name, err)
	}
	if r.Memory() >= largePicture {
		defer d.returnMemory()
	}
	return d.turn(ctx, r.Memory(), 3*int64(r.W)*int64(r.H), func() error {
		if err := read(r); err != nil {
			return errorf(http.StatusBadRequest, "%s: %v", p.name, err)
		}
		return nil
	})
}

// returnMemory gives memory that is free back to the system a little later. Go does so
// too, but keeps as much as it last needed until the next collection, which a server
// without requests may not have for minutes.
func (d *decoders) returnMemory() {
	if d.returning.Swap(true) {
		return
	}
	time.AfterFunc(returnAfter, func() {
		d.returning.Store(false)
		runtime.GC() // pools let go of memory by the second collection
		debug.FreeOSMemory()
	})
}

// turn waits for memory and a processor and calls f. What stays of the memory after it is
// given back by release; all of it when f fails.
func (d *decoders) turn(ctx context.Context, bytes, stays int64, f func() error) (release func(), err error) {
	bytes = min(bytes, d.most)
	if err := d.memory.Acquire(ctx, bytes); err != nil {
		return nil, err
	}
	free := sync.OnceFunc(func() { d.memory.Release(bytes) })
	defer func() {
		if release == nil { // also after a panic
			free()
		}
	}()
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-d.slots }()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := f(); err != nil {
		return nil, err
	}
	stays = min(stays, bytes)
	d.memory.Release(bytes - stays)
	bytes = stays
	return free, nil
}

// decode decodes a picture.
func (c *call) decode(ctx context.Context, p picture) (img *imaging.Image, release func(), err error) {
	defer c.since(stageInput, time.Now())
	img = new(imaging.Image)
	release, err = c.s.decoders.decode(ctx, p, c.in.model.DecodeOptions(), func(r *imaging.Reader) error { return r.Decode(img) })
	return img, release, err
}

// row returns the network's input of a picture, [H W C].
func (c *call) row(ctx context.Context, p picture) (x []float32, err error) {
	defer c.since(stageInput, time.Now())
	x = make([]float32, c.in.model.Input().Numel())
	prep := c.in.model.Preprocess()
	release, err := c.s.decoders.decode(ctx, p, c.in.model.DecodeOptions(), func(r *imaging.Reader) error { return prep.ReadNHWC(x, r) })
	if err != nil {
		return nil, err
	}
	release()
	return x, nil
}

// numbers computes the network's outputs for a picture.
func (c *call) numbers(ctx context.Context, p picture) (logits, features []float32, err error) {
	x, err := c.row(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	return c.forward(ctx, x, 1)
}
