package nn

import (
	"strings"
	"unicode"
)

// fieldKey turns a field's name into a state-dict key: words in lower case
// joined by "_", where a run of capitals is one word and digits belong to the
// word before them. Conv1 becomes conv1, BN1 bn1, FC fc, RunningMean
// running_mean, FCLayer fc_layer.
func fieldKey(name string) string {
	r := []rune(name)
	var b strings.Builder
	for i, c := range r {
		if unicode.IsUpper(c) && i > 0 && r[i-1] != '_' {
			afterWord := !unicode.IsUpper(r[i-1])
			startsWord := i+1 < len(r) && unicode.IsLower(r[i+1])
			if afterWord || startsWord {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
