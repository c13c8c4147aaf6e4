package ref

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
)

// roiSample is one sample of a bin along one axis: the pixels low and high and the
// weight of each.
type roiSample struct {
	low, high int
	wl, wh    float64
}

// roiAxis returns the samples of each bin of a box along one axis of the given
// extent. Samples outside of the map are left out, so count is the number of samples there
// are. As torchvision does for float32 maps, positions are computed in float32.
func roiAxis(o graph.RoIAlign, from, to float32, bins, extent int) (samples [][]roiSample, count int, err error) {
	offset := float32(0)
	if o.Aligned {
		offset = 0.5
	}
	start := float32(from*o.Scale) - offset
	size := float32(to*o.Scale) - offset - start
	if !o.Aligned {
		size = max(size, 1)
	}
	bin := size / float32(bins)
	if n := math.Ceil(float64(bin)); o.SamplingRatio > 0 {
		count = o.SamplingRatio
	} else if !(n <= graph.MaxRoISamples) {
		return nil, 0, fmt.Errorf("%w: %g samples of a bin", ErrValue, n)
	} else {
		count = int(n)
	}
	samples = make([][]roiSample, bins)
	for p := range samples {
		for i := range count {
			at := start + float32(float32(p)*bin) + float32(float32(i)+0.5)*bin/float32(count)
			if !(at >= -1 && at <= float32(extent)) {
				continue
			}
			at = max(at, 0)
			low := int(at)
			if low >= extent-1 {
				samples[p] = append(samples[p], roiSample{low: extent - 1, high: extent - 1, wl: 1})
				continue
			}
			t := float64(at - float32(low))
			samples[p] = append(samples[p], roiSample{low, low + 1, 1 - t, t})
		}
	}
	return samples, count, nil
}

// eachRoI calls f for every pair of elements of an output [K C OH OW] and of the map
// that depend on each other, with the weight.
func eachRoI(o graph.RoIAlign, xs []int, boxes array, f func(out, in int, weight float64)) error {
	for k := range boxes.shape[0] {
		row := boxes.f[5*k : 5*k+5]
		for _, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%w: box %d is %v", ErrValue, k, row)
			}
		}
		n := int(row[0])
		if row[0] == -1 {
			continue
		}
		if float64(n) != row[0] || n < 0 || n >= xs[0] {
			return fmt.Errorf("%w: box %d is of image %g of %d", ErrValue, k, row[0], xs[0])
		}
		ys, county, err := roiAxis(o, float32(row[2]), float32(row[4]), o.OH, xs[2])
		if err != nil {
			return err
		}
		cols, countx, err := roiAxis(o, float32(row[1]), float32(row[3]), o.OW, xs[3])
		if err != nil {
			return err
		}
		count := float64(max(county*countx, 1))
		for c := range xs[1] {
			picture := (n*xs[1] + c) * xs[2] * xs[3]
			for ph, sy := range ys {
				for pw, sx := range cols {
					out := ((k*xs[1]+c)*o.OH+ph)*o.OW + pw
					for _, a := range sy {
						for _, b := range sx {
							f(out, picture+a.low*xs[3]+b.low, a.wl*b.wl/count)
							f(out, picture+a.low*xs[3]+b.high, a.wl*b.wh/count)
							f(out, picture+a.high*xs[3]+b.low, a.wh*b.wl/count)
							f(out, picture+a.high*xs[3]+b.high, a.wh*b.wh/count)
						}
					}
				}
			}
		}
	}
	return nil
}

func roiAlign(o graph.RoIAlign, x, boxes array) ([]array, error) {
	y := zeros(boxes.shape[0], x.shape[1], o.OH, o.OW)
	err := eachRoI(o, x.shape, boxes, func(out, in int, w float64) { y.f[out] += w * x.f[in] })
	return []array{y}, err
}

func roiAlignGrad(o graph.RoIAlignGrad, dy, boxes array) ([]array, error) {
	dx := zeros(o.X...)
	err := eachRoI(o.Of, o.X, boxes, func(out, in int, w float64) { dx.f[in] += w * dy.f[out] })
	return []array{dx}, err
}
