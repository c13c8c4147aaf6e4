package segment

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/metrics"
)

// EvaluateOptions are the choices of [Network.Evaluate].
type EvaluateOptions struct {
	// Batch is the largest number of pictures of one size that are computed at once;
	// 0 means 1. Pictures whose inputs have more than half a million pixels together
	// are not: memory grows with them, and the speed no longer does.
	Batch int
	// SkipBad leaves out pictures that cannot be decoded, and counts them.
	SkipBad bool
	// Progress is called with the number of pictures that are done; may be nil.
	Progress func(pictures int)
	// Part is which batches this process evaluates, of Batch pictures in a row, where
	// several share an evaluation. Gather then gives each of them what all have found, by
	// process; the results have the bits of one process's. nil for one process.
	Part   data.Part
	Gather func(own Found) ([]Found, error)
}

// Found is what one of the processes that share an evaluation has found. It is plain data,
// to be sent.
type Found struct {
	Pixels            metrics.PixelConfusion
	Losses            []BatchLoss
	Pictures, Skipped int
}

// BatchLoss is the sum of the losses of the pixels of a batch that count, nats, and their
// number.
type BatchLoss struct {
	Batch        int
	Loss, Pixels float64
}

// maxBatchPixels limits the inputs of a batch.
const maxBatchPixels = 1 << 19

// Evaluation is how a network does on pictures with masks.
type Evaluation struct {
	*metrics.SegmentationReport
	// Loss is the mean cross entropy of the pixels that count, nats; 0 if none does.
	Loss     float64 `json:"loss"`
	Pictures int     `json:"pictures"`
	Skipped  int     `json:"skipped"` // pictures that could not be decoded
}

// Evaluate compares the classes of pixels with the masks of a dataset, as
// torchvision's reference does: in the size of the network's input, to which masks
// are resized by nearest neighbor. The error for a picture that cannot be decoded is
// a *data.SampleError.
func (n *Network) Evaluate(ctx context.Context, ds data.MaskDataset, opt EvaluateOptions) (*Evaluation, error) {
	if len(ds.Classes()) != n.classes {
		return nil, errors.New("segment: the data have other classes than the network")
	}
	if err := opt.Part.Valid(); err != nil {
		return nil, err
	}
	own, err := n.find(ctx, ds, opt)
	if err != nil {
		return nil, err
	}
	all := []Found{own}
	if opt.Gather != nil {
		if all, err = opt.Gather(own); err != nil {
			return nil, err
		}
	}
	e := &Evaluation{}
	confusion := metrics.NewPixelConfusion(n.classes)
	var losses []BatchLoss
	for _, f := range all {
		confusion.Plus(&f.Pixels)
		losses = append(losses, f.Losses...)
		e.Pictures, e.Skipped = e.Pictures+f.Pictures, e.Skipped+f.Skipped
	}
	if e.Pictures == 0 {
		return nil, errors.New("segment: no picture could be evaluated: all are bad, or there are none")
	}
	slices.SortFunc(losses, func(a, b BatchLoss) int { return a.Batch - b.Batch })
	var loss, pixels float64
	for _, l := range losses {
		loss, pixels = loss+l.Loss, pixels+l.Pixels
	}
	if e.SegmentationReport, err = confusion.Report(ds.Classes()); err != nil {
		return nil, err
	}
	if pixels > 0 { // else no pixel counts
		e.Loss = loss / pixels
	}
	return e, nil
}

// find evaluates the batches of opt.Part. What a batch gives depends on its pictures
// alone, so that it is the same whichever process evaluates it.
func (n *Network) find(ctx context.Context, ds data.MaskDataset, opt EvaluateOptions) (Found, error) {
	batch := max(1, opt.Batch)
	f := Found{Pixels: *metrics.NewPixelConfusion(n.classes)}
	var group []labeled
	flush := func() error {
		sum := &f.Losses[len(f.Losses)-1]
		for len(group) > 0 {
			k := batch
			for k > len(group) { // few sizes, so that few plans serve all
				k /= 2
			}
			l, p, err := n.score(ctx, group[:k], &f.Pixels)
			if err != nil {
				return err
			}
			sum.Loss, sum.Pixels, group = sum.Loss+l, sum.Pixels+p, group[k:]
			f.Pictures += k
			if opt.Progress != nil {
				opt.Progress(k)
			}
		}
		return nil
	}
	err := n.decodeAll(ctx, ds, batch, opt.Part, func(s labeled) error {
		if at := s.index / batch; len(f.Losses) == 0 || f.Losses[len(f.Losses)-1].Batch != at {
			if len(group) > 0 {
				if err := flush(); err != nil {
					return err
				}
			}
			f.Losses = append(f.Losses, BatchLoss{Batch: at})
		}
		var input data.Preprocess
		if s.err == nil {
			var err error
			if input, err = n.prep.Whole(s.picture.W, s.picture.H); err != nil {
				s.err = &data.SampleError{Index: s.index, Name: ds.Name(s.index), Err: err}
			}
		}
		switch {
		case s.err != nil && opt.SkipBad:
			f.Skipped++
			return nil
		case s.err != nil:
			return s.err
		}
		if len(group) > 0 && (group[0].picture.W != s.picture.W || group[0].picture.H != s.picture.H) {
			if err := flush(); err != nil {
				return err
			}
		}
		group = append(group, s)
		if len(group) == batch || (len(group)+1)*input.Width*input.Height > maxBatchPixels {
			return flush()
		}
		return nil
	})
	if err == nil && len(group) > 0 {
		err = flush()
	}
	return f, err
}

