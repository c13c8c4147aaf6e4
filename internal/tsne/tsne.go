// Package tsne lays out points of many dimensions in the plane so that neighbors stay
// neighbors: t-SNE (van der Maaten and Hinton 2008) with the tree of Barnes and Hut (van
// der Maaten 2014, "Accelerating t-SNE using Tree-Based Algorithms"). There is no kept Go
// library for it.
package tsne

import (
	"context"
	"fmt"
	"math"

	"github.com/resnet-go/resnet/internal/parallel"
)

// Neighbor is a point near another.
type Neighbor struct {
	Point   int
	Squared float64 // distance
}

// Options are the choices of [Layout], the defaults scikit-learn's. The zero value stands
// for them.
type Options struct {
	Perplexity float64 // about the number of neighbors that matter; 0 is 30, or a third of the points
	Steps      int     // 0 is 1000
	Threads    int     // 0 is one for each processor; does not change results
	// Progress is called after each step; may be nil.
	Progress func()
}

// Neighbors returns the number of neighbors of each point that Layout uses of n points.
func (o Options) Neighbors(n int) int { return min(n-1, int(3*o.perplexity(n))) }

func (o Options) perplexity(n int) float64 {
	if o.Perplexity > 0 {
		return o.Perplexity
	}
	return max(1, min(30, float64(n-1)/3))
}

const (
	exaggerated  = 250  // steps in which neighbors attract more
	exaggeration = 12.0 // by this factor
	theta        = 0.5  // a cell that appears smaller than this is one point
)

// Layout returns the place of each point in the plane. near are the nearest neighbors of
// each point, at least Options.Neighbors of them, and start its first place, such as the
// first principal components; only its direction and the relations of distances matter.
// The result is the same for any number of threads.
func Layout(ctx context.Context, near [][]Neighbor, start [][2]float64, opt Options) ([][2]float64, error) {
	n := len(near)
	if len(start) != n {
		return nil, fmt.Errorf("tsne: there are %d points and %d first places", n, len(start))
	}
	if opt.Steps == 0 {
		opt.Steps = 1000
	}
	if opt.Steps < 0 || opt.Threads < 0 || !(opt.perplexity(n) > 0) {
		return nil, fmt.Errorf("tsne: Steps is %d and Threads %d, must not be negative", opt.Steps, opt.Threads)
	}
	for i, list := range near {
		for _, p := range list {
			if p.Point < 0 || p.Point >= n || p.Point == i || !(p.Squared >= 0) || math.IsInf(p.Squared, 0) {
				return nil, fmt.Errorf("tsne: point %d has the neighbor %+v", i, p)
			}
		}
		if !(math.Abs(start[i][0])+math.Abs(start[i][1]) < math.MaxFloat64) {
			return nil, fmt.Errorf("tsne: point %d begins at %v", i, start[i])
		}
	}
	y := scaled(start)
	if n < 3 {
		return y, nil
	}
	s := &state{y: y, step: make([][2]float64, n), gain: make([][2]float64, n), force: make([][2]float64, n),
		pull: make([][2]float64, n), sums: make([]float64, n)}
	for i := range s.gain {
		s.gain[i] = [2]float64{1, 1}
	}
	pool := parallel.NewPool(opt.Threads)
	defer pool.Close()
	s.links = affinities(near, opt, pool)
	rate := max(float64(n)/exaggeration/4, 50)
	for step := range opt.Steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		strength, momentum := 1.0, 0.8
		if step < exaggerated {
			strength, momentum = exaggeration, 0.5
		}
		s.forces(strength, pool)
		s.move(rate, momentum)
		if opt.Progress != nil {
			opt.Progress()
		}
	}
	for i, p := range s.y {
		if !(math.Abs(p[0])+math.Abs(p[1]) < math.MaxFloat64) {
			return nil, fmt.Errorf("tsne: point %d has gone to %v", i, p)
		}
	}
	return s.y, nil
}

// scaled returns places whose first coordinate has the deviation 1e-4, around 0.
func scaled(start [][2]float64) [][2]float64 {
	y := make([][2]float64, len(start))
	var mean, most [2]float64
	for _, p := range start {
		for c := range 2 {
			most[c] = max(most[c], math.Abs(p[c]))
		}
	}
	for i, p := range start {
		for c := range 2 {
			if most[0] > 0 {
				y[i][c] = p[c] / max(most[0], most[1])
			}
			mean[c] += y[i][c] / float64(len(start))
		}
	}
	sum := 0.0
	for i := range y {
		for c := range 2 {
			y[i][c] -= mean[c]
		}
		sum += float64(y[i][0] * y[i][0])
	}
	if std := math.Sqrt(sum / float64(max(len(y), 1))); std > 0 {
		for i := range y {
			y[i][0] *= 1e-4 / std
			y[i][1] *= 1e-4 / std
		}
	}
	for i := range y { // points that begin at one place would stay there together
		a := float64(i) * 2.399963229728653 // the golden angle
		y[i][0] += 1e-7 * math.Cos(a) * math.Sqrt(float64(i+1)/float64(len(y)))
		y[i][1] += 1e-7 * math.Sin(a) * math.Sqrt(float64(i+1)/float64(len(y)))
	}
	return y
}

