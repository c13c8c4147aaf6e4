package gemm8

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"
	"unsafe"

	"github.com/resnet-go/resnet/internal/simd/isa"
	"github.com/resnet-go/resnet/internal/simd/isatest"
)

// guard surrounds what a kernel may write.
const guard = 0xA5

// caseOf is one call: a shape, and what the epilogue does.
type caseOf struct {
	m, panels, columns int
	batch, k           int
	mode               Mode
	res, large         bool
	extreme            bool // bytes with which pairs of 16 bits would saturate
	least              uint8
	zero               uint8
}

// operands are the arguments of a tile. What the kernels read ends, in every
// other array, at a page that may not be touched.
type operands struct {
	g          Args
	out        []uint8 // with guards
	first, row int     // bytes: of the output's first row, between rows
	size       int     // bytes of an output
	sums       []int32
}

// array returns n values of b that a kernel may only read.
func array[T any](b *isatest.Buffers, n int) []T {
	var v T
	floats := b.Out((n*int(unsafe.Sizeof(v)) + 3) / 4)
	all := unsafe.Slice((*T)(unsafe.Pointer(&floats[0])), 4*len(floats)/int(unsafe.Sizeof(v)))
	return all[len(all)-n:]
}

const guards = 64 // bytes before and after the output

func (c caseOf) operands(b *isatest.Buffers) *operands {
	r := b.Rng
	o := &operands{size: 1}
	if c.mode == ModeFloats {
		o.size = 4
	}
	aStride := 4*c.k + Size()*r.IntN(9)
	a := array[uint8](b, (c.m-1)*aStride+4*c.k*c.batch)
	for i := range a {
		a[i] = uint8(r.IntN(256))
		if c.extreme {
			a[i] = 255
		}
		if Wide() && i%2 > 0 { // of 16 bits
			a[i] = 0
		}
	}
	aoff := make([]int, c.batch) // elements lie in reverse, to see that the offsets are used
	for i := range aoff {
		aoff[i] = (c.batch - 1 - i) * 4 * c.k
	}
	panel := c.batch * c.k * 4 * isa.PanelWidth
	bStride := panel + 64*r.IntN(2)
	w := array[int8](b, (c.panels-1)*bStride+panel)
	for i := range w {
		w[i] = int8(r.IntN(256) - 128)
		if c.extreme {
			w[i] = [3]int8{-128, 127, 127}[r.IntN(3)]
		}
		if Wide() && i%2 > 0 { // the sign of 16 bits
			w[i] = w[i-1] >> 7
		}
	}
	padded := c.panels * isa.PanelWidth
	corr, scale := array[int32](b, padded), array[float32](b, padded)
	for i := range corr {
		corr[i] = int32(r.IntN(20001) - 10000)
		scale[i] = float32((0.5 + r.Float64()) / 4000 / math.Sqrt(float64(c.k*c.batch)))
		if c.extreme {
			scale[i] /= 40
		}
	}
	o.row = c.columns*o.size + r.IntN(3)*o.size
	o.first = guards
	o.out = bytes.Repeat([]byte{guard}, guards+(c.m-1)*o.row+c.columns*o.size+guards)
	o.sums = make([]int32, MaxTileSums)
	e := Epilogue{Mode: c.mode, Scale: &scale[0], Out: unsafe.Pointer(&o.out[o.first]), OutStride: o.row, MayOverflow: c.large}
	if c.res {
		stride := c.columns + r.IntN(5)
		res := array[uint8](b, (c.m-1)*stride+c.columns)
		for i := range res {
			res[i] = uint8(r.IntN(256))
		}
		e.Res, e.ResStride = &res[0], stride
		e.ResZero, e.ResScale = 7, 0.41
	}
	switch c.mode {
	case ModeFloats:
		e.ClampOutLo, e.ClampOutHi = float32(math.Inf(-1)), float32(math.Inf(1))
		if c.least > 0 {
			e.ClampOutLo = 0
		}
	case ModeBytes:
		e.Zero = int32(c.zero)
	case ModeAdd:
		e.Magic = isa.RoundMagic
		e.ClampMidLo = isa.RoundMagic - float32(c.zero)
		e.ClampMidHi = 255 + e.ClampMidLo
		e.MulY, e.MulRes, e.Plus = 0.77, 0.93, -3.25
	}
	if c.mode != ModeFloats {
		e.ClampOutLo, e.ClampOutHi = float32(c.least)-float32(e.Zero), float32(255-e.Zero)
	}
	o.g = Args{
		A: &a[0], AOff: &aoff[0], Batch: c.batch, K: c.k, AStride: aStride, B: &w[0], BStride: bStride,
		PrefetchB: &w[0], PrefetchA: &a[0], Corr: &corr[0], C: &o.sums[0],
	}
	o.g.SetEpilogue(e)
	o.g.SetPanels(c.panels, c.columns)
	return o
}

