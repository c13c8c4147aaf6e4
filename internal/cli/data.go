package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/segmentation"
	"github.com/resnet-go/resnet/embedded"
	"github.com/resnet-go/resnet/internal/suggest"
	"github.com/resnet-go/resnet/internal/term"
)

// openData opens a SPEC; an empty one, or the sample's name, is the sample
// inside the program.
func openData(spec string, opt data.Options) (*data.Splits, error) {
	if spec != "" && spec != embedded.SampleName {
		kind, _, ok := strings.Cut(spec, ":")
		if !ok || !slices.Contains(dataKinds(), kind) {
			return nil, usageError{badSpec(spec, kind, ok)}
		}
		return segmentation.OpenAny(context.Background(), spec, opt)
	}
	s, err := data.OpenIDX(embedded.Fashion(), opt)
	if err != nil {
		return nil, fmt.Errorf("the sample inside the program: %w", err)
	}
	s.Spec = embedded.SampleName
	return s, nil
}

// dataKinds returns the kinds that a SPEC may start with.
func dataKinds() []string {
	return slices.Sorted(slices.Values(slices.Concat(data.Kinds(), segmentation.Kinds())))
}

// badSpec returns the error for a SPEC whose kind is missing or unknown.
func badSpec(spec, kind string, hasKind bool) error {
	if !hasKind {
		return fmt.Errorf("data %q is not of the form KIND:PATH, such as folder:%s (kinds: %s)", spec, spec, strings.Join(dataKinds(), ", "))
	}
	if hasBoxes(spec) {
		return fmt.Errorf("%s has boxes, and this command takes pictures with one label each (kinds: %s); see resnet data check %s", spec, strings.Join(data.Kinds(), ", "), spec)
	}
	return fmt.Errorf("unknown kind of data %q in %q%s", kind, spec, suggest.Phrase(kind, dataKinds()))
}

// split returns a part of s by its name; an empty name is the part to evaluate on.
func split(s *data.Splits, name string) (data.Dataset, string, error) {
	parts := map[string]data.Dataset{"train": s.Train, "val": s.Val, "test": s.Test}
	if name == "" {
		for _, n := range []string{"test", "val", "train"} {
			if parts[n] != nil {
				return parts[n], n, nil
			}
		}
	}
	ds, known := parts[name]
	if !known {
		return nil, "", usagef("unknown split %q%s", name, suggest.Phrase(name, []string{"train", "val", "test"}))
	}
	if ds == nil {
		_, err := s.Split(name)
		return nil, "", err
	}
	return ds, name, nil
}

// openLabeledOrNot is openData for commands that need no labels. Pictures that are not
// sorted into classes are opened without labels; with unlabeled, those are, too, of which
// only some are in no class folder, as train --task ssl takes them.
func openLabeledOrNot(spec string, opt data.Options, unlabeled bool) (*data.Splits, error) {
	opt.Unlabeled = unlabeled
	s, err := openData(spec, opt)
	if none := (*data.NoClassesError)(nil); errors.As(err, &none) && !unlabeled {
		opt.Unlabeled = true
		return openData(spec, opt)
	}
	return s, err
}

const unlabeledUsage = "also take the pictures in no class folder, if there are any; none has a label then, as for train --task ssl"

func (a *app) dataCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Look at a dataset, divide it",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(a.dataCheckCommand(), a.dataSplitCommand())
	return cmd
}

func (a *app) dataCheckCommand() *cobra.Command {
	var seed uint64
	var unlabeled bool
	cmd := &cobra.Command{
		Use:   "check [SPEC]",
		Short: "Count classes, find unreadable pictures and duplicates",
		Long: `check decodes every picture of a dataset and reports how many each class has,
which cannot be decoded, and which occur more than once, within a part or in two
parts (so that the evaluation would see pictures that were trained on). Of pictures
with masks it reports how many have each class and its share of the pixels; a mask
of another size than its picture, or with a class that there is not, is unreadable.

Of pictures with boxes (coco:DIR, coco:FILE.json, voc:DIR, or a zip) it also counts
the objects, and reports annotations that are likely wrong: of unknown pictures or
categories, with an id twice, without area, outside of their picture, pictures that are
not there or have another size.

Folders without classes are checked as pictures without labels.

The exit code is 1 if a picture cannot be decoded or is in two parts, a class folder
to train on has no pictures, the test part has a class that the training part has not,
an annotation is wrong, or no pixel of the masks counts but those of class 0.`,
		Example: `  resnet data check                          # the sample inside the program
  resnet data check coco:export              # boxes, as COCO, CVAT, Label Studio write them
  resnet data check folder:photos
  resnet data check cifar10:cifar-10-batches-bin --json
  resnet data check masks:road`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec := ""
			if len(args) > 0 {
				spec = args[0]
			}
			if hasBoxes(spec) {
				return a.checkBoxes(cmd.Context(), spec, seed)
			}
			opt := data.Options{Seed: seed}
			s, err := openLabeledOrNot(spec, opt, unlabeled)
			var unusable *data.PartError
			if errors.As(err, &unusable) && unusable.Part == "test" {
				opt.WithoutTest = true // the others are checked
				s, err = openLabeledOrNot(spec, opt, unlabeled)
			}
			if err != nil {
				return err
			}
			defer s.Close()
			r, err := data.Check(cmd.Context(), s, a.threads)
			if err != nil {
				return err
			}
			if a.json {
				err = a.printJSON(r)
			} else {
				err = a.printCheck(r)
			}
			if err != nil {
				return err
			}
			if unusable != nil {
				return fmt.Errorf("%s: the test part is not checked, because it cannot be used: %w", r.Spec, unusable)
			}
			return checkFailed(r)
		},
	}
	cmd.Flags().Uint64Var(&seed, "seed", 0, "selects the validation part if the data have none")
	cmd.Flags().BoolVar(&unlabeled, "unlabeled", false, unlabeledUsage)
	return cmd
}

