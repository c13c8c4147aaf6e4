package data

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

var byteBuffers = sync.Pool{New: func() any { return new([]byte) }}

// splitNames are the folder names, in lower case, that mark a part.
var splitNames = map[string]string{
	"train": "train", "training": "train",
	"val": "val", "valid": "val", "validation": "val",
	"test": "test", "testing": "test",
}

// OpenFolder opens pictures in folders: train/, val/ and test/ in the root of
// fsys (any of them suffices), with one folder per class in each. The
// classes are the sorted names of the class folders of train/; below a class
// folder, pictures may lie in further folders. If the root has class folders
// and no train/, everything is one training part. If the root holds a single
// folder and nothing else, that folder is taken as the root. Hidden files and files
// without a picture's ending (see [PictureEndings]) are left out, and counted in
// Notes.
func OpenFolder(fsys fs.FS, opt Options) (*Splits, error) {
	return openFolder(&fsSource{fsys, opt.fileLimit()}, opt)
}

// tree lists the files of a source without their common leading folder.
type tree struct {
	root  string // the cut part, with a slash at the end unless empty
	files []string
	dirs  []string
}

func readTree(src source) (*tree, error) {
	files, dirs, err := src.list()
	if err != nil {
		return nil, err
	}
	t := &tree{files: files, dirs: dirs}
	for {
		top := t.top()
		if len(top) != 1 || splitNames[strings.ToLower(top[0])] != "" {
			return t, nil
		}
		prefix := top[0] + "/"
		inner := cutPrefix(t.dirs, prefix)
		if len(inner) == 0 || slices.ContainsFunc(t.files, func(f string) bool {
			return !strings.HasPrefix(f, prefix) && IsPicture(f)
		}) {
			return t, nil
		}
		t = &tree{t.root + prefix, cutPrefix(t.files, prefix), inner}
	}
}

// top returns the folders of the root.
func (t *tree) top() []string {
	var top []string
	for _, d := range t.dirs {
		if !strings.Contains(d, "/") {
			top = append(top, d)
		}
	}
	return top
}

func (t *tree) sub(dir string) *tree {
	return &tree{t.root + dir + "/", cutPrefix(t.files, dir+"/"), cutPrefix(t.dirs, dir+"/")}
}

func cutPrefix(names []string, prefix string) []string {
	var out []string
	for _, n := range names {
		if rest, ok := strings.CutPrefix(n, prefix); ok {
			out = append(out, rest)
		}
	}
	return out
}

func openFolder(src source, opt Options) (*Splits, error) {
	t, err := readTree(src)
	if err != nil {
		return nil, err
	}
	parts := map[string]*tree{}
	folderOf := map[string]string{}
	for _, dir := range t.top() {
		if part := splitNames[strings.ToLower(dir)]; part != "" {
			if parts[part] != nil {
				return nil, fmt.Errorf("both %s/ and %s/ are the %s part: keep one", folderOf[part], dir, part)
			}
			parts[part], folderOf[part] = t.sub(dir), dir
		}
	}
	if len(parts) == 0 {
		parts["train"] = t
	}

	// The training part decides which classes there are; without one, all parts do.
	var classes []string
	if p := parts["train"]; p != nil {
		classes = p.top()
	} else {
		for _, p := range parts {
			classes = append(classes, p.top()...)
		}
		slices.Sort(classes)
		classes = slices.Compact(classes)
	}
	where := t.root
	if folderOf["train"] != "" {
		where += folderOf["train"]
	}
	if where = strings.TrimSuffix(where, "/"); where == "" {
		where = "the root"
	}
	switch len(classes) {
	case 0:
		return nil, fmt.Errorf("%s has no class folders: put the pictures of each class in a folder of its name", where)
	case 1:
		return nil, fmt.Errorf("%s has only one class folder, %s: at least two classes are needed", where, classes[0])
	}

	s := new(Splits)
	other := 0
	for _, part := range []string{"train", "val", "test"} {
		p := parts[part]
		if p == nil {
			continue
		}
		ds, skipped, err := folderPart(src, p, classes, folderOf[part], folderOf["train"], opt)
		if err != nil {
			return nil, err
		}
		other += skipped
		switch part {
		case "train":
			s.Train = ds
		case "val":
			s.Val = ds
		default:
			s.Test = ds
		}
	}
	if other > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("left out %d files that are not pictures by their endings, or not in a class folder", other))
	}
	return s.finish(opt)
}

func folderPart(src source, p *tree, classes []string, name, trainName string, opt Options) (*fileSet, int, error) {
	index := make(map[string]int, len(classes))
	for i, c := range classes {
		index[c] = i
	}
	for _, dir := range p.top() {
		if _, ok := index[dir]; !ok {
			return nil, 0, fmt.Errorf("%s/%s has no counterpart in %s/: the training part decides which classes there are", name, dir, trainName)
		}
	}
	f := &fileSet{src: src, classes: classes, opt: opt.decode()}
	single := singles(len(classes))
	skipped := 0
	for _, file := range p.files {
		dir, _, ok := strings.Cut(file, "/")
		if !ok || !IsPicture(file) {
			skipped++
			continue
		}
		f.names = append(f.names, p.root+file)
		f.labels = append(f.labels, single[index[dir]])
	}
	if len(f.names) == 0 {
		return nil, 0, fmt.Errorf("%s has no pictures (%s) in its class folders", strings.TrimSuffix(p.root, "/"), strings.Join(pictureEndings, " "))
	}
	return f, skipped, nil
}
