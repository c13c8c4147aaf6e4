package data

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/resnet-go/resnet/data/imaging"
	"github.com/resnet-go/resnet/internal/limitread"
)

// source is a set of files: a folder or the contents of a zip or of tars. Its methods are
// safe for concurrent use.
type source interface {
	// list returns what the source holds.
	list() (*contents, error)
	// read returns the contents of a file, using the memory of buf.
	read(name string, buf []byte) ([]byte, error)
	close() error
}

// contents is the slash-separated paths of all files and folders of a source, each
// sorted.
type contents struct {
	files, dirs []string
	// closed are the folders that cannot be listed. They are among files too, so
	// that pictures that may be in them are not lost without an error: reading
	// such a "file" returns what is wrong with the folder.
	closed map[string]bool
	// locked are the locks of trainings, each in the folder of its run.
	locked []string
	left   *outputs // see listed; nil if nothing was left out
}

// openSource opens a folder, a zip or a tar.
func openSource(name string, limit int64) (source, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return &fsSource{os.DirFS(name), limit}, nil
	}
	if err := limitread.Regular(name, info.Mode()); err != nil {
		return nil, err
	}
	if IsTar(name) {
		return openTars([]string{name}, []string{""}, limit)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	s, err := newZipSource(f, info.Size(), limit)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.file = f
	return s, nil
}

type fsSource struct {
	fsys  fs.FS
	limit int64
}

// lockFile is the lock of a training in the folder of its run.
const lockFile = ".lock"

// maxDepth limits the nesting of folders.
const maxDepth = 32

func (s *fsSource) list() (*contents, error) {
	l := &contents{closed: make(map[string]bool)}
	// above are the folders on the way to dir, by which a link that leads back is
	// found.
	var walk func(dir string, above []fs.FileInfo) error
	walk = func(dir string, above []fs.FileInfo) error {
		entries, err := fs.ReadDir(s.fsys, dir)
		if err != nil {
			return err
		}
		if info, err := fs.Stat(s.fsys, dir); err == nil {
			above = append(slices.Clip(above), info)
		}
		for _, e := range entries {
			if e.Name() == lockFile {
				l.locked = append(l.locked, path.Join(dir, lockFile))
			}
			if hidden(e.Name()) {
				continue
			}
			name, isDir := path.Join(dir, e.Name()), e.IsDir()
			if e.Type()&fs.ModeSymlink != 0 {
				// A link that leads nowhere is a file that cannot be read.
				info, err := fs.Stat(s.fsys, name)
				isDir = err == nil && info.IsDir()
				if isDir && leadsBack(info, above) {
					continue
				}
			}
			if !isDir {
				l.files = append(l.files, name)
				continue
			}
			l.dirs = append(l.dirs, name)
			if len(above) > maxDepth || walk(name, above) != nil {
				l.closed[name] = true
				l.files = append(l.files, name)
			}
		}
		return nil
	}
	if err := walk(".", nil); err != nil {
		return nil, err
	}
	slices.Sort(l.files)
	slices.Sort(l.dirs)
	return l, nil
}

// leadsBack reports whether a folder is one of those above it.
func leadsBack(dir fs.FileInfo, above []fs.FileInfo) bool {
	return slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, dir) })
}

func (s *fsSource) read(name string, buf []byte) ([]byte, error) {
	info, err := fs.Stat(s.fsys, name)
	if err != nil {
		return nil, short(err)
	}
	if info.IsDir() {
		if _, err := fs.ReadDir(s.fsys, name); err != nil {
			return nil, short(err)
		}
		return nil, fmt.Errorf("folders are nested more than %d deep", maxDepth)
	}
	if err := limitread.Regular(path.Base(name), info.Mode()); err != nil {
		return nil, err
	}
	f, err := s.fsys.Open(name)
	if err != nil {
		return nil, short(err)
	}
	defer f.Close()
	return readAll(f, buf, s.limit)
}

func (s *fsSource) close() error { return nil }

// hidden reports whether a file or folder belongs to the system, not to the data:
// names that begin with a dot, and folders that macOS, Windows, Linux and network
// drives create beside a user's own.
func hidden(name string) bool {
	switch name {
	case "__MACOSX", "lost+found", "$RECYCLE.BIN", "System Volume Information", "@eaDir", "#recycle":
		return true
	}
	return strings.HasPrefix(name, ".")
}

// readAll reads a file of a source.
func readAll(r io.Reader, buf []byte, limit int64) ([]byte, error) {
	b, err := limitread.All(r, buf, limit)
	if err != nil {
		return nil, short(err)
	}
	return b, nil
}

// short drops the path from a file system's error: the caller names the sample.
func short(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}

// pictureEndings are the endings of the names of pictures, in lower case.
var pictureEndings = imaging.Endings()

// unreadEndings are those of photos that are not read.
var unreadEndings = imaging.UnreadEndings()

// PictureEndings returns the endings of the files that folders are searched for,
// such as ".jpg": those of [imaging.Endings].
func PictureEndings() []string { return slices.Clone(pictureEndings) }

// IsPicture reports whether a file is a picture by the ending of its name, in
// upper or lower case.
func IsPicture(name string) bool {
	return slices.Contains(pictureEndings, strings.ToLower(path.Ext(name)))
}

// fileSet is a dataset whose samples are picture files of a source.
type fileSet struct {
	src     source
	classes []string
	multi   bool
	names   []string
	labels  [][]int
	root    string // the beginning of all names, the folder of the part, of pictures without labels
	opt     imaging.DecodeOptions
}

func (f *fileSet) Len() int           { return len(f.names) }
func (f *fileSet) Classes() []string  { return f.classes }
func (f *fileSet) MultiLabel() bool   { return f.multi }
func (f *fileSet) Name(i int) string  { return f.names[i] }
func (f *fileSet) Labels(i int) []int { return f.labels[i] }

func (f *fileSet) Decode(i int, dst *imaging.Image) error {
	b := byteBuffers.Get().(*[]byte)
	defer byteBuffers.Put(b)
	data, err := f.src.read(f.names[i], *b)
	if err != nil {
		return err
	}
	*b = data
	return imaging.DecodeInto(dst, data, f.opt)
}

func (f *fileSet) Content(i int, buf []byte) ([]byte, error) { return f.src.read(f.names[i], buf) }

func (f *fileSet) decodeContent(content []byte, dst *imaging.Image) error {
	return imaging.DecodeInto(dst, content, f.opt)
}

// Open opens the file of sample i.
func (f *fileSet) Open(i int, r *imaging.Reader, buf []byte) ([]byte, error) {
	b, err := f.src.read(f.names[i], buf)
	if err != nil {
		return buf, err
	}
	return b, r.Open(b, f.opt)
}
