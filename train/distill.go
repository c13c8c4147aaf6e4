package train

import (
	"context"
	"fmt"
	"slices"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/infer"
	"github.com/resnet-go/resnet/modelfile"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// distill adds the teacher's part to the loss, see [Distill].
func (s *Step) distill(g *graph.Graph, logits, loss *graph.Value) (*graph.Value, error) {
	taught, err := g.Input(inTeacher, graph.F32(logits.Shape...))
	if err != nil {
		return nil, err
	}
	t, w := s.teacher.Temperature, s.teacher.Weight
	cool := graph.Affine{Scale: float32(1 / t)}
	target := g.Must1(graph.Softmax{}, g.Must1(cool, taught))
	part := g.Must1(graph.CrossEntropy{}, g.Must1(cool, logits), target)
	own := g.Must1(graph.Affine{Scale: float32(1 - w)}, loss)
	return g.Must1(graph.Binary{Fn: graph.Add}, own, g.Must1(graph.Affine{Scale: float32(w * t * t)}, part)), nil
}

// teacher is a trained network whose logits another learns from.
type teacher struct {
	run   *infer.Runner
	order []int // the teacher's class of each of the data's
	// The teacher's pixel is the student's times scale plus shift, channel by channel.
	scale, shift []float32
}

// openTeacher opens the teacher of a recipe; nil if it has none.
func (s *session) openTeacher() (*teacher, error) {
	d := s.rec.Distill
	if d == nil {
		return nil, nil
	}
	if s.splits.MultiLabel() {
		return nil, fmt.Errorf("distill: %s has any number of labels per picture; a teacher needs one class per picture", s.splits.Spec)
	}
	ref, err := modelfile.Parse(d.From)
	if err != nil {
		return nil, fmt.Errorf("distill.from: %w", err)
	}
	r, err := ref.Open(modelfile.Options{})
	if err != nil {
		return nil, fmt.Errorf("distill.from: %w", err)
	}
	t := &teacher{}
	if t.order, err = orderOfClasses(r.File.Classes, r.Classes, s.splits.Classes()); err != nil {
		return nil, fmt.Errorf("distill.from: the teacher %s %w", d.From, err)
	}
	prep := s.prep
	if err := readPreprocess(r, &prep); err != nil {
		return nil, fmt.Errorf("distill.from: %s: %w", d.From, err)
	}
	if prep.Channels != s.prep.Channels {
		return nil, fmt.Errorf("distill.from: the teacher %s sees %d channels, the network %d", d.From, prep.Channels, s.prep.Channels)
	}
	for c := range prep.Channels {
		t.scale = append(t.scale, s.prep.Std[c]/prep.Std[c])
		t.shift = append(t.shift, (s.prep.Mean[c]-prep.Mean[c])/prep.Std[c])
	}
	if t.run, err = infer.New(r.Module, nil, s.compute(engine.BF16Off)); err != nil {
		return nil, fmt.Errorf("distill.from: %w", err)
	}
	s.notes = append(s.notes, fmt.Sprintf("the network also learns from %s (weight %g, temperature %g)",
		d.From, orDefault(d.Weight, 0.5), orDefault(d.Temperature, 4)))
	return t, nil
}

// orderOfClasses returns which of the teacher's classes each of the data's is: by the
// names, or, if the file has none, by the order.
func orderOfClasses(names []string, n int, classes []string) ([]int, error) {
	if len(names) == 0 && n != len(classes) {
		return nil, fmt.Errorf("has %d classes, the data have %d", n, len(classes))
	}
	order := make([]int, len(classes))
	for i, c := range classes {
		order[i] = i
		if len(names) == 0 {
			continue
		}
		if order[i] = slices.Index(names, c); order[i] < 0 {
			return nil, fmt.Errorf("does not know the class %s: it must have been trained on the same classes", c)
		}
	}
	return order, nil
}

// logits returns the teacher's logits for a batch, of the data's classes.
func (t *teacher) logits(b *data.Batch) ([]float32, error) {
	x := make([]float32, len(b.X))
	for i, v := range b.X {
		c := i % b.C
		x[i] = v*t.scale[c] + t.shift[c]
	}
	in, err := tensor.FromNHWC(x, b.N, b.C, b.H, b.W)
	if err != nil {
		return nil, err
	}
	out, err := t.run.Run(context.Background(), infer.Query{}, infer.Tensors{nn.ImageInput: in})
	if err != nil {
		return nil, err
	}
	z := out[infer.Output]
	have, all := z.Shape()[len(z.Shape())-1], z.Float32s()
	y := make([]float32, b.N*len(t.order))
	for n := range b.N {
		for i, k := range t.order {
			y[n*len(t.order)+i] = all[n*have+k]
		}
	}
	return y, nil
}
