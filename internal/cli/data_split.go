package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/term"
)

// splitReport is what data split --json prints.
type splitReport struct {
	Out   string         `json:"out"`
	Parts map[string]int `json:"parts"` // pictures of each part
	Notes []string       `json:"notes"`
}

func (a *app) dataSplitCommand() *cobra.Command {
	var out string
	var val, test float64
	var seed uint64
	var link, unlabeled bool
	cmd := &cobra.Command{
		Use:   "split SPEC",
		Short: "Divide pictures into a training, a validation and a test part",
		Long: `split copies the pictures of folder:DIR or folder:FILE.zip into a new folder, with
train/, val/ and test/, and one folder per class in each. Every class is divided
in the same shares. Copies of a picture stay in one part, so that none is trained
on and evaluated. A part that the data have already is kept. Pictures that are not
sorted into classes are divided into parts without classes. Files are copied as
they are: data check finds those that cannot be decoded.

The same seed divides the same pictures alike, and most pictures stay in their part
when others are added.`,
		Example: `  resnet data split folder:photos -o parts
  resnet data split folder:photos -o parts --val 0.15 --test 0.15
  resnet data split folder:photos -o parts --link      # hard links take no space`,
		Args: cobra.MatchAll(atLeast(1, "the SPEC of the data"), atMost(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, path, _ := strings.Cut(args[0], ":")
			switch {
			case out == "":
				return usagef("-o is missing: name the folder to write")
			case !(val >= 0 && test >= 0 && val+test > 0 && val+test < 1):
				return usagef("--val %g and --test %g must be shares of 0 or more with a sum above 0 and below 1", val, test)
			}
			s, err := openLabeledOrNot(args[0], data.Options{ValFraction: -1, Seed: seed}, unlabeled)
			if err != nil {
				return err
			}
			defer s.Close()
			if kind != "folder" {
				return usagef("%s is not a folder of pictures: only folder:DIR and folder:FILE.zip can be divided into folders", args[0])
			}
			if inside(path, out) {
				return usagef("-o %s lies in %s, so that its copies would become a part of the data: name a folder outside", out, path)
			}
			var hard func(name, to string) error
			if link {
				if info, err := os.Stat(path); err != nil || !info.IsDir() {
					return usagef("--link needs a folder, and %s is none", path)
				}
				hard = func(name, to string) error {
					from, err := filepath.EvalSymlinks(filepath.Join(path, filepath.FromSlash(name)))
					if err == nil {
						err = os.Link(from, to)
					}
					var cause *os.LinkError
					if errors.As(err, &cause) {
						return fmt.Errorf("cannot link: %w; without --link, files are copied", cause.Err)
					}
					return err
				}
			}
			d, err := data.Divide(s, val, test, seed)
			if err != nil {
				return err
			}
			if err := data.WriteFolder(cmd.Context(), d, out, hard); err != nil {
				return err
			}
			r := splitReport{Out: out, Parts: map[string]int{}, Notes: append(s.Notes, d.Notes...)}
			for _, p := range []struct {
				name string
				ds   data.Dataset
			}{{"train", d.Train}, {"val", d.Val}, {"test", d.Test}} {
				if p.ds != nil {
					r.Parts[p.name] = p.ds.Len()
				}
			}
			if a.json {
				return a.printJSON(r)
			}
			for _, n := range r.Notes {
				a.printf("note: %s\n", n)
			}
			for _, p := range []string{"train", "val", "test"} {
				if n, ok := r.Parts[p]; ok {
					a.printf("%s: %s\n", filepath.Join(out, p), term.Plural(n, "picture"))
				}
			}
			task := ""
			if len(s.Classes()) == 0 {
				task = " --task " + sslTask
			}
			made := term.Quote("folder:" + out)
			a.printf("\nnext:\n  resnet data check %s\n  resnet train%s --data %s\n", made, task, made)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&out, "out", "o", "", "folder to write; must not exist, or be empty")
	f.Float64Var(&val, "val", 0.2, "share of the pictures of each class for validation")
	f.Float64Var(&test, "test", 0, "share of the pictures of each class for testing")
	f.BoolVar(&link, "link", false, "make hard links instead of copies")
	f.BoolVar(&unlabeled, "unlabeled", false, unlabeledUsage)
	f.Uint64Var(&seed, "seed", 0, "seed of the choice")
	return cmd
}

// inside reports whether a path lies in a folder, or is it. The path need not exist.
func inside(dir, path string) bool {
	folder, err := os.Stat(dir)
	at, failed := filepath.Abs(path)
	if err != nil || failed != nil {
		return false
	}
	for {
		if info, err := os.Stat(at); err == nil && os.SameFile(folder, info) {
			return true
		}
		if at == filepath.Dir(at) {
			return false
		}
		at = filepath.Dir(at)
	}
}
