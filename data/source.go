package data

import (
	"archive/zip"
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

// source is a set of files: a folder or the contents of a zip. Its methods are
// safe for concurrent use.
type source interface {
	// list returns the slash-separated paths of all files and folders, sorted.
	list() (files, dirs []string, err error)
	// read returns the contents of a file, using the memory of buf.
	read(name string, buf []byte) ([]byte, error)
	close() error
}

// openSource opens a folder or a zip file.
func openSource(name string, limit int64) (source, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return &fsSource{os.DirFS(name), limit}, nil
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

// maxDepth limits the nesting of folders, so that a symbolic link to a parent
// folder ends in an error and not in an endless walk.
const maxDepth = 12

func (s *fsSource) list() (files, dirs []string, err error) {
	var walk func(dir string, depth int) error
	walk = func(dir string, depth int) error {
		if depth > maxDepth {
			return fmt.Errorf("%s: folders nested more than %d deep; does a symbolic link lead back?", dir, maxDepth)
		}
		entries, err := fs.ReadDir(s.fsys, dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if hidden(e.Name()) {
				continue
			}
			name, isDir := path.Join(dir, e.Name()), e.IsDir()
			if e.Type()&fs.ModeSymlink != 0 {
				info, err := fs.Stat(s.fsys, name)
				if err != nil {
					return err
				}
				isDir = info.IsDir()
			}
			if !isDir {
				files = append(files, name)
				continue
			}
			dirs = append(dirs, name)
			if err := walk(name, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(".", 0); err != nil {
		return nil, nil, err
	}
	slices.Sort(files)
	slices.Sort(dirs)
	return files, dirs, nil
}

func (s *fsSource) read(name string, buf []byte) ([]byte, error) {
	f, err := s.fsys.Open(name)
	if err != nil {
		return nil, short(err)
	}
	defer f.Close()
	return readAll(f, buf, s.limit)
}

func (s *fsSource) close() error { return nil }

// zipSource reads the files of a zip without unpacking them to disk.
type zipSource struct {
	file  io.Closer
	files map[string]*zip.File
	names []string
	dirs  []string
	limit int64
}

func newZipSource(r io.ReaderAt, size, limit int64) (*zipSource, error) {
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, err
	}
	s := &zipSource{files: make(map[string]*zip.File), limit: limit}
	dirs := make(map[string]bool)
	for _, f := range z.File {
		name, isDir := strings.CutSuffix(strings.ReplaceAll(f.Name, `\`, "/"), "/")
		if !fs.ValidPath(name) {
			return nil, fmt.Errorf("zip entry %q is not a path inside the zip", f.Name)
		}
		if slices.ContainsFunc(strings.Split(name, "/"), hidden) {
			continue
		}
		if !isDir {
			if s.files[name] != nil {
				return nil, fmt.Errorf("zip has two entries %q", f.Name)
			}
			s.files[name] = f
			s.names = append(s.names, name)
			name = path.Dir(name)
		}
		for ; name != "." && !dirs[name]; name = path.Dir(name) {
			dirs[name] = true
			s.dirs = append(s.dirs, name)
		}
	}
	slices.Sort(s.names)
	slices.Sort(s.dirs)
	return s, nil
}

func (s *zipSource) list() (files, dirs []string, err error) { return s.names, s.dirs, nil }

func (s *zipSource) read(name string, buf []byte) ([]byte, error) {
	f := s.files[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	if f.UncompressedSize64 > uint64(s.limit) {
		return nil, &limitread.TooLarge{Limit: s.limit}
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(r, buf, s.limit)
}

func (s *zipSource) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") || name == "__MACOSX" }

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
var pictureEndings = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp"}

// PictureEndings returns the endings of the files that folders are searched for,
// such as ".jpg".
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
