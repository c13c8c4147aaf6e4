package ref

import (
	"testing"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// BenchmarkConvolution is the layer of ResNet-18 that most of its work is like,
// forward and backward; the reference must stay fast enough for whole networks.
func BenchmarkConvolution(b *testing.B) {
	g := &graph.Graph{}
	x, w := g.Const(tensor.New(2, 64, 16, 16)), g.Const(tensor.New(64, 64, 3, 3))
	y := g.Must1(graph.Conv2d{StrideH: 1, StrideW: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, DilationH: 1, DilationW: 1, Groups: 1}, x, w)
	if _, err := g.Gradients(g.Must1(graph.Reduce{Fn: graph.Sum}, y), []*graph.Value{x, w}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Run(g, nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(3*2*64*64*9*16*16*float64(b.N)/b.Elapsed().Seconds()/1e6, "MMAC/s")
}
