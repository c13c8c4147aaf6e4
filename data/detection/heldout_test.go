package detection

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/resnet-go/resnet/data"
)

// TestHeldOut: the validation part has objects wherever both parts can, some of each
// class that is in two pictures, and most pictures stay where they are.
func TestHeldOut(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		classes := 1 + rng.IntN(4)
		d := &Dataset{Categories: []int64{1, 2, 3, 4}, classes: []string{"a", "b", "c", "d"}}
		with, of := 0, make([]int, classes) // pictures whose first object has the class
		for i := range 2 + rng.IntN(20) {
			p := Picture{Name: fmt.Sprintf("%d.png", i), W: 20, H: 10}
			if rng.IntN(2) == 0 { // nothing that counts
				p.Objects = []Object{{Box: [4]float64{1, 1, 3, 3}, Crowd: true}, {Box: [4]float64{1, 1, 0, 3}}, {Box: [4]float64{30, 1, 5, 5}}}
			}
			if rng.IntN(3) > 0 {
				c := rng.IntN(classes)
				p.Objects = append(p.Objects, Object{Class: c, Box: [4]float64{1, 1, 5, 5}})
				with++
				of[c]++
			}
			d.Pictures = append(d.Pictures, p)
		}
		opt := Options{Options: data.Options{Seed: rng.Uint64(), ValFraction: []float64{0, 0.2, 0.5}[rng.IntN(3)]}}
		s := &Splits{Train: d}
		if _, err := s.finish(opt); err != nil {
			t.Fatal(err)
		}
		if s.Val == nil {
			if with > 1 {
				t.Fatalf("%d pictures with objects, and none was held out", with)
			}
			continue
		}
		if s.Train.Len()+s.Val.Len() != d.Len() || s.Train.Len() == 0 || s.Val.Len() == 0 {
			t.Fatalf("%d and %d of %d", s.Train.Len(), s.Val.Len(), d.Len())
		}
		if with > 0 != s.Train.HasObjects() || with > 1 != s.Val.HasObjects() {
			t.Fatalf("%d pictures with objects: in training %v, in validation %v", with, s.Train.HasObjects(), s.Val.HasObjects())
		}
		for c, n := range of {
			got := 0
			for i := range s.Val.Pictures {
				if p := &s.Val.Pictures[i]; slices.ContainsFunc(p.Objects, func(o Object) bool { return o.Class == c && p.counts(o) }) {
					got++
				}
			}
			if n > 1 && got == 0 || n > 1 && got == n {
				t.Fatalf("%d of %d pictures of class %d were held out", got, n, c)
			}
		}
		// Another run, and pictures in another order.
		again := d.Subset(slices.Collect(func(yield func(int) bool) {
			for i := d.Len() - 1; i >= 0 && yield(i); i-- {
			}
		}))
		twin := &Splits{Train: again}
		if _, err := twin.finish(opt); err != nil {
			t.Fatal(err)
		}
		names := func(d *Dataset) (all []string) {
			for i := range d.Len() {
				all = append(all, d.Name(i))
			}
			slices.Sort(all)
			return all
		}
		if !slices.Equal(names(s.Val), names(twin.Val)) {
			t.Fatalf("%v, in another order %v", names(s.Val), names(twin.Val))
		}
	}
}
