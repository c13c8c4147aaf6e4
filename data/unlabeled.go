package data

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// NoClassesError is the error for folders that do not sort pictures into two or more
// classes. [Options].Unlabeled opens them.
type NoClassesError struct {
	Folder string
	Only   string // the only class folder; empty if there is none
}

// Error names the folder and what to do.
func (e *NoClassesError) Error() string {
	if e.Only == "" {
		return e.Folder + " has no class folders: put the pictures of each class in a folder of its name"
	}
	return fmt.Sprintf("%s has only one class folder, %s: at least two classes are needed", e.Folder, e.Only)
}

// unlabeled reports whether the folders do not sort the pictures into two or more
// classes: there are pictures in no class folder of the training part, or of all parts if
// there is none, or no two class folders.
func (t *tree) unlabeled() bool {
	parts, err := t.parts()
	if err != nil {
		return false // what to do about it is in the error
	}
	classes := map[string]bool{}
	for _, p := range deciding(parts) {
		for _, dir := range p.top() {
			if p.sub(dir).hasPictures() {
				classes[className(dir)] = true
			}
		}
		if slices.ContainsFunc(p.files, func(f string) bool { return !strings.Contains(f, "/") && IsPicture(f) }) {
			return true
		}
	}
	return len(classes) < 2
}

// openUnlabeled opens all pictures of the parts of a source without labels.
func openUnlabeled(src source, list *contents, opt Options) (*Splits, error) {
	parts, err := readTree(list).parts()
	if err != nil {
		return nil, err
	}
	left := leftOut{results: list.left}
	s, n := new(Splits), 0
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		p := parts[name]
		f := &fileSet{src: src, multi: true, opt: opt.decode(), root: p.root}
		for _, file := range p.files {
			full := p.root + file
			if !list.closed[full] && !IsPicture(file) {
				left.add(file, true)
				continue
			}
			f.names, f.labels = append(f.names, full), append(f.labels, nil)
		}
		if n += f.Len(); f.Len() > 0 {
			*s.part(name) = f
		}
	}
	if n == 0 {
		return nil, errors.New("there are no pictures (" + strings.Join(pictureEndings, " ") + ") in it" + left.among())
	}
	s.Notes = append(left.notes(), fmt.Sprintf("the %d pictures have no labels: they are not sorted into folders of two or more classes", n))
	opt.ValFraction = -1 // there is nothing to evaluate on
	return s.finish(opt)
}
