package main

import (
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
)

// pictureNames returns the arguments with each folder replaced by the pictures
// in it and below, in order. "-" stands for one picture on stdin.
func pictureNames(args []string) ([]string, error) {
	var names []string
	for _, arg := range args {
		if arg == "-" {
			if slices.Contains(names, "-") {
				return nil, usagef(`"-" (stdin) is given twice`)
			}
			names = append(names, arg)
			continue
		}
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			names = append(names, arg)
			continue
		}
		found := len(names)
		err = filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && data.IsPicture(path) {
				names = append(names, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(names) == found {
			return nil, fmt.Errorf("%s holds no pictures (%s)", arg, strings.Join(data.PictureEndings(), ", "))
		}
	}
	return names, nil
}

// pictures are the pictures of these names.
func (a *app) pictures(names []string) iter.Seq[resnet.Picture] {
	return func(yield func(resnet.Picture) bool) {
		for _, name := range names {
			p := resnet.File(name)
			if name == "-" {
				p = resnet.Reader("stdin", a.in)
			}
			if !yield(p) {
				return
			}
		}
	}
}

// unreadable counts pictures that could not be read and reports each.
type unreadable struct{ bad, all int }

// skip reports whether a result has no prediction, and prints why.
func (u *unreadable) skip(a *app, r resnet.Result) bool {
	u.all++
	if r.Err == nil {
		return false
	}
	u.bad++
	fmt.Fprintln(a.err, oneLine(r.Err))
	return true
}

func (u *unreadable) err() error {
	switch {
	case u.bad == 0:
		return nil
	case u.all == 1:
		return fmt.Errorf("the picture could not be read")
	}
	return fmt.Errorf("%d of %d pictures could not be read", u.bad, u.all)
}
