package onnx

import (
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/resnet-go/resnet/internal/steadyfile"
)

// external reads the data of tensors that are in other files than the model. Only
// the parts that tensors need are read.
type external struct {
	dir   string // "" if the model did not come from a file
	files map[string]*steadyfile.File
	kept  map[string]bool   // files from which deferred tensors are read later
	sums  map[string]string // checksums of tensors in other files, of a file of ours
	skip  bool              // compares no checksums

	// Of a model whose large weights stay in its file.
	data []byte      // the whole file
	src  io.ReaderAt // the file, nil if nothing is deferred
	path string

	// stateDict is set if external tensors have no values here, see [FromArchitecture].
	stateDict bool
}

func newExternal() *external {
	return &external{files: map[string]*steadyfile.File{}, kept: map[string]bool{}}
}

// close closes the files that nothing needs any more.
func (x *external) close() {
	for name, f := range x.files {
		if !x.kept[name] {
			f.Close() // it was only read
		}
	}
}

// place finds the file and the offset of a tensor's bytes, of which there are need.
func (x *external) place(t *tensorProto, need int64) (location string, f *steadyfile.File, offset int64, err error) {
	length := int64(-1)
	for _, e := range t.external {
		switch e.key {
		case "location":
			location = e.value
		case "offset":
			offset, err = strconv.ParseInt(e.value, 10, 64)
		case "length":
			length, err = strconv.ParseInt(e.value, 10, 64)
		}
		if err != nil {
			return "", nil, 0, fmt.Errorf("external data: %s %q is not a number", e.key, e.value)
		}
	}
	switch {
	case x.dir == "":
		return "", nil, 0, fmt.Errorf("its data are in the file %q, but the model was not loaded from a folder", location)
	case !filepath.IsLocal(filepath.FromSlash(location)):
		return "", nil, 0, fmt.Errorf("external data %q is not in the model's folder", location)
	case length >= 0 && length != need:
		return "", nil, 0, fmt.Errorf("external data: %d bytes are not its %d", length, need)
	case length < -1:
		return "", nil, 0, fmt.Errorf("external data: a length of %d", length)
	}
	if f = x.files[location]; f == nil {
		if f, err = x.open(location); err != nil {
			return "", nil, 0, fmt.Errorf("external data: %w", err)
		}
		x.files[location] = f
	}
	if offset < 0 || offset > f.Size() || need > f.Size()-offset {
		return "", nil, 0, fmt.Errorf("external data: %d bytes from %d are not in %s of %d bytes", need, offset, location, f.Size())
	}
	return location, f, offset, nil
}

// read returns the bytes of a tensor that is kept in another file, which must lie in
// the model's folder or below it.
func (x *external) read(t *tensorProto, need int64) ([]byte, error) {
	location, f, offset, err := x.place(t, need)
	if err != nil {
		return nil, err
	}
	b := make([]byte, need)
	if _, err := f.ReadAt(b, offset); err != nil {
		return nil, fmt.Errorf("external data: %s: %w", location, err)
	}
	if sum := x.sums[t.name]; sum != "" && sum != sumText(crc32.Checksum(b, castagnoli)) {
		return nil, fmt.Errorf("external data: %s: %w", location, ErrChecksum)
	}
	return b, nil
}

// open opens a file of the model's folder. A symbolic link may lead to where the
// model's own link leads, as in the cache of a model hub, and nowhere else out of
// the folder.
func (x *external) open(location string) (*steadyfile.File, error) {
	path := filepath.Join(x.dir, filepath.FromSlash(location))
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	for _, model := range []string{x.dir, x.path} {
		home, err := filepath.EvalSymlinks(model)
		if err != nil || model == "" {
			continue
		}
		if model == x.path {
			home = filepath.Dir(home)
		}
		if rel, err := filepath.Rel(home, target); err == nil && filepath.IsLocal(rel) && rel != "." {
			return steadyfile.Open(target)
		}
	}
	return nil, fmt.Errorf("%s is a link to %s, which is in neither the model's folder nor the one to which the model itself is a link", path, strings.TrimSpace(target))
}
