package main

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/hub"
)

// pictureNames returns the arguments with each folder replaced by the pictures
// in it and below, in order. "-" stands for one picture on stdin. An argument that
// cannot be read stays: it is reported when its turn comes, and the others are
// still done.
func pictureNames(args []string) ([]string, error) {
	var names []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case arg == "-" && slices.Contains(names, "-"):
			return nil, usagef(`"-" (stdin) is given twice`)
		case arg == "-", err != nil, !info.IsDir():
			names = append(names, arg)
			continue
		}
		found, err := data.FindPictures(arg)
		if err != nil || len(found) == 0 {
			found = []string{arg}
		}
		names = append(names, found...)
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
			if isAddress(name) {
				p = a.remotePicture(name)
			} else if info, err := os.Stat(name); err == nil && info.IsDir() {
				p = resnet.Reader(name, failingReader{folderError(name)})
			}
			if !yield(p) {
				return
			}
		}
	}
}

// isAddress reports whether a picture is on the web.
func isAddress(name string) bool {
	return strings.HasPrefix(name, "https://") || strings.HasPrefix(name, "http://")
}

// remotePicture is a picture at an address, which is downloaded when it is decoded.
func (a *app) remotePicture(address string) resnet.Picture {
	return resnet.Reader(address, &lazyReader{read: func() ([]byte, error) {
		c := hub.FromEnv()
		return c.Get(a.ctx, address, data.DefaultMaxFileBytes)
	}})
}

// lazyReader gets its bytes when they are first asked for.
type lazyReader struct {
	read func() ([]byte, error)
	from *bytes.Reader
}

// Read reads the bytes.
func (r *lazyReader) Read(p []byte) (int, error) {
	if r.from == nil {
		b, err := r.read()
		if err != nil {
			return 0, err
		}
		r.from = bytes.NewReader(b)
	}
	return r.from.Read(p)
}

// folderError returns why there is no picture to read in a folder.
func folderError(dir string) error {
	if _, err := os.ReadDir(dir); err != nil {
		return err
	}
	return fmt.Errorf("the folder holds no pictures (%s)", strings.Join(data.PictureEndings(), ", "))
}

// failingReader returns its error instead of bytes.
type failingReader struct{ err error }

// Read returns the error.
func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

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
