package data

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
)

// HoldOut splits ds in two, class by class: val gets that share of each class,
// rounded to the nearest number, but at least one sample of a class of two or
// more, and never all. Which samples it gets depends only on the seed and their
// names, so that most stay where they are when samples are added. The class of a
// multi-label sample is its first label.
func HoldOut(ds Dataset, share float64, seed uint64) (train, val Dataset) {
	held := make([]bool, ds.Len())
	for _, members := range drawn(ds, seed) {
		n := int(share*float64(len(members)) + 0.5)
		n = min(max(n, 1), len(members)-1)
		for _, i := range members[:n] {
			held[i] = true
		}
	}
	return divide(ds, func(i int) bool { return held[i] })
}

// Folds returns k divisions of ds into a training and a validation part, class by
// class, so that each sample is in one of the validation parts. Which one depends
// only on the seed and the samples' names.
func Folds(ds Dataset, k int, seed uint64) []*Splits {
	fold := make([]int, ds.Len())
	next := 0 // goes on from class to class, so that folds of small classes are equally large
	for _, members := range drawn(ds, seed) {
		for _, i := range members {
			fold[i] = next % k
			next++
		}
	}
	splits := make([]*Splits, k)
	for f := range splits {
		train, val := divide(ds, func(i int) bool { return fold[i] == f })
		splits[f] = &Splits{Train: train, Val: val}
	}
	return splits
}

// drawn is Draw of the samples of ds, whose class is their first label.
func drawn(ds Dataset, seed uint64) [][]int {
	return Draw(ds.Len(), func(i int) int {
		if l := ds.Labels(i); len(l) > 0 {
			return l[0]
		}
		return -1
	}, ds.Name, seed)
}

// Draw returns the indices of n samples class by class, in the order of the classes, and
// those of a class in the order of a draw that depends on the seed and the samples' names.
func Draw(n int, class func(i int) int, name func(i int) string, seed uint64) [][]int {
	type member struct {
		index int
		key   [32]byte
	}
	byClass := make(map[int][]member)
	for i := range n {
		text := binary.LittleEndian.AppendUint64(nil, seed)
		byClass[class(i)] = append(byClass[class(i)], member{i, sha256.Sum256(append(text, name(i)...))})
	}
	var all [][]int
	for _, class := range slices.Sorted(maps.Keys(byClass)) {
		members := byClass[class]
		slices.SortFunc(members, func(a, b member) int {
			if c := slices.Compare(a.key[:], b.key[:]); c != 0 {
				return c
			}
			return a.index - b.index
		})
		indexes := make([]int, len(members))
		for i, m := range members {
			indexes[i] = m.index
		}
		all = append(all, indexes)
	}
	return all
}

// divide returns the samples that are not held out and those that are.
func divide(ds Dataset, held func(i int) bool) (train, val Dataset) {
	var in, out []int
	for i := range ds.Len() {
		if held(i) {
			out = append(out, i)
		} else {
			in = append(in, i)
		}
	}
	return Subset(ds, in), Subset(ds, out)
}
