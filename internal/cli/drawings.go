package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/internal/term"
)

// drawingsOf finds out what --out of a command that draws into pictures is: a file, for
// one picture, or a folder, which it makes. Drawings that an earlier run has left in
// that folder, named as the pictures with one of the ends, are not taken for pictures.
func drawingsOf(a *app, out string, names []string, ends ...string) (left []string, file bool, err error) {
	file = strings.EqualFold(filepath.Ext(out), ".png")
	info, err := os.Stat(out)
	folder := err == nil && info.IsDir()
	switch {
	case out == "":
		return names, false, nil
	case file:
		return names, true, nil
	case !folder && data.IsPicture(out):
		return nil, false, usagef("--out %s: a file must end in .png", out)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, false, fmt.Errorf("--out: %w", err)
	}
	stems := map[string]bool{}
	for _, n := range names {
		stems[strings.TrimSuffix(n, filepath.Ext(n))] = true
	}
	left = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		if filepath.Clean(filepath.Dir(n)) != filepath.Clean(out) {
			return false
		}
		for _, end := range ends {
			if stem, ok := strings.CutSuffix(n, end); ok && stems[stem] {
				return true
			}
		}
		return false
	})
	if n := len(names) - len(left); n > 0 {
		a.note("left out %s of an earlier run in %s", term.Plural(n, "drawing"), out)
	}
	return left, false, nil
}

// takenNames are the names in a folder of drawings that are given already, in lower
// case.
type takenNames map[string]bool

// stem returns the name of a picture's drawings without their end. Pictures of one name,
// from several folders or with several endings, get numbers.
func (t takenNames) stem(picture string) string {
	base := strings.TrimSuffix(filepath.Base(picture), filepath.Ext(picture))
	stem := base
	for i := 2; t[strings.ToLower(stem)]; i++ {
		stem = fmt.Sprintf("%s-%d", base, i)
	}
	t[strings.ToLower(stem)] = true
	return stem
}
