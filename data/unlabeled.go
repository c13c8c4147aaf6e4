package data

import (
	"errors"
	"fmt"
	"strings"
)

// unlabeled reports whether the folders do not sort the pictures into two or more
// classes: there are pictures in no class folder of the training part, or no two class
// folders.
func (t *tree) unlabeled() bool {
	parts, err := t.parts()
	if err != nil {
		return false // what to do about it is in the error
	}
	p, ok := parts["train"]
	if !ok {
		return false // which parts there are is in the error that follows
	}
	classes := 0
	for _, dir := range p.top() {
		if p.sub(dir).hasPictures() {
			classes++
		}
	}
	for _, f := range p.files {
		if !strings.Contains(f, "/") && IsPicture(f) {
			return true
		}
	}
	return classes < 2
}

// openUnlabeled opens all pictures of a source, or those of its training part, as one
// training part without labels.
func openUnlabeled(src source, list *contents, opt Options) (*Splits, error) {
	t := readTree(list)
	parts, err := t.parts()
	if err != nil {
		return nil, err
	}
	p := parts["train"]
	f := &fileSet{src: src, multi: true, opt: opt.decode()}
	left := leftOut{results: list.left}
	for _, file := range p.files {
		full := p.root + file
		if !list.closed[full] && !IsPicture(file) {
			left.add(file, true)
			continue
		}
		f.names, f.labels = append(f.names, full), append(f.labels, nil)
	}
	if len(f.names) == 0 {
		return nil, errors.New("there are no pictures (" + strings.Join(pictureEndings, " ") + ") in it" + left.among())
	}
	s := &Splits{Train: f, Notes: left.notes()}
	s.Notes = append(s.Notes, fmt.Sprintf("the %d pictures have no labels: they are not sorted into folders of two or more classes", len(f.names)))
	opt.ValFraction = -1 // there is nothing to evaluate on
	return s.finish(opt)
}
