package conv

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/cpu"
	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
	"github.com/resnet-go/resnet/internal/simd/wino"
)

// winogradShapes are small geometries with every kind of edge: images below a
// tile, odd ones, tiles of one row or pixel, channels that are no multiple of a
// vector, and enough tiles for several blocks.
var winogradShapes = []Conv{
	conv(1, 1, 1, 1, 1, 3, 1, 1),
	conv(1, 3, 3, 16, 16, 3, 1, 0),
	conv(1, 1, 1, 17, 33, 3, 1, 2),
	conv(2, 7, 7, 32, 48, 3, 1, 1),
	conv(3, 8, 8, 16, 16, 3, 1, 1),
	conv(2, 5, 9, 3, 20, 3, 1, 1),
	conv(1, 4, 13, 24, 40, 3, 1, 2),
	conv(1, 6, 6, 130, 9, 3, 1, 1),
	conv(1, 14, 14, 64, 96, 3, 1, 1),
	conv(5, 7, 7, 40, 72, 3, 1, 1),
	conv(1, 30, 31, 20, 18, 3, 1, 1),
	conv(1, 40, 41, 6, 5, 3, 1, 1),
	conv(1, 2, 50, 31, 15, 3, 1, 1),
	conv(2, 50, 3, 8, 130, 3, 1, 0),
	conv(1, 5, 9, 1024, 20, 3, 1, 1),
	{N: 2, H: 9, W: 7, C: 12, K: 18, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 0, PadLeft: 1, PadBottom: 2, PadRight: 0, DilH: 1, DilW: 1, Groups: 1},
	{N: 1, H: 4, W: 4, C: 3, K: 6, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 9, PadLeft: 8, PadBottom: 7, PadRight: 6, DilH: 1, DilW: 1, Groups: 1},
}

// dilatedShapes are the same with dilation: of more phases than outputs, of tiles that
// are cut in each phase, and with padding that whole tiles lie in.
var dilatedShapes = []Conv{
	dilated(conv(1, 9, 9, 16, 32, 3, 1, 2), 2, 2),
	dilated(conv(2, 13, 17, 20, 18, 3, 1, 4), 4, 4),
	dilated(conv(1, 17, 16, 24, 40, 3, 1, 3), 3, 2),
	dilated(conv(1, 7, 7, 130, 9, 3, 1, 12), 12, 12),
	dilated(conv(3, 11, 5, 3, 20, 3, 1, 1), 2, 1),
	dilated(conv(1, 30, 31, 40, 72, 3, 1, 0), 5, 4),
	dilated(conv(1, 1, 1, 17, 33, 3, 1, 9), 9, 8),
	{N: 2, H: 9, W: 7, C: 12, K: 18, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 0, PadLeft: 1, PadBottom: 2, PadRight: 6, DilH: 2, DilW: 3, Groups: 1},
}

// closedShapes are pictures whose phases are closed tiles: of one, two and three
// pixels and mixed, of different dilations, of several pictures and blocks.
var closedShapes = []Conv{
	dilated(conv(1, 5, 4, 17, 33, 3, 1, 6), 6, 6),
	dilated(conv(2, 9, 10, 20, 18, 3, 1, 5), 5, 5),
	dilated(conv(1, 13, 17, 130, 9, 3, 1, 6), 6, 6),
	dilated(conv(3, 6, 6, 3, 40, 3, 1, 2), 2, 2),
	dilated(conv(1, 41, 38, 24, 40, 3, 1, 15), 15, 15),
	dilated(conv(1, 41, 38, 24, 40, 3, 1, 22), 22, 22),
	{N: 2, H: 11, W: 7, C: 12, K: 18, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 6, PadLeft: 3, PadBottom: 6, PadRight: 3, DilH: 6, DilW: 3, Groups: 1},
}

// fitting returns the tiles that can compute c.
func fitting(c Conv) (tiles []wino.Tile) {
	for _, tile := range winogradTiles {
		if !tile.Closed() || c.checkClosed(tile) == nil {
			tiles = append(tiles, tile)
		}
	}
	return tiles
}

func dilated(c Conv, dilH, dilW int) Conv {
	c.DilH, c.DilW = dilH, dilW
	return c
}

// waysOf are the ways to come by the weights for a kind of tile.
// Registers are not used with AVX2 and NEON, whose sums differ from those of plain
// Go.
func waysOf(tile wino.Tile) []winogradWeights {
	switch {
	case tile != wino.F4:
		return []winogradWeights{storedWeights}
	case (isa.UseAVX2 || isa.UseNEON) && !isa.UseAVX512:
		return []winogradWeights{storedWeights, pairedRows}
	}
	return []winogradWeights{storedWeights, pairedRows, inRegisters}
}