// score counts the pixels of pictures of one size; it returns the sum of the losses
// and the number of pixels that count.
func (n *Network) score(ctx context.Context, group []labeled, confusion *metrics.PixelConfusion) (loss, pixels float64, err error) {
	pictures := make([]*imaging.Image, len(group))
	for i, s := range group {
		pictures[i] = s.picture
	}
	z, err := n.logits(ctx, pictures)
	if err != nil {
		return 0, 0, err
	}
	p, err := n.prep.Whole(pictures[0].W, pictures[0].H)
	if err != nil {
		return 0, 0, err
	}
	s, w, h := z.Shape(), p.Width, p.Height
	each := s[1] * s[2] * s[3]
	found := make([]uint8, w*h)
	losses, counts := make([]float64, h), make([]int, h) // by row: the sum does not depend on the threads
	for i := range group {
		truth := &group[i].mask
		if truth.W != w || truth.H != h {
			var sized imaging.Image
			imaging.Resize(&sized, truth, w, h, imaging.Nearest)
			truth = &sized
		}
		upsample(z.Float32s()[i*each:(i+1)*each], s[1], s[2], s[3], w, h, n.threads, func(y int, row []float32) {
			losses[y], counts[y] = crossEntropy(row, truth.Row(y))
			largest(found[y*w:(y+1)*w], row)
		})
		for y := range h {
			loss, pixels = loss+losses[y], pixels+float64(counts[y])
		}
		confusion.Add(truth.Pix, found)
	}
	return loss, pixels, nil
}

// crossEntropy returns the sum of the losses of the pixels of a row [classes w]
// that count, and their number.
func crossEntropy(row []float32, truth []uint8) (loss float64, n int) {
	w := len(truth)
	classes := len(row) / w
	for x, t := range truth {
		if int(t) >= classes {
			continue
		}
		top := row[x]
		for c := 1; c < classes; c++ {
			top = max(top, row[c*w+x])
		}
		sum := 0.0
		for c := range classes {
			sum += math.Exp(float64(row[c*w+x] - top))
		}
		loss += math.Log(sum) - float64(row[int(t)*w+x]-top)
		n++
	}
	return loss, n
}

// labeled is a picture with its mask, or why it is none.
type labeled struct {
	index   int // in the dataset
	picture *imaging.Image
	mask    imaging.Image
	err     error
}

// decodeAll calls f with every sample of a part of the batches in order; the next ones are
// decoded meanwhile.
func (n *Network) decodeAll(ctx context.Context, ds data.MaskDataset, batch int, part data.Part, f func(labeled) error) error {
	ctx, cancel := context.WithCancel(ctx)
	workers := n.threads
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	chunks := make(chan []labeled, 1)
	var producer sync.WaitGroup
	defer producer.Wait()
	defer cancel()
	producer.Go(func() {
		defer close(chunks)
		const most = 16 // pictures that wait need memory, too
		for from, to := 0, 0; from < ds.Len(); from = to {
			to = min(from+most, (from/batch+1)*batch, ds.Len()) // within a batch
			if !part.Has(from / batch) {
				continue
			}
			chunk := make([]labeled, to-from)
			var wg sync.WaitGroup
			for worker := range min(workers, len(chunk)) {
				wg.Go(func() {
					for i := worker; i < len(chunk) && ctx.Err() == nil; i += workers {
						s := &chunk[i]
						s.index, s.picture = from+i, new(imaging.Image)
						if err := data.DecodeMasked(ds, from+i, s.picture, &s.mask); err != nil {
							s.err = &data.SampleError{Index: from + i, Name: ds.Name(from + i), Err: err}
						}
					}
				})
			}
			wg.Wait()
			select {
			case chunks <- chunk:
			case <-ctx.Done():
				return
			}
		}
	})
	for chunk := range chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, s := range chunk {
			if err := f(s); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}
