package pytorch

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"slices"
)

// stream is the format before PyTorch 1.6: five pickles (a magic number, a
// protocol version, the machine, the object, the keys of the storages), then
// for each key the number of elements and the elements.
type stream struct {
	ra    io.ReaderAt
	place map[string]int64
}

// magic is the number that such a file begins with.
var magic = func() *big.Int {
	n, _ := new(big.Int).SetString("1950a86a20f9469cfc6c", 16)
	return n
}()

const streamVersion = 1001

func (r *Reader) openStream(ra io.ReaderAt, size int64) (any, error) {
	b := make([]byte, min(size, maxPickle))
	if _, err := io.ReadFull(io.NewSectionReader(ra, 0, size), b); err != nil {
		return nil, fmt.Errorf("pytorch: read the pickle: %w", err)
	}
	if b[0] != 0x80 && b[0] != 'L' { // protocol 1 has no mark, its first value is a number
		return nil, badf("it is neither a zip archive nor a pickle, so it was not written by torch.save")
	}
	storages := map[string]*storage{}
	p := &unpickler{b: b, persID: func(id any) (any, error) { return persistent(storages, id, true) }}
	first, err := p.next()
	if err != nil {
		return nil, err
	}
	if n, ok := first.(*big.Int); !ok || n.Cmp(magic) != 0 {
		return nil, badf("it is a pickle, but not one of torch.save (no magic number)")
	}
	if v, err := p.next(); err != nil {
		return nil, err
	} else if v != int64(streamVersion) {
		return nil, badf("version %v of the format is not %d", v, streamVersion)
	}
	// The machine's byte order does not matter: elements are little-endian.
	if _, err := p.next(); err != nil {
		return nil, err
	}
	root, err := p.next()
	if err != nil {
		return nil, err
	}
	keys, err := p.next()
	if err != nil {
		return nil, err
	}
	s := &stream{ra: ra, place: map[string]int64{}}
	if err := s.locate(keys, storages, int64(p.at), size); err != nil {
		return nil, err
	}
	r.box = s
	return root, nil
}

// locate finds where each storage begins.
func (s *stream) locate(keys any, storages map[string]*storage, at, size int64) error {
	l, ok := keys.(*list)
	if !ok {
		return badf("the keys of the storages are not a list")
	}
	for _, k := range l.items {
		key, ok := k.(string)
		st := storages[key]
		if !ok || st == nil {
			return badf("the file has the storage %s, which no tensor uses", clip(fmt.Sprint(k)))
		}
		if _, dup := s.place[key]; dup {
			return badf("storage %s is there twice", clip(key))
		}
		var head [8]byte
		if size-at < 8 {
			return badf("the file ends before storage %s: it is cut off", clip(key))
		}
		if _, err := s.ra.ReadAt(head[:], at); err != nil {
			return fmt.Errorf("pytorch: read storage %s: %w", clip(key), err)
		}
		at += 8
		if n := int64(binary.LittleEndian.Uint64(head[:])); n != st.numel {
			return badf("storage %s has %d elements, the pickle says %d", clip(key), n, st.numel)
		}
		if st.bytes() > size-at {
			return badf("the file ends within storage %s: it is cut off", clip(key))
		}
		s.place[key] = at
		at += st.bytes()
	}
	if at < size {
		return badf("%d bytes follow the last storage", size-at)
	}
	return nil
}

func (s *stream) bytes(st *storage) (section, error) {
	at, ok := s.place[st.key]
	if !ok {
		return section{}, badf("the file has no bytes for storage %s", clip(st.key))
	}
	n := st.bytes()
	return section{ReaderAt: io.NewSectionReader(s.ra, at, n), size: n}, nil
}

// bytes returns the size of the storage.
func (s *storage) bytes() int64 {
	if s.dtype == "" {
		return s.numel
	}
	return s.numel * sizes[s.dtype]
}

// persistent turns a persistent id, ("storage", class, key, location, numel)
// and in the stream format a sixth value, into a storage.
func persistent(known map[string]*storage, id any, stream bool) (any, error) {
	t, ok := id.(tuple)
	want := 5
	if stream {
		want = 6
	}
	if !ok || len(t) != want || t[0] != "storage" {
		if ok && len(t) > 1 && t[0] == "module" { // a class with its source, of a whole module
			return t[1], nil
		}
		return nil, badf("a storage is not described as torch.save does")
	}
	class, ok1 := t[1].(*global)
	key, ok2 := t[2].(string)
	numel, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 || !class.storage {
		return nil, badf("a storage is not described as torch.save does")
	}
	if numel < 0 || numel > maxNumel {
		return nil, badf("storage %s has %d elements", clip(key), numel)
	}
	s := known[key]
	if s == nil {
		s = &storage{key: key, dtype: class.dtype, numel: numel}
		known[key] = s
	}
	if s.dtype != class.dtype || s.numel != numel {
		return nil, badf("storage %s is described in two ways", clip(key))
	}
	if want == 5 || t[5] == nil {
		return s, nil
	}
	return part(s, t[5])
}

// part is the sixth value, (key, first, numel), of the oldest files.
func part(s *storage, v any) (any, error) {
	t, ok := v.(tuple)
	if !ok || len(t) != 3 {
		return nil, badf("the part of storage %s is not described as torch.save does", clip(s.key))
	}
	at, ok := ints(slices.Clone(t[1:]))
	if !ok || at[0] < 0 || at[1] < 0 || at[0] > s.numel || at[1] > s.numel-at[0] {
		return nil, badf("the part of storage %s is beyond its %d elements", clip(s.key), s.numel)
	}
	return &storage{key: s.key, dtype: s.dtype, numel: at[1], root: s, first: at[0]}, nil
}
