package pixels

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// rowTest runs f, which returns what was done of n values, on rows of random bytes with
// nothing behind them, and compares what it writes to out, per value of each, with want.
func rowTest(t *testing.T, rows, extra, per int, f func(out []uint8, in [][]uint8) int, want func(in [][]uint8, i int) uint8) {
	isatest.EachISA(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		for n := range 150 {
			in := make([][]uint8, rows)
			for i := range in {
				in[i] = isatest.RandomBytes(rng, n+extra)
				for k := range in[i] {
					if rng.IntN(3) == 0 {
						in[i][k] = uint8(255 * rng.IntN(2))
					}
				}
			}
			room := bytes.Repeat([]uint8{77}, per*n+32)
			done := f(room[:per*n:per*n], in)
			if done < 0 || done > n || done < n&^15 && haveJPEG() {
				t.Fatalf("%d of %d done", done, n)
			}
			for i, got := range room {
				w := uint8(77)
				if i < per*done {
					w = want(in, i)
				}
				if got != w {
					t.Fatalf("%d values: %d is %d, not %d", n, i, got, w)
				}
			}
		}
	})
}

func TestYCbCrToRGB(t *testing.T) {
	rowTest(t, 3, 0, 3, func(out []uint8, in [][]uint8) int { return YCbCrToRGB(out, in[0], in[1], in[2]) }, func(in [][]uint8, i int) uint8 {
		return fromYCbCr(in[0][i/3], in[1][i/3], in[2][i/3], i%3)
	})
}

// fromYCbCr is a channel as jdcolor.c computes it.
func fromYCbCr(y, cb, cr uint8, channel int) uint8 {
	b, r := int32(cb)-128, int32(cr)-128
	v := [3]int32{91881 * r, -22554*b - 46802*r, 116130 * b}[channel]
	return uint8(min(max(int32(y)+(v+1<<15)>>16, 0), 255))
}

// All pairs of chroma, each with luma that limits the result at both ends.
func TestYCbCrToRGBOfAllChroma(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		y, cb, cr, out := make([]uint8, 256), make([]uint8, 256), make([]uint8, 256), make([]uint8, 768)
		for i := range 256 {
			for k := range 256 {
				y[k], cb[k], cr[k] = uint8(i*7+k*29), uint8(i), uint8(k)
			}
			for k := range YCbCrToRGB(out, y, cb, cr) {
				for ch := range 3 {
					if got, want := out[3*k+ch], fromYCbCr(y[k], cb[k], cr[k], ch); got != want {
						t.Fatalf("channel %d of (%d, %d, %d) is %d, not %d", ch, y[k], cb[k], cr[k], got, want)
					}
				}
			}
		}
	})
}

func TestUpsample(t *testing.T) {
	at := func(in []uint8, i int) uint32 { return uint32(in[i]) }
	t.Run("2x1", func(t *testing.T) {
		rowTest(t, 1, 2, 2, func(out []uint8, in [][]uint8) int { return Upsample2x1(out, in[0]) }, func(in [][]uint8, i int) uint8 {
			k := i / 2
			return uint8((3*at(in[0], k+1) + at(in[0], k+2*(i%2)) + uint32(1+i%2)) >> 2)
		})
	})
	t.Run("2x2", func(t *testing.T) {
		rowTest(t, 2, 2, 2, func(out []uint8, in [][]uint8) int { return Upsample2x2(out, in[0], in[1]) }, func(in [][]uint8, i int) uint8 {
			v := func(k int) uint32 { return 3*at(in[0], k) + at(in[1], k) }
			k := i / 2
			return uint8((3*v(k+1) + v(k+2*(i%2)) + uint32(8-i%2)) >> 4)
		})
	})
	for lower, bias := range map[bool]uint32{false: 1, true: 2} {
		t.Run("1x2", func(t *testing.T) {
			rowTest(t, 2, 0, 1, func(out []uint8, in [][]uint8) int { return Upsample1x2(out, in[0], in[1], lower) }, func(in [][]uint8, i int) uint8 {
				return uint8((3*at(in[0], i) + at(in[1], i) + bias) >> 2)
			})
		})
	}
}

func TestJPEGRefusesWhatIsMissing(t *testing.T) {
	b := make([]uint8, 64)
	for name, f := range map[string]func(){
		"convert": func() { YCbCrToRGB(b, b[:32], b, b) },
		"chroma":  func() { YCbCrToRGB(b, b[:16], b[:15], b) },
		"2x1":     func() { Upsample2x1(b[:31], b[:18]) },
		"2x2":     func() { Upsample2x2(b, b[:18], b[:17]) },
		"1x2":     func() { Upsample1x2(b, b, b[:60], true) },
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
