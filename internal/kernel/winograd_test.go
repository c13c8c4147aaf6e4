package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/parallel"
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
	{N: 2, H: 9, W: 7, C: 12, K: 18, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 0, PadLeft: 1, PadBottom: 2, PadRight: 0, DilH: 1, DilW: 1, Groups: 1},
	{N: 1, H: 4, W: 4, C: 3, K: 6, R: 3, S: 3, StrideH: 1, StrideW: 1, PadTop: 9, PadLeft: 8, PadBottom: 7, PadRight: 6, DilH: 1, DilW: 1, Groups: 1},
}

func winogradForward(t *testing.T, p *parallel.Pool, f *Winograd, x, w, bias, res []float32, act Act) []float32 {
	t.Helper()
	packed := nans(f.PackedLen())
	p.Run(f.PackTasks(), func(task, _ int) { f.Pack(task, packed, w) })
	y, v := nans(f.conv.YLen()), nans(f.TransformFloats())
	s := scratches(p, f.ScratchFloats())
	p.Run(f.TransformTasks(), func(task, worker int) { f.Transform(task, s[worker], x, v) })
	p.Run(f.Tasks(), func(task, worker int) { f.Run(task, s[worker], x, v, packed, bias, res, y, act) })
	return y
}

// testWinograd compares a case with float64, run by one, and the bits that the
// other pools get with those.
func testWinograd(t *testing.T, k *convCase, tile int, one *parallel.Pool, others ...*parallel.Pool) {
	f, err := PlanWinograd(k.Conv, tile)
	if err != nil {
		t.Fatal(err)
	}
	terms := 4 * 9 * k.C // rounding is twice that of the direct sum
	y := winogradForward(t, one, f, k.x, k.w, nil, nil, ActNone)
	closeTo(t, "y", y, k.y64, terms)
	for _, many := range others {
		sameBits(t, "y", winogradForward(t, many, f, k.x, k.w, nil, nil, ActNone), y)
	}
	for _, act := range []Act{ActNone, ActReLU, ActReLU6} {
		for _, res := range [][]float32{nil, k.res} {
			want := make([]float64, len(k.y64))
			for i, v := range k.y64 {
				v += float64(k.bias[i%k.K])
				if res != nil {
					v += float64(res[i])
				}
				if act != ActNone {
					v = max(0, v)
				}
				if act == ActReLU6 {
					v = min(v, 6)
				}
				want[i] = v
			}
			closeTo(t, "act(y+bias+residual)", winogradForward(t, one, f, k.x, k.w, k.bias, res, act), want, terms)
		}
	}
}

func TestWinogradAgainstNaive(t *testing.T) {
	one, two, eight := parallel.NewPool(1), parallel.NewPool(2), parallel.NewPool(8)
	defer one.Close()
	defer two.Close()
	defer eight.Close()
	var cases []*convCase
	for _, c := range winogradShapes {
		cases = append(cases, newConvCase(c))
	}
	eachISA(t, func(t *testing.T) {
		for _, k := range cases {
			for _, tile := range WinogradTiles {
				t.Run(fmt.Sprintf("F%d/%s", tile, k.Conv), func(t *testing.T) { testWinograd(t, k, tile, one, two, eight) })
			}
		}
	})
}

var _ = math.Abs
var _ = rand.IntN
var _ = strings.Contains
