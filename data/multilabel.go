package data

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/internal/plaintext"
	"github.com/resnet-go/resnet/internal/suggest"
)

// OpenMultiLabel opens pictures that have any number of labels each, given by
// a file labels.csv or labels.json; the file names in it are relative to it.
//
// labels.csv has a header line. A column "file" names the picture, an optional
// column "split" holds train, val or test, and the labels are either one column
// "labels" with names separated by "|", or one column per class with 1 or 0:
//
//	file,labels              file,split,cat,dog
//	a.jpg,cat|dog            a.jpg,train,1,1
//	b.jpg,                   b.jpg,val,0,0
//
// labels.json is a list of {"file": …, "labels": […], "split": …}; a picture without
// labels has the empty list. Both files are UTF-8, or UTF-16 with a byte order mark.
// White space around names does not count. Classes are
// sorted by name, or in the order of the columns, or of the lines of a file
// classes.txt in the same folder. Without "split", the part is the first folder of
// each file if all have one of the names train, val and test; else everything is
// the training part.
func OpenMultiLabel(fsys fs.FS, opt Options) (*Splits, error) {
	return openMultiLabel(&fsSource{fsys, opt.fileLimit()}, opt)
}

// labelRow is one line of a label file.
type labelRow struct {
	File   string
	Labels []string
	Split  string
	where  string // for messages
}

