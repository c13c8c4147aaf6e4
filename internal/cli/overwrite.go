package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/resnet-go/resnet/internal/atomicfile"
)

// outputFlags are the flags that name a file to write, or a folder.
var outputFlags = []string{"out", "mask", "results", "csv", "chart", "raw", "graph"}

// checkOverwrite returns an error if a command is to write into a file that it reads, such
// as the picture or the model, two results into one file, or a file into a folder that is
// not there or cannot be written to.
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
		if err := checkPlace(name, path); err != nil {
			return fmt.Errorf("--%s: %w", name, err)
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

// fileEnds are the endings of files that commands write; --out without one is a folder,
// or a file whose place is checked as a folder's.
var fileEnds = []string{".png", ".csv", ".json", ".jsonl", ".txt", ".npy", ".safetensors", ".html", ".htm", ".onnx", ".mlir", ".svg"}

// checkPlace returns an error if the file or folder that a flag names cannot be written,
// so that this is known before anything is computed.
func checkPlace(flag, path string) error {
	if path == "-" {
		return nil
	}
	if flag != "out" || slices.Contains(fileEnds, strings.ToLower(filepath.Ext(path))) {
		if info, err := os.Stat(path); flag == "out" && err == nil && info.IsDir() {
			return nil // as some folders are called
		}
		return atomicfile.Check(path)
	}
	dir := path
	for { // the folders that are there; the others are made
		_, err := os.Stat(dir)
		if up := filepath.Dir(dir); err != nil && up != dir {
			dir = up
			continue
		}
		break
	}
	if info, err := os.Stat(dir); err == nil && dir == path && !info.IsDir() {
		return nil // which the command reports, or replaces
	}
	if err := atomicfile.CheckFolder(dir); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
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