// check compares the tile with the definitions in Go, which run on the same
// operands.
func (c caseOf) check(t *testing.T, seed uint64) {
	t.Helper()
	got := c.operands(isatest.NewBuffers(t, seed))
	got.g.Tile(c.m)

	want := c.operands(isatest.NewBuffers(t, seed))
	want.g.finish = 0
	tileGeneric(c.m, c.panels, &want.g)
	for z := range c.panels {
		col := z * isa.PanelWidth
		e := want.g.Epilogue
		e.rows, e.tStride, e.cols = c.m, c.panels*isa.PanelWidth*4, min(isa.PanelWidth, c.columns-col)
		e.t = &want.sums[col]
		e.Scale = (*float32)(unsafe.Add(unsafe.Pointer(e.Scale), 4*col))
		if c.res {
			e.Res = (*uint8)(unsafe.Add(unsafe.Pointer(e.Res), col))
		}
		e.Out = unsafe.Add(e.Out, want.size*col)
		epilogueGeneric(&e)
	}
	if got.g.finish == 0 && !slices.Equal(got.sums[:c.m*c.panels*isa.PanelWidth], want.sums[:c.m*c.panels*isa.PanelWidth]) {
		t.Fatalf("%+v: sums differ from the Go loop's", c)
	}
	if !bytes.Equal(got.out, want.out) {
		for i := range got.out {
			if got.out[i] != want.out[i] {
				at := i - got.first
				t.Fatalf("%+v: byte %d of row %d (%d bytes apart) is %#x, the Go loop gives %#x", c, at%got.row, at/got.row, got.row, got.out[i], want.out[i])
			}
		}
	}
	for i, v := range want.out {
		at := i - want.first
		if inside := at >= 0 && at/want.row < c.m && at%want.row < c.columns*want.size; !inside && v != guard {
			t.Fatalf("%+v: the Go loop wrote outside of the output, at byte %d", c, at)
		}
	}
}

// Every shape of tile, in every mode of the epilogue, gives the bits of the Go
// loops and writes nothing else.
func TestTilesAgainstGo(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		seed := uint64(0)
		for panels := 1; panels <= isa.MaxPanels; panels++ {
			for m := 1; m <= MaxRows(panels); m++ {
				for i, k := range []int{1, 2, 3, 16, 37} {
					for _, columns := range []int{panels * isa.PanelWidth, panels*isa.PanelWidth - 1 - (m+i)%(isa.PanelWidth-1)} {
						c := caseOf{m: m, panels: panels, columns: columns, k: k, batch: 1 + i%3, extreme: i == 3}
						for _, mode := range []Mode{ModeFloats, ModeBytes, ModeAdd} {
							for _, res := range []bool{false, true} {
								if mode == ModeAdd && !res {
									continue
								}
								seed++
								c.mode, c.res, c.zero = mode, res, []uint8{0, 128, 255, 7}[seed%4]
								c.least, c.large = 0, seed%5 == 0
								if seed%3 == 0 {
									c.least = max(c.zero, 1)
								}
								c.check(t, seed)
							}
						}
					}
				}
			}
		}
	}, isatest.VNNI)
}

// Widen gives the values of the bytes, at every length.
func TestWiden(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		for n := range 70 {
			src, dst := make([]uint8, n), bytes.Repeat([]byte{guard}, 2*n+2)
			for i := range src {
				src[i] = uint8(255 - 3*i)
			}
			Widen(dst[:2*n], src)
			for i, v := range src {
				if dst[2*i] != v || dst[2*i+1] != 0 {
					t.Fatalf("%d bytes: number %d is %#x %#x, want %#x", n, i, dst[2*i+1], dst[2*i], v)
				}
			}
			if dst[2*n] != guard {
				t.Fatalf("%d bytes: wrote behind the end", n)
			}
		}
	})
}

