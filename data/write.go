package data

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/atomicfile"
)

// Divide divides the training part of s anew, class by class: the shares val and test
// (0 for none) of the samples become the validation and the test part. A part that s
// has already is kept and gets no share. Files of the same content stay in one part:
// a picture that is evaluated must not have been trained on. Which samples are chosen
// depends only on the seed and their names.
func Divide(s *Splits, val, test float64, seed uint64) (*Splits, error) {
	switch {
	case s.Train == nil:
		return nil, fmt.Errorf("data: %s has no training part to divide", s.Spec)
	case !(val >= 0 && test >= 0 && val+test < 1):
		return nil, fmt.Errorf("data: shares of %v and %v leave nothing to train on: give shares of 0 or more whose sum is below 1", val, test)
	}
	once, copies, err := withoutCopies(s.Train)
	if err != nil {
		return nil, err
	}
	d := &Splits{Spec: s.Spec, Train: once, Val: s.Val, Test: s.Test, Empty: s.Empty}
	// As HoldOut chooses by the order of a draw, the shares must not be drawn alike.
	if test > 0 && s.Test == nil {
		d.Train, d.Test = HoldOut(d.Train, test, seed)
		if d.Test.Len() == 0 {
			return nil, tooFew(s, "test")
		}
		d.Test = withCopies(s.Train, d.Test, copies)
	}
	if val > 0 && s.Val == nil {
		rest := 1.0
		if s.Test == nil {
			rest -= test
		}
		d.Train, d.Val = HoldOut(d.Train, val/rest, seed+1)
		if d.Val.Len() == 0 {
			return nil, tooFew(s, "val")
		}
		d.Val = withCopies(s.Train, d.Val, copies)
	}
	d.Train = withCopies(s.Train, d.Train, copies)
	if n := s.Train.Len() - once.Len(); n > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("copies of other pictures, %d, are in the same part as those", n))
	}
	return d, nil
}

// tooFew is the error for a part that would be empty.
func tooFew(s *Splits, part string) error {
	return fmt.Errorf("data: %s has too few different pictures, %d, for a %s part: a class needs one that is left to train on, and one for each other part", s.Spec, s.Train.Len(), part)
}

// withoutCopies returns the first sample of each content, and by its name all that have
// this content.
func withoutCopies(ds Dataset) (once Dataset, copies map[string][]int, err error) {
	names := map[[32]byte]string{} // of the first sample of a content
	copies = make(map[string][]int, ds.Len())
	var first []int
	var buf []byte
	for i := range ds.Len() {
		name := ds.Name(i)
		if buf, err = content(ds, i, buf); err != nil {
			return nil, nil, &SampleError{i, name, err}
		}
		key := sha256.Sum256(buf)
		if _, known := names[key]; !known {
			names[key] = name
			first = append(first, i)
		}
		copies[names[key]] = append(copies[names[key]], i)
	}
	return Subset(ds, first), copies, nil
}

// withCopies returns the samples of ds that have the contents of those of a part.
func withCopies(ds, part Dataset, copies map[string][]int) Dataset {
	var all []int
	for i := range part.Len() {
		all = append(all, copies[part.Name(i)]...)
	}
	slices.Sort(all)
	return Subset(ds, all)
}

// WriteFolder writes a dataset of picture files as [OpenFolder] reads it: the files of
// each part, with their bytes, as DIR/PART/CLASS/FILE; pictures without labels as
// DIR/PART/FILE, below one more folder, pictures, if some of them lie in folders, which
// must not become classes. dir must not exist, or be empty. It is complete, or not
// there. link, if it is not nil, makes a file instead of writing its bytes, given the
// sample's name.
func WriteFolder(ctx context.Context, s *Splits, dir string, link func(name, to string) error) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("data: %s is not empty: name a folder that does not exist", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755); err != nil {
		return err
	}
	return atomicfile.Folder(dir, func(tmp string) error {
		place := placeByClass
		if s.MultiLabel() && len(s.Classes()) == 0 {
			place = placeUnlabeled(s)
		}
		for _, p := range s.parts() {
			if err := writePart(ctx, p, filepath.Join(tmp, p.name), place, link); err != nil {
				return err
			}
		}
		return nil
	})
}

// placeByClass returns the path of a sample's file below the folder of its part.
func placeByClass(ds Dataset, i int) string {
	class := ds.Classes()[ds.Labels(i)[0]]
	return path.Join(class, belowClass(ds.Name(i), class))
}

// placeUnlabeled returns placeByClass of pictures without labels.
func placeUnlabeled(s *Splits) func(ds Dataset, i int) string {
	below := func(ds Dataset, i int) string {
		of, k := origin(ds, i)
		f, ok := of.(*fileSet)
		if !ok {
			return of.Name(k)
		}
		return strings.TrimPrefix(f.names[k], f.root)
	}
	flat := true
	for _, p := range s.parts() {
		for i := range p.ds.Len() {
			flat = flat && !strings.Contains(below(p.ds, i), "/")
		}
	}
	if flat {
		return below
	}
	return func(ds Dataset, i int) string { return path.Join("pictures", below(ds, i)) }
}

func writePart(ctx context.Context, p part, dir string, place func(ds Dataset, i int) string, link func(name, to string) error) error {
	for _, class := range p.ds.Classes() { // a class without pictures in a part stays one
		if err := os.MkdirAll(filepath.Join(dir, class), 0o755); err != nil {
			return err
		}
	}
	var buf []byte
	for i := range p.ds.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := p.ds.Name(i)
		to := filepath.Join(dir, filepath.FromSlash(place(p.ds, i)))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		var err error
		if link != nil {
			err = link(name, to)
		} else if buf, err = content(p.ds, i, buf); err == nil {
			err = os.WriteFile(to, buf, 0o644)
		}
		if err != nil {
			return fmt.Errorf("data: %s: %w", name, err)
		}
	}
	return nil
}

// belowClass returns the part of a file's name below its class folder.
func belowClass(name, class string) string {
	parts := strings.Split(name, "/")
	if i := slices.Index(parts, class); i >= 0 && i+1 < len(parts) {
		return path.Join(parts[i+1:]...)
	}
	return path.Base(name)
}
