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

// decode decodes a picture and calls then with it, in the same turn. The caller calls
// release when it does not need the picture any more. An error of the file is a
// client's.
func (d *decoders) decode(ctx context.Context, p picture, then func(*imaging.Image) error) (img *imaging.Image, release func(), err error) {
	r := d.readers.Get().(*imaging.Reader)
	defer d.readers.Put(r)
	if err := r.Open(p.file, imaging.DecodeOptions{MaxPixels: d.maxPixels}); err != nil {
		return nil, nil, errorf(http.StatusBadRequest, "%s: %v", p.name, err)
	}
	bytes := min(3*int64(r.W)*int64(r.H), 3*int64(d.maxPixels))
	if err := d.pixels.Acquire(ctx, bytes); err != nil {
		return nil, nil, err
	}
	free := sync.OnceFunc(func() { d.pixels.Release(bytes) })
	defer func() {
		if img == nil { // also after a panic
			free()
		}
	}()
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	defer func() { <-d.slots }()
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	m := new(imaging.Image)
	if err := r.Decode(m); err != nil {
		return nil, nil, errorf(http.StatusBadRequest, "%s: %v", p.name, err)
	}
	if err := then(m); err != nil {
		return nil, nil, errorf(http.StatusBadRequest, "%s: %v", p.name, err)
	}
	return m, free, nil
}

// decode decodes a picture for a detector or segmentation network, which prepare
// pictures themselves.
func (c *call) decode(ctx context.Context, p picture) (img *imaging.Image, release func(), err error) {
	defer func(began time.Time) { c.took(stageInput, time.Since(began)) }(time.Now())
	return c.s.decoders.decode(ctx, p, func(*imaging.Image) error { return nil })
}

// row decodes a picture and returns it with the network's input of it, [H W C].
func (c *call) row(ctx context.Context, p picture) (img *imaging.Image, release func(), x []float32, err error) {
	defer func(began time.Time) { c.took(stageInput, time.Since(began)) }(time.Now())
	x = make([]float32, c.in.model.Input().Numel())
	prep := c.in.model.Preprocess()
	img, release, err = c.s.decoders.decode(ctx, p, func(img *imaging.Image) error { return prep.ApplyNHWC(x, img) })
	return img, release, x, err
}

// numbers computes the network's outputs for a picture.
func (c *call) numbers(ctx context.Context, p picture) (logits, features []float32, err error) {
	_, release, x, err := c.row(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	release()
	return c.forward(ctx, x, 1)
}
