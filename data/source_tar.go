package data

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/resnet-go/resnet/internal/limitread"
	"github.com/resnet-go/resnet/internal/steadyfile"
)

// tarSource is the files in one or several tars, its shards. The headers are read once,
// so that each file is then one read at a known offset.
type tarSource struct {
	shards []*tarShard
	places map[string]tarPlace
	names  []string // as they are stored, shard after shard
	limit  int64
}

// tarPlace is where the contents of a file are.
type tarPlace struct {
	shard        int32
	offset, size int64
}

// tarShard is one tar.
type tarShard struct {
	path string // as the user gave it
	skip tarSkipped

	mu     sync.Mutex
	file   *steadyfile.File // nil while it is closed
	unpack string           // the temporary file that holds what a compressed tar contains
	size   int64            // of the file when its headers were read
	time   time.Time        // its modification time then
	keep   bool             // open between reads
}

// tarSkipped counts the entries that are not files.
type tarSkipped struct {
	n     int
	first string // what the first one is
}

// maxOpenShards limits how many tars stay open, as systems limit open files.
const maxOpenShards = 256

// maxTarName limits the length of a path in a tar, which PAX headers do not.
const maxTarName = 4096

// tarEndings are the endings of tars that are read.
var tarEndings = []string{".tar", ".tar.gz", ".tgz"}

// IsTar reports whether a file is a tar that is read, packed by gzip or not, by the
// ending of its name.
func IsTar(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(tarEndings, func(end string) bool { return strings.HasSuffix(name, end) })
}

// openTars indexes tars. prefixes come before the names of the entries of each.
func openTars(paths, prefixes []string, limit int64) (*tarSource, error) {
	s := &tarSource{places: make(map[string]tarPlace), limit: limit}
	for i, p := range paths {
		shard := &tarShard{path: p, keep: len(paths) <= maxOpenShards && steadyfile.Replaceable}
		s.shards = append(s.shards, shard)
		if err := s.index(int32(i), shard, prefixes[i]); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", p, err), s.close())
		}
	}
	return s, nil
}

// index reads the headers of a shard.
func (s *tarSource) index(number int32, shard *tarShard, prefix string) error {
	f, err := shard.open()
	if err != nil {
		return err
	}
	defer shard.done()
	return s.entries(io.NewSectionReader(f, 0, f.Size()), f.Size(), number, &shard.skip, prefix)
}

// entries adds the files of a tar of that size.
func (s *tarSource) entries(r io.ReadSeeker, size int64, number int32, skip *tarSkipped, prefix string) error {
	last := "the start"
	blocks := &tarBlocks{ReadSeeker: r}
	for t := tar.NewReader(blocks); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			if !blocks.zero { // archive/tar takes the end of the file for the end of the tar, too
				return fmt.Errorf("the tar is probably cut off after %s, as it has no end marker: copy it again", last)
			}
			return onlyZeros(r)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the tar is cut off after %s: copy it again", last)
		}
		if err != nil {
			return fmt.Errorf("the tar cannot be read after %s: %w", last, err)
		}
		name, err := tarName(h.Name)
		if err != nil {
			return err
		}
		last = fmt.Sprintf("%q", h.Name)
		if h.Typeflag == tar.TypeDir || name == "." || slices.ContainsFunc(strings.Split(name, "/"), hidden) {
			continue
		}
		place, ok, err := s.place(h, r, size, number, prefix, skip)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		name = prefix + name
		if old, twice := s.places[name]; twice {
			if other := s.shards[old.shard]; old.shard != number {
				return fmt.Errorf("the tar has an entry %q, and so has %s: rename one", h.Name, other.path)
			}
			return fmt.Errorf("the tar has two entries %q", h.Name)
		}
		s.places[name] = place
		s.names = append(s.names, name)
	}
}

// tarBlocks notes whether the last read gave a block of zeros: the end marker, if it is
// where the header of an entry should be.
type tarBlocks struct {
	io.ReadSeeker
	zero bool
}

var zeroBlock [512]byte

func (t *tarBlocks) Read(p []byte) (int, error) {
	n, err := t.ReadSeeker.Read(p)
	if n > 0 { // the end of the file after one block of zeros is an end, too
		t.zero = bytes.Equal(p[:n], zeroBlock[:])
	}
	return n, err
}

