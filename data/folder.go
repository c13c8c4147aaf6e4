package data

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/resnet-go/resnet/internal/term"
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
// classes are the sorted names of the class folders of train/, in Unicode's
// composed form (NFC); below a class folder, pictures may lie in further folders.
// If the root has class folders and no parts, everything is one training part;
// folders called train or test are classes then, if they lie among other folders
// of pictures and have no class folders. If the root holds a single folder and
// nothing else, that folder is taken as the root. Hidden files and files without
// a picture's ending (see [PictureEndings]) are left out, and counted in Notes.
//
// A file that cannot be read is a sample whose Decode returns an error, and so is
// a folder inside a class folder that cannot be listed.
func OpenFolder(fsys fs.FS, opt Options) (*Splits, error) {
	return openFolder(&fsSource{fsys, opt.fileLimit()}, opt)
}

// FindPictures returns the pictures of a folder and of the folders below it, in
// order, as paths that begin with dir, by the rules of [OpenFolder]: hidden files
// are left out and symbolic links are followed. A folder below dir that cannot be
// listed is among them, and so are photos of formats that are not read, such as
// HEIC; reading them is an error, which names the format.
//
// Results of this program, such as the curves of a training, are left out; note is a
// sentence about them, empty if there are none.
func FindPictures(dir string) (found []string, note string, err error) {
	found, note, err = listPictures(&fsSource{fsys: os.DirFS(dir)})
	for i, f := range found {
		found[i] = filepath.Join(dir, filepath.FromSlash(f))
	}
	return found, note, err
}

// listPictures returns what FindPictures finds in a source.
func listPictures(src source) (found []string, note string, err error) {
	list, err := listed(src, false)
	if err != nil {
		return nil, "", err
	}
	files := list.files
	if t, ok := src.(*tarSource); ok {
		files = t.names // read from start to end
	}
	for _, f := range files {
		if list.closed[f] || IsPicture(f) || slices.Contains(unreadEndings, strings.ToLower(path.Ext(f))) {
			found = append(found, f)
		}
	}
	return found, list.left.note(), nil
}

// tree lists the files of a source without their common leading folder.
type tree struct {
	root  string // the cut part, with a slash at the end unless empty
	files []string
	dirs  []string
}

