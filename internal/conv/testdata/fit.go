//go:build ignore

// Fit times 3x3 convolutions by each algorithm on one thread of this machine, and
// prints what the constants of the cost model (cost.go, winograd.go) would be for
// it:
//
//	go run internal/conv/testdata/fit.go
//
// A cycle is the time of two FMAs of 16 floats at the measured peak. directShare is
// the median over the layers. For Winograd's algorithm the share and the cost of
// the transforms are fitted by least squares, with the ratio of input to output
// transforms as it is in the model: where C = K, times cannot tell them apart.
package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/resnet-go/resnet/internal/conv"
	"github.com/resnet-go/resnet/internal/simd/isa"
)

// layers are small enough for their weights to stay in L2.
func layers() (list []conv.Conv) {
	for _, n := range []int{1, 4, 8} {
		for _, l := range [][3]int{{56, 64, 64}, {28, 64, 64}, {28, 96, 96}, {28, 32, 128}, {28, 128, 32}, {14, 128, 128}, {56, 32, 32}} {
			list = append(list, conv.Conv{N: n, H: l[0], W: l[0], C: l[1], K: l[2], R: 3, S: 3, StrideH: 1, StrideW: 1,
				PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilH: 1, DilW: 1, Groups: 1})
		}
	}
	return list
}

// seconds returns the shortest of several runs by one algorithm.
func seconds(c conv.Conv, algorithm string) float64 {
	times := map[string]float64{}
	for _, name := range conv.Algorithms() {
		times[name] = 2
	}
	times[algorithm] = 1
	p, err := conv.Choose(c, conv.Want{Fast: true, ConstantWeights: true, Times: func(string) map[string]float64 { return times }})
	if err != nil {
		panic(err)
	}
	a := conv.Args{X: ones(c.XLen()), Packed: ones(p.Packed.Len), Y: ones(c.YLen())}
	a.Inputs, a.Partial = ones(p.Floats[conv.ArgInputs]), ones(p.Floats[conv.ArgPartial])
	best := math.Inf(1)
	for range 20 {
		start := time.Now()
		for i := range p.Steps {
			w := conv.Worker{Scratch: ones(p.Steps[i].Scratch)}
			for task := range p.Steps[i].Tasks {
				p.Steps[i].Run(&w, task, a)
			}
		}
		best = min(best, time.Since(start).Seconds())
	}
	return best
}

func ones(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = 1
	}
	return s
}

func ceil(a, b int) float64 { return float64(isa.CeilDiv(a, b)) }

func main() {
	peak := isa.PeakGFLOPS() * 1e9
	cycles := func(c conv.Conv, algorithm string) float64 { return seconds(c, algorithm) * peak / 64 }
	var shares []float64
	for _, c := range layers() {
		sums := float64(c.N*c.OutH()*c.OutW()) * 9 * float64(c.C) * ceil(c.K, isa.PanelWidth) / 2
		shares = append(shares, sums/cycles(c, conv.Direct))
	}
	slices.Sort(shares)
	fmt.Printf("%s, peak %.0f GFLOP/s\ndirectShare = %.2f\n", isa.ISA(), peak/1e9, shares[len(shares)/2])
	for _, m := range []struct {
		tile    int
		in, out float64 // of the model
	}{{4, 160, 120}, {2, 70, 60}} {
		// cycles = sums/share + transforms*scale; relative errors are minimized.
		var aa, ab, bb, ay, by float64
		for _, c := range layers() {
			tiles := float64(c.N) * ceil(c.OutH(), m.tile) * ceil(c.OutW(), m.tile)
			y := cycles(c, fmt.Sprintf("winograd %dx%d", m.tile, m.tile))
			edge := float64(m.tile + 2)
			a := tiles * edge * edge * float64(c.C) * ceil(c.K, isa.PanelWidth) / 2 / y
			b := tiles * (ceil(c.C, isa.PanelWidth)*m.in + ceil(c.K, isa.PanelWidth)*m.out) / y
			aa, ab, bb, ay, by = aa+a*a, ab+a*b, bb+b*b, ay+a, by+b
		}
		det := aa*bb - ab*ab
		share, scale := det/(ay*bb-by*ab), (by*aa-ay*ab)/det
		fmt.Printf("tiles of %dx%d: winogradShare = %.2f, cyclesPerInput%d = %.0f, cyclesPerOutput%d = %.0f\n",
			m.tile, m.tile, share, m.tile, m.in*scale, m.tile, m.out*scale)
	}
}