// plannedWinograd plans a convolution with constant weights.
func plannedWinograd(c Conv, tile wino.Tile, way winogradWeights) *Plan {
	return newWinograd(c, tile, way).plan(Want{Fast: true, ConstantWeights: true}, c.FLOPs(), c.forwardPacking())
}

func runForward(p *parallel.Pool, plan *Plan, k *convCase, bias, res []float32, act isa.Act) []float32 {
	y := isatest.Nans(k.YLen())
	runPlan(p, plan, Args{X: k.x, Packed: packWith(p, plan.Packed, k.w), Bias: bias, Residual: res, Y: y, Act: act})
	return y
}

// testWinograd compares a case with float64, run by one, and the bits that the
// other pools and the other ways get with those.
func testWinograd(t *testing.T, k *convCase, tile wino.Tile, one *parallel.Pool, others ...*parallel.Pool) {
	terms := 4 * 9 * k.C // rounding is twice that of the direct sum
	results := map[winogradWeights][]float32{}
	for _, way := range waysOf(tile) {
		f := plannedWinograd(k.Conv, tile, way)
		y := runForward(one, f, k, nil, nil, isa.ActNone)
		closeTo(t, fmt.Sprintf("way %d", way), y, k.y64, terms)
		for other, results := range results {
			if k.sumsEqual(way, other) {
				isatest.SameBits(t, fmt.Sprintf("way %d and %d", way, other), y, results)
			}
		}
		results[way] = y
		for _, many := range others {
			isatest.SameBits(t, fmt.Sprintf("way %d, %d workers", way, many.Workers()), runForward(many, f, k, nil, nil, isa.ActNone), y)
		}
	}
	f := plannedWinograd(k.Conv, tile, waysOf(tile)[len(k.x)%len(waysOf(tile))])
	for _, act := range []isa.Act{isa.ActNone, isa.ActReLU, isa.ActReLU6} {
		for _, res := range [][]float32{nil, k.res} {
			want := make([]float64, len(k.y64))
			for i, v := range k.y64 {
				v += float64(k.bias[i%k.K])
				if res != nil {
					v += float64(res[i])
				}
				if act != isa.ActNone {
					v = max(0, v)
				}
				if act == isa.ActReLU6 {
					v = min(v, 6)
				}
				want[i] = v
			}
			closeTo(t, "act(y+bias+residual)", runForward(one, f, k, k.bias, res, act), want, terms)
		}
	}
}

func TestWinogradAgainstNaive(t *testing.T) {
	one, two, eight := parallel.NewPool(1), parallel.NewPool(2), parallel.NewPool(8)
	defer one.Close()
	defer two.Close()
	defer eight.Close()
	var cases []*convCase
	for _, c := range slices.Concat(dilatedShapes, closedShapes, winogradShapes) {
		cases = append(cases, newConvCase(c))
	}
	isatest.EachISA(t, func(t *testing.T) {
		for _, k := range cases {
			for _, tile := range trainTiles {
				t.Run(fmt.Sprintf("%v/%s", tile, k.Conv), func(t *testing.T) { testWinograd(t, k, tile, one, two, eight) })
			}
		}
	})
}

// A random geometry on the fastest instruction set agrees with the naive sums.
func FuzzWinograd(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(99))
	one, pool := parallel.NewPool(1), parallel.NewPool(2)
	f.Cleanup(one.Close)
	f.Cleanup(pool.Close)
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := Conv{
			N: 1 + r.IntN(3), H: 1 + r.IntN(18), W: 1 + r.IntN(25), C: 1 + r.IntN(40), K: 1 + r.IntN(70), R: 3, S: 3, StrideH: 1, StrideW: 1,
			PadTop: r.IntN(4), PadLeft: r.IntN(4), PadBottom: r.IntN(4), PadRight: r.IntN(4), DilH: 1, DilW: 1, Groups: 1,
		}
		if r.IntN(2) == 0 {
			c = dilated(c, 1+r.IntN(5), 1+r.IntN(5))
		}
		if r.IntN(3) == 0 { // closed tiles
			c = dilated(c, isa.CeilDiv(c.H, 1+r.IntN(3)), isa.CeilDiv(c.W, 1+r.IntN(3)))
			c.PadTop, c.PadLeft, c.PadBottom, c.PadRight = c.DilH, c.DilW, c.DilH, c.DilW
		}
		if c.Check() != nil {
			t.Skip("the kernel is larger than the input")
		}
		tiles := fitting(c)
		testWinograd(t, newConvCase(c), tiles[r.IntN(len(tiles))], one, pool)
	})
}

