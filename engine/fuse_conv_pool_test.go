package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// stem returns a convolution, ReLU and max pooling over images that are an input
// or computed, and their variables.
func stem(t *testing.T, n, kernel int, computed bool, layout tensor.Layout) (*graph.Graph, *Vars) {
	t.Helper()
	g, vars := &graph.Graph{}, NewVars()
	noise := rand.New(rand.NewPCG(1, 2))
	variable := func(name string, shape ...int) *graph.Value {
		return filled(t, g, vars, name, func(int) float32 { return float32(noise.NormFloat64()) / 8 }, shape...)
	}
	x, err := g.InputAs("x", graph.F32(n, 3, 96, 96), layout)
	if err != nil {
		t.Fatal(err)
	}
	if computed {
		x = g.Must(graph.Unary{Fn: graph.Abs}, x)[0]
	}
	p := kernel / 2
	conv := graph.Conv2d{StrideH: 1, StrideW: 1, PadTop: p, PadLeft: p, PadBottom: p, PadRight: p, DilationH: 1, DilationW: 1, Groups: 1}
	h := g.Must(conv, x, variable("w", 64, 3, kernel, kernel), variable("b", 64))[0]
	h = g.Must(graph.Unary{Fn: graph.Relu}, h)[0]
	pool := graph.MaxPool2d{Window: graph.Window{KernelH: 3, KernelW: 3, StrideH: 2, StrideW: 2, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1}}
	g.Output("y", g.Must(pool, h)[0])
	return g, vars
}

// A convolution and its pooling, computed for a few images at a time, give the
// bits of each image alone, and need less memory than the convolution's output.
func TestConvPoolInGroups(t *testing.T) {
	const batch = 5 // of 0.6 million floats after the convolution: 3 and 2 together
	x := tensor.New(batch, 3, 96, 96)
	for i := range x.Float32s() {
		x.Float32s()[i] = float32(math.Sin(float64(i)))
	}
	size := x.Numel() / batch
	for _, c := range []struct {
		kernel                   int
		computed, channels, fast bool
	}{{5, false, false, false}, {3, false, true, true}, {3, true, false, true}, {1, true, true, false}} {
		opt := Options{Fast: c.fast}
		layout, wrap := tensor.NCHW, func(x []float32, n, c, h, w int) (*tensor.Tensor, error) { return tensor.FromFloat32(x, n, c, h, w) }
		if c.channels {
			layout, wrap = tensor.NHWC, tensor.FromNHWC
		}
		run := func(n int, x []float32) (*Plan, []float32) {
			g, vars := stem(t, n, c.kernel, c.computed, layout)
			p, err := Compile(g, vars, opt)
			if err != nil {
				t.Fatal(err)
			}
			in, err := wrap(x, n, 3, 96, 96)
			if err != nil {
				t.Fatal(err)
			}
			y := tensor.New(n, 64, 48, 48)
			for range 2 {
				if err := p.Run([]*tensor.Tensor{in}, []*tensor.Tensor{y}); err != nil {
					t.Fatal(err)
				}
			}
			return p, y.Float32s()
		}
		var want []float32
		for i := range batch {
			_, y := run(1, x.Float32s()[i*size:(i+1)*size])
			want = append(want, y...)
		}
		p, got := run(batch, x.Float32s())
		if !slices.Equal(got, want) {
			t.Errorf("%+v: together the images give other bits than each alone", c)
		}
		var names []string
		for _, s := range p.Steps() {
			names = append(names, s.Name)
		}
		if all := strings.Join(names, "; "); !strings.Contains(all, "[0:3] (Conv2d+)") || !strings.Contains(all, "[3:5] (MaxPool2d)") {
			t.Errorf("%+v: steps %s", c, all)
		}
		if p.arena >= 64*96*96*batch {
			t.Errorf("%+v: the arena has %d floats, the convolution's output alone %d", c, p.arena, 64*96*96*batch)
		}
	}
}
