package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/data/detection"
	"github.com/resnet-go/resnet/data/segmentation"
	"github.com/resnet-go/resnet/internal/term"
)

// hasBoxes reports whether a SPEC is of a dataset with boxes.
func hasBoxes(spec string) bool {
	kind, _, ok := strings.Cut(spec, ":")
	return ok && slices.Contains(detection.Kinds(), kind)
}

// hasObjects reports whether a SPEC names data with boxes or masks instead of labels of
// whole pictures.
func hasObjects(spec string) bool {
	kind, _, ok := strings.Cut(spec, ":")
	return ok && slices.Contains(segmentation.Kinds(), kind)
}

// checkBoxes is data check for a dataset with boxes.
func (a *app) checkBoxes(ctx context.Context, spec string, seed uint64) error {
	s, err := detection.Open(spec, detection.Options{Options: data.Options{Seed: seed}})
	if err != nil {
		return err
	}
	defer s.Close()
	r, err := detection.Check(ctx, s, a.threads)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(r)
	} else {
		err = a.printBoxes(r)
	}
	if err != nil {
		return err
	}
	if err := checkFailed(&r.Report); err != nil {
		return err
	}
	wrong := 0
	for _, f := range r.Findings {
		if f.Wrong {
			wrong += f.Count
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%s: %d annotations or pictures are wrong, as the warnings name", r.Spec, wrong)
	}
	return nil
}

func (a *app) printBoxes(r *detection.Report) error {
	a.printf("%s: %s\n\n", r.Spec, term.Plural(len(r.Classes), "class"))
	heads := []string{"objects"}
	for _, p := range r.Objects {
		heads = append(heads, ">"+p.Name)
	}
	t := term.NewTable(heads...)
	row := func(name string, of func(i int) any) {
		cells := []any{name}
		for i := range r.Objects {
			cells = append(cells, of(i))
		}
		t.Row(cells...)
	}
	number := func(name string, of func(i int) int) {
		row(name, func(i int) any { return term.Count(of(i)) })
	}
	for k, class := range r.Classes {
		number(class, func(i int) int { return r.Objects[i].PerClass[k] })
	}
	t.Rule()
	number("objects", func(i int) int { return r.Objects[i].Objects })
	number("with mask", func(i int) int { return r.Objects[i].Masks })
	number("crowds", func(i int) int { return r.Objects[i].Crowd })
	number("difficult", func(i int) int { return r.Objects[i].Difficult })
	number("small", func(i int) int { return r.Objects[i].Small })
	number("medium", func(i int) int { return r.Objects[i].Medium })
	number("large", func(i int) int { return r.Objects[i].Large })
	number("most in a picture", func(i int) int { return r.Objects[i].Most })
	t.Rule()
	number("pictures", func(i int) int { return r.Parts[i].Images })
	number("without objects", func(i int) int { return r.Parts[i].NoLabel })
	number("unreadable", func(i int) int { return len(r.Parts[i].Bad) })
	number("gray", func(i int) int { return r.Parts[i].Gray })
	row("smallest", func(i int) any { return fmt.Sprintf("%d×%d", r.Parts[i].MinW, r.Parts[i].MinH) })
	row("largest", func(i int) any { return fmt.Sprintf("%d×%d", r.Parts[i].MaxW, r.Parts[i].MaxH) })
	if _, err := t.WriteTo(a.out); err != nil {
		return err
	}
	a.printf("\n")
	for _, n := range r.Notes {
		a.printf("note: %s\n", n)
	}
	for _, f := range r.Findings {
		if !f.Wrong {
			a.printf("note: %s\n", f)
		}
	}
	a.printProblems(r.Parts, r.Warnings(), r.Hash)
	return nil
}
