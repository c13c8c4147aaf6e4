package serve

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/resnet-go/resnet/data/imaging"
)

// decoders decode pictures, a few at once, so that a flood of large ones leaves
// processors to the models and does not fill the memory.
type decoders struct {
	slots     chan struct{} // holds a value for each picture that is being decoded
	pixels    *semaphore.Weighted
	maxPixels int
	readers   sync.Pool
}

// decodedPictures is the memory of all decoded pictures in progress, as a multiple of the
// largest one's. Pictures of classifiers are let go when the network's input is made of
// them; those of detectors wait for the model.
const decodedPictures = 4

func newDecoders(n, maxPixels int) *decoders {
	return &decoders{slots: make(chan struct{}, n), pixels: semaphore.NewWeighted(int64(maxPixels) * 3 * decodedPictures), maxPixels: maxPixels,
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
	return d.turn(ctx, 3*int64(r.W)*int64(r.H), func() error {
		if err := read(r); err != nil {
			return errorf(http.StatusBadRequest, "%s: %v", p.name, err)
		}
		return nil
	})
}

// turn waits for memory and a processor and calls f. The memory is given back by
// release, or when f fails.
func (d *decoders) turn(ctx context.Context, bytes int64, f func() error) (release func(), err error) {
	bytes = min(bytes, 3*int64(d.maxPixels)*decodedPictures)
	if err := d.pixels.Acquire(ctx, bytes); err != nil {
		return nil, err
	}
	free := sync.OnceFunc(func() { d.pixels.Release(bytes) })
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
