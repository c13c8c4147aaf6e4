package hdf5

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// Builder is a group to be written. Its zero value is an empty group.
type Builder struct {
	groups   map[string]*Builder
	datasets map[string]dataset
	attrs    []attr
	err      error // the first mistake, returned by Write
}

type dataset struct {
	shape []int
	data  any
}

type attr struct {
	name  string
	value any
}

func (b *Builder) failf(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

func (b *Builder) taken(name string) bool {
	_, g := b.groups[name]
	_, d := b.datasets[name]
	return g || d
}

// Group returns the group at a path below b, making what is missing of it.
func (b *Builder) Group(path string) *Builder {
	for name := range strings.SplitSeq(path, "/") {
		g, ok := b.groups[name]
		if !ok {
			if name == "" || b.taken(name) || strings.ContainsRune(name, 0) {
				b.failf("HDF5: %q of the path %q cannot be a group", name, path)
			}
			if b.groups == nil {
				b.groups = map[string]*Builder{}
			}
			g = &Builder{}
			b.groups[name] = g
		}
		b = g
	}
	return b
}

// Dataset adds an array at a path below b: []float32, []int64, []int32 or
// []uint32 of the shape's number of elements, [] being a scalar. The data must
// not change before the file is written.
func (b *Builder) Dataset(path string, shape []int, data any) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		b, path = b.Group(path[:i]), path[i+1:]
	}
	_, n, err := numbers(data)
	switch {
	case err != nil:
		b.failf("HDF5: dataset %s: %w", path, err)
	case n != numel(shape):
		b.failf("HDF5: dataset %s: %d elements for the shape %v", path, n, shape)
	case path == "" || b.taken(path) || strings.ContainsRune(path, 0):
		b.failf("HDF5: the name of the dataset %q is empty or taken", path)
	}
	if b.datasets == nil {
		b.datasets = map[string]dataset{}
	}
	b.datasets[path] = dataset{shape: slices.Clone(shape), data: data}
}

// maxAttr is the room in a header message, less the attribute's own header.
const maxAttr = 64512

// Attr adds an attribute: a string (stored as one of variable length, in
// UTF-8, as h5py does) or []string (of the length of the longest).
func (b *Builder) Attr(name string, value any) {
	switch v := value.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			b.failf("HDF5: attribute %s: a zero byte in a string", name)
		}
	case []string:
		if n := longest(v) * len(v); n > maxAttr {
			b.failf("HDF5: attribute %s: %d bytes, at most %d have room", name, n, maxAttr)
		}
	default:
		b.failf("HDF5: attribute %s of type %T", name, value)
	}
	b.attrs = append(b.attrs, attr{name, value})
}

func longest(ss []string) int {
	n := 1 // HDF5 has no empty type
	for _, s := range ss {
		n = max(n, len(s))
	}
	return n
}

// Write writes the file whose root group is b to w. The same content always
// gives the same bytes.
func Write(w io.Writer, b *Builder) error {
	p := planner{pos: superblockSize}
	root, err := p.group(b)
	if err != nil {
		return err
	}
	bw := bufio.NewWriterSize(w, 1<<16)
	bw.Write(superblock(root, p.pos)) // a bufio.Writer keeps its first error
	for _, piece := range p.pieces {
		if err := piece(bw); err != nil {
			return err
		}
	}
	return bw.Flush()
}

const superblockSize = 96

// How many entries a symbol node and how many children a B-tree node have at
// most, halved as the superblock wants it; the library's defaults.
const (
	leafK     = 4
	internalK = 16
)

func superblock(root headerAt, end uint64) []byte {
	e := encoder(signature)
	e = e.u8(0, 0, 0, 0, 0, 8, 8, 0)
	e = e.u16(leafK).u16(internalK).u32(0)
	e = e.u64(0, undefined, end, undefined)
	return e.u64(0, root.addr).u32(1).u32(0).u64(root.tree, root.heap)
}

// encoder appends little-endian numbers.
type encoder []byte

func (e encoder) u8(vs ...uint8) encoder { return append(e, vs...) }
func (e encoder) u16(v uint16) encoder   { return binary.LittleEndian.AppendUint16(e, v) }
func (e encoder) u32(v uint32) encoder   { return binary.LittleEndian.AppendUint32(e, v) }
func (e encoder) u64(vs ...uint64) encoder {
	for _, v := range vs {
		e = binary.LittleEndian.AppendUint64(e, v)
	}
	return e
}

// pad8 fills up to a multiple of 8 bytes.
func (e encoder) pad8() encoder { return append(e, make([]byte, -len(e)&7)...) }

