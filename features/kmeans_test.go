package features

import (
	"math"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/tensor"
)

// TestKMeans: clusters that lie apart are found whole, at any number of threads; each row
// is with its nearest center, and each center the mean of its rows.
func TestKMeans(t *testing.T) {
	s := random(t, 900, 20, 5, 3)
	one, err := KMeans(s.X, 5, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	three, err := KMeans(s.X, 5, 1, 3)
	if err != nil || !slices.Equal(one.Of, three.Of) || !slices.Equal(one.Centers.Float32s(), three.Centers.Float32s()) {
		t.Error("the clusters depend on the number of threads")
	}
	together := map[[2]int]int{}
	for i, c := range one.Of {
		together[[2]int{c, s.Labels[i]}]++
	}
	pure := 0
	for c := range 5 {
		top := 0
		for l := range 5 {
			top = max(top, together[[2]int{c, l}])
		}
		pure += top
	}
	if pure < 700 { // the classes overlap
		t.Errorf("%d of 900 rows are in the cluster of their class", pure)
	}
	mean := make([]float64, 20)
	count := 0
	for i, c := range one.Of {
		row := s.X.Float32s()[i*20 : (i+1)*20]
		for k := range 5 {
			if d := squared(row, one.Centers.Float32s()[k*20:(k+1)*20]); d < one.Distance[i] {
				t.Fatalf("row %d is %v from its center and %v from another", i, one.Distance[i], d)
			}
		}
		if c == 0 {
			count++
			for j, v := range row {
				mean[j] += float64(v)
			}
		}
	}
	for j, v := range mean {
		if got := float64(one.Centers.Float32s()[j]); math.Abs(got-v/float64(count)) > 1e-5 {
			t.Errorf("center 0 is %v at %d, the mean of its rows %v", got, j, v/float64(count))
		}
	}
}

// TestKMeansOfFewRows: equal rows, one row, none.
func TestKMeansOfFewRows(t *testing.T) {
	x := tensor.New(6, 2)
	x.Float32s()[0] = 1
	for _, c := range []struct{ rows, k, want int }{{6, 4, 2}, {1, 3, 1}, {0, 2, 0}} {
		part, err := tensor.FromFloat32(x.Float32s()[:2*c.rows], c.rows, 2)
		if err != nil {
			t.Fatal(err)
		}
		got, err := KMeans(part, c.k, 1, 1)
		if err != nil || got.Centers.Shape()[0] != c.want || len(got.Of) != c.rows {
			t.Errorf("%d rows: %+v, %v", c.rows, got, err)
		}
	}
	if _, err := KMeans(x, 0, 1, 1); err == nil {
		t.Error("0 clusters are no error")
	}
}

// TestNearest: the rows that the definition finds, without the row itself.
func TestNearest(t *testing.T) {
	s := random(t, 300, 7, 3, 8)
	copy(s.X.Float32s()[7:14], s.X.Float32s()[:7]) // rows 0 and 1 are equal
	near, err := Nearest(s.X, 5, 2)
	if err != nil {
		t.Fatal(err)
	}
	x := unit(s.X.Float32s(), 7)
	for i, row := range near {
		if len(row) != 5 || i < 2 && (row[0].Row != 1-i || row[0].Similarity < 0.9999) {
			t.Fatalf("row %d: %v", i, row)
		}
		closer := 0
		for j := range 300 {
			sum := 0.0
			for k := range 7 {
				sum += float64(x[7*i+k]) * float64(x[7*j+k])
			}
			if j != i && sum > float64(row[4].Similarity)+1e-6 {
				closer++
			}
		}
		if closer > 4 {
			t.Errorf("row %d: %d rows are closer than its fifth", i, closer)
		}
	}
	few, err := Nearest(s.Rows([]int{3, 4}).X, 5, 0)
	if err != nil || len(few[0]) != 1 || few[0][0].Row != 1 {
		t.Errorf("of two rows: %v, %v", few, err)
	}
}
