package cli

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// outputFlags are the flags that name a file to write, or a folder.
var outputFlags = []string{"out", "mask", "results", "csv", "chart", "raw", "graph"}

// checkOverwrite returns an error if a command is to write into a file that it reads, such
// as the picture or the model, or two results into one file.
func checkOverwrite(cmd *cobra.Command, args []string) error {
	written := map[string]string{} // path -> flag
	for _, name := range outputFlags {
		f := cmd.Flags().Lookup(name)
		if f == nil || f.Value.Type() != "string" || f.Value.String() == "" {
			continue
		}
		path := f.Value.String()
		for other, flag := range written {
			if path == other || sameFile(path, other) {
				return usagef("--%s and --%s are the same file, %s", flag, name, path)
			}
		}
		written[path] = name
	}
	if len(written) == 0 {
		return nil
	}
	check := func(value, what string) error {
		for path, flag := range written {
			for _, read := range filesIn(value) {
				if sameFile(path, read) {
					return usagef("--%s %s would replace %s, which the command reads: name another file", flag, path, what)
				}
			}
		}
		return nil
	}
	for _, arg := range args {
		if err := check(arg, "an input"); err != nil {
			return err
		}
	}
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		// A result that is continued is read and written.
		if err != nil || f.Name == "resume" || slices.Contains(outputFlags, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if s, ok := f.Value.(pflag.SliceValue); ok {
			values = s.GetSlice()
		}
		for _, v := range values {
			if err == nil {
				err = check(v, "the file of --"+f.Name)
			}
		}
	})
	return err
}

// filesIn returns what may be a file's name in an argument: FILE, @FILE, NAME@FILE,
// KIND:FILE, NAME=FILE.
func filesIn(arg string) []string {
	names := []string{arg}
	for _, mark := range []string{"@", ":", "="} {
		if _, after, ok := strings.Cut(arg, mark); ok {
			names = append(names, after)
		}
	}
	return names
}

// sameFile reports whether both names lead to one regular file.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil || !x.Mode().IsRegular() {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
