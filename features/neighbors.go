// Package features judges features, the numbers that a network without its last layer
// gives of pictures, by what simple classifiers make of them: weighted nearest
// neighbors ([Neighbors]) and a linear layer ([FitLinear]).
package features

import (
	"fmt"
	"math"

	"github.com/resnet-go/resnet/engine"
	"github.com/resnet-go/resnet/graph"
	"github.com/resnet-go/resnet/internal/parallel"
	"github.com/resnet-go/resnet/tensor"
)

// Set is the features of pictures with their classes.
type Set struct {
	X      *tensor.Tensor // [N D], float32
	Labels []int          // [N], each below Classes
	// Classes is the number of classes.
	Classes int
}

func (s Set) check(what string) error {
	switch {
	case s.X == nil || s.X.DType() != tensor.Float32 || len(s.X.Shape()) != 2:
		return fmt.Errorf("features: %s are %v, must be float32[N D]", what, s.X)
	case len(s.Labels) != s.X.Shape()[0]:
		return fmt.Errorf("features: %s are %d rows, but there are %d labels", what, s.X.Shape()[0], len(s.Labels))
	case s.Classes < 1:
		return fmt.Errorf("features: there are %d classes, must be 1 or more", s.Classes)
	}
	for i, l := range s.Labels {
		if l < 0 || l >= s.Classes {
			return fmt.Errorf("features: label %d of row %d is not below the number of classes, %d", l, i, s.Classes)
		}
	}
	return finite(what, s.X)
}

func finite(what string, x *tensor.Tensor) error {
	for i, v := range x.Float32s() {
		if v-v != 0 { // NaN or infinite
			return fmt.Errorf("features: %s are %v in row %d: the network has diverged", what, v, i/x.Shape()[1])
		}
	}
	return nil
}

// Accuracy returns the share of answers that are right, 0 to 1.
func (s Set) Accuracy(answers []int) float64 {
	right := 0
	for i, a := range answers {
		if i < len(s.Labels) && a == s.Labels[i] {
			right++
		}
	}
	return float64(right) / float64(max(len(s.Labels), 1))
}

// Neighbors classifies features by the K most similar ones of known class (Wu et al.
// 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
// section 3.4): similarity is the cosine, and each neighbor votes for its class with the
// weight e^(similarity/Temperature). The zero value is the protocol of that paper: 200
// neighbors, temperature 0.1.
type Neighbors struct {
	K           int     // 0 is 200; all if there are fewer
	Temperature float64 // 0 is 0.1
	Threads     int     // 0 is one for each processor; does not change results
}

// chunk is the number of queries whose similarities are computed at once.
const chunk = 128

// Classify returns the class of each row of queries [M D]. Of rows that are equally
// similar, those that come first in known are the neighbors; of classes with equal
// votes, the first wins.
func (n Neighbors) Classify(known Set, queries *tensor.Tensor) ([]int, error) {
	if err := known.check("the known features"); err != nil {
		return nil, err
	}
	d := known.X.Shape()[1]
	if queries == nil || queries.DType() != tensor.Float32 || len(queries.Shape()) != 2 || queries.Shape()[1] != d {
		return nil, fmt.Errorf("features: the queries are %v, must be float32[M %d]", queries, d)
	}
	if err := finite("the queries", queries); err != nil {
		return nil, err
	}
	rows := queries.Shape()[0]
	k, t := n.K, n.Temperature
	if k == 0 {
		k = 200
	}
	if t == 0 {
		t = 0.1
	}
	if k < 0 || !(t > 0) || n.Threads < 0 {
		return nil, fmt.Errorf("features: K is %d, Temperature %v and Threads %d, must not be negative", n.K, n.Temperature, n.Threads)
	}
	answers := make([]int, rows)
	err := search(known.X, queries, k, n.Threads, func(query int, w *nearest) { answers[query] = w.vote(known, t) })
	return answers, err
}

