package features

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// TestDraw: the draws have the same number of rows of every class, differ, are the same
// again, and those of fewer labels lie within those of more.
func TestDraw(t *testing.T) {
	s := random(t, 300, 3, 4, 5)
	s.Classes = 5 // a class without a row
	seen := map[int]bool{}
	var first []int
	for draw := range 40 {
		rows, err := s.Draw(7, 3, draw)
		if err != nil || len(rows) != 28 || !slices.IsSorted(rows) {
			t.Fatalf("%v: %v", rows, err)
		}
		counts := make([]int, 5)
		for _, r := range rows {
			counts[s.Labels[r]]++
			seen[r] = true
		}
		if !slices.Equal(counts, []int{7, 7, 7, 7, 0}) || len(slices.Compact(rows)) != 28 {
			t.Fatalf("draw %d: %v", draw, counts)
		}
		again, _ := s.Draw(7, 3, draw)
		fewer, _ := s.Draw(3, 3, draw)
		if !slices.Equal(rows, again) {
			t.Errorf("draw %d differs when it is repeated", draw)
		}
		for _, r := range fewer {
			if !slices.Contains(rows, r) {
				t.Errorf("draw %d: row %d of 3 labels a class is not among those of 7", draw, r)
			}
		}
		if draw == 0 {
			first = rows
		} else if slices.Equal(first, rows) {
			t.Errorf("draw %d is that of draw 0", draw)
		}
	}
	if len(seen) < 280 { // 40 draws of about a tenth leave out 1.5 % of the rows
		t.Errorf("only %d of 300 rows were ever drawn", len(seen))
	}
	var few *FewerError
	if _, err := s.Draw(1000, 1, 0); !errors.As(err, &few) || few.Want != 1000 {
		t.Errorf("more rows than there are: %v", err)
	}
	if _, err := s.Draw(0, 1, 0); err == nil {
		t.Error("0 labels are no error")
	}
}

// TestJudgeFew: more labels judge better, and all of them as Judge does.
func TestJudgeFew(t *testing.T) {
	known, queries := random(t, 400, 12, 4, 1), random(t, 200, 12, 4, 2)
	mean := func(each int) float64 {
		all, err := JudgeFew(t.Context(), known, queries, each, 3, 1, Neighbors{}, LinearOptions{})
		if err != nil || len(all) != 3 {
			t.Fatalf("%v: %v", all, err)
		}
		m, std := MeanStd(all, func(j Judgement) float64 { return j.Linear })
		if std == 0 || std > 0.2 {
			t.Errorf("%d labels: deviation %v", each, std)
		}
		return m
	}
	_, whole, err := Judge(known, queries, Neighbors{}, LinearOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if few, more := mean(2), mean(40); !(few < more && more < whole.Linear+0.05) || whole.KNN < 0.7 {
		t.Errorf("2 labels %v, 40 labels %v, all %+v", few, more, whole)
	}
	if m, std := MeanStd([]Judgement{{KNN: 1}, {KNN: 2}, {KNN: 3}}, func(j Judgement) float64 { return j.KNN }); m != 2 || math.Abs(std-1) > 1e-15 {
		t.Errorf("mean %v, deviation %v", m, std)
	}
}
