package data

import (
	"archive/zip"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/resnet-go/resnet/internal/limitread"
)

// zipSource reads the files of a zip without unpacking them to disk.
type zipSource struct {
	file  io.Closer
	files map[string]*zip.File
	names []string
	dirs  []string
	limit int64
}

// zipMethods are the names of the compression methods of zip entries (APPNOTE.TXT
// 4.4.5) that are not read.
var zipMethods = map[uint16]string{
	1: "Shrink", 2: "Reduce", 3: "Reduce", 4: "Reduce", 5: "Reduce", 6: "Implode", 9: "Deflate64",
	14: "LZMA", 93: "Zstandard", 94: "MP3", 95: "XZ", 96: "JPEG", 97: "WavPack", 98: "PPMd", 99: "AES encryption",
}

const zipBzip2 = 12

func newZipSource(r io.ReaderAt, size, limit int64) (*zipSource, error) {
	z, err := zip.NewReader(r, size)
	switch {
	case errors.Is(err, zip.ErrFormat):
		return nil, errors.New("the zip is damaged or cut off, or the file is none: its table of contents is missing; copy it again, or name a folder")
	case err != nil && !errors.Is(err, zip.ErrInsecurePath):
		return nil, err
	}
	z.RegisterDecompressor(zipBzip2, func(r io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(r)) })
	s := &zipSource{files: make(map[string]*zip.File), limit: limit}
	dirs := make(map[string]bool)
	for _, f := range z.File {
		name, isDir, err := zipName(f)
		if err != nil {
			return nil, err
		}
		if name == "." || slices.ContainsFunc(strings.Split(name, "/"), hidden) {
			continue
		}
		if !isDir {
			if err := readable(f); err != nil && IsPicture(name) {
				return nil, err
			}
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

// zipName returns the path of an entry inside the zip, cleaned, and whether it is
// a folder. The spellings that archivers use for the same path are equal:
// "./a/b", "/a/b", "a//b" and "a\b". A path that leads out of the zip is an error.
func zipName(f *zip.File) (name string, isDir bool, err error) {
	name = f.Name
	if f.NonUTF8 && !utf8.ValidString(name) {
		// Without the flag for UTF-8, names are in code page 437 (APPNOTE.TXT,
		// appendix D), unless the archiver forgot the flag.
		if name, err = charmap.CodePage437.NewDecoder().String(name); err != nil {
			return "", false, fmt.Errorf("zip entry %q: %w", f.Name, err)
		}
	}
	name = strings.ReplaceAll(name, `\`, "/")
	name, isDir = strings.TrimRight(name, "/"), strings.HasSuffix(name, "/")
	if slices.Contains(strings.Split(name, "/"), "..") {
		return "", false, fmt.Errorf("zip entry %q is not a path inside the zip", f.Name)
	}
	name = path.Clean(strings.TrimLeft(name, "/"))
	if !fs.ValidPath(name) {
		return "", false, fmt.Errorf("zip entry %q is not a path inside the zip", f.Name)
	}
	return name, isDir, nil
}

// readable returns an error if an entry cannot be unpacked.
func readable(f *zip.File) error {
	if f.Flags&1 != 0 {
		return fmt.Errorf("zip entry %q is encrypted, which is not read: unpack the zip first", f.Name)
	}
	switch f.Method {
	case zip.Store, zip.Deflate, zipBzip2:
		return nil
	}
	method := zipMethods[f.Method]
	if method == "" {
		method = "a method that is not known"
	}
	return fmt.Errorf("zip entry %q is compressed by %s (method %d), which is not read: unpack the zip, or pack it by Deflate", f.Name, method, f.Method)
}

func (s *zipSource) list() (*contents, error) { return &contents{files: s.names, dirs: s.dirs}, nil }

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