// Sum gives the sums of products of numbers of 16 bits, and writes nothing else.
func TestSum(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		r := isatest.NewBuffers(t, 5).Rng
		for m := 1; m <= max(MaxSumRows(), 2); m++ {
			for _, k := range []int{1, 2, 3, 16, 37} {
				stride := 2*k + r.IntN(5)
				a, b, sums := make([]int16, (m-1)*stride+2*k), make([]int16, k*2*isa.PanelWidth), make([]int32, m*isa.PanelWidth+1)
				for i := range a {
					a[i] = int16(r.IntN(1 << 16))
				}
				for i := range b {
					b[i] = int16(r.IntN(1 << 16))
				}
				var corr [isa.PanelWidth]int32
				for i := range corr {
					corr[i] = int32(r.Uint32())
				}
				sums[m*isa.PanelWidth] = guard
				g := Args{A: (*uint8)(unsafe.Pointer(&a[0])), AStride: 2 * stride, B: (*int8)(unsafe.Pointer(&b[0])), K: k, Corr: &corr[0], C: &sums[0]}
				g.Sum(m)
				for i, got := range sums[:m*isa.PanelWidth] {
					want := corr[i%isa.PanelWidth]
					for j, x := range a[i/isa.PanelWidth*stride:][:2*k] {
						want += int32(x) * int32(b[(j/2*isa.PanelWidth+i%isa.PanelWidth)*2+j%2])
					}
					if got != want {
						t.Fatalf("%d rows, %d words: sum %d is %d, want %d", m, k, i, got, want)
					}
				}
				if sums[m*isa.PanelWidth] != guard {
					t.Fatalf("%d rows: wrote behind the end", m)
				}
			}
		}
	}, isatest.VNNI)
}

// Where the micro-kernel can apply the epilogue itself it does, and only there.
func TestFinishesInRegisters(t *testing.T) {
	isatest.EachISA(t, func(t *testing.T) {
		vnni := isa.UseAVX512 && isa.UseVNNI
		var res uint8
		for _, c := range []struct {
			e       Epilogue
			columns int
			want    bool
		}{
			{Epilogue{Mode: ModeBytes}, 32, vnni},
			{Epilogue{Mode: ModeBytes}, 64, vnni},
			{Epilogue{Mode: ModeAdd, Res: &res}, 32, vnni},
			{Epilogue{Mode: ModeBytes}, 31, false},
			{Epilogue{Mode: ModeFloats}, 32, false},
			{Epilogue{Mode: ModeBytes, Res: &res}, 32, false},
			{Epilogue{Mode: ModeBytes, MayOverflow: true}, 32, false},
			{Epilogue{Mode: ModeAdd, Res: &res, MayOverflow: true}, 32, false},
		} {
			var g Args
			g.SetEpilogue(c.e)
			g.SetPanels(2, c.columns)
			if got := g.finish != 0; got != c.want || got && g.finish != int(c.e.Mode) {
				t.Errorf("mode %d, residual %v, %d columns: finish is %d, in registers must be %v", c.e.Mode, c.e.Res != nil, c.columns, g.finish, c.want)
			}
		}
	}, isatest.VNNI)
}

func BenchmarkTile(b *testing.B) {
	for _, mode := range []Mode{ModeFloats, ModeBytes, ModeAdd} {
		for _, k := range []int{16, 144} {
			b.Run(fmt.Sprintf("mode%d/k%d", mode, 4/Size()*k), func(b *testing.B) {
				panels := 2
				for MaxRows(panels) == 0 {
					panels--
				}
				c := caseOf{m: MaxRows(panels), panels: panels, columns: panels * isa.PanelWidth, batch: 1, k: k, mode: mode, res: mode == ModeAdd}
				o := c.operands(isatest.NewBuffers(b, 1))
				for b.Loop() {
					o.g.Tile(c.m)
				}
				b.ReportMetric(float64(2*c.m*c.columns*4/Size()*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GOP/s")
			})
		}
	}
}
