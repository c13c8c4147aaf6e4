package detection

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
)

// locator finds the files that annotations mean by the names that they give:
// relative to another folder, absolute on another machine, or an address.
type locator struct {
	files  map[string]bool
	byBase map[string][]string // pictures, by the last part of their path in lower case
}

func newLocator(files []string) *locator {
	l := &locator{files: make(map[string]bool, len(files)), byBase: make(map[string][]string)}
	for _, f := range files {
		l.files[f] = true
		if data.IsPicture(f) {
			base := strings.ToLower(path.Base(f))
			l.byBase[base] = append(l.byBase[base], f)
		}
	}
	return l
}

// uploadPrefix is what Label Studio puts in front of the names of files that are
// uploaded to it.
var uploadPrefix = regexp.MustCompile(`^[0-9a-f]{8}-(.+)$`)

// find returns the file that name in an annotation file in folder dir means. part is
// the part that the annotations belong to, "" if unknown. several is set if more
// than one file fits equally well.
func (l *locator) find(name, dir, part string) (file string, several bool) {
	name = strings.ReplaceAll(strings.TrimSpace(name), `\`, "/")
	spellings := []string{name}
	if strings.Contains(name, "://") {
		if u, err := url.Parse(name); err == nil {
			spellings = []string{u.Path}
			if at := u.Query().Get("d"); at != "" { // Label Studio's local files
				spellings = append(spellings, at)
			}
		}
	}
	for _, s := range spellings {
		if u, err := url.PathUnescape(s); err == nil && u != s {
			spellings = append(spellings, u)
		}
	}
	for _, s := range spellings {
		if dir, base := path.Split(s); uploadPrefix.MatchString(base) {
			spellings = append(spellings, dir+uploadPrefix.FindStringSubmatch(base)[1])
		}
	}
	for _, s := range spellings {
		if file, several := l.lookUp(s, dir, part); file != "" || several {
			return file, several
		}
	}
	return "", false
}

func (l *locator) lookUp(name, dir, part string) (string, bool) {
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	for _, at := range []string{path.Join(dir, name), path.Join(dir, clean)} {
		if l.files[at] {
			return at, false
		}
	}
	// The files whose path has the most folders in common with the name, from its
	// end, and among them those of the part.
	want := strings.Split(strings.ToLower(clean), "/")
	slices.Reverse(want)
	var found []string
	most := [2]int{}
	for _, f := range l.byBase[want[0]] {
		have := strings.Split(strings.ToLower(f), "/")
		slices.Reverse(have)
		fit := [2]int{0, 1}
		for fit[0] < min(len(want), len(have)) && want[fit[0]] == have[fit[0]] {
			fit[0]++
		}
		switch p := partOf(path.Dir(f)); {
		case part != "" && p == part:
			fit[1] = 2
		case p != "" && part != "":
			fit[1] = 0
		}
		if c := slices.Compare(fit[:], most[:]); c > 0 {
			most, found = fit, []string{f}
		} else if c == 0 {
			found = append(found, f)
		}
	}
	if len(found) > 1 {
		exact := slices.DeleteFunc(slices.Clone(found), func(f string) bool { return !strings.HasSuffix(f, path.Base(clean)) })
		near := slices.DeleteFunc(slices.Clone(found), func(f string) bool { return !strings.HasPrefix(f, dir+"/") })
		switch {
		case len(exact) == 1:
			found = exact
		case len(near) == 1:
			found = near
		}
	}
	if len(found) != 1 {
		return "", len(found) > 1
	}
	return found[0], false
}
