package resnet

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
						continue // reported above
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

// modulePath is the path in go.mod.
const modulePath = "github.com/resnet-go/resnet"

// The table of packages in ARCHITECTURE.md has every package of the module, and
// no package imports one that is above it in the table, or left of it in a row.
func TestImportsPointDownTheTable(t *testing.T) {
	place := map[string]int{} // by folder
	for i, dir := range packageTable(t) {
		if _, twice := place[dir]; twice {
			t.Errorf("ARCHITECTURE.md: %s is in the table twice", dir)
		}
		place[dir] = i
	}
	imports := packageImports(t)
	for dir := range place {
		if imports[dir] == nil {
			t.Errorf("ARCHITECTURE.md: the table has %s, which is not a package", dir)
		}
	}
	for dir, imported := range imports {
		at, ok := place[dir]
		if !ok {
			t.Errorf("ARCHITECTURE.md: the table lacks the package %s: add a row below the packages that import it and above those that it imports", dir)
			continue
		}
		for to, file := range imported {
			if below, ok := place[to]; ok && below <= at {
				t.Errorf("%s: %s imports %s, which is above it in ARCHITECTURE.md: move a row, or the code", file, dir, to)
			}
		}
	}
}

// packageTable returns the folders of the packages in the order of the table.
func packageTable(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "\n| --- | --- |\n")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no table")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	name := regexp.MustCompile("`([^`]+)`")
	var dirs []string
	for _, row := range strings.Split(strings.TrimSpace(table), "\n") {
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
		for _, m := range name.FindAllStringSubmatch(first, -1) {
			dir := m[1]
			if dir == "resnet" {
				dir = "."
			}
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) < 20 {
		t.Fatalf("ARCHITECTURE.md: only %d packages were found in the table", len(dirs))
	}
	return dirs
}

// packageImports returns, by folder, the packages of this module that each
// package imports, with a file that does so. Files of all systems and build tags
// count; tests, which may import what is above them, do not.
func packageImports(t *testing.T) map[string]map[string]string {
	t.Helper()
	imports := map[string]map[string]string{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			_, err := os.Stat(filepath.Join(file, "go.mod"))
			if file != "." && (err == nil || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(file))
		if imports[dir] == nil {
			imports[dir] = map[string]string{}
		}
		for _, spec := range f.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if p == modulePath || strings.HasPrefix(p, modulePath+"/") {
				imports[dir][path.Clean("./"+strings.TrimPrefix(p, modulePath))] = file
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if imports["nn"]["graph"] == "" {
		t.Fatalf("the imports of nn were found to be %v, without graph", imports["nn"])
	}
	return imports
}

// TestFilesAreReadWithALimit: what is named by a user or another program may be a pipe, a
// device or larger than memory, so files are opened by packages limitread and steadyfile,
// which look first, but for those below.
func TestFilesAreReadWithALimit(t *testing.T) {
	allowed := []string{
		"internal/limitread/limitread.go", "internal/steadyfile/steadyfile.go", // which look
		"data/source.go", "train/exchange.go", // after a look at the same path
		"modelfile/open.go", "modelfile/hub.go", "internal/atomicfile/sync_unix.go", // folders
		"internal/cli/score.go",                                                                     // a list may be a pipe
		"internal/budget/machine_linux.go", "internal/cpu/model.go", "internal/cli/bench/worker.go", // files of the kernel
		"internal/cli/bench/handover.go", "internal/golden/golden.go", "embedded/gen/main.go", "peers/serve/load/main.go", // files of our own
	}
	reads := regexp.MustCompile(`\bos\.(ReadFile|Open)\(|\btls\.LoadX509KeyPair\(`)
	eachSource(t, func(file string, text []byte) {
		if what := reads.Find(text); what != nil && !slices.Contains(allowed, file) {
			t.Errorf("%s has %s…): read it by package limitread", file, what)
		}
	})
}

// eachSource calls f for each Go file but tests, generators, and modules inside this one.
func eachSource(t *testing.T, f func(file string, text []byte)) {
	t.Helper()
	for dir := range packageImports(t) {
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f(filepath.ToSlash(file), text)
		}
	}
}

// TestDrawingsHaveTheMark: pictures are written by package ownpng alone, so that those
// below a user's data are left out, but for the generated scenes, which are data.
func TestDrawingsHaveTheMark(t *testing.T) {
	writes := regexp.MustCompile(`\b(png|jpeg|gif)\.Encode|Encoder\{|\bvgimg\.\w+Canvas\{`)
	eachSource(t, func(file string, text []byte) {
		switch path.Dir(file) {
		case "internal/ownpng", "internal/scenes":
			return
		}
		if what := writes.Find(text); what != nil && path.Base(file) != "thumbs.go" { // inside a page
			t.Errorf("%s: %s writes a picture without the mark", file, what)
		}
	})
}

// Every package that others can import shows how it is used.
func TestEveryPublicPackageHasAnExample(t *testing.T) {
	for dir := range packageImports(t) {
		if strings.Contains("/"+dir+"/", "/internal/") {
			continue
		}
		tests, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, file := range tests {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.HasSuffix(file, "_test.go") && strings.Contains(string(text), "\nfunc Example") || strings.Contains("\n"+string(text), "\npackage main\n")
		}
		if !found {
			t.Errorf("package %s has no example", dir)
		}
	}
}