// The residual may be the output itself.
func TestWinogradInPlace(t *testing.T) {
	pool := parallel.NewPool(2)
	defer pool.Close()
	k := newConvCase(conv(2, 9, 10, 20, 40, 3, 1, 1))
	isatest.EachISA(t, func(t *testing.T) {
		for _, tile := range trainTiles {
			f := planned(t, winogradForward(tile), k.Conv, Want{Fast: true, ConstantWeights: true})
			want := runForward(pool, f, k, k.bias, k.res, isa.ActReLU)
			y := append([]float32(nil), k.res...)
			runPlan(pool, f, Args{X: k.x, Packed: packWith(pool, f.Packed, k.w), Bias: k.bias, Residual: y, Y: y, Act: isa.ActReLU})
			isatest.SameBits(t, "y", y, want)
		}
	})
}

// Rounding moves an output by little more than it moves that of the direct sum.
func TestWinogradError(t *testing.T) {
	pool := parallel.NewPool(2)
	defer pool.Close()
	whole := newConvCase(conv(1, 16, 16, 128, 32, 3, 1, 1))
	cases := []struct {
		tile wino.Tile
		k    *convCase
		most float64 // times the error of the direct sum
	}{
		{wino.F2, whole, 1.5}, {wino.F3, whole, 3}, {wino.F4, whole, 3},
		{wino.Closed2, newConvCase(dilated(conv(1, 16, 16, 128, 32, 3, 1, 8), 8, 8)), 1.5},
		{wino.Closed3, newConvCase(dilated(conv(1, 18, 18, 128, 32, 3, 1, 6), 6, 6)), 1.5},
	}
	isatest.EachISA(t, func(t *testing.T) {
		for _, c := range cases {
			k := c.k
			rms := func(y []float32) float64 {
				sum, size := 0.0, 0.0
				for i, v := range y {
					d := float64(v) - k.y64[i]
					sum, size = sum+d*d, size+k.y64[i]*k.y64[i]
				}
				return math.Sqrt(sum / size)
			}
			y, _, _ := convForward(t, pool, k.Conv, k.x, k.w, nil, nil, isa.ActNone)
			direct := rms(y)
			for _, way := range waysOf(c.tile) {
				e := rms(runForward(pool, plannedWinograd(k.Conv, c.tile, way), k, nil, nil, isa.ActNone))
				t.Logf("relative error (root of mean square): %v way %d %.2g, direct %.2g", c.tile, way, e, direct)
				if e > c.most*direct || e > 2e-6 {
					t.Errorf("%v, way %d, has an error of %g, the direct sum of %g", c.tile, way, e, direct)
				}
			}
		}
	})
}

func TestWinogradRefuses(t *testing.T) {
	fast := Want{Fast: true, ConstantWeights: true}
	for _, c := range []Conv{conv(1, 8, 8, 4, 4, 3, 2, 1), conv(1, 8, 8, 4, 4, 5, 1, 1), conv(1, 8, 8, 4, 4, 1, 1, 0), Linear(1, 4, 4)} {
		if _, err := winogradForward(wino.F4)(c, fast); err == nil || !strings.Contains(err.Error(), "Winograd wants a 3x3 kernel") {
			t.Errorf("%v: error %v", c, err)
		}
	}
	grouped := conv(1, 8, 8, 4, 4, 3, 1, 1)
	grouped.Groups = 2
	if _, err := winogradForward(wino.F4)(grouped, fast); err == nil {
		t.Error("Winograd took 2 groups")
	}
	if _, err := winogradForward(wino.F4)(conv(0, 8, 8, 4, 4, 3, 1, 1), fast); err == nil || !strings.Contains(err.Error(), "N is 0") {
		t.Errorf("error %v", err)
	}
	if _, err := winogradForward(wino.F4)(conv(1, 8, 8, 4, 4, 3, 1, 1), Want{ConstantWeights: true}); err == nil {
		t.Error("Winograd is a candidate of an exact convolution")
	}
	atrous := dilated(conv(1, 9, 8, 4, 4, 3, 1, 3), 3, 3)
	for _, tile := range []wino.Tile{wino.F3, wino.Closed3} {
		if _, err := winogradForward(tile)(atrous, fast); err != nil {
			t.Errorf("%v: %v", tile, err)
		}
		for _, w := range []Want{{Fast: true}, {Fast: true, ConstantWeights: true, Stats: true}} {
			if _, err := winogradForward(tile)(atrous, w); err == nil || !strings.Contains(err.Error(), "for inference with dilation") {
				t.Errorf("%v, %+v: error %v", tile, w, err)
			}
		}
		if _, err := winogradForward(tile)(conv(1, 2, 2, 4, 4, 3, 1, 1), fast); err == nil {
			t.Errorf("%v is a candidate without dilation", tile)
		}
	}
	cut, wide := atrous, atrous
	cut.PadBottom, wide.PadLeft, wide.PadRight = 2, 2, 4
	for _, c := range []Conv{cut, wide} {
		if _, err := winogradForward(wino.Closed3)(c, fast); err == nil || !strings.Contains(err.Error(), "padding of a dilation on each side") {
			t.Errorf("%v: error %v", c, err)
		}
	}
	if _, err := winogradForward(wino.Closed2)(atrous, fast); err == nil || !strings.Contains(err.Error(), "at most 2 pixels of a phase") {
		t.Errorf("phases of 3x3: error %v", err)
	}
}

