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
		var m PixelMixer
		for round := range 3000 {
			n, stride, width := rng.IntN(40), 1+rng.IntN(14), 1+rng.IntN(60)
			start, count := make([]int, n), make([]int, n)
			for i := range n {
				count[i] = rng.IntN(min(stride, width) + 1)
				start[i] = rng.IntN(width - count[i] + 1)
				if width > 2 && round%4 > 0 { // not at the end of the row
					count[i] = min(count[i], width-2)
					start[i] = min(start[i], width-2-count[i])
				}
			}
			src := isatest.RandomBytes(rng, 3*width)
			w := randomWeights(rng, n*stride)
			for i := range w { // as if for the taps of a pixel
				w[i] *= int32(n)
				if rng.IntN(50) == 0 {
					w[i] = (1<<26 - 1) * int32(1-2*rng.IntN(2))
				}
			}
			m.Init(len(src), start, count, w, stride)
			room := bytes.Repeat([]uint8{77}, 3*n+32)
			done := m.Mix(room[:3*n:3*n], src)
			if done < 0 || done > n || isa.UseAVX2 && width >= 18 && round%4 > 0 && done < n-5 {
				t.Fatalf("round %d: %d of %d pixels done", round, done, n)
			}
			for i := range done {
				for c := range 3 {
					sum := int32(1 << (PixelFraction - 1))
					for k := range count[i] {
						sum += w[i*stride+k] * int32(src[3*(start[i]+k)+c])
					}
					if got := room[3*i+c]; got != clipPixel(sum) {
						t.Fatalf("round %d: channel %d of pixel %d of %d is %d, not %d", round, c, i, n, got, clipPixel(sum))
					}
				}
			}
			for i := 3 * n; i < len(room); i++ {
				if room[i] != 77 {
					t.Fatalf("round %d: written behind the end", round)
				}
			}
		}
	})
}

// Weights that have no place in the parts are left to the caller.
func TestMixPixelsOfHugeWeights(t *testing.T) {
	var m PixelMixer
	m.Init(300, make([]int, 9), []int{1, 1, 1, 1, 1, 1, 1, 1, 1}, []int32{1, 1, 1 << 27, 1, 1, 1, 1, 1, 1}, 1)
	if done := m.Mix(make([]uint8, 27), make([]uint8, 300)); done > 2 {
		t.Errorf("%d pixels done", done)
	}
}

func TestMixRefusesWhatIsMissing(t *testing.T) {
	if !isa.UseAVX2 {
		t.Skip("no assembly for this machine")
	}
	out := make([]uint8, 32)
	for name, f := range map[string]func(){
		"rows":    func() { MixRows(out, make([]uint8, 63), 32, []int32{1, 1}) },
		"stride":  func() { MixRows(out, make([]uint8, 64), -32, []int32{1, 1}) },
		"weights": func() { new(PixelMixer).Init(32, []int{0, 1, 2}, []int{1, 1, 1}, []int32{1, 1}, 1) },
		"start":   func() { new(PixelMixer).Init(32, []int{-1, 1}, []int{1, 1}, []int32{1, 1}, 1) },
		"count":   func() { new(PixelMixer).Init(32, []int{0, 1}, []int{3, 1}, []int32{1, 1}, 1) },
		"source":  func() { new(PixelMixer).Init(32, []int{10}, []int{1}, []int32{1}, 1) },
		"row": func() {
			var m PixelMixer
			m.Init(32, make([]int, 9), make([]int, 9), make([]int32, 9), 1)
			m.Mix(out, out[:31])
		},
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
