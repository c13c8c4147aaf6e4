package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestFlagValuesAreExplained: no flag of any command tells a wrong value in the words of
// Go's packages.
func TestFlagValuesAreExplained(t *testing.T) {
	var paths [][]string
	var walk func(c *cobra.Command, path []string)
	walk = func(c *cobra.Command, path []string) {
		if c.Runnable() && len(path) > 0 {
			paths = append(paths, path)
		}
		for _, sub := range c.Commands() {
			if !sub.Hidden {
				walk(sub, append(path[:len(path):len(path)], sub.Name()))
			}
		}
	}
	root := (&app{in: strings.NewReader(""), out: &strings.Builder{}, err: &strings.Builder{}}).root()
	walk(root, nil)
	lists := 0
	for _, path := range paths {
		at, _, err := root.Find(path)
		if err != nil {
			t.Fatal(err)
		}
		at.Flags().VisitAll(func(f *pflag.Flag) {
			switch f.Value.Type() {
			case "int", "uint64", "float64", "duration", "number", "rate", "pixels", "share", "evaluations", "epochs":
			case "intSlice":
				lists++
			default:
				return // the value may be right, and the command begin
			}
			values := []string{"abc", "1,,2"}
			if strings.Contains(f.Value.Type(), "int") {
				values = append(values, "99999999999999999999")
			}
			for _, value := range values {
				code, _, stderr := cli(t, append(path[:len(path):len(path)], "--"+f.Name+"="+value)...)
				for _, word := range []string{"strconv", "invalid syntax", "parsing", "out of range"} {
					if strings.Contains(stderr, word) || code == exitDone {
						t.Errorf("%s --%s=%s: code %d, %s", strings.Join(path, " "), f.Name, value, code, stderr)
					}
				}
			}
		})
	}
	if len(paths) < 20 || lists < 5 {
		t.Errorf("only %d commands and %d lists of numbers", len(paths), lists)
	}
}

// TestOutIsNamedAsWritten: errors call the flag --out as the command line does, where a
// command has a message with either name.
func TestOutIsNamedAsWritten(t *testing.T) {
	dir := t.TempDir()
	picture, file := filepath.Join(dir, "x.png"), filepath.Join(dir, "a file")
	writePicture(t, picture, 1)
	writePicture(t, file, 1)
	for _, args := range [][]string{
		{"eval", "FLAG", filepath.Join(file, "in")},
		{"embed", picture, "FLAG", filepath.Join(dir, "x.doc")},
		{"map", picture, "FLAG", filepath.Join(dir, "x.doc")},
		{"inspect", picture, "FLAG", filepath.Join(dir, "x.doc")},
		{"predict", picture, "FLAG", picture},
		{"data", "split", "folder:" + dir, "FLAG", ""},
		{"train", "--epochs", "1", "FLAG", filepath.Join(file, "in")},
		{"train", "--resume", "FLAG", dir, "--seed", "1"},
	} {
		for name, other := range map[string]string{"--out": "-o", "-o": "--out"} {
			line := strings.Split(strings.ReplaceAll(strings.Join(args, "\x00"), "FLAG", name), "\x00")
			code, _, stderr := cli(t, line...)
			if code == exitDone || outFlag.MatchString(strings.ReplaceAll(stderr, name, "")) || strings.Contains(stderr, " "+other+" ") || strings.Contains(stderr, " "+other+":") {
				t.Errorf("%q: code %d, %s", line, code, stderr)
			}
		}
	}
	for args, want := range map[string]string{"-o x": "-o: a", "--out=x": "--out: a", "-ox": "-o: a", "": "--out: a"} {
		if got := asWritten("--out: a", strings.Fields(args)); got != want {
			t.Errorf("%s: %s", args, got)
		}
	}
}
