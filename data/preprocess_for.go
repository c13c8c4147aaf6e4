package data

import "math"

// For returns the preprocessing for a network that takes another number of
// channels, or another height and width, than p gives. The size to which the
// shorter side is resized changes by the same factor, so that the same part of a
// picture is seen. Gray gets the mean of the colors' means and deviations; colors
// get gray's.
func (p Preprocess) For(channels, height, width int) Preprocess {
	if p.Height != height || p.Width != width {
		if p.Resize > 0 {
			side, from := min(height, width), min(p.Height, p.Width)
			p.Resize = int(math.Round(float64(p.Resize) * float64(side) / float64(max(from, 1))))
		}
		p.Height, p.Width = height, width
	}
	if p.Channels != channels {
		p.Mean, p.Std = spread(p.Mean, channels), spread(p.Std, channels)
		p.Channels = channels
	}
	return p
}

// spread returns n times the mean of x.
func spread(x []float32, n int) []float32 {
	var sum float64
	for _, v := range x {
		sum += float64(v)
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(sum / float64(max(len(x), 1)))
	}
	return out
}

// Raw reports whether pictures keep their values from 0 to 255.
func (p Preprocess) Raw() bool {
	for i := range p.Mean {
		if p.Mean[i] != 0 || p.Std[i] != 1./255 {
			return false
		}
	}
	return true
}