// onlyZeros checks that nothing follows the end marker, which other readers of tars would
// leave out without a word: the second of two tars that cat has joined.
func onlyZeros(r io.Reader) error {
	buf := make([]byte, 1<<16)
	for {
		n, err := r.Read(buf)
		if len(bytes.TrimLeft(buf[:n], "\x00")) > 0 {
			return errors.New("the tar goes on after its end marker, as tars do that cat has joined: pack the files into one tar, or name each tar")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// place returns where the contents of an entry are, and whether it is a file.
func (s *tarSource) place(h *tar.Header, r io.Seeker, size int64, number int32, prefix string, skip *tarSkipped) (tarPlace, bool, error) {
	what := ""
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeGNUSparse:
		return tarPlace{}, false, fmt.Errorf("the tar entry %q is stored sparsely, which is not read: pack it without --sparse", h.Name)
	case tar.TypeLink: // tar stores a file with two names once
		if target, err := tarName(h.Linkname); err == nil {
			if p, ok := s.places[prefix+target]; ok {
				return p, true, nil
			}
		}
		what = "a link to a file that does not come before it"
	case tar.TypeSymlink:
		what = "a symbolic link"
	default:
		what = fmt.Sprintf("an entry of type %q", h.Typeflag)
	}
	if what != "" {
		if skip.n++; skip.n == 1 {
			skip.first = fmt.Sprintf("%s, which is %s", h.Name, what)
		}
		return tarPlace{}, false, nil
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return tarPlace{}, false, fmt.Errorf("the tar entry %q is stored sparsely, which is not read: pack it without --sparse", h.Name)
		}
	}
	at, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return tarPlace{}, false, err
	}
	if h.Size > size-at {
		return tarPlace{}, false, fmt.Errorf("the tar is cut off in %q, which has %d bytes by its header, and %d are left: copy it again", h.Name, h.Size, size-at)
	}
	return tarPlace{number, at, h.Size}, true, nil
}

// tarName returns the path of an entry inside the tar, cleaned, as zipName does.
func tarName(name string) (string, error) {
	if len(name) > maxTarName {
		return "", fmt.Errorf("the name of the tar entry %q… has %d bytes, must have at most %d", name[:40], len(name), maxTarName)
	}
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("the name of the tar entry %q is not UTF-8: rename the file, and pack it again", name)
	}
	clean := path.Clean(strings.TrimLeft(strings.TrimRight(name, "/"), "/"))
	if slices.Contains(strings.Split(name, "/"), "..") || !fs.ValidPath(clean) {
		return "", fmt.Errorf("the tar entry %q is not a path inside the tar", name)
	}
	return clean, nil
}

// notes describes what was left out.
func (s *tarSource) notes() []string {
	var all tarSkipped
	for _, shard := range s.shards {
		if all.n += shard.skip.n; all.first == "" && shard.skip.n > 0 {
			all.first = shard.path + "/" + shard.skip.first
		}
	}
	if all.n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("left out %d entries of tars that are not files, such as %s", all.n, all.first)}
}

func (s *tarSource) list() (*contents, error) {
	l := &contents{files: slices.Sorted(slices.Values(s.names))}
	seen := make(map[string]bool)
	for _, name := range s.names {
		for dir := path.Dir(name); dir != "." && !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			l.dirs = append(l.dirs, dir)
		}
	}
	slices.Sort(l.dirs)
	return l, nil
}

func (s *tarSource) read(name string, buf []byte) ([]byte, error) {
	p, ok := s.places[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	if p.size > s.limit {
		return nil, &limitread.TooLarge{Limit: s.limit}
	}
	shard := s.shards[p.shard]
	f, err := shard.open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shard.path, short(err))
	}
	defer shard.done()
	buf = slices.Grow(buf[:0], int(p.size))[:p.size]
	if _, err := f.ReadAt(buf, p.offset); err != nil && !(errors.Is(err, io.EOF) && p.size == 0) {
		return nil, fmt.Errorf("%s: %w", shard.path, short(err))
	}
	if err := f.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", shard.path, err)
	}
	return buf, nil
}

// group returns the number of the shard of a file.
func (s *tarSource) group(name string) int { return int(s.places[name].shard) }

