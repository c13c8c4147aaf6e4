package tsne

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/resnet-go/resnet/internal/philox"
)

// nearest returns all other points of each, the nearest first.
func nearest(x [][]float64) [][]Neighbor {
	out := make([][]Neighbor, len(x))
	for i, a := range x {
		for j, b := range x {
			if i == j {
				continue
			}
			sum := 0.0
			for k := range a {
				sum += (a[k] - b[k]) * (a[k] - b[k])
			}
			out[i] = append(out[i], Neighbor{j, sum})
		}
		slices.SortStableFunc(out[i], func(a, b Neighbor) int { return cmp.Compare(a.Squared, b.Squared) })
	}
	return out
}

// trustworthiness is that of Venna and Kaski 2001, as scikit-learn has it.
func trustworthiness(near [][]Neighbor, y [][2]float64, k int) float64 {
	n := len(y)
	flat := make([][]float64, n)
	for i, p := range y {
		flat[i] = p[:]
	}
	sum := 0.0
	for i, list := range nearest(flat) {
		rank := make([]int, n)
		for r, p := range near[i] {
			rank[p.Point] = r + 1
		}
		for _, p := range list[:k] {
			sum += float64(max(0, rank[p.Point]-k))
		}
	}
	return 1 - sum*2/float64(n*k*(2*n-3*k-1))
}

func digits(t *testing.T) (x [][]float64, trust []float64, pca float64) {
	t.Helper()
	b, err := os.ReadFile("testdata/digits.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		X     []string
		Trust []float64
		PCA   float64
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	for _, row := range d.X {
		var r []float64
		for _, c := range row {
			v, err := strconv.ParseUint(string(c), 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			r = append(r, float64(v))
		}
		x = append(x, r)
	}
	return x, d.Trust, d.PCA
}

// TestLayoutAsScikitLearn: neighbors stay as near as in scikit-learn's layouts, whatever
// the first places, and the layout is the same for any number of threads.
func TestLayoutAsScikitLearn(t *testing.T) {
	x, trust, pca := digits(t)
	near := nearest(x)
	r := philox.New(1, 1)
	start := make([][2]float64, len(x))
	for i := range start {
		start[i] = [2]float64{r.Norm(), r.Norm()}
	}
	steps := 0
	y, err := Layout(t.Context(), near, start, Options{Threads: 1, Progress: func() { steps++ }})
	if err != nil || steps != 1000 {
		t.Fatalf("%d steps: %v", steps, err)
	}
	if got := trustworthiness(near, y, 12); got < slices.Min(trust)-0.005 || got < pca+0.1 {
		t.Errorf("trustworthiness %.4f, scikit-learn's %v, of principal components %.4f", got, trust, pca)
	} else {
		t.Logf("trustworthiness %.4f, scikit-learn's %v, of principal components %.4f", got, trust, pca)
	}
	again, err := Layout(t.Context(), near, start, Options{Threads: 3})
	if err != nil || !slices.Equal(y, again) {
		t.Errorf("three threads give another layout: %v", err)
	}
}

// TestForces: those of the tree are nearly those of all pairs.
func TestForces(t *testing.T) {
	r := philox.New(3, 3)
	y := make([][2]float64, 500)
	for i := range y {
		y[i] = [2]float64{5 * r.Norm(), 5 * r.Norm()}
	}
	copy(y[10:20], y[:10]) // pairs at one place
	var tr tree
	tr.build(y)
	if c := tr.cells[0]; c.mass != 500 {
		t.Errorf("the root has %v points", c.mass)
	}
	worst, all := 0.0, 0.0
	for i, p := range y {
		var want [2]float64
		z := 0.0
		for j, o := range y {
			if i == j {
				continue
			}
			dx, dy := p[0]-o[0], p[1]-o[1]
			q := 1 / (1 + dx*dx + dy*dy)
			z += q
			want[0] += q * q * dx
			want[1] += q * q * dy
		}
		got, sum := tr.push(p)
		worst = max(worst, math.Hypot(got[0]-want[0], got[1]-want[1]))
		all += math.Hypot(want[0], want[1]) / 500
		if math.Abs(sum-z) > 0.02*z {
			t.Errorf("point %d: sum %v, of all pairs %v", i, sum, z)
		}
	}
	if worst > 0.1*all {
		t.Errorf("a force is off by %v of %v", worst, all)
	}
}

// TestFewPoints: none, one, two, many at one place, and what cannot be.
func TestFewPoints(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 40} {
		x := make([][]float64, n)
		for i := range x {
			x[i] = []float64{1, 2}
		}
		y, err := Layout(t.Context(), nearest(x), make([][2]float64, n), Options{Steps: 300})
		if err != nil || len(y) != n {
			t.Errorf("%d points: %v, %v", n, y, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	near := nearest([][]float64{{1}, {2}, {3}, {5}})
	if _, err := Layout(ctx, near, make([][2]float64, 4), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	for _, c := range []struct {
		near  [][]Neighbor
		start int
		opt   Options
	}{{near, 3, Options{}}, {near, 4, Options{Steps: -1}}, {[][]Neighbor{{{5, 1}}, nil, nil}, 3, Options{}},
		{[][]Neighbor{{{1, math.NaN()}}, nil, nil}, 3, Options{}}, {[][]Neighbor{{{0, 1}}, nil, nil}, 3, Options{}}} {
		if _, err := Layout(t.Context(), c.near, make([][2]float64, c.start), c.opt); err == nil {
			t.Errorf("%+v is no error", c)
		}
	}
}