// planner gives every piece of the file its address, children before the pieces
// that point to them.
type planner struct {
	pos    uint64
	pieces []func(w io.Writer) error
}

// place adds a piece, padded to a multiple of 8 bytes, and returns its address.
func (p *planner) place(e encoder) uint64 {
	e = e.pad8()
	addr := p.pos
	p.pos += uint64(len(e))
	p.pieces = append(p.pieces, func(w io.Writer) error { _, err := w.Write(e); return err })
	return addr
}

// headerAt is a group's header and what stands in the entry that leads to it.
type headerAt struct{ addr, tree, heap uint64 }

func (p *planner) group(b *Builder) (headerAt, error) {
	if b.err != nil {
		return headerAt{}, b.err
	}
	entries := map[string]headerAt{}
	for _, name := range slices.Sorted(maps.Keys(b.groups)) {
		g, err := p.group(b.groups[name])
		if err != nil {
			return headerAt{}, err
		}
		entries[name] = g
	}
	for _, name := range slices.Sorted(maps.Keys(b.datasets)) {
		addr, err := p.dataset(b.datasets[name])
		if err != nil {
			return headerAt{}, fmt.Errorf("HDF5: dataset %s: %w", name, err)
		}
		entries[name] = headerAt{addr: addr}
	}
	h := p.symbols(entries)
	messages := []message{{kind: msgSymbolTable, data: encoder{}.u64(h.tree, h.heap)}}
	attrs, err := p.attrs(b.attrs)
	if err != nil {
		return headerAt{}, err
	}
	h.addr = p.header(append(messages, attrs...))
	return h, nil
}

// symbols writes the names, nodes and B-tree of a group.
func (p *planner) symbols(entries map[string]headerAt) headerAt {
	names := encoder(make([]byte, 8)) // offset 0 is the empty name
	type entry struct {
		key  uint64 // offset of the largest name below
		addr uint64
	}
	var level []entry // the nodes of one level of the tree
	sorted := slices.Sorted(maps.Keys(entries))
	for leaf := range slices.Chunk(sorted, 2*leafK) {
		node := encoder("SNOD").u8(1, 0).u16(uint16(len(leaf)))
		last := uint64(0)
		for _, name := range leaf {
			last = uint64(len(names))
			names = append(append(names, name...), 0).pad8()
			h := entries[name]
			node = node.u64(last, h.addr)
			if h.heap != 0 {
				node = node.u32(1).u32(0).u64(h.tree, h.heap)
			} else {
				node = node.u32(0).u32(0).u64(0, 0)
			}
		}
		node = append(node, make([]byte, 8+2*leafK*40-len(node))...)
		level = append(level, entry{last, p.place(node)})
	}
	size := 24 + 8 + 2*internalK*16
	h := headerAt{tree: undefined}
	for depth := uint8(0); h.tree == undefined; depth++ {
		var above []entry
		before := uint64(0) // the largest name to the left
		start := p.pos
		chunks := slices.Collect(slices.Chunk(level, 2*internalK))
		if len(chunks) == 0 {
			chunks = [][]entry{nil} // an empty group has an empty tree
		}
		for i, children := range chunks {
			left, right := uint64(undefined), uint64(undefined)
			if i > 0 {
				left = start + uint64((i-1)*size)
			}
			if i < len(chunks)-1 {
				right = start + uint64((i+1)*size)
			}
			node := encoder("TREE").u8(btreeSymbols, depth).u16(uint16(len(children))).u64(left, right, before)
			for _, c := range children {
				node = node.u64(c.addr, c.key)
				before = c.key
			}
			node = append(node, make([]byte, size-len(node))...)
			above = append(above, entry{before, p.place(node)})
		}
		if level = above; len(level) == 1 {
			h.tree = level[0].addr
		}
	}
	// 1 (H5HL_FREE_NULL) stands for a heap without free space.
	data := p.place(names)
	h.heap = p.place(encoder("HEAP").u8(0, 0, 0, 0).u64(uint64(len(names)), 1, data))
	return h
}

// header writes an object header of version 1.
func (p *planner) header(messages []message) uint64 {
	var body encoder
	for _, m := range messages {
		data := encoder(m.data).pad8()
		body = body.u16(uint16(m.kind)).u16(uint16(len(data))).u8(m.flags, 0, 0, 0)
		body = append(body, data...)
	}
	head := encoder{}.u8(1, 0).u16(uint16(len(messages))).u32(1).u32(uint32(len(body))).u32(0)
	return p.place(append(head, body...))
}

