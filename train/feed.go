package train

import (
	"context"
	"iter"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
)

// batch is what a step trains on: pictures with labels or masks, or pictures with
// objects.
type batch struct {
	labels  *data.Batch
	objects *detection.Batch
}

// n returns the number of pictures.
func (b batch) n() int {
	if b.objects != nil {
		return b.objects.N
	}
	return b.labels.N / max(1, b.labels.Views)
}

// step returns the number of the batch in its epoch.
func (b batch) step() int {
	if b.objects != nil {
		return b.objects.Step
	}
	return b.labels.Step
}

// feed gives the batches of the training part. Its methods are those of
// [data.Loader].
type feed interface {
	Steps() int
	Prefetch() int
	Epoch(ctx context.Context, epoch, step int) iter.Seq2[batch, error]
	Prepare(ctx context.Context, epoch, step int)
	Close()
	Bad() []*data.SampleError
}

// labelFeed is a loader of pictures with labels or masks.
type labelFeed struct{ *data.Loader }

func (f labelFeed) Epoch(ctx context.Context, epoch, step int) iter.Seq2[batch, error] {
	return func(yield func(batch, error) bool) {
		for b, err := range f.Loader.Epoch(ctx, epoch, step) {
			if !yield(batch{labels: b}, err) {
				return
			}
		}
	}
}

// objectFeed is a loader of pictures with objects.
type objectFeed struct{ *detection.Loader }

func (f objectFeed) Prepare(context.Context, int, int) {}
func (f objectFeed) Close()                            {}

func (f objectFeed) Epoch(ctx context.Context, epoch, step int) iter.Seq2[batch, error] {
	return func(yield func(batch, error) bool) {
		for b, err := range f.Loader.Epoch(ctx, epoch, step) {
			if err == nil {
				for i, c := range b.Labels {
					if c >= 0 {
						b.Labels[i] = c + 1 // class 0 of a detector is never an object
					}
				}
			}
			if !yield(batch{objects: b}, err) {
				return
			}
		}
	}
}
