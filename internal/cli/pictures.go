package cli

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resnet-go/resnet"
	"github.com/resnet-go/resnet/data"
	"github.com/resnet-go/resnet/hub"
	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/internal/plaintext"
)

// picturesHelp describes the arguments of commands that take pictures.
const picturesHelp = `DIR stands for all pictures in the folder and below, FILE.zip or FILE.tar for
those in it, @LIST for the pictures, folders, zips and tars that a text file names, one
a line; "-" reads one picture from stdin.`

// maxListFile is the limit of a file of pictures' names: millions of them.
const maxListFile = 256 << 20

// maxPath is the limit of a name in a list, in bytes. No system opens a longer one, and
// 4,096 are for the zip or tar that a picture is in. What is longer is another file taken
// for a list, and would be in every message.
const maxPath = 2 * 4096

var errLongPath = fmt.Errorf("a name longer than %d bytes, which no file has", maxPath)

// pictureNames returns the arguments with each folder, zip, tar and list replaced by the
// pictures in it, in order. A picture in a zip is called FILE.zip/NAME. "-" stands for
// one picture on stdin. An argument that cannot be read stays: it is reported when its
// turn comes, and the others are still done; only a list must be readable, as it is
// part of the command line. Lines of a list that begin with # are comments, unless there
// is a file of that name.
func (a *app) pictureNames(args []string) ([]string, error) {
	var names []string
	found := func(name string) bool {
		_, err := os.Lstat(name)
		return err == nil
	}
	for _, arg := range args {
		list, isList := strings.CutPrefix(arg, "@")
		if _, err := os.Lstat(arg); !isList || err == nil { // a file may be called @1.jpg
			if arg == "-" && slices.Contains(names, "-") {
				return nil, usagef(`"-" (stdin) is given twice`)
			}
			names = append(names, a.expand(arg)...)
			continue
		}
		b, err := limitread.File(list, maxListFile)
		if err != nil {
			return nil, fmt.Errorf("the list %s: %w", arg, err)
		}
		if text, err := plaintext.Decode(b); err == nil { // else the names have the bytes that they have
			b = text
		}
		before, at := len(names), 0
		for line := range strings.Lines(string(b)) {
			line = strings.TrimRight(line, "\r\n")
			if at++; len(line) > maxPath {
				return nil, fmt.Errorf("the list %s: line %d: %w: is it a list of files' names?", arg, at, errLongPath)
			}
			if short := strings.TrimSpace(line); short != line && !found(line) { // not a name with spaces at its ends
				line = short
			}
			switch {
			case line == "":
			case line == "-": // a file of this name
				names = append(names, "./-")
			case strings.HasPrefix(line, "#") && !found(line): // a comment
			default:
				names = append(names, a.expand(line)...)
			}
		}
		if len(names) == before {
			return nil, fmt.Errorf("the list %s names no pictures: it must have a file's name on each line", arg)
		}
	}
	return names, nil
}

// expand returns the pictures in a folder, zip or tar, and notes what is left out; an
// argument that is neither, or has none, is returned as it is.
func (a *app) expand(arg string) []string {
	info, err := os.Stat(arg)
	if arg == "-" || err != nil {
		return []string{arg}
	}
	var found []string
	left := ""
	switch {
	case info.IsDir():
		found, left, err = data.FindPictures(arg)
	case isArchive(arg) && info.Mode().IsRegular():
		found, left, err = archivePictures(arg)
	}
	if left != "" {
		a.note("%s: %s", arg, left)
	}
	if err != nil || len(found) == 0 {
		return []string{arg}
	}
	return found
}

// isArchive reports whether a file holds pictures, by the ending of its name.
func isArchive(name string) bool {
	return strings.EqualFold(filepath.Ext(name), ".zip") || data.IsTar(name)
}

// archivePictures returns the pictures of a zip or tar as FILE.zip/NAME, and a note about
// what is left out.
func archivePictures(path string) (found []string, left string, err error) {
	z, err := data.OpenFiles(path, data.Options{})
	if err != nil {
		return nil, "", err
	}
	found, left, err = z.Pictures()
	for i, name := range found {
		found[i] = path + "/" + name
	}
	return found, left, errors.Join(err, z.Close())
}

// pictures are the pictures of these names.
func (a *app) pictures(names []string) iter.Seq[resnet.Picture] {
	return func(yield func(resnet.Picture) bool) {
		for _, name := range names {
			if !yield(a.picture(name)) {
				return
			}
		}
	}
}

func (a *app) picture(name string) resnet.Picture {
	switch {
	case name == "-":
		return resnet.Reader("stdin", a.in)
	case isAddress(name):
		return a.remotePicture(name)
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return resnet.Reader(name, failingReader{folderError(name)})
	case err == nil && isArchive(name):
		return resnet.Reader(name, failingReader{archiveError(name)})
	case err != nil:
		if path, inside, ok := insideArchive(name); ok {
			return a.archived(name, path, inside)
		}
	}
	return resnet.File(name)
}

// insideArchive divides FILE.zip/NAME, if FILE.zip is a file.
func insideArchive(name string) (path, inside string, ok bool) {
	for i, c := range name {
		if c != '/' || !isArchive(name[:i]) {
			continue
		}
		if info, err := os.Stat(name[:i]); err == nil && info.Mode().IsRegular() {
			return name[:i], name[i+1:], true
		}
	}
	return "", "", false
}

// archived is a picture in a zip or tar. It is read when it is decoded.
func (a *app) archived(name, path, inside string) resnet.Picture {
	z := a.archives[path]
	if z == nil {
		var err error
		if z, err = data.OpenFiles(path, data.Options{}); err != nil {
			return resnet.Reader(name, failingReader{err})
		}
		if a.archives == nil {
			a.archives = map[string]*data.Files{}
		}
		a.archives[path] = z
	}
	return resnet.Reader(name, &lazyReader{read: func() ([]byte, error) { return z.Read(inside, nil) }})
}

// closeArchives closes the zips and tars of the pictures.
func (a *app) closeArchives() error {
	var errs []error
	for _, z := range a.archives {
		errs = append(errs, z.Close())
	}
	a.archives = nil
	return errors.Join(errs...)
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

// archiveError returns why there is no picture to read in a zip or tar.
func archiveError(path string) error {
	if _, _, err := archivePictures(path); err != nil {
		return err
	}
	return fmt.Errorf("the archive holds no pictures (%s)", strings.Join(data.PictureEndings(), ", "))
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
		return unreadError{errors.New("the picture could not be read")}
	}
	return unreadError{fmt.Errorf("%d of %d pictures could not be read", u.bad, u.all)}
}

// unreadError is the error of a command that has done all pictures but those that
// could not be read.
type unreadError struct{ error }
