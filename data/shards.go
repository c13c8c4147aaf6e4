package data

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/internal/philox"
)

// maxShards limits how many names the braces of a pattern stand for.
const maxShards = 1 << 20

// FindTars returns the tars that a pattern names, in order: a file; a folder, for the
// tars in it and below; a pattern of the shell, such as val-*.tar; or WebDataset's
// braces, train-{000..099}.tar or {train,val}-0.tar. A file that braces name must exist.
func FindTars(pattern string) ([]string, error) {
	var found []string
	names, err := expandBraces(pattern)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case err == nil && info.IsDir():
			tars, err := tarsBelow(name)
			if err != nil {
				return nil, err
			}
			found = append(found, tars...)
		case err == nil:
			found = append(found, name)
		default:
			matches, bad := filepath.Glob(name)
			if bad != nil {
				return nil, fmt.Errorf("%s: %w: write a literal [ as \\[", name, bad)
			}
			if len(matches) == 0 {
				return nil, err
			}
			found = append(found, matches...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// tarsBelow returns the tars in a folder and below.
func tarsBelow(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && hidden(d.Name()) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.IsDir() && IsTar(path) {
			found = append(found, path)
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("the folder %s holds no tars (%s)", dir, strings.Join(tarEndings, ", "))
	}
	return found, err
}

// expandBraces replaces {a,b} and {000..099} by their values, as bash does.
func expandBraces(pattern string) ([]string, error) {
	names := []string{""}
	for pattern != "" {
		open := strings.IndexByte(pattern, '{')
		if open < 0 {
			return appendEach(names, []string{pattern})
		}
		length := strings.IndexByte(pattern[open:], '}')
		if length < 0 {
			return nil, fmt.Errorf("%q has a { without a }", pattern)
		}
		values, err := braceValues(pattern[open+1 : open+length])
		if err != nil {
			return nil, err
		}
		if names, err = appendEach(names, []string{pattern[:open]}); err != nil {
			return nil, err
		}
		if names, err = appendEach(names, values); err != nil {
			return nil, err
		}
		pattern = pattern[open+length+1:]
	}
	return names, nil
}

// appendEach returns each of the names followed by each of the ends.
func appendEach(names, ends []string) ([]string, error) {
	if len(names) > maxShards/len(ends) {
		return nil, fmt.Errorf("the braces stand for more than %d names", maxShards)
	}
	all := make([]string, 0, len(names)*len(ends))
	for _, n := range names {
		for _, e := range ends {
			all = append(all, n+e)
		}
	}
	return all, nil
}

// braceValues returns what the inside of braces stands for.
func braceValues(inside string) ([]string, error) {
	from, to, isRange := strings.Cut(inside, "..")
	if !isRange {
		return strings.Split(inside, ","), nil
	}
	a, errA := strconv.Atoi(from)
	b, errB := strconv.Atoi(to)
	if err := cmp.Or(errA, errB); err != nil || a < 0 || b < a {
		return nil, fmt.Errorf("{%s} is not a range such as {000..099}", inside)
	}
	if b-a >= maxShards {
		return nil, fmt.Errorf("{%s} stands for more than %d names", inside, maxShards)
	}
	width := 0
	if from[0] == '0' || to[0] == '0' {
		width = max(len(from), len(to))
	}
	if width > 20 {
		return nil, fmt.Errorf("{%s} is not a range such as {000..099}", inside)
	}
	var values []string
	for n := a; n <= b; n++ {
		values = append(values, fmt.Sprintf("%0*d", width, n))
	}
	return values, nil
}

// shardNames returns short names for tars, which are different: their paths without
// the folder that all share.
func shardNames(paths []string) ([]string, error) {
	slash := make([]string, len(paths))
	for i, p := range paths {
		slash[i] = filepath.ToSlash(filepath.Clean(p))
	}
	common := slash[0][:strings.LastIndexByte(slash[0], '/')+1]
	for _, p := range slash {
		for !strings.HasPrefix(p, common) {
			common = common[:strings.LastIndexByte(strings.TrimSuffix(common, "/"), '/')+1]
		}
	}
	for i := range slash {
		slash[i] = strings.TrimPrefix(slash[i], common)
	}
	if slices.Contains(slash, "") {
		return nil, errors.New("a tar has no name")
	}
	return slash, nil
}

// partOf returns the part of the data that the name of a shard names as a word, such as
// val in imagenet-val-003.tar or val/003.tar; "" if there is none.
func partOf(shard string) string {
	words := strings.FieldsFunc(strings.ToLower(shard), func(r rune) bool { return r < 'a' || r > 'z' })
	for _, w := range words {
		if part := splitNames[w]; part != "" {
			return part
		}
	}
	return ""
}

// shuffleWindow is the number of samples that are mixed at least.
const shuffleWindow = 1 << 14

// shards returns the number of the shard of each sample; nil if the samples do not lie
// in several shards.
func (l *Loader) shards() []int {
	if l.ds.Len() <= shuffleWindow {
		return nil
	}
	groups := make([]int, l.ds.Len())
	for i := range groups {
		ds, k := origin(l.ds, i)
		f, ok := ds.(*fileSet)
		if !ok {
			return nil
		}
		t, ok := f.src.(*tarSource)
		if !ok || len(t.shards) < 2 {
			return nil
		}
		groups[i] = t.group(f.names[k])
	}
	return groups
}

// shuffleShards shuffles the order of the shards, and then the samples of as many
// consecutive shards as make [shuffleWindow], so that an epoch reads one small set of
// files after another.
func shuffleShards(dst []entry, groups []int, rng *philox.Rand) {
	of := make([][]uint32, slices.Max(groups)+1)
	for i, g := range groups {
		of[g] = append(of[g], uint32(i))
	}
	of = slices.DeleteFunc(of, func(members []uint32) bool { return len(members) == 0 })
	rng.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
	start, n := 0, 0
	for k, members := range of {
		for _, i := range members {
			dst[n] = entry{index: i}
			n++
		}
		if n-start >= shuffleWindow || k == len(of)-1 {
			w := dst[start:n]
			rng.Shuffle(len(w), func(i, j int) { w[i], w[j] = w[j], w[i] })
			start = n
		}
	}
}
