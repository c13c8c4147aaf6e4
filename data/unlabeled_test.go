package data

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestUnlabeled: folders without two class folders are pictures without labels; others
// keep theirs; without the option, the errors stay.
func TestUnlabeled(t *testing.T) {
	picture := &fstest.MapFile{Data: []byte("x")}
	folder := func(names ...string) fstest.MapFS {
		m := fstest.MapFS{}
		for _, n := range names {
			m[n] = picture
		}
		return m
	}
	for name, c := range map[string]struct {
		fs      fstest.MapFS
		classes int
		want    []string // names of the training part
	}{
		"flat":             {folder("b.jpg", "a.png", "notes.txt", ".hidden.jpg"), 0, []string{"a.png", "b.jpg"}},
		"one folder":       {folder("holiday/1.jpg", "holiday/2.jpg"), 0, []string{"holiday/1.jpg", "holiday/2.jpg"}},
		"loose beside":     {folder("x.jpg", "2024/1.jpg", "2025/2.jpg"), 0, []string{"2024/1.jpg", "2025/2.jpg", "x.jpg"}},
		"train flat":       {folder("train/1.jpg", "test/2.jpg"), 0, []string{"train/1.jpg"}},
		"train in one":     {folder("train/all/1.jpg", "val/all/2.jpg"), 0, []string{"train/all/1.jpg"}},
		"classes":          {folder("cat/1.jpg", "dog/2.jpg", "dog/3.jpg"), 2, nil},
		"parts of classes": {folder("train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg"), 2, nil},
	} {
		s, err := OpenFolder(c.fs, Options{Unlabeled: true})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n := len(s.Train.Classes()); n != c.classes {
			t.Errorf("%s: %d classes", name, n)
		}
		if c.classes > 0 {
			continue
		}
		var names []string
		for i := range s.Train.Len() {
			names = append(names, s.Train.Name(i))
			if len(s.Train.Labels(i)) > 0 || !s.Train.MultiLabel() {
				t.Errorf("%s: labels %v", name, s.Train.Labels(i))
			}
		}
		slices.Sort(names)
		if parts := strings.HasPrefix(name, "train"); !slices.Equal(names, c.want) || (s.Eval() != nil) != parts || parts && s.Eval().Len() != 1 || !strings.Contains(strings.Join(s.Notes, " "), "have no labels") {
			t.Errorf("%s: %v, notes %v", name, names, s.Notes)
		}
		var none *NoClassesError
		if _, err := OpenFolder(c.fs, Options{}); !errors.As(err, &none) && name != "loose beside" {
			t.Errorf("%s: with labels, the error %v", name, err)
		}
	}
	if s, err := OpenFolder(folder("val/1.jpg", "test/2.jpg", "test/3.jpg"), Options{Unlabeled: true}); err != nil || s.Train != nil || s.Val.Len() != 1 || s.Test.Len() != 2 {
		t.Errorf("without a training part: %+v, %v", s, err)
	}
	for name, fs := range map[string]fstest.MapFS{"empty": {}, "no pictures": folder("a.txt", "b/c.txt")} {
		if _, err := OpenFolder(fs, Options{Unlabeled: true}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestUnlabeledBatches: batches of pictures without labels have no labels.
func TestUnlabeledBatches(t *testing.T) {
	ds := noise(20, 5, 5, 3)
	none := &Images{Pictures: ds.Pictures, Names: ds.Names, Targets: make([][]int, 20), Multi: true}
	for _, b := range viewBatches(t, none, twoViews, 0, 0) {
		if b.N != 12 || len(b.Labels) > 0 || len(b.Targets) > 0 {
			t.Fatalf("%d rows, %d labels, %d targets", b.N, len(b.Labels), len(b.Targets))
		}
	}
}
