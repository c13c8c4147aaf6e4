// Package atlas makes a page of pictures that the features of a network lay out: which
// are alike, which groups there are, which are near-duplicates, which stand apart.
package atlas

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/features"
	"github.com/resnet-go/resnet/internal/philox"
	"github.com/resnet-go/resnet/internal/tsne"
	"github.com/resnet-go/resnet/tensor"
)

// Picture is one picture of a map.
type Picture struct {
	Name  string
	Label int            // -1 for none
	Thumb *imaging.Image // from [Thumbnail]
}

// Options are the choices of [Make].
type Options struct {
	Title    string
	About    string   // a line below the title
	Classes  []string // of the labels; none if there are no labels
	Clusters int      // 0 chooses by the number of pictures
	Seed     uint64   // of the clusters
	Threads  int      // 0 is one for each processor; does not change results
	Side     int      // the largest side of a thumbnail
	// Progress is called after each of Steps steps; may be nil.
	Progress func()
}

// Steps is how often Options.Progress is called.
const Steps = 1000

// Map is a map of pictures.
type Map struct {
	Options
	Pictures   []Picture
	Places     [][2]float64      // of each picture, 0 to 1
	Near       [][]features.Near // of each picture, the most similar first
	Clusters   []Cluster         // the largest first
	Of         []int             // the cluster of each picture
	Duplicates [][]int           // groups of pictures
	Outliers   []int             // the farthest first
	Mislabeled []Mislabeled      // the surest first
}

// Cluster is a group of similar pictures.
type Cluster struct {
	Size    int
	Typical []int // pictures, the most typical first
	Class   int   // that most of its pictures have; -1 without labels
	Share   float64
}

// Mislabeled is a picture whose neighbors have another class.
type Mislabeled struct {
	Picture int     `json:"picture"`
	Instead int     `json:"instead"` // the class of its neighbors
	Share   float64 `json:"share"`   // of the neighbors with that class
}

// Counts of what a map has of each picture, and of what its lists have at most.
const (
	nearest   = 12 // neighbors that are shown
	typical   = 8  // pictures of a cluster
	listed    = 48 // outliers, pictures of perhaps another class
	apart     = 10 // neighbors that tell how far a picture is from others
	maxGroups = 200
)

// Make lays pictures out by their features [N D].
func Make(ctx context.Context, pictures []Picture, x *tensor.Tensor, opt Options) (*Map, error) {
	n := len(pictures)
	if n < 2 {
		return nil, fmt.Errorf("a map needs 2 pictures or more, and there are %d", n)
	}
	m := &Map{Options: opt, Pictures: pictures}
	x = features.Centered(x)
	layout := tsne.Options{Threads: opt.Threads, Progress: opt.Progress, Steps: Steps}
	near, err := features.Nearest(x, max(layout.Neighbors(n), nearest, apart), opt.Threads)
	if err != nil {
		return nil, err
	}
	m.Near = make([][]features.Near, n)
	for i, list := range near {
		m.Near[i] = list[:min(nearest, len(list))]
	}
	if err := m.cluster(x); err != nil {
		return nil, err
	}
	m.findDuplicates()
	m.findOutliers(near)
	m.findMislabeled(near)
	return m, m.lay(ctx, x, near, layout)
}

// lay places the pictures.
func (m *Map) lay(ctx context.Context, x *tensor.Tensor, near [][]features.Near, opt tsne.Options) error {
	list := make([][]tsne.Neighbor, len(near))
	for i, row := range near {
		for _, o := range row {
			list[i] = append(list[i], tsne.Neighbor{Point: o.Row, Squared: max(0, 2-2*float64(o.Similarity))})
		}
	}
	y, err := tsne.Layout(ctx, list, components(x), opt)
	if err != nil {
		return err
	}
	low, high := y[0], y[0]
	for _, p := range y {
		for c := range 2 {
			low[c], high[c] = min(low[c], p[c]), max(high[c], p[c])
		}
	}
	side := max(high[0]-low[0], high[1]-low[1], math.SmallestNonzeroFloat64)
	m.Places = make([][2]float64, len(y))
	for i, p := range y {
		for c := range 2 {
			m.Places[i][c] = min(1, max(0, (p[c]-(low[c]+high[c])/2)/side+0.5))
		}
	}
	return nil
}

