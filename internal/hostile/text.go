package hostile

import (
	"iter"
	"regexp"
	"slices"
	"strings"
)

var words = regexp.MustCompile(`[\pL\pN_.+-]+`)

// Text returns variants of a text that is made of words and lines, such as YAML, XML or
// CSV: one word is another, twice or not there, or one line is missing, twice, or deeper
// than it should be.
func Text(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, at := range words.FindAllIndex(b, -1) {
			word := string(b[at[0]:at[1]])
			for _, other := range []string{"", word + word, "-1", "0", "1e309", "nan", "99999999999999999999", "null", "[" + word + "]", "{" + word + ": " + word + "}", "<" + word + ">", "&a *a", "\x00"} {
				if !yield(slices.Concat(b[:at[0]], []byte(other), b[at[1]:])) {
					return
				}
			}
		}
		lines := strings.SplitAfter(string(b), "\n")
		for i, line := range lines {
			for _, other := range [][]string{nil, {line, line}, {"  " + line}} {
				if !yield([]byte(strings.Join(slices.Concat(lines[:i], other, lines[i+1:]), ""))) {
					return
				}
			}
		}
	}
}
