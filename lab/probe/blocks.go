package probe

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
)

func sortedNames(s State) []string { return slices.Sorted(maps.Keys(s)) }

// stagesOf returns the stages of a network of package models.
func stagesOf(m nn.Module) ([]nn.Sequential, error) {
	r, ok := m.(*models.Model)
	if !ok {
		return nil, fmt.Errorf("probe: %T is no network of package models", m)
	}
	return []nn.Sequential{r.Layer1, r.Layer2, r.Layer3, r.Layer4}, nil
}

// Deletion is a network without one block.
type Deletion struct {
	Block string  // its path
	Wrong float64 // share of pictures that are then taken for another class
}

// Delete deletes each block in turn that keeps the shape, so that its input is
// its output, and evaluates what remains (Veit et al. 2016, section 4.1).
func (n *Net) Delete(ctx context.Context, p *Pictures) ([]Deletion, error) {
	stages, err := stagesOf(n.Module)
	if err != nil {
		return nil, err
	}
	t, err := nn.Trace(n.Module, nn.TraceOptions{Input: graph.F32(1, p.Shape[0], p.Shape[1], p.Shape[2])})
	if err != nil {
		return nil, err
	}
	keeps := map[string]bool{}
	for _, c := range t.Calls {
		keeps[c.Path] = c.In.Shape.Equal(c.Out.Shape)
	}
	var out []Deletion
	for i, stage := range stages {
		for j, block := range stage {
			path := fmt.Sprintf("layer%d.%d", i+1, j)
			if !keeps[path] {
				continue
			}
			stage[j] = nn.NewIdentity()
			_, wrong, err := n.Evaluate(ctx, p)
			stage[j] = block
			if err != nil {
				return nil, fmt.Errorf("without %s: %w", path, err)
			}
			out = append(out, Deletion{path, wrong})
		}
	}
	return out, nil
}

// Features returns the mean over height and width of every block's output, by
// path: [N channels], row-major.
func (n *Net) Features(ctx context.Context, p *Pictures) (paths []string, features [][]float32, err error) {
	err = n.run(ctx, p, func(t *nn.Traced) ([]*graph.Value, error) {
		paths = nil
		var outs []*graph.Value
		for _, c := range t.Calls {
			if strings.HasPrefix(c.Path, "layer") && strings.Count(c.Path, ".") == 1 {
				paths = append(paths, c.Path)
				outs = append(outs, t.Graph.Must1(graph.Reduce{Fn: graph.Mean, Axes: []int{2, 3}}, c.Out))
			}
		}
		return outs, nil
	}, func(_ int, out [][]float32) {
		if features == nil {
			features = make([][]float32, len(out))
		}
		for i, o := range out {
			features[i] = append(features[i], o...)
		}
	})
	return paths, features, err
}

// Linear trains a linear classifier on features, [N channels], and returns the
// share of test that it gets right: how much of the class a layer reveals (Alain
// and Bengio 2016). Features are standardized; the optimizer is Adam on the
// whole set, with a weight decay of 1e-4.
func Linear(train []float32, labels []int64, test []float32, testLabels []int64, classes, steps int) float64 {
	n, m := len(labels), len(testLabels)
	c := len(train) / n
	mean, inv := make([]float64, c), make([]float64, c)
	for j := range c {
		var s, q float64
		for i := range n {
			v := float64(train[i*c+j])
			s += v
			q += v * v
		}
		mean[j] = s / float64(n)
		inv[j] = 1 / math.Sqrt(max(q/float64(n)-mean[j]*mean[j], 0)+1e-8)
	}
	standard := func(x []float32, i int, row []float64) {
		for j := range c {
			row[j] = (float64(x[i*c+j]) - mean[j]) * inv[j]
		}
		row[c] = 1
	}
	d := c + 1
	w, grad, m1, m2 := make([]float64, d*classes), make([]float64, d*classes), make([]float64, d*classes), make([]float64, d*classes)
	rows := make([]float64, n*d)
	for i := range n {
		standard(train, i, rows[i*d:(i+1)*d])
	}
	z := make([]float64, classes)
	score := func(row []float64) {
		for k := range classes {
			s := 0.0
			for j, v := range row {
				s += v * w[k*d+j]
			}
			z[k] = s
		}
	}
	for step := 1; step <= steps; step++ {
		for i, v := range w {
			grad[i] = 1e-4 * v
		}
		for i := range n {
			row := rows[i*d : (i+1)*d]
			score(row)
			top := slices.Max(z)
			sum := 0.0
			for k := range z {
				z[k] = math.Exp(z[k] - top)
				sum += z[k]
			}
			for k := range z {
				g := z[k] / sum
				if int64(k) == labels[i] {
					g--
				}
				g /= float64(n)
				for j, v := range row {
					grad[k*d+j] += g * v
				}
			}
		}
		b1, b2 := 1-math.Pow(0.9, float64(step)), 1-math.Pow(0.999, float64(step))
		for i, g := range grad {
			m1[i] = 0.9*m1[i] + 0.1*g
			m2[i] = 0.999*m2[i] + 0.001*g*g
			w[i] -= 0.05 * m1[i] / b1 / (math.Sqrt(m2[i]/b2) + 1e-8)
		}
	}
	right := 0
	row := make([]float64, d)
	for i := range m {
		standard(test, i, row)
		score(row)
		best := 0
		for k := range z {
			if z[k] > z[best] {
				best = k
			}
		}
		if int64(best) == testLabels[i] {
			right++
		}
	}
	return float64(right) / float64(m)
}
