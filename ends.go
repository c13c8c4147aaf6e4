package resnet

import (
	"context"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// ends is what the numbers of a network of another program are, where its graph
// does not end in a softmax, a sigmoid or a linear layer.
type ends uint8

const (
	endsScores        ends = iota
	endsProbabilities      // that sum to 1
	endsIndependent        // each from 0 to 1
)

// settleEnds decides by trial whether a network gives probabilities already: by a
// softmax written out in other operators, or as the mean of several networks. Taking
// the softmax of probabilities would make nearly equal numbers of them.
func (m *Model) settleEnds() error {
	in := m.Input()
	traced, err := nn.Trace(m.net, nn.TraceOptions{Input: graph.F32(1, in[0], in[1], in[2])})
	if err != nil {
		return fmt.Errorf("resnet: %s: %w", m.name, err)
	}
	if _, end := graph.Logits(traced.Output); end != "" || graph.EndsLinear(traced.Output) {
		return nil
	}
	sums, within := true, true
	r := philox.New(1, 0)
	for trial := range 3 {
		x := tensor.New(1, in[0], in[1], in[2])
		for i := range x.Float32s() {
			c := i / (in[1] * in[2])
			v := []float64{0.5, r.Uniform(0, 1), float64(i%in[2]) / float64(in[2])}[trial]
			x.Float32s()[i] = (float32(v) - m.prep.Mean[c]) / m.prep.Std[c]
		}
		out, err := m.runner.Run(context.Background(), infer.Query{}, infer.Tensors{nn.ImageInput: x})
		if err != nil {
			return fmt.Errorf("resnet: %s: %w", m.name, err)
		}
		sum := 0.0
		for _, p := range out[infer.Output].Float32s() {
			within = within && p >= 0 && p <= 1+1e-4
			sum += float64(p)
		}
		sums = sums && math.Abs(sum-1) < 1e-3
	}
	switch {
	case within && sums && len(m.classes) > 1:
		m.ends = endsProbabilities
		m.notes = append(m.notes, "its output is taken as probabilities, because it sums to 1 in three trials")
	case within && m.meta.MultiLabel || within && len(m.classes) == 1:
		m.ends, m.meta.MultiLabel = endsIndependent, true
		m.notes = append(m.notes, "its output is taken as independent probabilities, because it lies between 0 and 1 in three trials")
	case within:
		m.notes = append(m.notes, "its output lies between 0 and 1 but does not sum to 1: it is taken as scores, of which the softmax is computed")
	}
	return nil
}

// logits returns what the softmax or sigmoid of is the network's output.
func (e ends) logits(g *graph.Graph, z *graph.Value) *graph.Value {
	log := func(p *graph.Value) *graph.Value {
		return g.Must1(graph.Unary{Fn: graph.Log}, g.Must1(graph.Binary{Fn: graph.Max}, p, g.Scalar(1e-30)))
	}
	switch e {
	case endsProbabilities:
		return log(z)
	case endsIndependent: // ln(p / (1-p))
		return g.Must1(graph.Binary{Fn: graph.Sub}, log(z), log(g.Must1(graph.Affine{Scale: -1, Shift: 1}, z)))
	}
	return z
}
