package lab

import (
	"math"
	"slices"
	"testing"
	"time"
)

// TestLabels: four backbones; more labels are better; the one that was trained with
// labels is best; a second report computes nothing anew.
func TestLabels(t *testing.T) {
	opt := options(t, folder(t), "epochs=4", "size=24")
	opt.Depths = []int{8}
	s := finished(t, "labels", opt)
	for _, v := range s.Variants {
		if of := s.Variants[0].Recipe; v.Recipe.Size != of.Size || v.Recipe.Preprocess != of.Preprocess || of.Size == 0 {
			t.Errorf("%s has inputs of size %d, %v; %s of %d, %v", v.Name, v.Recipe.Size, v.Recipe.Preprocess, s.Variants[0].Name, of.Size, of.Preprocess)
		}
	}
	for i := range s.Variants {
		v := &s.Variants[i]
		for _, untrained := range []bool{false, true} {
			m, err := s.backbone(s.runs(v)[0], untrained)
			if err != nil {
				t.Fatal(err)
			}
			if in := m.Input(); !slices.Equal(in[1:], []int{24, 24}) {
				t.Errorf("%s, untrained %t: inputs %v, want those of the recipe's size", v.Name, untrained, in)
			}
		}
	}
	p, err := s.Report(t.Context(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	f := p.Sections[0].Figures[0]
	at := map[string][]float64{}
	for _, series := range f.Series {
		at[series.Name] = series.Y
	}
	if len(at) != 4 || !slices.Equal(f.XNames, []string{"1", "2", "5", "10", "20", "all"}) {
		t.Fatalf("series %v at %v", at, f.XNames)
	}
	for name, y := range at {
		if len(y) != 6 || y[0] > y[5]+0.05 {
			t.Errorf("%s: %v", name, y)
		}
		for _, v := range y {
			if math.IsNaN(v) || v < 0 || v > 1 {
				t.Errorf("%s: %v", name, y)
			}
		}
	}
	if sup, fresh := at[supervisedName], at[untrainedName]; sup[5] < 0.9 || sup[0] < fresh[0] {
		t.Errorf("supervised %v, random %v", sup, fresh)
	}
	if len(p.Findings) != 2 {
		t.Errorf("findings %q", p.Findings)
	}
	for _, row := range p.Sections[1].Tables[0].Rows {
		if ssl := slices.Contains(pretextMethods, row[0]); ssl != (row[5] == "") || ssl != (row[6] == "") {
			t.Errorf("a run's errors: %q", row)
		}
	}
	again, err := s.Report(t.Context(), time.Second)
	if err != nil || !slices.Equal(again.Findings, p.Findings) {
		t.Errorf("the second report: %v, %q", err, again.Findings)
	}
}
