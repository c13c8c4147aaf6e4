package term

import (
	"strconv"
	"strings"
	"unicode"
)

// Plain returns a text of foreign origin, such as a file's name, so that it stays on
// one line and cannot command the terminal: control characters are escaped as in Go.
func Plain(s string) string { return escape(s, "") }

// PlainLines is [Plain] for a text that may have several lines and tabs.
func PlainLines(s string) string { return escape(s, "\n\t") }

func escape(s, keep string) string {
	bad := func(r rune) bool {
		return (unicode.IsControl(r) || r == '\u2028' || r == '\u2029') && !strings.ContainsRune(keep, r)
	}
	if !strings.ContainsFunc(s, bad) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if bad(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