// search calls visit for each row of queries with the k most similar rows of known, of
// several threads, each with a heap of its own.
func search(known, queries *tensor.Tensor, k, threads int, visit func(query int, w *nearest)) error {
	rows, total, d := queries.Shape()[0], known.Shape()[0], known.Shape()[1]
	k = min(k, total)
	if rows == 0 || k == 0 {
		return nil
	}
	plan, err := similarities(chunk, total, d, threads)
	if err != nil {
		return err
	}
	all, err := tensor.FromFloat32(unit(known.Float32s(), d), total, d)
	if err != nil {
		return err
	}
	part, sims := tensor.New(chunk, d), tensor.New(chunk, total)
	pool := parallel.NewPool(threads)
	defer pool.Close()
	work := make([]nearest, pool.Workers())
	for at := 0; at < rows; at += chunk {
		count := min(chunk, rows-at)
		clear(part.Float32s())
		copy(part.Float32s(), unit(queries.Float32s()[at*d:(at+count)*d], d))
		if err := plan.Run([]*tensor.Tensor{part, all}, []*tensor.Tensor{sims}); err != nil {
			return err
		}
		pool.Run(count, func(i, worker int) {
			w := &work[worker]
			w.find(sims.Float32s()[i*total:(i+1)*total], k)
			visit(at+i, w)
		})
	}
	return nil
}

// similarities returns the plan of queries [rows d] and known rows [total d] to their
// scalar products [rows total].
func similarities(rows, total, d, threads int) (*engine.Plan, error) {
	g := &graph.Graph{}
	q, err := g.Input("queries", graph.F32(rows, d))
	if err != nil {
		return nil, err
	}
	all, err := g.Input("known", graph.F32(total, d))
	if err != nil {
		return nil, err
	}
	if err := graph.Try(func() { g.Output("similarities", g.Must1(graph.MatMul{TransB: true}, q, all)) }); err != nil {
		return nil, err
	}
	return engine.Compile(g, engine.NewVars(), engine.Options{Threads: threads})
}

// unit returns the rows of x, d numbers each, at length 1. A row of zeros stays.
func unit(x []float32, d int) []float32 {
	out := make([]float32, len(x))
	for at := 0; at+d <= len(x); at += d {
		sum := 0.0
		for _, v := range x[at : at+d] {
			sum += float64(v) * float64(v)
		}
		if sum == 0 {
			continue
		}
		scale := 1 / math.Sqrt(sum)
		for i, v := range x[at : at+d] {
			out[at+i] = float32(float64(v) * scale)
		}
	}
	return out
}

// nearest is a heap of the most similar rows, the least similar of them on top.
type nearest struct {
	sim   []float32
	row   []int
	votes []float64
}

// find fills the heap with the k largest of sims.
func (n *nearest) find(sims []float32, k int) {
	n.sim, n.row = n.sim[:0], n.row[:0]
	for i, s := range sims {
		if len(n.sim) == k {
			if s <= n.sim[0] { // an equal one comes later: the first stays
				continue
			}
			n.sim[0], n.row[0] = s, i
			n.down()
			continue
		}
		n.sim, n.row = append(n.sim, s), append(n.row, i)
		for at := len(n.sim) - 1; at > 0; {
			above := (at - 1) / 2
			if !n.less(at, above) {
				break
			}
			n.swap(at, above)
			at = above
		}
	}
}

func (n *nearest) down() {
	for at := 0; ; {
		least := at
		for _, child := range []int{2*at + 1, 2*at + 2} {
			if child < len(n.sim) && n.less(child, least) {
				least = child
			}
		}
		if least == at {
			return
		}
		n.swap(at, least)
		at = least
	}
}

// less reports whether i leaves the heap before j.
func (n *nearest) less(i, j int) bool {
	if n.sim[i] != n.sim[j] {
		return n.sim[i] < n.sim[j]
	}
	return n.row[i] > n.row[j]
}

func (n *nearest) swap(i, j int) {
	n.sim[i], n.sim[j] = n.sim[j], n.sim[i]
	n.row[i], n.row[j] = n.row[j], n.row[i]
}

// vote returns the class with the most weight. Weights are relative to the most similar
// row, so that none overflows.
func (n *nearest) vote(known Set, t float64) int {
	if cap(n.votes) < known.Classes {
		n.votes = make([]float64, known.Classes)
	}
	votes := n.votes[:known.Classes]
	clear(votes)
	top := n.sim[0]
	for _, s := range n.sim {
		top = max(top, s)
	}
	for i, s := range n.sim {
		votes[known.Labels[n.row[i]]] += math.Exp(float64(s-top) / t)
	}
	best := 0
	for c, v := range votes {
		if v > votes[best] {
			best = c
		}
	}
	return best
}