func (s *tarSource) close() error {
	var errs []error
	for _, shard := range s.shards {
		errs = append(errs, shard.close())
	}
	return errors.Join(errs...)
}

// open returns the file, unpacked; done must follow.
func (t *tarShard) open() (*steadyfile.File, error) {
	t.mu.Lock()
	if t.keep {
		defer t.mu.Unlock()
		if t.file != nil {
			return t.file, nil
		}
	}
	f, err := t.openFile()
	if err != nil && !t.keep {
		t.mu.Unlock()
	}
	t.file = f
	return f, err
}

// done ends the use of the file that open returned.
func (t *tarShard) done() {
	if !t.keep {
		t.file.Close() // it was only read
		t.file = nil
		t.mu.Unlock()
	}
}

func (t *tarShard) openFile() (*steadyfile.File, error) {
	if t.unpack != "" {
		return steadyfile.Open(t.unpack)
	}
	f, err := steadyfile.Open(t.path)
	if err != nil {
		return nil, err
	}
	if t.time.IsZero() {
		t.size, t.time = f.Size(), f.ModTime()
	} else if f.Size() != t.size || !f.ModTime().Equal(t.time) {
		return nil, errors.Join(steadyfile.ErrChanged, f.Close())
	}
	var magic [6]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close())
	}
	switch m := string(magic[:]); {
	case strings.HasPrefix(m, "\x1f\x8b"):
		defer f.Close()
		if t.unpack, err = gunzip(f); err != nil {
			return nil, err
		}
		return steadyfile.Open(t.unpack)
	case strings.HasPrefix(m, "\x28\xb5\x2f\xfd"), strings.HasPrefix(m, "BZh"), m == "\xfd7zXZ\x00":
		return nil, errors.Join(errors.New("the tar is packed by Zstandard, bzip2 or xz, which is not read: unpack it first"), f.Close())
	}
	return f, nil
}

func (t *tarShard) close() error {
	var err error
	if t.file != nil {
		err = t.file.Close()
		t.file = nil
	}
	if t.unpack != "" {
		err = errors.Join(err, os.Remove(t.unpack))
	}
	return err
}

// A file that unpacks to more than bombSize, and more than bombRatio times its own size,
// holds no pictures, which are packed already.
const (
	bombSize  = 1 << 30
	bombRatio = 100
)

// gunzip unpacks a file to a temporary one and returns its name. What is packed can
// only be read from its start, but pictures are read in any order, and by several
// goroutines.
func gunzip(f *steadyfile.File) (name string, err error) {
	z, err := gzip.NewReader(io.NewSectionReader(f, 0, f.Size()))
	if err != nil {
		return "", err
	}
	out, err := os.CreateTemp("", "resnet-*.tar")
	if err != nil {
		return "", fmt.Errorf("a packed tar needs a temporary file: %w", err)
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	limit := max(bombSize, bombRatio*f.Size())
	n, err := io.Copy(out, io.LimitReader(z, limit+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "", errors.New("the file is cut off, or has other bytes behind its end: copy it again")
	case err != nil:
		return "", fmt.Errorf("unpacking it: %w", err)
	case n > limit:
		return "", fmt.Errorf("the file of %d bytes unpacks to more than %d times its size, so it cannot be pictures: unpack it yourself if it is what you want", f.Size(), bombRatio)
	}
	return out.Name(), nil
}

// stream opens a file of any size for reading from its start.
func (s *tarSource) stream(name string) (io.ReadCloser, error) {
	p, ok := s.places[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	f, err := s.shards[p.shard].openFile()
	if err != nil {
		return nil, short(err)
	}
	return &tarStream{io.NewSectionReader(f, p.offset, p.size), f}, nil
}

// tarStream is a file in a tar.
type tarStream struct {
	*io.SectionReader
	file *steadyfile.File
}

// Close closes the tar.
func (s *tarStream) Close() error { return s.file.Close() }

// beside reads a file in the folder of the first shard.
func (s *tarSource) beside(name string) ([]byte, error) {
	if len(s.shards) == 0 || s.shards[0].path == "" {
		return nil, fs.ErrNotExist
	}
	return limitread.File(filepath.Join(filepath.Dir(s.shards[0].path), name), s.limit)
}
