package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/internal/plaintext"
)

// maxLabelFile is the limit of a label in a tar.
const maxLabelFile = 1 << 20

// OpenTars opens pictures in tars, which saves a file system millions of small files.
// The headers are read once; a picture is then one read. A tar that is packed by gzip
// is unpacked to a temporary file until the splits are closed.
//
// In WebDataset's form, a sample is the files of a shard whose paths are the same up to
// the first dot of the last name, its key: a picture (.jpg, .png, .webp, …) and its
// label, which is in .cls (a number from 0, or the name of a class) or in .json (a
// number, a name, an object with one of them as "cls", "label" or "class", or with a
// list of them as "labels", for any number of labels per picture). Where there are
// both, or several of the fields, they must agree. The names of classes
// that have numbers are those of the file classes.txt, in a shard or beside the
// shards, else the numbers. Samples without a picture or a label are left out, and
// counted in Notes. A shard belongs to the part whose name is a word of its own name or
// of its folder's, such as val-003.tar; without such words all are the training part.
//
// Tars without such labels are opened as one tree of folders, as [OpenFolder] does.
//
// Training reads the shards in a random order, and mixes at least 16,384 samples of
// consecutive ones.
func OpenTars(paths []string, opt Options) (*Splits, error) {
	if len(paths) == 0 {
		return nil, errors.New("no tars are named")
	}
	names, err := shardNames(paths)
	if err != nil {
		return nil, err
	}
	prefixes := make([]string, len(names))
	for i, n := range names {
		prefixes[i] = n + "/"
	}
	src, err := openTars(paths, prefixes, opt.fileLimit())
	if err != nil {
		return nil, err
	}
	s, err := openShards(src, names, opt)
	if errors.Is(err, errNoKeys) { // folders: a class may be in several shards
		if err := src.close(); err != nil {
			return nil, err
		}
		if src, err = openTars(paths, make([]string, len(paths)), opt.fileLimit()); err != nil {
			return nil, err
		}
		if s, err = openFolder(src, opt); err != nil {
			err = fmt.Errorf("no sample has a label (.cls or .json, as in WebDataset), and as folders: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, src.close())
	}
	s.close = src.close
	return s, nil
}

// errNoKeys is the error for tars in which no key has a label.
var errNoKeys = errors.New("no sample has a label")

// shardSample is a sample of WebDataset's form.
type shardSample struct {
	key, picture string
	second       string   // another picture of the same key
	label        string   // the file
	described    string   // the JSON beside .cls
	targets      []string // numbers or names
	multi        bool
}

// openShards opens tars in WebDataset's form. names are the prefixes of the entries.
func openShards(src *tarSource, names []string, opt Options) (*Splits, error) {
	samples := keyed(src.names)
	var left [2]struct {
		n     int
		first string
	}
	miss := func(k int, key string) {
		if left[k].n++; left[k].n == 1 {
			left[k].first = key
		}
	}
	var buf []byte
	var err error
	whole := samples[:0]
	for _, s := range samples {
		switch {
		case s.label == "" && s.picture == "":
		case s.label == "":
			miss(0, s.key)
		case s.picture == "":
			miss(1, s.key)
		default:
			if buf, err = s.read(src, buf); err != nil {
				return nil, fmt.Errorf("%s: %w", s.label, err)
			}
			if s.targets == nil { // JSON about other things
				miss(0, s.key)
				continue
			}
			if s.second != "" {
				return nil, fmt.Errorf("the sample %s has two pictures, %s and %s: a key ends at the first dot, so name them differently, or keep one",
					s.key, path.Base(s.picture), path.Base(s.second))
			}
			whole = append(whole, s)
		}
	}
	if len(whole) == 0 {
		return nil, errNoKeys
	}
	s, err := shardSplits(src, names, whole, opt)
	if notes := src.notes(); err != nil && len(notes) > 0 { // may be why
		return nil, fmt.Errorf("%w (%s)", err, strings.Join(notes, "; "))
	}
	if err != nil {
		return nil, err
	}
	for k, what := range []string{"samples without a label", "labels without a picture"} {
		if left[k].n > 0 {
			s.Notes = append(s.Notes, fmt.Sprintf("left out %d %s, such as %s", left[k].n, what, left[k].first))
		}
	}
	s.Notes = append(s.Notes, src.notes()...)
	return s.finish(opt)
}

// keyed returns the samples among files, in the order of their first files.
func keyed(files []string) []shardSample {
	var samples []shardSample
	index := make(map[string]int)
	for _, f := range files {
		dir, base := path.Split(f)
		stem, end, _ := strings.Cut(base, ".")
		if end = strings.ToLower(end); end != "cls" && end != "json" && !IsPicture(f) {
			continue
		}
		key := dir + stem
		i, ok := index[key]
		if !ok {
			i = len(samples)
			index[key] = i
			samples = append(samples, shardSample{key: key})
		}
		switch s := &samples[i]; {
		case end == "cls": // before JSON
			if strings.HasSuffix(strings.ToLower(s.label), ".json") {
				s.described = s.label
			}
			s.label = f
		case end == "json":
			if s.label == "" {
				s.label = f
			} else {
				s.described = f
			}
		case s.picture != "":
			s.second = f
		default:
			s.picture = f
		}
	}
	return samples
}

// read reads the label.
func (s *shardSample) read(src *tarSource, buf []byte) ([]byte, error) {
	if size := src.places[s.label].size; size > maxLabelFile {
		return buf, fmt.Errorf("a label of %d bytes, must have at most %d", size, maxLabelFile)
	}
	buf, err := src.read(s.label, buf)
	if err != nil {
		return buf, err
	}
	text, err := plaintext.Decode(buf)
	if err != nil {
		return buf, fmt.Errorf("the label must be a number or the name of a class: %w", err)
	}
	text = bytes.TrimSpace(text)
	if !strings.HasSuffix(strings.ToLower(s.label), ".cls") {
		s.targets, s.multi, err = jsonLabel(text)
		return buf, err
	}
	if len(text) == 0 {
		return buf, errors.New("the label is empty, must be a number or the name of a class")
	}
	if lines := bytes.Count(text, []byte("\n")); lines > 0 {
		return buf, fmt.Errorf("the label has %d lines, must have one: a number or the name of a class", lines+1)
	}
	s.targets = []string{string(text)}
	if s.described == "" || src.places[s.described].size > maxLabelFile {
		return buf, nil
	}
	if buf, err = src.read(s.described, buf); err != nil {
		return buf, fmt.Errorf("%s: %w", path.Base(s.described), err)
	}
	var described []string
	if text, err = plaintext.Decode(buf); err == nil {
		described, _, err = jsonLabel(text)
	}
	if err != nil { // it need not be about the label at all
		return buf, nil
	}
	if slices.ContainsFunc(described, func(l string) bool { return contradict(s.targets[0], l) }) && !slices.Contains(described, s.targets[0]) {
		return buf, fmt.Errorf("the label is %q, but %q in %s: remove the wrong one", s.targets[0], described, path.Base(s.described))
	}
	return buf, nil
}

// contradict reports whether two labels of a picture cannot both be right. One may be
// the number of a class and the other its name.
func contradict(a, b string) bool {
	n, notA := labelNumber(a)
	m, notB := labelNumber(b)
	return (notA == nil) == (notB == nil) && a != b && (notA != nil || n != m)
}

// labelNumber returns the number of a class, which some programs write as 1.0 or 1e0.
func labelNumber(label string) (int, error) {
	n, err := strconv.Atoi(label)
	if err == nil {
		return n, nil
	}
	f, notFloat := strconv.ParseFloat(label, 64)
	if notFloat != nil || f != math.Trunc(f) || math.Abs(f) > maxClassNames {
		return 0, err
	}
	return int(f), nil
}

// jsonLabel returns the labels in a JSON document; nil if it is about other things.
func jsonLabel(text []byte) (targets []string, multi bool, err error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, false, fmt.Errorf("the label is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, false, errors.New("the label is JSON with more text after its end: keep one value")
	}
	if err := uniqueKeys(text, false); err != nil {
		return nil, false, err
	}
	if fields, ok := v.(map[string]any); ok {
		if list, ok := fields["labels"].([]any); ok {
			targets = []string{}
			for _, l := range list {
				t, ok := jsonTarget(l)
				if !ok {
					return nil, false, fmt.Errorf("%v in the list \"labels\" must be a number or the name of a class", l)
				}
				targets = append(targets, t)
			}
			return targets, true, nil
		}
		v = nil
		first := ""
		for _, field := range []string{"cls", "label", "class"} {
			f, ok := fields[field]
			if !ok || f == nil {
				continue
			}
			if _, ok := jsonTarget(f); !ok {
				return nil, false, fmt.Errorf("%q is %v, must be a number or the name of a class", field, f)
			}
			if first == "" {
				v, first = f, field
				continue
			}
			a, okA := jsonTarget(v)
			b, okB := jsonTarget(f)
			if okA && okB && contradict(a, b) {
				return nil, false, fmt.Errorf("%q is %s, but %q is %s: remove the wrong one", first, a, field, b)
			}
		}
	}
	if t, ok := jsonTarget(v); ok {
		return []string{t}, false, nil
	}
	return nil, false, nil
}

func jsonTarget(v any) (string, bool) {
	switch v := v.(type) {
	case json.Number:
		return v.String(), true
	case string:
		return v, v != ""
	}
	return "", false
}

// shardSplits divides the samples into the parts that the shards' names give.
func shardSplits(src *tarSource, names []string, samples []shardSample, opt Options) (*Splits, error) {
	multi := slices.ContainsFunc(samples, func(s shardSample) bool { return s.multi })
	if multi {
		for _, s := range samples {
			if !s.multi {
				return nil, fmt.Errorf("%s has one label, and others have a list of \"labels\": all must have the same form", s.label)
			}
		}
	}
	classes, index, err := shardClasses(src, samples)
	if err != nil {
		return nil, err
	}
	part := make([]string, len(names)) // of each shard
	without := slices.IndexFunc(names, func(n string) bool { return partOf(n) == "" })
	for i, n := range names {
		if part[i] = partOf(n); part[i] != "" && without >= 0 {
			return nil, fmt.Errorf("%s is the %s part by its name, and %s is none: name train, val or test in all or in none", n, part[i], names[without])
		}
		if part[i] == "" {
			part[i] = "train"
		}
	}
	parts := map[string]*fileSet{}
	single := singles(len(classes))
	for _, s := range samples {
		p := part[src.group(s.picture)]
		f := parts[p]
		if f == nil {
			f = &fileSet{src: src, classes: classes, multi: multi, opt: opt.decode()}
			parts[p] = f
		}
		labels := []int{}
		for _, t := range s.targets {
			k, ok := index(t)
			if !ok {
				return nil, fmt.Errorf("%s: the label %q is not one of the %d classes of classes.txt", s.label, t, len(classes))
			}
			labels = append(labels, k)
		}
		if slices.Sort(labels); len(labels) == 1 {
			labels = single[labels[0]]
		}
		f.names, f.labels = append(f.names, s.picture), append(f.labels, slices.Compact(labels))
	}
	out := new(Splits)
	if p := parts["train"]; p != nil {
		out.Train = p
	}
	if p := parts["val"]; p != nil {
		out.Val = p
	}
	if p := parts["test"]; p != nil {
		out.Test = p
	}
	return out, nil
}

// shardClasses returns the names of the classes, and the index of a label.
func shardClasses(src *tarSource, samples []shardSample) ([]string, func(label string) (int, bool), error) {
	classes, err := classesFile(src)
	if err != nil {
		return nil, nil, fmt.Errorf("classes.txt: %w", err)
	}
	numbers, largest := true, 0
	whole, negative := true, "" // negative is a file with a number below 0
	var labels []string
	for _, s := range samples {
		for _, t := range s.targets {
			n, err := labelNumber(t)
			whole = whole && err == nil
			if err == nil && n < 0 && negative == "" {
				negative = fmt.Sprintf("%s: the label %d", s.label, n)
			}
			if err != nil || n < 0 {
				numbers = false
			} else if largest = max(largest, n); n >= maxClassNames && classes == nil {
				return nil, nil, fmt.Errorf("%s: the label %d is not below the limit of %d classes", s.label, n, maxClassNames)
			}
			labels = append(labels, t)
		}
	}
	if whole && negative != "" {
		return nil, nil, fmt.Errorf("%s is below 0, the number of the first class: leave the sample out if it has no class", negative)
	}
	if numbers {
		if classes == nil {
			for i := range largest + 1 {
				classes = append(classes, strconv.Itoa(i))
			}
		}
		n := len(classes)
		return classes, func(label string) (int, bool) {
			k, err := labelNumber(label)
			return k, err == nil && k < n
		}, atLeastTwo(classes)
	}
	if classes == nil {
		slices.Sort(labels)
		classes = slices.Compact(labels)
	}
	index := make(map[string]int, len(classes))
	for i, c := range classes {
		index[c] = i
	}
	return classes, func(label string) (int, bool) { k, ok := index[label]; return k, ok }, atLeastTwo(classes)
}

func atLeastTwo(classes []string) error {
	if len(classes) < 2 {
		return fmt.Errorf("there is only one class, %s: at least two classes are needed", strings.Join(classes, ""))
	}
	return nil
}

// classesFile returns the names in classes.txt, nil if there is none.
func classesFile(src *tarSource) ([]string, error) {
	for _, name := range src.names {
		if path.Base(name) == "classes.txt" {
			text, err := src.read(name, nil)
			if err != nil {
				return nil, err
			}
			return ParseClassNames(text)
		}
	}
	text, err := src.beside("classes.txt")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ParseClassNames(text)
}