func openMultiLabel(src source, opt Options) (*Splits, error) {
	list, err := src.list()
	if err != nil {
		return nil, err
	}
	files := list.files
	labelFile, err := findLabelFile(files)
	if err != nil {
		return nil, err
	}
	text, err := src.read(labelFile, nil)
	if err == nil {
		text, err = plaintext.Decode(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", labelFile, err)
	}
	var rows []labelRow
	var classes []string
	if path.Ext(labelFile) == ".json" {
		rows, err = parseLabelJSON(text)
	} else {
		rows, classes, err = parseLabelCSV(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", labelFile, err)
	}
	root := path.Dir(labelFile)
	if _, ok := slices.BinarySearch(files, path.Join(root, "classes.txt")); ok {
		text, err := src.read(path.Join(root, "classes.txt"), nil)
		if err == nil {
			classes, err = ParseClassNames(text)
		}
		if err != nil {
			return nil, fmt.Errorf("classes.txt: %w", err)
		}
	}
	if classes == nil {
		for _, r := range rows {
			classes = append(classes, r.Labels...)
		}
		slices.Sort(classes)
		classes = slices.Compact(classes)
		if err := wrongSeparator(rows, classes); err != nil && path.Ext(labelFile) == ".csv" {
			return nil, fmt.Errorf("%s: %w", labelFile, err)
		}
	}
	if len(classes) == 0 {
		return nil, fmt.Errorf("%s gives no labels", labelFile)
	}
	s, err := labelSplits(src, files, root, rows, classes, opt)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", labelFile, err)
	}
	return s.finish(opt)
}

// findLabelFile returns the label file that is nested least deeply.
func findLabelFile(files []string) (string, error) {
	var found []string
	for _, f := range files {
		if base := path.Base(f); base == "labels.csv" || base == "labels.json" {
			found = append(found, f)
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	switch {
	case len(found) == 0:
		return "", fmt.Errorf("no labels.csv or labels.json: %w", fs.ErrNotExist)
	case len(found) > 1 && path.Dir(found[0]) == path.Dir(found[1]):
		return "", fmt.Errorf("both %s and %s: keep one", found[0], found[1])
	}
	return found[0], nil
}

func labelSplits(src source, files []string, root string, rows []labelRow, classes []string, opt Options) (*Splits, error) {
	index := make(map[string]int, len(classes))
	for i, c := range classes {
		if _, twice := index[c]; twice {
			return nil, fmt.Errorf("class %q is listed twice", c)
		}
		index[c] = i
	}
	if err := chooseSplits(rows); err != nil {
		return nil, err
	}
	parts := map[string]*fileSet{}
	seen := make(map[string]string, len(rows))
	for _, r := range rows {
		if !fs.ValidPath(r.File) {
			return nil, fmt.Errorf("%s: %q is not a path below the label file", r.where, r.File)
		}
		name := path.Join(root, r.File)
		if _, ok := slices.BinarySearch(files, name); !ok {
			return nil, fmt.Errorf("%s: file %s: %w", r.where, name, fs.ErrNotExist)
		}
		if first := seen[name]; first != "" {
			return nil, fmt.Errorf("%s: file %s is listed in %s already", r.where, name, first)
		}
		seen[name] = r.where
		labels := []int{}
		for _, l := range r.Labels {
			k, ok := index[l]
			if !ok {
				return nil, fmt.Errorf("%s: label %q is not a class%s", r.where, l, suggest.Phrase(l, classes))
			}
			labels = append(labels, k)
		}
		slices.Sort(labels)
		p := parts[r.Split]
		if p == nil {
			p = &fileSet{src: src, classes: classes, multi: true, opt: opt.decode()}
			parts[r.Split] = p
		}
		p.names = append(p.names, name)
		p.labels = append(p.labels, slices.Compact(labels))
	}
	s := new(Splits)
	if p := parts["train"]; p != nil {
		s.Train = p
	}
	if p := parts["val"]; p != nil {
		s.Val = p
	}
	if p := parts["test"]; p != nil {
		s.Test = p
	}
	return s, nil
}

// chooseSplits sets the part of every row.
func chooseSplits(rows []labelRow) error {
	given, byFolder := 0, 0
	for _, r := range rows {
		if r.Split != "" {
			given++
		}
		if dir, _, ok := strings.Cut(r.File, "/"); ok && splitNames[strings.ToLower(dir)] != "" {
			byFolder++
		}
	}
	for i := range rows {
		r := &rows[i]
		switch {
		case given > 0:
			part := splitNames[strings.ToLower(r.Split)]
			if part == "" {
				return fmt.Errorf("%s: split %q is not train, val or test", r.where, r.Split)
			}
			r.Split = part
		case byFolder == len(rows):
			dir, _, _ := strings.Cut(r.File, "/")
			r.Split = splitNames[strings.ToLower(dir)]
		default:
			r.Split = "train"
		}
	}
	return nil
}

// parseLabelCSV returns the rows, and the classes if they are columns.
func parseLabelCSV(text []byte) (rows []labelRow, classes []string, err error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.ReuseRecord = true
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil, errors.New("file is empty: a header line such as file,labels is needed")
	}
	if err != nil {
		return nil, nil, err
	}
	fileCol, splitCol, labelsCol := -1, -1, -1
	var classCols []int
	for i, h := range head {
		switch h = strings.TrimSpace(h); strings.ToLower(h) {
		case "file":
			fileCol = i
		case "split":
			splitCol = i
		case "labels":
			labelsCol = i
		case "":
			return nil, nil, fmt.Errorf("column %d of the header has no name", i+1)
		default:
			classCols = append(classCols, i)
			classes = append(classes, h)
		}
	}
	switch {
	case fileCol < 0:
		return nil, nil, errors.New(`header has no column "file"`)
	case labelsCol < 0 && len(classes) == 0:
		return nil, nil, errors.New(`header has neither a column "labels" nor one column per class`)
	case labelsCol >= 0 && len(classes) > 0:
		return nil, nil, fmt.Errorf("header has a column \"labels\" and class columns (%s): use one of the two forms", strings.Join(classes, ", "))
	}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, classes, nil
		}
		if err != nil {
			return nil, nil, err
		}
		line, _ := r.FieldPos(0)
		row := labelRow{File: strings.TrimSpace(rec[fileCol]), where: fmt.Sprintf("line %d", line)}
		if splitCol >= 0 {
			row.Split = strings.TrimSpace(rec[splitCol])
		}
		if labelsCol >= 0 {
			for l := range strings.SplitSeq(rec[labelsCol], "|") {
				if l = strings.TrimSpace(l); l != "" {
					row.Labels = append(row.Labels, l)
				}
			}
		}
		for k, col := range classCols {
			switch v := strings.TrimSpace(rec[col]); v {
			case "1":
				row.Labels = append(row.Labels, classes[k])
			case "0":
			default:
				return nil, nil, fmt.Errorf("line %d: column %s is %q, not 0 or 1", line, classes[k], v)
			}
		}
		rows = append(rows, row)
	}
}

// wrongSeparator returns an error if a label is several others, joined by a comma or a
// semicolon. classes is sorted.
func wrongSeparator(rows []labelRow, classes []string) error {
	in := make(map[string]int) // the labels that have each part
	parts := func(label string) []string {
		p := strings.FieldsFunc(label, func(r rune) bool { return r == ',' || r == ';' })
		for i := range p {
			p[i] = strings.TrimSpace(p[i])
		}
		return p
	}
	for _, c := range classes {
		p := parts(c)
		slices.Sort(p)
		for _, name := range slices.Compact(p) {
			in[name]++
		}
	}
	for _, r := range rows {
		for _, l := range r.Labels {
			p := parts(l)
			if len(p) > 1 && !slices.ContainsFunc(p, func(name string) bool { return in[name] < 2 }) {
				return fmt.Errorf("%s: the label %q is made of other labels (%s): write %s, as | separates labels, or name the classes in classes.txt",
					r.where, l, strings.Join(p, ", "), strings.Join(p, "|"))
			}
		}
	}
	return nil
}

func nonEmptyLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
