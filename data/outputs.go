package data

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/resnet-go/resnet/internal/ownpng"
)

// outputs is what was left out of a listing, because this program wrote it: folders in
// which nothing else remains, and pictures.
type outputs struct{ dirs, pictures []string }

// note is a sentence about it; "" if nothing was left out.
func (o *outputs) note() string {
	if o == nil || len(o.dirs)+len(o.pictures) == 0 {
		return ""
	}
	var left []string
	switch n := len(o.dirs); n {
	case 0:
	case 1:
		left = append(left, "the folder "+o.dirs[0]+", which holds results of resnet")
	default:
		left = append(left, fmt.Sprintf("%d folders with results of resnet, such as %s", n, o.dirs[0]))
	}
	switch n := len(o.pictures); n {
	case 0:
	case 1:
		left = append(left, o.pictures[0]+", a result of resnet")
	default:
		left = append(left, fmt.Sprintf("%d pictures that are results of resnet, such as %s", n, o.pictures[0]))
	}
	return "left out " + strings.Join(left, ", and ")
}

// outputPictures are the pictures that commands write into folders of results. Since
// they have a mark (see package ownpng), this is for those of older versions.
var outputPictures = []string{"curves.png", "lr-find.png", "confusion.png"}

// isOutput reports whether a folder is one that resnet train, compare or eval writes its
// results into, by the names of its files and folders. A test of internal/cli keeps
// it true.
func isOutput(files, dirs []string) bool {
	has := func(name string) bool { return slices.Contains(files, name) }
	switch {
	case has("recipe.yaml"): // of train
		return has("results.csv") || has("last.safetensors") || has("best.safetensors") ||
			slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, "events.out.tfevents.") })
	case has("study.json"): // of compare
		return has("report.html") || slices.Contains(dirs, "runs")
	case has("report.json"): // of eval
		return has("confusion.json")
	}
	return has("lr-find.png") && len(files) == 1
}

// chartsOf is the folder of a study's charts.
const chartsOf = "charts"

// listed returns what a source holds, without the results of this program: a run below
// the folder of pictures must not change the data, nor be a class of them. Folders of
// results in which other pictures lie stay, without what the program wrote. Masks that
// the program drew stay if masks says so: they can be labels. Tars hold what was packed
// for training, so nothing is left out of them.
func listed(src source, masks bool) (*contents, error) {
	l, err := src.list()
	if _, packed := src.(*tarSource); err != nil || packed {
		return l, err
	}
	return l.withoutOutputs(l.drawn(src, masks)), nil
}

// drawn returns the pictures that have the mark of this program's drawings, without the
// masks among them if those stay. It reads the start of each PNG file.
func (l *contents) drawn(src source, masks bool) map[string]bool {
	const readers = 16 // they wait for the disk
	var found [readers]map[string]bool
	var wg sync.WaitGroup
	files := &Files{src}
	for k := range readers {
		wg.Go(func() {
			found[k] = map[string]bool{}
			var head [ownpng.HeadSize]byte
			for i := k; i < len(l.files); i += readers {
				name := l.files[i]
				if !strings.EqualFold(path.Ext(name), ".png") || l.closed[name] {
					continue
				}
				f, err := files.Open(name)
				if err != nil {
					continue // reading the picture tells
				}
				_, err = io.ReadFull(f, head[:])
				f.Close() // it was only read
				if own, mask := ownpng.Kind(head[:]); err == nil && own && !(mask && masks) {
					found[k][name] = true
				}
			}
		})
	}
	wg.Wait()
	for _, f := range found[1:] {
		maps.Copy(found[0], f)
	}
	return found[0]
}

// withoutOutputs is listed of contents with these drawings.
func (l *contents) withoutOutputs(drawn map[string]bool) *contents {
	files, dirs := map[string][]string{}, map[string][]string{}
	for _, f := range l.files {
		files[path.Dir(f)] = append(files[path.Dir(f)], path.Base(f))
	}
	for _, d := range l.dirs {
		dirs[path.Dir(d)] = append(dirs[path.Dir(d)], path.Base(d))
	}
	results := map[string]bool{} // folders
	for _, f := range l.locked { // of a run that may have just begun
		results[path.Dir(f)] = true
	}
	drawings := map[string]bool{} // folders of drawings, perhaps with their numbers
	for f := range drawn {
		if dir := path.Dir(f); dir != "." && len(dirs[dir]) == 0 {
			drawings[dir] = true
		}
	}
	for _, f := range l.files {
		if IsPicture(f) && !drawn[f] {
			delete(drawings, path.Dir(f))
		}
	}
	for dir, names := range files {
		if drawings[dir] || isOutput(names, dirs[dir]) {
			results[dir] = true
			if slices.Contains(names, "study.json") {
				results[path.Join(dir, chartsOf)] = true
			}
		}
	}
	if len(results)+len(drawn) == 0 {
		return l
	}
	kept := &contents{closed: l.closed, left: &outputs{}}
	alive := map[string]bool{".": true} // folders with a file that stays
	var out []string
	for _, f := range l.files {
		dir, name := path.Dir(f), path.Base(f)
		own := path.Base(dir) == chartsOf || slices.Contains(outputPictures, name)
		if drawn[f] || results[dir] && !l.closed[f] && (own || !IsPicture(f)) {
			out = append(out, f)
			continue
		}
		kept.files = append(kept.files, f)
		for ; !alive[dir]; dir = path.Dir(dir) {
			alive[dir] = true
		}
	}
	gone := map[string]bool{}
	for _, f := range append(out, l.locked...) {
		for dir := path.Dir(f); !alive[dir]; dir = path.Dir(dir) {
			gone[dir] = true
		}
	}
	for _, d := range l.dirs {
		switch {
		case !gone[d]:
			kept.dirs = append(kept.dirs, d)
		case !gone[path.Dir(d)]: // with all that is in it
			kept.left.dirs = append(kept.left.dirs, d)
		}
	}
	for _, f := range out {
		if IsPicture(f) && !gone[path.Dir(f)] {
			kept.left.pictures = append(kept.left.pictures, f)
		}
	}
	return kept
}