// The dilated layers of DeepLabV3 at 520x520, where they have 65x65 pixels, use tiles
// that fit their phases.
func TestDilatedTile(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		for dilation, want := range map[int]wino.Tile{2: wino.F4, 4: wino.F4, 12: wino.F3, 24: wino.Closed3, 36: wino.Closed2} {
			c := dilated(conv(1, 65, 65, 512, 512, 3, 1, dilation), dilation, dilation)
			if dilation > 4 {
				c.C, c.K = 2048, 256
			}
			if got := cheapest(candidates(c, Want{Fast: true, ConstantWeights: true})).name; got != winogradName(want) {
				t.Errorf("dilation %d: %s, want %s", dilation, got, winogradName(want))
			}
			if got := cheapest(candidates(c, Want{Fast: true, Stats: true})).name; got != winogradName(wino.F4) && got != winogradName(wino.F2) && got != Direct {
				t.Errorf("training, dilation %d: %s", dilation, got)
			}
		}
	})
}

// The choices for the layers of ResNet-18 and ResNet-50 at 224x224 are those
// measured to be the fastest, or nearly so with less memory.
func TestFastestTile(t *testing.T) {
	type choice struct {
		tile wino.Tile
		way  winogradWeights
	}
	want := map[string]map[int][]choice{
		"avx512": {
			1: {{wino.F4, storedWeights}, {wino.F4, storedWeights}, {wino.F4, inRegisters}, {wino.F4, inRegisters}},
			8: {{wino.F4, storedWeights}, {wino.F4, storedWeights}, {wino.F4, storedWeights}, {wino.F4, pairedRows}},
		},
		"zen4": {
			1: {{wino.F4, storedWeights}, {wino.F4, storedWeights}, {wino.F4, storedWeights}, {wino.F4, inRegisters}},
			8: {{wino.F4, storedWeights}, {wino.F4, storedWeights}, {wino.F4, storedWeights}, {wino.F4, storedWeights}},
		},
		"avx2": {
			1: {{wino.F4, storedWeights}, {wino.F4, storedWeights}, {wino.F4, storedWeights}, {wino.F2, storedWeights}},
			8: {{wino.F4, storedWeights}, {wino.F4, storedWeights}, {wino.F4, storedWeights}, {wino.F4, storedWeights}},
		},
	}
	for name, set := range map[string]isa.Set{
		"avx512": {AVX2: true, AVX512: true},
		"zen4":   {AVX2: true, AVX512: true, Core: cpu.Zen4},
		"avx2":   {AVX2: true},
		"neon":   {NEON: true},
	} {
		isa.PlanFor = &set
		for n, choices := range want[strings.Replace(name, "neon", "avx2", 1)] {
			for i, c := range winogradLayers(n) {
				var got choice
				best := cheapest(candidates(c, Want{Fast: true, ConstantWeights: true}))
				for _, tile := range trainTiles {
					if best.name == winogradName(tile) {
						got.tile = tile
						got.way, _ = c.winogradWeights(tile, nil)
					}
				}
				if got != choices[i] {
					t.Errorf("%s, %v: tiles and way %v, want %v", name, c, got, choices[i])
				}
			}
		}
		isa.PlanFor = nil
	}
}

func TestWinogradAllocatesNothing(t *testing.T) {
	c := dilated(conv(2, 9, 9, 17, 33, 3, 1, 5), 5, 5)
	x, y, bias := make([]float32, c.XLen()), make([]float32, c.YLen()), make([]float32, c.K)
	isatest.EachISA(t, func(t *testing.T) {
		for _, tile := range trainTiles {
			for _, way := range waysOf(tile) {
				f := plannedWinograd(c, tile, way)
				taskAllocations(t, fmt.Sprintf("%v, way %d:", tile, way), f, Args{X: x, Packed: make([]float32, f.Packed.Len), Bias: bias, Residual: y, Y: y, Act: isa.ActReLU})
			}
		}
	})
}