// link is the affinity of a point to another.
type link struct {
	to int
	p  float64
}

// affinities returns the symmetric affinities of all points, which add up to 1: of each
// point Gaussian ones, as wide as the perplexity asks for.
func affinities(near [][]Neighbor, opt Options, pool *parallel.Pool) [][]link {
	n := len(near)
	perplexity := opt.perplexity(n)
	k := opt.Neighbors(n)
	own := make([][]link, n)
	each(pool, n, func(i int) {
		list := near[i][:min(k, len(near[i]))]
		if len(list) == 0 {
			return
		}
		least := math.Inf(1)
		for _, p := range list {
			least = min(least, p.Squared)
		}
		own[i] = make([]link, len(list))
		want := math.Log(min(perplexity, float64(len(list))))
		beta, low, high := 1.0, 0.0, math.Inf(1)
		for range 100 {
			sum, mean := 0.0, 0.0
			for j, p := range list {
				d := p.Squared - least
				v := math.Exp(-d * beta)
				own[i][j] = link{p.Point, v}
				sum += v
				mean += float64(v * d)
			}
			for j := range own[i] {
				own[i][j].p /= sum
			}
			entropy := math.Log(sum) + float64(beta*mean/sum)
			if math.Abs(entropy-want) < 1e-5 {
				break
			}
			if entropy > want {
				low = beta
				if beta *= 2; !math.IsInf(high, 1) {
					beta = (low + high) / 2
				}
			} else {
				high = beta
				beta = (low + high) / 2
			}
			if math.IsInf(beta, 1) || beta == 0 {
				break
			}
		}
	})
	// p(i,j) = (p(j|i) + p(i|j)) / 2n, in ascending order of j.
	at := make([]map[int]float64, n)
	for i := range at {
		at[i] = map[int]float64{}
	}
	for i, list := range own {
		for _, l := range list {
			at[i][l.to] += l.p / float64(2*n)
			at[l.to][i] += l.p / float64(2*n)
		}
	}
	out := make([][]link, n)
	each(pool, n, func(i int) { out[i] = inOrder(at[i]) })
	return out
}

// state is the layout while it moves.
type state struct {
	links         [][]link
	y, step, gain [][2]float64
	force, pull   [][2]float64
	sums          []float64
	tree          tree
}

// forces computes the gradient at every point.
func (s *state) forces(strength float64, pool *parallel.Pool) {
	s.tree.build(s.y)
	each(pool, len(s.y), func(i int) {
		var pull [2]float64
		for _, l := range s.links[i] {
			dx, dy := s.y[i][0]-s.y[l.to][0], s.y[i][1]-s.y[l.to][1]
			w := strength * l.p / (1 + float64(dx*dx) + float64(dy*dy))
			pull[0] += float64(w * dx)
			pull[1] += float64(w * dy)
		}
		s.pull[i] = pull
		s.force[i], s.sums[i] = s.tree.push(s.y[i])
	})
	z := 0.0
	for _, v := range s.sums {
		z += v
	}
	z = max(z, math.SmallestNonzeroFloat64)
	for i := range s.force {
		for c := range 2 {
			s.force[i][c] = 4 * (s.pull[i][c] - s.force[i][c]/z)
		}
	}
}

// move follows the gradient, with a gain of each coordinate (Jacobs 1988) and momentum.
func (s *state) move(rate, momentum float64) {
	var mean [2]float64
	for i := range s.y {
		for c := range 2 {
			if (s.force[i][c] > 0) != (s.step[i][c] > 0) {
				s.gain[i][c] += 0.2
			} else {
				s.gain[i][c] = max(0.01, s.gain[i][c]*0.8)
			}
			s.step[i][c] = float64(momentum*s.step[i][c]) - float64(rate*s.gain[i][c]*s.force[i][c])
			s.y[i][c] += s.step[i][c]
			mean[c] += s.y[i][c] / float64(len(s.y))
		}
	}
	for i := range s.y {
		s.y[i][0] -= mean[0]
		s.y[i][1] -= mean[1]
	}
}
