package pixels

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// clipPixel is the end of a sum, as Pillow's clip8 has it.
func clipPixel(v int32) uint8 {
	return uint8(min(max(v>>PixelFraction, 0), 255))
}

// randomWeights sum up to about one; some are negative, as those of a cubic.
func randomWeights(rng *rand.Rand, n int) []int32 {
	w := make([]int32, n)
	for i := range w {
		w[i] = int32(float64(1<<PixelFraction) * (rng.Float64()*1.5 - 0.3) / float64(n))
	}
	return w
}

func TestMixRows(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		for n := range 70 {
			for taps := range 9 {
				stride := n + rng.IntN(9)
				in := isatest.RandomBytes(rng, max(taps-1, 0)*stride+n)
				in = in[:len(in):len(in)]
				w := randomWeights(rng, taps)
				room := bytes.Repeat([]uint8{77}, n+32)
				done := MixRows(room[:n:n], in, stride, w)
				if done < 0 || done > n || done < n&^15 && isa.UseAVX2 && taps > 0 {
					t.Fatalf("%d bytes, %d rows: %d done", n, taps, done)
				}
				for i := range room {
					want := uint8(77)
					if i < done {
						sum := int32(1 << (PixelFraction - 1))
						for k, x := range w {
							sum += x * int32(in[k*stride+i])
						}
						want = clipPixel(sum)
					}
					if room[i] != want {
						t.Fatalf("%d bytes, %d rows: %d is %d, not %d", n, taps, i, room[i], want)
					}
				}
			}
		}
	})
}

func TestMixPixels(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		for n := range 40 {
			for stride := 1; stride < 9; stride++ {
				start, count := make([]int, n), make([]int, n)
				at := 0
				for i := range n {
					start[i], count[i] = at, 1+rng.IntN(stride)
					if i > 0 && start[i]+count[i] < start[i-1]+count[i-1] {
						count[i] = start[i-1] + count[i-1] - start[i]
					}
					if count[i] < stride {
						at += rng.IntN(3)
					} else {
						at++
					}
				}
				pixels := 1
				if n > 0 {
					pixels = start[n-1] + count[n-1]
				}
				for i := range count { // a step back of at can ask for more than stride
					count[i] = min(count[i], stride)
				}
				src := isatest.RandomBytes(rng, 3*pixels)
				w := randomWeights(rng, n*stride)
				room := bytes.Repeat([]uint8{77}, 3*n+16)
				done := MixPixels(room[:3*n:3*n], src, start, count, w, stride)
				if done < 0 || done > n {
					t.Fatalf("%d pixels: %d done", n, done)
				}
				if n > 12 && isa.UseAVX2 && done < n/2 {
					t.Fatalf("%d pixels: only %d done", n, done)
				}
				for i := range n {
					for c := range 3 {
						if i >= done {
							break
						}
						sum := int32(1 << (PixelFraction - 1))
						for k := range count[i] {
							sum += w[i*stride+k] * int32(src[3*(start[i]+k)+c])
						}
						if got := room[3*i+c]; got != clipPixel(sum) {
							t.Fatalf("%d pixels of up to %d: %d.%d is %d, not %d", n, stride, i, c, got, clipPixel(sum))
						}
					}
				}
				for i := 3 * n; i < len(room); i++ {
					if room[i] != 77 {
						t.Fatalf("%d pixels: written behind the end", n)
					}
				}
			}
		}
	})
}

func TestMixRefusesWhatIsMissing(t *testing.T) {
	if !isa.UseAVX2 {
		t.Skip("no assembly for this machine")
	}
	out := make([]uint8, 32)
	for name, f := range map[string]func(){
		"rows":    func() { MixRows(out, make([]uint8, 63), 32, []int32{1, 1}) },
		"stride":  func() { MixRows(out, make([]uint8, 64), -32, []int32{1, 1}) },
		"weights": func() { MixPixels(out, out, []int{0, 1, 2}, []int{1, 1, 1}, []int32{1, 1}, 1) },
		"start":   func() { MixPixels(out, out, []int{-1, 1}, []int{1, 1}, []int32{1, 1}, 1) },
		"count":   func() { MixPixels(out, out, []int{0, 1}, []int{3, 1}, []int32{1, 1}, 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