const flagConstant = 1 // a message that does not change

func (p *planner) dataset(d dataset) (uint64, error) {
	typ, n, err := numbers(d.data)
	if err != nil {
		return 0, err
	}
	size := uint64(n) * uint64(typ.size)
	addr := p.pos
	if n == 0 {
		addr = undefined
	}
	p.pos += (size + 7) &^ 7
	p.pieces = append(p.pieces, func(w io.Writer) error {
		if err := binary.Write(w, binary.LittleEndian, d.data); err != nil {
			return err
		}
		_, err := w.Write(make([]byte, -size&7))
		return err
	})
	return p.header([]message{
		{kind: msgDataspace, data: space(d.shape)},
		{kind: msgDatatype, flags: flagConstant, data: typ.message},
		// Space is allocated late, the fill value is the default.
		{kind: 0x05, flags: flagConstant, data: encoder{}.u8(2, 2, 2, 1).u32(0)},
		{kind: msgLayout, data: encoder{}.u8(3, contiguous).u64(addr, size)},
	}), nil
}

// space is a dataspace message.
func space(shape []int) encoder {
	e := encoder{}.u8(1, uint8(len(shape)), 0, 0).u32(0)
	for _, d := range shape {
		e = e.u64(uint64(d))
	}
	return e
}

type numberType struct {
	message encoder
	size    int
}

// numbers describes the data of a dataset.
func numbers(data any) (t numberType, n int, err error) {
	integer := func(size int, signed uint8) numberType {
		return numberType{encoder{}.u8(0x10, signed<<3, 0, 0).u32(uint32(size)).u16(0).u16(uint16(8 * size)), size}
	}
	switch v := data.(type) {
	case []float32:
		// IEEE, little-endian: sign at 31, 8 bits of exponent at 23, bias 127.
		return numberType{encoder{}.u8(0x11, 0x20, 31, 0).u32(4).u16(0).u16(32).u8(23, 8, 0, 23).u32(127), 4}, len(v), nil
	case []int32:
		return integer(4, 1), len(v), nil
	case []uint32:
		return integer(4, 0), len(v), nil
	case []int64:
		return integer(8, 1), len(v), nil
	}
	return t, 0, fmt.Errorf("data of type %T cannot be written", data)
}

// attrs returns the messages of attributes, after placing long strings.
func (p *planner) attrs(attrs []attr) ([]message, error) {
	var ms []message
	for _, a := range attrs {
		var typ, shape, data encoder
		switch v := a.value.(type) {
		case string: // a string of variable length, in the global heap
			typ = encoder{}.u8(0x19, 1, 1, 0).u32(varElement)
			typ = append(typ, encoder{}.u8(0x10, 0, 0, 0).u32(1).u16(0).u16(8)...)
			shape = space(nil)
			if uint64(len(v)) > math.MaxUint32 {
				return nil, fmt.Errorf("HDF5: attribute %s: %d bytes", a.name, len(v))
			}
			data = encoder{}.u32(uint32(len(v))).u64(p.heap(v)).u32(1)
		case []string: // padded with zeros
			n := longest(v)
			typ = encoder{}.u8(0x13, 1, 0, 0).u32(uint32(n))
			shape = space([]int{len(v)})
			for _, s := range v {
				data = append(append(data, s...), make([]byte, n-len(s))...)
			}
		}
		name := append(encoder(a.name), 0)
		m := encoder{}.u8(1, 0).u16(uint16(len(name))).u16(uint16(len(typ))).u16(uint16(len(shape)))
		for _, part := range []encoder{name, typ, shape, data} {
			m = append(m, part.pad8()...)
		}
		if len(m) > math.MaxUint16 {
			return nil, fmt.Errorf("HDF5: attribute %s: %d bytes are too many", a.name, len(m))
		}
		ms = append(ms, message{kind: msgAttribute, data: m})
	}
	return ms, nil
}

// heap writes a collection with one object.
func (p *planner) heap(s string) uint64 {
	const prefix, smallest = 16, 4096
	object := encoder{}.u16(1).u16(0).u32(0).u64(uint64(len(s)))
	object = append(object, s...).pad8()
	size := max(prefix+len(object)+prefix, smallest)
	e := encoder("GCOL").u8(1, 0, 0, 0).u64(uint64(size))
	e = append(e, object...)
	free := size - len(e) // counts its own header
	e = e.u16(0).u16(0).u32(0).u64(uint64(free))
	return p.place(append(e, make([]byte, size-len(e))...))
}
