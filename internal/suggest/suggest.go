// Package suggest finds what a mistyped name was probably meant to be.
package suggest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the candidate that is nearest to name and whether it is near
// enough to be what was meant: it contains name, or differs by at most two edits
// (one of three letters) or a third of the name's length. Case does not count.
func Nearest(name string, candidates []string) (string, bool) {
	best, distance := "", 1<<30
	for _, c := range candidates {
		d := Distance(strings.ToLower(name), strings.ToLower(c))
		if len(name) >= 3 && strings.Contains(strings.ToLower(c), strings.ToLower(name)) {
			d = min(d, 1)
		}
		if d < distance {
			best, distance = c, d
		}
	}
	return best, best != "" && distance <= max(min(2, len(name)-2), len(name)/3)
}

// Name returns the candidate that was probably meant, or "" if none is near.
func Name(name string, candidates []string) string {
	best, ok := Nearest(name, candidates)
	if !ok {
		return ""
	}
	return best
}

// Phrase returns `; did you mean "X"?` for the nearest candidate, or, if none is
// near, the list in order, " (there are a, b, c)", of which it names the first few if
// it is long.
func Phrase(name string, candidates []string) string {
	if c, ok := Nearest(name, candidates); ok {
		return `; did you mean "` + c + `"?`
	}
	if len(candidates) == 0 {
		return ""
	}
	return " (there are " + Few(slices.SortedFunc(slices.Values(candidates), cmp.Compare[string])) + ")"
}

// Few joins names for a message, "a, b, c". Of more than a line holds it names the
// first: "a, b and 50 more".
func Few(names []string) string {
	const most, shown = 30, 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// Distance returns the number of single characters that must be inserted, removed,
// changed or swapped with their neighbor to turn a into b (optimal string
// alignment).
func Distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}
