package pytorch

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// tarFile is the first format, of PyTorch before 0.1.10: a tar archive with the
// members storages (pickles and elements in turn), tensors (views of them) and
// pickle (the object, which names tensors by numbers).
type tarFile struct {
	ra    io.ReaderAt
	place map[string]int64
}

// window is how much of a member is read for one of its small pickles.
const window = 4 << 10

// isTar reports whether the first bytes are those of a tar archive.
func isTar(b []byte) bool { return len(b) > 262 && string(b[257:262]) == "ustar" }

func (r *Reader) openTar(ra io.ReaderAt, size int64) (any, error) {
	members := map[string]*tarMember{}
	sr := io.NewSectionReader(ra, 0, size)
	for tr := tar.NewReader(sr); len(members) < 64; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, badf("the tar archive: %w (is it cut off?)", err)
		}
		at, err := sr.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg || h.Size < 0 || h.Size > size-at {
			continue
		}
		if members[h.Name] != nil {
			return nil, badf("the tar archive has %s twice", clip(h.Name))
		}
		members[h.Name] = &tarMember{ra: ra, name: h.Name, at: at, end: at + h.Size}
	}
	for _, name := range []string{"storages", "tensors", "pickle"} {
		if members[name] == nil {
			return nil, badf("it is a tar archive without the member %q, so torch.save did not write it: unpack it first", name)
		}
	}
	a := &tarFile{ra: ra, place: map[string]int64{}}
	r.box = a
	storages, err := a.storages(members["storages"])
	if err != nil {
		return nil, err
	}
	views, err := tarTensors(members["tensors"], storages)
	if err != nil {
		return nil, err
	}
	return members["pickle"].pickle(maxPickle, func(id any) (any, error) {
		if t, ok := id.(tuple); ok && len(t) > 0 { // a module with its source
			return t[0], nil
		}
		v, ok := views[fmt.Sprint(id)]
		if !ok {
			return nil, badf("the pickle names the tensor %s, which the archive does not have", clip(fmt.Sprint(id)))
		}
		return v, nil
	})
}

// tarMember is a member of the archive, read from at on.
type tarMember struct {
	ra      io.ReaderAt
	name    string
	at, end int64
}

// take reads the next n bytes.
func (m *tarMember) take(b []byte) error {
	if int64(len(b)) > m.end-m.at {
		return badf("the member %s of the tar archive is cut off", m.name)
	}
	if _, err := m.ra.ReadAt(b, m.at); err != nil {
		return fmt.Errorf("pytorch: read %s: %w", m.name, err)
	}
	m.at += int64(len(b))
	return nil
}

// pickle reads the next pickle, which has at most limit bytes.
func (m *tarMember) pickle(limit int64, persID func(any) (any, error)) (any, error) {
	b := make([]byte, min(limit, m.end-m.at))
	if err := m.take(b); err != nil {
		return nil, err
	}
	p := &unpickler{b: b, persID: persID}
	v, err := p.next()
	m.at -= int64(len(b) - p.at)
	return v, err
}

// count reads how many things follow, each of at least least bytes.
func (m *tarMember) count(least int64) (int64, error) {
	v, err := m.pickle(window, noID)
	if err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	if !ok || n < 0 || n > (m.end-m.at)/least {
		return 0, badf("the member %s of the tar archive does not begin with a number of its parts", m.name)
	}
	return n, nil
}

func noID(any) (any, error) { return nil, badf("a persistent id is where none can be") }

// fields reads a pickle of a tuple or list of n values.
func (m *tarMember) fields(n int, limit int64) ([]any, error) {
	v, err := m.pickle(limit, noID)
	if err != nil {
		return nil, err
	}
	var items []any
	switch v := v.(type) {
	case tuple:
		items = v
	case *list:
		items = v.items
	}
	if len(items) != n && n >= 0 {
		return nil, badf("the member %s of the tar archive has a part of %d values, not %d", m.name, len(items), n)
	}
	return items, nil
}

