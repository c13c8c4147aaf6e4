package data

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/resnet-go/resnet/data/imaging"
)

// tree of pictures, of which every fourth is a copy of another.
func copiesFS(n int) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := range n {
		class := []string{"cat", "dog"}[i%2]
		body := []byte{byte(i), byte(i >> 8), 1}
		if i%4 == 3 {
			body = []byte{byte(i - 2), byte((i - 2) >> 8), 1}
		}
		fsys["photos/"+class+"/deep/"+string(rune('a'+i/26))+string(rune('a'+i%26))+".jpg"] = &fstest.MapFile{Data: body}
	}
	return fsys
}

func TestDivideKeepsCopiesTogether(t *testing.T) {
	s, err := OpenFolder(copiesFS(200), Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Divide(s, 0.3, 0.2, 1)
	if err != nil {
		t.Fatal(err)
	}
	all, in := 0, map[string]string{}
	for _, p := range d.parts() {
		all += p.ds.Len()
		for i := range p.ds.Len() {
			b, err := content(p.ds, i, nil)
			if err != nil {
				t.Fatal(err)
			}
			if was, ok := in[string(b)]; ok && was != p.name {
				t.Errorf("%s is in %s and in %s", p.ds.Name(i), was, p.name)
			}
			in[string(b)] = p.name
		}
	}
	if all != 200 || d.Val.Len() < 50 || d.Val.Len() > 70 || d.Test.Len() < 30 || d.Test.Len() > 50 || len(d.Notes) != 1 {
		t.Errorf("%d samples, %d val, %d test, notes %q", all, d.Val.Len(), d.Test.Len(), d.Notes)
	}
	for n, test := range map[int]float64{2: 0, 4: 0.2} { // a picture of each class; two, but two of one class are alike
		few, err := OpenFolder(copiesFS(n), Options{ValFraction: -1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Divide(few, 0.2, test, 1); err == nil || !strings.Contains(err.Error(), "too few different pictures") {
			t.Errorf("%d pictures, shares 0.2 and %v: %v", n, test, err)
		}
	}
	for _, bad := range [][2]float64{{0.5, 0.5}, {-0.1, 0}, {1, 0}} {
		if _, err := Divide(s, bad[0], bad[1], 1); err == nil {
			t.Errorf("shares %v were accepted", bad)
		}
	}
}

func TestWriteFolderIsReadBack(t *testing.T) {
	s, err := OpenFolder(copiesFS(60), Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Divide(s, 0.25, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new", "parts")
	if err := WriteFolder(context.Background(), d, dir, nil); err != nil {
		t.Fatal(err)
	}
	back, err := Open("folder:"+dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if back.Train.Len() != d.Train.Len() || back.Val.Len() != d.Val.Len() || back.Test != nil {
		t.Errorf("%d and %d pictures, want %d and %d", back.Train.Len(), back.Val.Len(), d.Train.Len(), d.Val.Len())
	}
	for i := range back.Val.Len() {
		if want := "val/" + strings.TrimPrefix(d.Val.Name(i), "photos/"); back.Val.Name(i) != want {
			t.Errorf("%s, want %s", back.Val.Name(i), want)
		}
	}
	if err := WriteFolder(context.Background(), d, dir, nil); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("a second time: %v", err)
	}

	// What fails leaves nothing.
	other := filepath.Join(t.TempDir(), "other")
	failing := errors.New("no space")
	err = WriteFolder(context.Background(), d, other, func(name, to string) error { return failing })
	if entries, _ := os.ReadDir(filepath.Dir(other)); !errors.Is(err, failing) || len(entries) != 0 {
		t.Errorf("error %v, left %v", err, entries)
	}
}

func TestFolds(t *testing.T) {
	s, err := OpenFolder(copiesFS(50), Options{ValFraction: -1})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, f := range Folds(s.Train, 4, 7) {
		if f.Train.Len()+f.Val.Len() != 50 || f.Val.Len() < 12 || f.Val.Len() > 13 {
			t.Errorf("%d and %d samples", f.Train.Len(), f.Val.Len())
		}
		counts := ClassCounts(f.Val)
		if counts[0] < 6 || counts[1] < 6 {
			t.Errorf("a fold has %v of the classes", counts)
		}
		for i := range f.Val.Len() {
			seen[f.Val.Name(i)]++
		}
	}
	if len(seen) != 50 {
		t.Errorf("%d samples were evaluated", len(seen))
	}
}

func TestValidateMatchesClassesByName(t *testing.T) {
	train := &Images{ClassNames: []string{"a", "b", "c"}, Targets: [][]int{{0}}, Names: []string{"x"}, Pictures: []*imaging.Image{nil}}
	other := &Images{ClassNames: []string{"c", "a"}, Targets: [][]int{{0}, {1}}, Names: []string{"y", "z"}, Pictures: []*imaging.Image{nil, nil}}
	s := &Splits{Train: train}
	if err := s.Validate(&Splits{Train: other}); err != nil {
		t.Fatal(err)
	}
	if l := s.Val.Labels(0)[0]; l != 2 || s.Val.Labels(1)[0] != 0 {
		t.Errorf("class c is %d", l)
	}
	if err := s.Validate(&Splits{Spec: "new:1", Test: &Images{ClassNames: []string{"d"}}}); err == nil || !strings.Contains(err.Error(), `"d" is not among`) {
		t.Errorf("an unknown class: %v", err)
	}
}
