// Package nearest finds the name that a mistyped one was probably meant to be.
package nearest

// Name returns the candidate with the smallest edit distance to name, the
// first of equals, or "" if none is near: more than a third of the longer
// name's letters, and more than two, would have to change.
func Name(name string, candidates []string) string {
	best, at := "", -1
	for _, c := range candidates {
		d := distance(name, c)
		if d <= max(2, max(len(name), len(c))/3) && (at < 0 || d < at) {
			best, at = c, d
		}
	}
	return best
}

// distance is Levenshtein's: insertions, deletions and substitutions of bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			d := diagonal
			if a[i-1] != b[j-1] {
				d++
			}
			diagonal = row[j]
			row[j] = min(d, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