func readTree(list *contents) *tree {
	t := &tree{files: list.files, dirs: list.dirs}
	for {
		top := t.top()
		if len(top) != 1 || splitNames[strings.ToLower(top[0])] != "" {
			return t
		}
		prefix := top[0] + "/"
		inner := cutPrefix(t.dirs, prefix)
		if len(inner) == 0 || slices.ContainsFunc(t.files, func(f string) bool {
			return !strings.HasPrefix(f, prefix) && IsPicture(f)
		}) {
			return t
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

// folderPart is a part of a dataset of folders.
type folderPart struct {
	*tree
	name string // of its folder; "" for the root
}

// parts finds the parts among the folders of the root, by the names in splitNames.
func (t *tree) parts() (map[string]folderPart, error) {
	parts := map[string]folderPart{}
	var others, named []string
	hasClasses := false
	for _, dir := range t.top() {
		sub := t.sub(dir)
		part := splitNames[strings.ToLower(dir)]
		if part == "" {
			if sub.hasPictures() {
				others = append(others, dir)
			}
			continue
		}
		if old, twice := parts[part]; twice {
			return nil, fmt.Errorf("both %s/ and %s/ are the %s part: keep one", old.name, dir, part)
		}
		parts[part] = folderPart{sub, dir}
		named = append(named, dir)
		hasClasses = hasClasses || slices.ContainsFunc(sub.top(), func(class string) bool { return sub.sub(class).hasPictures() })
	}
	switch {
	case len(parts) == 0, len(others) > 0 && !hasClasses:
		return map[string]folderPart{"train": {t, ""}}, nil
	case len(others) > 0:
		return nil, fmt.Errorf("%s lies beside %s, which is a part of the data by its name and has class folders: move %[1]s into it if it is a class, "+
			"or elsewhere if it is not; or name the folder of one part alone", firstFolders(others), firstFolders(named))
	}
	return parts, nil
}

// firstFolders lists names for a message.
func firstFolders(names []string) string {
	more := ""
	if len(names) > 3 {
		names, more = names[:3], fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, "/, ") + "/" + more
}

func (t *tree) hasPictures() bool { return slices.ContainsFunc(t.files, IsPicture) }

func openFolder(src source, opt Options) (*Splits, error) {
	list, err := listed(src, false)
	if err != nil {
		return nil, err
	}
	t := readTree(list)
	if opt.Unlabeled && t.unlabeled() {
		return openUnlabeled(src, list, opt)
	}
	parts, err := t.parts()
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if dir := t.root + p.name; list.closed[dir] {
			_, err := src.read(dir, nil)
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	classes, err := folderClasses(t, parts)
	if err != nil {
		return nil, err
	}
	s := new(Splits)
	left := leftOut{results: list.left}
	for _, name := range []string{"train", "val", "test"} {
		p, ok := parts[name]
		if !ok || name == "test" && opt.WithoutTest {
			continue
		}
		ds, err := p.dataset(src, list, classes, parts["train"].name, &left)
		if err != nil {
			return nil, &PartError{Part: name, Validated: s.Val != nil, Problem: err.Error()}
		}
		ds.opt = opt.decode()
		*s.part(name) = ds
	}
	s.Notes, s.Empty = append(s.Notes, left.notes()...), left.empty
	if t, ok := src.(*tarSource); ok {
		s.Notes = append(s.Notes, t.notes()...)
	}
	return s.finish(opt)
}

// deciding returns the parts that decide which classes there are: the training part;
// without one, all.
func deciding(parts map[string]folderPart) map[string]folderPart {
	if p, ok := parts["train"]; ok {
		return map[string]folderPart{"train": p}
	}
	return parts
}

// PartError is the error for a part of folders that cannot be used: it has class folders
// that the training part does not have, or no pictures in class folders.
type PartError struct {
	Part      string // train, val or test
	Validated bool   // there is a validation part that can be used
	Problem   string
}

// Error is the problem, which names the folder.
func (e *PartError) Error() string { return e.Problem }

// OpenSparing opens data by open, such as [Open]. A test part that cannot be used is left
// out, with a note, where a validation part takes its place: one of the data, one that
// opt holds out, or, if elsewhere is set, what the caller has.
func OpenSparing(open func(spec string, opt Options) (*Splits, error), spec string, opt Options, elsewhere bool) (*Splits, error) {
	s, err := open(spec, opt)
	bad := (*PartError)(nil)
	if !errors.As(err, &bad) || bad.Part != "test" || !elsewhere && !bad.Validated && !(opt.ValFraction > 0) {
		return s, err
	}
	opt.WithoutTest = true
	if s, err = open(spec, opt); err == nil {
		s.Notes = append(s.Notes, "the test part is left out: "+bad.Problem)
	}
	return s, err
}

// folderClasses returns the names of the classes.
func folderClasses(t *tree, parts map[string]folderPart) ([]string, error) {
	var classes []string
	for _, p := range deciding(parts) {
		for _, dir := range p.top() {
			if !utf8.ValidString(dir) {
				return nil, fmt.Errorf("the name of the class folder %q is not UTF-8, the encoding of the names in model files: rename it", p.root+dir)
			}
			classes = append(classes, className(dir))
		}
	}
	slices.Sort(classes)
	classes = slices.Compact(classes)
	where := strings.TrimSuffix(t.root+parts["train"].name, "/")
	if where == "" {
		where = "the root"
	}
	switch len(classes) {
	case 0:
		return nil, &NoClassesError{Folder: where}
	case 1:
		return nil, &NoClassesError{Folder: where, Only: classes[0]}
	}
	return classes, nil
}

// className returns the name of the class of a folder. File systems differ in how
// they store accents: what looks the same is one class.
func className(dir string) string { return norm.NFC.String(dir) }

// dataset returns the pictures of the part. What is not a picture goes to left.
func (p folderPart) dataset(src source, list *contents, classes []string, trainName string, left *leftOut) (*fileSet, error) {
	index := make(map[string]int, len(classes))
	for i, c := range classes {
		index[c] = i
	}
	var foreign []string
	for _, dir := range p.top() {
		if _, ok := index[className(dir)]; !ok && (list.closed[p.root+dir] || p.sub(dir).hasPictures()) {
			foreign = append(foreign, p.name+"/"+dir)
		}
	}
	if len(foreign) > 0 {
		has := "has"
		if len(foreign) > 1 {
			has = "have"
		}
		return nil, fmt.Errorf("%s %s no counterpart in %s/: the training part decides which classes there are; rename the folder of the class, move it out of %s/, or add pictures of the class to %[3]s/",
			firstFolders(foreign), has, trainName, p.name)
	}
	f := &fileSet{src: src, classes: classes}
	single := singles(len(classes))
	found := make([]bool, len(classes))
	for _, file := range p.files {
		dir, _, inClass := strings.Cut(file, "/")
		closed := list.closed[p.root+file]
		k, known := index[className(dir)]
		if !closed && (!inClass || !known || !IsPicture(file)) {
			left.add(file, inClass)
			continue
		}
		found[k] = true
		f.names = append(f.names, p.root+file)
		f.labels = append(f.labels, single[k])
	}
	if len(f.names) == 0 {
		return nil, fmt.Errorf("%s has no pictures (%s) in its class folders%s", cmp.Or(strings.TrimSuffix(p.root, "/"), "the folder"), strings.Join(pictureEndings, " "), left.among())
	}
	if p.name == trainName {
		for k, class := range classes {
			if !found[k] {
				left.empty = append(left.empty, fmt.Sprintf("the class folder %s%s has no pictures%s", p.root, class, p.endings(class)))
			}
		}
	}
	return f, nil
}

// endings describes the files of a class that has no pictures.
func (p folderPart) endings(class string) string {
	var left leftOut
	for _, file := range p.files {
		if dir, _, ok := strings.Cut(file, "/"); ok && className(dir) == class {
			left.add(file, true)
		}
	}
	return left.among()
}

// leftOut counts the files that are not samples.
type leftOut struct {
	results *outputs       // of this program; nil for none
	endings map[string]int // files in class folders without a picture's ending
	loose   []string       // pictures that lie in no class folder
	empty   []string       // sentences about classes of the training part without pictures
}

func (l *leftOut) add(file string, inClass bool) {
	if !inClass && IsPicture(file) {
		l.loose = append(l.loose, file)
		return
	}
	if l.endings == nil {
		l.endings = make(map[string]int)
	}
	l.endings[strings.ToLower(path.Ext(file))]++
}

// list names the endings, the most frequent first.
func (l *leftOut) list() string {
	endings := slices.SortedFunc(maps.Keys(l.endings), func(a, b string) int {
		return cmp.Or(l.endings[b]-l.endings[a], strings.Compare(a, b))
	})
	var out []string
	for i, e := range endings {
		if i == 5 {
			out = append(out, fmt.Sprintf("%d other endings", len(endings)-i))
			break
		}
		name := e
		if e == "" {
			name = "without ending"
		}
		out = append(out, fmt.Sprintf("%d %s", l.endings[e], name))
	}
	return strings.Join(out, ", ")
}

// among returns what is there instead of pictures, for an error.
func (l *leftOut) among() string {
	if len(l.endings) == 0 {
		return ""
	}
	return ", only other files (" + l.list() + ")"
}

func (l *leftOut) notes() []string {
	notes := l.empty
	if n := l.results.note(); n != "" {
		notes = append(slices.Clip(notes), n)
	}
	if len(l.endings) > 0 {
		n := 0
		for _, k := range l.endings {
			n += k
		}
		notes = append(notes, fmt.Sprintf("left out %s without a picture's ending: %s", term.Plural(n, "file"), l.list()))
	}
	if len(l.loose) > 0 {
		notes = append(notes, fmt.Sprintf("left out %s in no class folder, such as %s", term.Plural(len(l.loose), "picture"), l.loose[0]))
	}
	return notes
}
