package resnet

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ARCHITECTURE.md and README.md name only what is there: each `path` with a
// slash or a known ending exists, and after "`file`: " each `Name` up to the
// next file is in that file.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	code := regexp.MustCompile("`([^`\n]+)`(:?)")
	path := regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_./-]*$`)
	name := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	for _, doc := range []string{"ARCHITECTURE.md", "README.md", "CONTRIBUTING.md", "ROADMAP.md"} {
		b, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		paths, names := 0, 0
		for n, line := range strings.Split(string(b), "\n") {
			file := ""
			for _, m := range code.FindAllStringSubmatch(line, -1) {
				what := m[1]
				switch {
				case path.MatchString(what) && isPath(what):
					paths++
					if _, err := os.Stat(filepath.FromSlash(what)); err != nil {
						t.Errorf("%s:%d: %v", doc, n+1, err)
					}
					file = ""
					if m[2] == ":" {
						file = what
					}
				case file != "" && name.MatchString(what):
					names++
					text, err := os.ReadFile(file)
					if err != nil {
						continue // told of above
					}
					if !regexp.MustCompile(`\b` + what + `\b`).Match(text) {
						t.Errorf("%s:%d: %s has no %s", doc, n+1, file, what)
					}
				}
			}
		}
		if doc == "ARCHITECTURE.md" && (paths < 40 || names < 30) {
			t.Errorf("%s: only %d paths and %d names were found", doc, paths, names)
		}
	}
}

// isPath reports whether a piece of code in a document is meant as a path in
// this repository.
func isPath(s string) bool {
	for _, end := range []string{".go", ".s", ".md", ".yaml"} {
		if strings.HasSuffix(s, end) {
			return true
		}
	}
	first, _, ok := strings.Cut(s, "/")
	info, err := os.Stat(first)
	return ok && err == nil && info.IsDir() && !strings.Contains(s, "<")
}