// components returns the first two principal components of the rows of x, by power
// iteration.
func components(x *tensor.Tensor) [][2]float64 {
	n, d := x.Shape()[0], x.Shape()[1]
	y := make([][2]float64, n)
	r := philox.New(1, 0)
	var axes [2][]float64
	for c := range 2 {
		axis := make([]float64, d)
		for j := range axis {
			axis[j] = r.Norm()
		}
		for range 30 {
			next := make([]float64, d)
			for i := range n {
				row := x.Float32s()[i*d : (i+1)*d]
				sum := 0.0
				for j, v := range row {
					sum += float64(axis[j] * float64(v))
				}
				y[i][c] = sum
				for j, v := range row {
					next[j] += float64(sum * float64(v))
				}
			}
			if c == 1 { // without the first
				along := 0.0
				for j, v := range axes[0] {
					along += float64(v * next[j])
				}
				for j, v := range axes[0] {
					next[j] -= float64(along * v)
				}
			}
			norm := 0.0
			for _, v := range next {
				norm += float64(v * v)
			}
			if norm == 0 {
				break
			}
			for j := range axis {
				axis[j] = next[j] / math.Sqrt(norm)
			}
		}
		axes[c] = axis
	}
	return y
}

// cluster finds the groups, the largest first.
func (m *Map) cluster(x *tensor.Tensor) error {
	k := m.Options.Clusters
	if k == 0 {
		k = min(20, max(2, int(math.Sqrt(float64(len(m.Pictures)))/2)))
	}
	c, err := features.KMeans(x, min(k, len(m.Pictures)), m.Seed, m.Threads)
	if err != nil {
		return err
	}
	of := make([][]int, c.Centers.Shape()[0])
	for i, at := range c.Of {
		of[at] = append(of[at], i)
	}
	slices.SortStableFunc(of, func(a, b []int) int { return len(b) - len(a) })
	m.Of = make([]int, len(c.Of))
	for _, rows := range of {
		if len(rows) == 0 {
			continue
		}
		for _, i := range rows {
			m.Of[i] = len(m.Clusters)
		}
		g := Cluster{Size: len(rows), Class: -1}
		counts := make([]int, len(m.Classes))
		for _, i := range rows {
			if l := m.Pictures[i].Label; l >= 0 {
				counts[l]++
			}
		}
		for l, count := range counts {
			if share := float64(count) / float64(len(rows)); share > g.Share {
				g.Class, g.Share = l, share
			}
		}
		slices.SortStableFunc(rows, func(a, b int) int { return cmp.Compare(c.Distance[a], c.Distance[b]) })
		g.Typical = rows[:min(typical, len(rows))]
		m.Clusters = append(m.Clusters, g)
	}
	return nil
}

// findDuplicates groups pictures that are neighbors and look alike.
func (m *Map) findDuplicates() {
	prints := make([]fingerprint, len(m.Pictures))
	for i, p := range m.Pictures {
		prints[i] = newFingerprint(p.Thumb)
	}
	above := make([]int, len(m.Pictures))
	for i := range above {
		above[i] = i
	}
	var root func(i int) int
	root = func(i int) int {
		if above[i] != i {
			above[i] = root(above[i])
		}
		return above[i]
	}
	for i, list := range m.Near {
		for _, o := range list {
			if a, b := root(i), root(o.Row); a != b && prints[i].alike(prints[o.Row]) {
				above[max(a, b)] = min(a, b)
			}
		}
	}
	groups := map[int][]int{}
	for i := range above {
		groups[root(i)] = append(groups[root(i)], i)
	}
	for i := range above {
		if len(groups[i]) > 1 {
			m.Duplicates = append(m.Duplicates, groups[i])
		}
	}
	slices.SortStableFunc(m.Duplicates, func(a, b []int) int { return len(b) - len(a) })
}

// findOutliers lists the pictures that are least similar to their neighbors, at most a
// twentieth of all.
func (m *Map) findOutliers(near [][]features.Near) {
	far := make([]float64, len(near))
	all := make([]int, len(near))
	for i, list := range near {
		all[i] = i
		for _, o := range list[:min(apart, len(list))] {
			far[i] += 1 - float64(o.Similarity)
		}
	}
	slices.SortStableFunc(all, func(a, b int) int { return cmp.Compare(far[b], far[a]) })
	m.Outliers = all[:min(listed, len(all)/20)]
}

// findMislabeled lists the pictures of which three quarters of the nearest neighbors have
// one other class, and none its own.
func (m *Map) findMislabeled(near [][]features.Near) {
	if len(m.Classes) < 2 {
		return
	}
	for i, list := range near {
		counts := make([]int, len(m.Classes))
		list = list[:min(apart, len(list))]
		for _, o := range list {
			if l := m.Pictures[o.Row].Label; l >= 0 {
				counts[l]++
			}
		}
		own, top := m.Pictures[i].Label, 0
		for l, count := range counts {
			if count > counts[top] {
				top = l
			}
		}
		if share := float64(counts[top]) / float64(max(len(list), 1)); own >= 0 && len(list) >= 4 && share >= 0.75 && counts[own] == 0 {
			m.Mislabeled = append(m.Mislabeled, Mislabeled{i, top, share})
		}
	}
	slices.SortStableFunc(m.Mislabeled, func(a, b Mislabeled) int { return cmp.Compare(b.Share, a.Share) })
	m.Mislabeled = m.Mislabeled[:min(listed, len(m.Mislabeled))]
}