func (a *app) printCheck(r *data.Report) error {
	what, heads := term.Plural(len(r.Classes), "class"), []string{"class"}
	if len(r.Classes) == 0 {
		what, heads = "pictures without labels", []string{""}
	}
	a.printf("%s: %s\n\n", r.Spec, what)
	for _, p := range r.Parts {
		heads = append(heads, ">"+p.Name)
	}
	t := term.NewTable(heads...)
	row := func(name string, of func(data.PartReport) any) {
		cells := []any{name}
		for _, p := range r.Parts {
			cells = append(cells, of(p))
		}
		t.Row(cells...)
	}
	for k, class := range r.Classes {
		row(class, func(p data.PartReport) any {
			if p.Pixels == nil {
				return term.Count(p.PerClass[k])
			}
			return fmt.Sprintf("%s, %s", term.Plural(p.PerClass[k], "picture"), pixelShare(p, p.Pixels[k]))
		})
	}
	masks := slices.ContainsFunc(r.Parts, func(p data.PartReport) bool { return p.Pixels != nil })
	if masks {
		row("no class", func(p data.PartReport) any { return pixelShare(p, p.Ignored) })
	}
	if len(r.Classes) > 0 {
		t.Rule()
	}
	row("pictures", func(p data.PartReport) any { return term.Count(p.Images) })
	row("unreadable", func(p data.PartReport) any { return term.Count(len(p.Bad)) })
	row("gray", func(p data.PartReport) any { return term.Count(p.Gray) })
	if r.MultiLabel && !masks {
		row("without label", func(p data.PartReport) any { return term.Count(p.NoLabel) })
	}
	row("smallest", func(p data.PartReport) any { return fmt.Sprintf("%d×%d", p.MinW, p.MinH) })
	row("largest", func(p data.PartReport) any { return fmt.Sprintf("%d×%d", p.MaxW, p.MaxH) })
	if _, err := t.WriteTo(a.out); err != nil {
		return err
	}
	a.printf("\n")
	for _, n := range r.Notes {
		a.printf("note: %s\n", n)
	}
	a.printProblems(r.Parts, r.Warnings(), r.Hash)
	return nil
}

// printProblems prints what is wrong with the parts of a dataset, and its hash.
func (a *app) printProblems(parts []data.PartReport, warnings []string, hash string) {
	for _, p := range parts {
		for _, b := range p.Bad {
			a.printf("unreadable: %s %s: %s\n", p.Name, b.Name, b.Error)
		}
	}
	for _, w := range warnings {
		a.printf("warning: %s\n", w)
	}
	if hash != "" {
		a.printf("hash: %s\n", hash)
	}
}

// pixelShare returns a share of the pixels of a part.
func pixelShare(p data.PartReport, n int64) string {
	all := p.Ignored
	for _, k := range p.Pixels {
		all += k
	}
	return term.Percent(float64(n)/float64(max(all, 1))) + " of the pixels"
}

// checkFailed returns an error if training on the data would fail, or their
// evaluation would mislead.
func checkFailed(r *data.Report) error {
	bad, between := 0, 0
	for _, p := range r.Parts {
		bad += len(p.Bad)
	}
	for _, d := range r.Duplicates {
		if d.Between {
			between++
		}
	}
	if len(r.Empty) > 0 {
		return fmt.Errorf("%s: %s: add pictures of the class, or remove the folder", r.Spec, strings.Join(r.Empty, "; "))
	}
	if bad > 0 {
		return fmt.Errorf("%s: %s cannot be decoded", r.Spec, term.Plural(bad, "picture"))
	}
	if err := r.Err(); err != nil {
		return err
	}
	if between > 0 {
		return fmt.Errorf("%s: pictures that are in more than one part: %d", r.Spec, between)
	}
	return nil
}
