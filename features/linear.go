package features

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/tensor"
)

// Linear is a linear classifier of features: the class with the largest of
// W x + B.
type Linear struct {
	W *tensor.Tensor // [Classes D]
	B []float32      // [Classes]
	// Loss is what was minimized, at the end, and Iterations the number of steps.
	Loss       float64
	Iterations int
}

// LinearOptions are the choices of [FitLinear].
type LinearOptions struct {
	// Decay is the weight of the penalty on the standardized weights; 0 means 1 over the
	// number of rows, scikit-learn's C = 1. Below 0 there is none.
	Decay float64
	// Iterations is the largest number of steps; 0 means 300.
	Iterations int
	Threads    int // 0 is one for each processor; does not change results
}

// FitLinear fits a linear classifier, the linear probe of self-supervised learning. It
// minimizes
//
//	mean cross entropy + Decay/2 * Σ W²
//
// of features whose columns are first brought to mean 0 and deviation 1, by L-BFGS
// (Nocedal and Wright 2006, algorithm 7.5) on all rows at once, until the gradient is
// small: the problem is convex, so the result depends on no learning rate, order or seed.
// W and B are those for the features as they are.
func FitLinear(s Set, opt LinearOptions) (*Linear, error) {
	if err := s.check("the features"); err != nil {
		return nil, err
	}
	n, d := s.X.Shape()[0], s.X.Shape()[1]
	switch {
	case n == 0:
		return nil, fmt.Errorf("features: there are no rows to fit a classifier to")
	case opt.Iterations < 0 || opt.Threads < 0:
		return nil, fmt.Errorf("features: Iterations is %d and Threads %d, must not be negative", opt.Iterations, opt.Threads)
	}
	if opt.Iterations == 0 {
		opt.Iterations = 300
	}
	switch {
	case opt.Decay == 0:
		opt.Decay = 1 / float64(n)
	case !(opt.Decay > 0):
		opt.Decay = 0
	}
	mean, scale := moments(s.X.Float32s(), d)
	x := tensor.New(n, d)
	for i, v := range s.X.Float32s() {
		x.Float32s()[i] = float32((float64(v) - mean[i%d]) * scale[i%d])
	}
	p, err := newProblem(x, s, opt)
	if err != nil {
		return nil, err
	}
	theta, loss, steps, err := minimize(p, s.Classes*(d+1), opt.Iterations)
	if err != nil {
		return nil, err
	}
	l := &Linear{W: tensor.New(s.Classes, d), B: make([]float32, s.Classes), Loss: loss, Iterations: steps}
	for c := range s.Classes {
		b := theta[s.Classes*d+c]
		for j := range d {
			w := theta[c*d+j] * scale[j]
			l.W.Float32s()[c*d+j] = float32(w)
			b -= w * mean[j]
		}
		l.B[c] = float32(b)
	}
	return l, nil
}

// moments returns the mean of each column and the inverse of its deviation; 1 for a
// column that is constant.
func moments(x []float32, d int) (mean, scale []float64) {
	mean, scale = make([]float64, d), make([]float64, d)
	n := float64(len(x) / d)
	for i, v := range x {
		mean[i%d] += float64(v) / n
	}
	for i, v := range x {
		e := float64(v) - mean[i%d]
		scale[i%d] += e * e / n
	}
	for j, v := range scale {
		// A column whose deviation is lost in rounding has nothing to say.
		if v = math.Sqrt(v); v > 1e-6*math.Abs(mean[j]) && v > 1e-20 {
			scale[j] = 1 / v
		} else {
			scale[j] = 1
		}
	}
	return mean, scale
}

// Classify returns the class of each row of x [M D].
func (l *Linear) Classify(x *tensor.Tensor) ([]int, error) {
	d, classes := l.W.Shape()[1], len(l.B)
	if x == nil || x.DType() != tensor.Float32 || len(x.Shape()) != 2 || x.Shape()[1] != d {
		return nil, fmt.Errorf("features: the features are %v, must be float32[M %d]", x, d)
	}
	answers := make([]int, x.Shape()[0])
	for i := range answers {
		row := x.Float32s()[i*d : (i+1)*d]
		top := math.Inf(-1)
		for c := range classes {
			score := float64(l.B[c])
			for j, w := range l.W.Float32s()[c*d : (c+1)*d] {
				score += float64(w) * float64(row[j])
			}
			if score > top {
				top, answers[i] = score, c
			}
		}
	}
	return answers, nil
}

// problem is loss and gradient of a linear classifier, compiled.
type problem struct {
	plan          *engine.Plan
	w, b          *tensor.Tensor
	in, out       []*tensor.Tensor
	loss, dw, db  *tensor.Tensor
	decay         float64
	classes, wide int
}

func newProblem(x *tensor.Tensor, s Set, opt LinearOptions) (*problem, error) {
	n, d := x.Shape()[0], x.Shape()[1]
	p := &problem{w: tensor.New(s.Classes, d), b: tensor.New(s.Classes), loss: tensor.New(), dw: tensor.New(s.Classes, d),
		db: tensor.New(s.Classes), decay: opt.Decay, classes: s.Classes, wide: d}
	labels := tensor.NewInt64(n)
	for i, l := range s.Labels {
		labels.Int64s()[i] = int64(l)
	}
	g := &graph.Graph{}
	var in []*graph.Value
	for _, i := range []struct {
		name string
		typ  graph.Type
	}{{"x", graph.F32(n, d)}, {"labels", graph.Type{DType: tensor.Int64, Shape: tensor.Shape{n}}}, {"w", graph.F32(s.Classes, d)}, {"b", graph.F32(s.Classes)}} {
		v, err := g.Input(i.name, i.typ)
		if err != nil {
			return nil, err
		}
		in = append(in, v)
	}
	var grads []*graph.Value
	var failed error
	err := graph.Try(func() {
		loss := g.Must1(graph.CrossEntropy{}, g.Must1(graph.Linear{}, in[0], in[2], in[3]), in[1])
		if grads, failed = g.Gradients(loss, in[2:]); failed != nil {
			return
		}
		g.Output("loss", loss)
		g.Output("dw", grads[0])
		g.Output("db", grads[1])
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	p.in, p.out = []*tensor.Tensor{x, labels, p.w, p.b}, []*tensor.Tensor{p.loss, p.dw, p.db}
	p.plan, err = engine.Compile(g, engine.NewVars(), engine.Options{Threads: opt.Threads})
	return p, err
}

// at writes the gradient at theta, the weights and then the biases, and returns the
// loss.
func (p *problem) at(theta, grad []float64) (float64, error) {
	split := p.classes * p.wide
	for i, v := range theta[:split] {
		p.w.Float32s()[i] = float32(v)
	}
	for i, v := range theta[split:] {
		p.b.Float32s()[i] = float32(v)
	}
	if err := p.plan.Run(p.in, p.out); err != nil {
		return 0, err
	}
	loss := float64(p.loss.Float32s()[0])
	for i, v := range p.dw.Float32s() {
		grad[i] = float64(v) + p.decay*theta[i]
		loss += p.decay / 2 * theta[i] * theta[i]
	}
	for i, v := range p.db.Float32s() {
		grad[split+i] = float64(v)
	}
	return loss, nil
}