// storages reads where each storage is, by its key.
func (a *tarFile) storages(m *tarMember) (map[string]*storage, error) {
	n, err := m.count(16)
	if err != nil {
		return nil, err
	}
	known := map[string]*storage{}
	for range n {
		f, err := m.fields(3, window) // key, location, class
		if err != nil {
			return nil, err
		}
		class, ok := f[2].(*global)
		if !ok || !class.storage || class.dtype == "" {
			return nil, badf("a storage of the tar archive has no class of storages")
		}
		var head [8]byte
		if err := m.take(head[:]); err != nil {
			return nil, err
		}
		s := &storage{key: fmt.Sprint(f[0]), dtype: class.dtype, numel: int64(binary.LittleEndian.Uint64(head[:]))}
		if s.numel < 0 || s.numel > maxNumel || s.bytes() > m.end-m.at {
			return nil, badf("storage %s has %d elements, which the tar archive does not hold: it is cut off", clip(s.key), s.numel)
		}
		if known[s.key] != nil {
			return nil, badf("storage %s is there twice", clip(s.key))
		}
		known[s.key], a.place[s.key] = s, m.at
		m.at += s.bytes()
	}
	parts, err := m.fields(-1, maxPickle)
	if err != nil {
		return nil, err
	}
	for _, part := range parts { // (key, key of the whole, first element, elements)
		t, ok := part.(tuple)
		if !ok || len(t) != 4 {
			return nil, badf("a part of a storage of the tar archive is not described as torch.save does")
		}
		whole := known[fmt.Sprint(t[1])]
		at, ok := ints(t[2:4:4])
		if !ok || whole == nil || whole.root != nil || at[0] < 0 || at[1] < 0 || at[0] > whole.numel || at[1] > whole.numel-at[0] {
			return nil, badf("the part %s of storage %s is beyond it", clip(fmt.Sprint(t[0])), clip(fmt.Sprint(t[1])))
		}
		known[fmt.Sprint(t[0])] = &storage{key: whole.key, dtype: whole.dtype, numel: at[1], root: whole, first: at[0]}
	}
	return known, nil
}

// tarTensors reads the views of the storages, by the keys that the pickle has.
func tarTensors(m *tarMember, storages map[string]*storage) (map[string]*view, error) {
	n, err := m.count(20)
	if err != nil {
		return nil, err
	}
	views := map[string]*view{}
	for range n {
		f, err := m.fields(3, window) // key, storage, class
		if err != nil {
			return nil, err
		}
		s := storages[fmt.Sprint(f[1])]
		if s == nil {
			return nil, badf("a tensor of the tar archive is of storage %s, which is not there", clip(fmt.Sprint(f[1])))
		}
		var head [8]byte // the rank, and four bytes without meaning
		if err := m.take(head[:]); err != nil {
			return nil, err
		}
		rank := binary.LittleEndian.Uint32(head[:])
		if rank > maxRank {
			return nil, badf("a tensor of the tar archive has %d axes", rank)
		}
		raw := make([]byte, 16*rank+8)
		if err := m.take(raw); err != nil {
			return nil, err
		}
		number := func(i int) int64 { return int64(binary.LittleEndian.Uint64(raw[8*i:])) }
		size, stride := make(tuple, rank), make(tuple, rank)
		for i := range int(rank) {
			size[i], stride[i] = number(i), number(int(rank)+i)
		}
		v, err := newView(s, s.dtype, s.numel, number(2*int(rank)), size, stride)
		if err != nil {
			return nil, err
		}
		views[fmt.Sprint(f[0])] = v.(*view)
	}
	return views, nil
}

func (a *tarFile) bytes(s *storage) (section, error) {
	at, ok := a.place[s.key]
	if !ok {
		return section{}, badf("the file has no bytes for storage %s", clip(s.key))
	}
	n := s.bytes()
	return section{ReaderAt: io.NewSectionReader(a.ra, at, n), size: n}, nil
}
