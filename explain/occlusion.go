package explain

import (
	"context"
	"fmt"

	"github.com/resnet-go/resnet/metrics"
	"github.com/resnet-go/resnet/tensor"
)

// occlusion computes the drop of the classes' probabilities under a patch that
// moves over the image. A patch is 0 in the network's input, which is the mean
// color for the usual preprocessing. The last patch of a row and column ends
// where the image does.
func (e *Explainer) occlusion(ctx context.Context, x *tensor.Tensor, logits []float32, classes []int, opt Options) ([]Map, error) {
	if opt.Layer != "" {
		return nil, errLayer
	}
	c, h, w := e.input[0], e.input[1], e.input[2]
	if opt.Patch == 0 {
		opt.Patch = max(min(h, w)/7, 1)
	}
	if opt.Stride == 0 {
		opt.Stride = max(opt.Patch/4, 1)
	}
	if opt.Batch == 0 {
		opt.Batch = 16
	}
	switch {
	case opt.Patch < 1 || opt.Patch > min(h, w):
		return nil, fmt.Errorf("explain: a patch of %d pixels for an image of %d x %d", opt.Patch, w, h)
	case opt.Stride < 1 || opt.Stride > opt.Patch:
		return nil, fmt.Errorf("explain: a stride of %d leaves gaps between patches of %d, or is below 1", opt.Stride, opt.Patch)
	case opt.Batch < 1:
		return nil, fmt.Errorf("explain: Batch is %d, must not be negative", opt.Batch)
	}

	type place struct{ x, y int }
	var places []place
	for _, y := range steps(h, opt.Patch, opt.Stride) {
		for _, x := range steps(w, opt.Patch, opt.Stride) {
			places = append(places, place{x, y})
		}
	}
	probability := func(z []float32) []float64 { return metrics.Probabilities(z, opt.MultiLabel) }
	whole := probability(logits)
	sums := make([][]float64, len(classes))
	for i := range sums {
		sums[i] = make([]float64, h*w)
	}
	cover := make([]float64, h*w)
	x, err := x.In(tensor.NCHW)
	if err != nil {
		return nil, err
	}
	size, image := c*h*w, x.Float32s()
	for done := 0; done < len(places); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// The last batch is padded by whole images, so that one plan serves all.
		n := min(opt.Batch, len(places)-done)
		batch := tensor.New(opt.Batch, c, h, w)
		for i := range opt.Batch {
			row := batch.Float32s()[i*size : (i+1)*size]
			copy(row, image)
			if i >= n {
				continue
			}
			at := places[done+i]
			for k := range c {
				for y := at.y; y < at.y+opt.Patch; y++ {
					clear(row[(k*h+y)*w+at.x:][:opt.Patch])
				}
			}
		}
		z, err := e.logits(ctx, batch)
		if err != nil {
			return nil, err
		}
		for i := range n {
			p := probability(z[i*len(logits) : (i+1)*len(logits)])
			at := places[done+i]
			for y := at.y; y < at.y+opt.Patch; y++ {
				for x := at.x; x < at.x+opt.Patch; x++ {
					cover[y*w+x]++
					for j, class := range classes {
						sums[j][y*w+x] += whole[class] - p[class]
					}
				}
			}
		}
		done += n
		if opt.Progress != nil {
			opt.Progress(done, len(places))
		}
	}
	maps := make([]Map, len(classes))
	for j, class := range classes {
		maps[j] = Map{Class: class, Logit: logits[class], W: w, H: h, Values: make([]float32, h*w)}
		for i, s := range sums[j] {
			maps[j].Values[i] = float32(s / cover[i])
		}
	}
	return maps, nil
}

// steps are the starts of patches along an extent.
func steps(extent, patch, stride int) []int {
	var at []int
	for i := 0; i < extent-patch; i += stride {
		at = append(at, i)
	}
	return append(at, extent-patch)
}
