package vec

import (
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
)

func TestTranspose(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		for _, s := range [][2]int{{1, 1}, {1, 9}, {3, 50}, {7, 7}, {8, 8}, {9, 17}, {15, 16}, {16, 16}, {17, 33}, {3, 224}, {64, 49}, {33, 65}, {130, 4}, {0, 3}, {256, 31}} {
			rows, cols := s[0], s[1]
			b := isatest.NewBuffers(t, 2)
			src := b.In(b.Normal(rows*cols, 0, 1))
			dst := b.Out(rows * cols)
			Transpose(dst, src, rows, cols)
			isatest.Near(t, "Transpose", dst, func(i int) float64 { return float64(src[i%max(rows, 1)*cols+i/max(rows, 1)]) }, 0, 0)
			b.Check()
		}
	})
}

func TestWeightLayouts(t *testing.T) {
	const o, i, h, w = 5, 3, 2, 4
	src, dst, back := make([]float32, o*i*h*w), make([]float32, o*i*h*w), make([]float32, o*i*h*w)
	for k := range src {
		src[k] = float32(k)
	}
	OIHWToHWIO(dst, src, o, i, h, w)
	for co := range o {
		for ci := range i {
			for r := range h {
				for s := range w {
					if got, want := dst[((r*w+s)*i+ci)*o+co], src[((co*i+ci)*h+r)*w+s]; got != want {
						t.Fatalf("weight %d,%d,%d,%d is %v, want %v", co, ci, r, s, got, want)
					}
				}
			}
		}
	}
	HWIOToOIHW(back, dst, o, i, h, w)
	isatest.SameBits(t, "HWIOToOIHW", back, src)
}

func TestNormalizeU8(t *testing.T) {
	isatest.EachShape(t, func(t *testing.T, b *isatest.Buffers, rows, c int) {
		src := make([]byte, rows*c+9)
		for i := range src {
			src[i] = byte(b.Rng.IntN(256))
		}
		src = src[3 : 3+rows*c : 3+rows*c]
		mean, std := b.Positive(c), b.Positive(c)
		scale, shift := b.Out(c), b.Out(c)
		for i := range scale {
			scale[i] = float32(1 / (255 * float64(std[i])))
			shift[i] = float32(-float64(mean[i]) / float64(std[i]))
		}
		dst := b.Out(rows * c)
		NormalizeU8(dst, src, scale, shift)
		isatest.Near(t, "NormalizeU8", dst, func(i int) float64 {
			return (float64(src[i])/255 - float64(mean[i%c])) / float64(std[i%c])
		}, 3e-6, 1e-6)
	})
}

func TestPermuteAndCopyStrided(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(6, 6))
		for round := range 500 {
			n := rng.IntN(maxDims + 1)
			shape, size := make([]int, n), 1
			for d := range shape {
				shape[d] = 1 + rng.IntN(5)
				if round%4 == 0 {
					shape[d] += rng.IntN(20) / max(n-1, 1)
				}
				size *= shape[d]
			}
			perm := rng.Perm(n)
			b := isatest.NewBuffers(t, uint64(round))
			src := b.In(b.Normal(size, 0, 1))
			dst := b.Out(size)
			outer := 1
			if n > 0 {
				outer = shape[perm[0]]
			}
			cut := outer / 2
			if n == 0 {
				cut = 0
			}
			Permute(dst, src, shape, perm, cut, outer)
			Permute(dst, src, shape, perm, 0, cut)
			at := func(i int) int { // the source of dst[i]
				stride := make([]int, n)
				s := 1
				for d := n - 1; d >= 0; d-- {
					stride[d] = s
					s *= shape[d]
				}
				from := 0
				for d := n - 1; d >= 0; d-- {
					from += i % shape[perm[d]] * stride[perm[d]]
					i /= shape[perm[d]]
				}
				return from
			}
			isatest.Near(t, "Permute", dst, func(i int) float64 { return float64(src[at(i)]) }, 0, 0)
			// Accumulate twice the same through CopyStrided.
			from, to, out := make([]int, n), make([]int, n), make([]int, n)
			s := 1
			for d := n - 1; d >= 0; d-- {
				to[d], out[d] = s, shape[perm[d]]
				s *= out[d]
				from[d] = 1
				for k := perm[d] + 1; k < n; k++ {
					from[d] *= shape[k]
				}
			}
			CopyStrided(dst, to, src, from, out, true)
			isatest.Near(t, "CopyStrided accumulated", dst, func(i int) float64 { return 2 * float64(src[at(i)]) }, 0, 0)
			b.Check()
		}
	})
}

// Pad, crop and concatenate channels of a small image.
func TestCopies(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		const h, w, c, pad = 5, 6, 3, 2
		b := isatest.NewBuffers(t, 4)
		img := b.In(b.Normal(h*w*c, 0, 1))
		big := make([]float32, (h+2*pad)*(w+2*pad)*c)
		row := (w + 2*pad) * c
		CopyStrided(big[pad*row+pad*c:], []int{row, c, 1}, img, []int{w * c, c, 1}, []int{h, w, c}, false)
		for i := range h + 2*pad {
			for j := range w + 2*pad {
				for k := range c {
					var want float32
					if y, x := i-pad, j-pad; y >= 0 && y < h && x >= 0 && x < w {
						want = img[(y*w+x)*c+k]
					}
					if got := big[i*row+j*c+k]; got != want {
						t.Fatalf("padded %d,%d,%d is %v, want %v", i, j, k, got, want)
					}
				}
			}
		}
		crop := b.Out(h * w * c)
		CopyStrided(crop, []int{w * c, c, 1}, big[pad*row+pad*c:], []int{row, c, 1}, []int{h, w, c}, false)
		isatest.SameBits(t, "crop", crop, img)

		joined := b.Out(h * w * (c + 2))
		two := b.In(b.Normal(h*w*2, 0, 1))
		CopyRows(joined, c+2, img, c, c, h*w, false)
		CopyRows(joined[c:], c+2, two, 2, 2, h*w, false)
		isatest.Near(t, "joined", joined, func(i int) float64 {
			if k := i % (c + 2); k >= c {
				return float64(two[i/(c+2)*2+k-c])
			}
			return float64(img[i/(c+2)*c+i%(c+2)])
		}, 0, 0)
		sum := b.Inout(two)
		CopyRows(sum, 2, joined[c:], c+2, 2, h*w, true)
		isatest.Near(t, "split and added", sum, func(i int) float64 { return 2 * float64(two[i]) }, 0, 0)
		// Stride 0 broadcasts.
		wide := b.Out(4 * 3)
		CopyStrided(wide, []int{3, 1}, img[:4], []int{1, 0}, []int{4, 3}, false)
		isatest.Near(t, "broadcast", wide, func(i int) float64 { return float64(img[i/3]) }, 0, 0)
		b.Check()
		isatest.NoAllocs(t, "CopyStrided", func() {
			CopyStrided(wide, []int{3, 1}, img[:4], []int{1, 0}, []int{4, 3}, false)
		})
	})
}

func TestNewResizeErrors(t *testing.T) {
	if _, err := NewResize(4, 4, 0, 4, 1, ResizeNearest); err == nil {
		t.Error("an output of height 0 is accepted")
	}
	if _, err := NewResize(4, 4, 4, 4, 1, ResizeMode(9)); err == nil {
		t.Error("mode 9 is accepted")
	}
}
