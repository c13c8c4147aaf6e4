package hdf5

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// link is an entry of a group.
type link struct {
	addr uint64 // of the object's header
	err  error  // why it leads nowhere that is read
}

// Group is a folder of groups and datasets.
type Group struct {
	Path string // "/" for the root
	o    *object
}

func (f *File) groupAt(path string, addr uint64) (*Group, error) {
	o, err := f.object(addr)
	if err == nil {
		err = o.readLinks()
	}
	if err != nil {
		return nil, fmt.Errorf("HDF5 group %s: %w", path, err)
	}
	return &Group{path, o}, nil
}

// Names returns what the group holds, sorted.
func (g *Group) Names() []string { return g.o.names }

// Has reports whether the group holds something of that name (not a path).
func (g *Group) Has(name string) bool {
	_, ok := g.o.links[name]
	return ok
}

// IsGroup reports whether the member of that name is a group that can be read.
func (g *Group) IsGroup(name string) bool {
	l, ok := g.o.links[name]
	if !ok || l.err != nil {
		return false
	}
	o, err := g.o.f.object(l.addr)
	return err == nil && o.isGroup()
}

func (g *Group) join(name string) string {
	if g.Path == "/" {
		return "/" + name
	}
	return g.Path + "/" + name
}

// walk follows path but for its last part.
func (g *Group) walk(path string) (in *Group, last string, err error) {
	for {
		first, rest, more := strings.Cut(path, "/")
		if !more {
			return g, first, nil
		}
		addr, err := g.addr(first)
		if err != nil {
			return nil, "", err
		}
		if g, err = g.o.f.groupAt(g.join(first), addr); err != nil {
			return nil, "", err
		}
		path = rest
	}
}

func (g *Group) addr(name string) (uint64, error) {
	l, ok := g.o.links[name]
	if !ok {
		return 0, fmt.Errorf("HDF5 group %s has no %q: %w", g.Path, name, ErrNotFound)
	}
	if l.err != nil {
		return 0, fmt.Errorf("HDF5 %s: %w", g.join(name), l.err)
	}
	return l.addr, nil
}

// Group opens a group below g by a path such as "layers/conv2d/vars". An error
// wraps [ErrNotFound] if there is none.
func (g *Group) Group(path string) (*Group, error) {
	in, last, err := g.walk(path)
	if err != nil {
		return nil, err
	}
	addr, err := in.addr(last)
	if err != nil {
		return nil, err
	}
	return in.o.f.groupAt(in.join(last), addr)
}

// Dataset opens a dataset below g by its path. An error wraps [ErrNotFound] if
// there is none.
func (g *Group) Dataset(path string) (*Dataset, error) {
	in, last, err := g.walk(path)
	if err != nil {
		return nil, err
	}
	addr, err := in.addr(last)
	if err != nil {
		return nil, err
	}
	path = in.join(last)
	o, err := g.o.f.object(addr)
	if err == nil {
		err = o.readDataset()
	}
	if err != nil {
		return nil, fmt.Errorf("HDF5 dataset %s: %w", path, err)
	}
	d := *o.dataset
	d.Path = path
	return &d, nil
}

// Attr returns an attribute of the group. An error wraps [ErrNotFound] if it
// has none of that name.
func (g *Group) Attr(name string) (*Attr, error) { return g.o.attr(g.Path, name) }

// Attrs returns the group's attributes in the order in which they are stored.
func (g *Group) Attrs() ([]*Attr, error) {
	if err := g.o.readAttrs(); err != nil {
		return nil, fmt.Errorf("HDF5 %s: %w", g.Path, err)
	}
	return g.o.attrs, nil
}

func (o *object) attr(path, name string) (*Attr, error) {
	if err := o.readAttrs(); err != nil {
		return nil, fmt.Errorf("HDF5 %s: %w", path, err)
	}
	for _, a := range o.attrs {
		if a.Name == name {
			return a, nil
		}
	}
	return nil, fmt.Errorf("HDF5 %s has no attribute %q: %w", path, name, ErrNotFound)
}

// readAttrs reads the attributes in the header and the dense ones.
func (o *object) readAttrs() error {
	if o.attrs != nil || o.attrErr != nil {
		return o.attrErr
	}
	o.attrs = []*Attr{}
	o.attrErr = o.collectAttrs()
	return o.attrErr
}

func (o *object) collectAttrs() error {
	add := func(m message) error {
		a, err := o.f.parseAttr(m)
		if err != nil {
			return err
		}
		o.attrs = append(o.attrs, a)
		return nil
	}
	for _, m := range o.messages {
		if m.kind == msgAttribute {
			if err := add(m); err != nil {
				return err
			}
		}
	}
	info, err := o.find(msgAttrInfo)
	if err != nil || info == nil {
		return err
	}
	c := cursor{b: info}
	c.version(0)
	if c.u8()&1 != 0 {
		c.skip(2)
	}
	heap, index := c.u64(), c.u64()
	if c.err != nil {
		return fmt.Errorf("attribute info: %w", c.err)
	}
	if heap == undefined {
		return nil
	}
	return o.f.dense(heap, index, btreeAttrNames, func(id, _ []byte, flags uint8) error {
		return add(message{msgAttribute, flags, id})
	})
}

func (o *object) isGroup() bool {
	for _, m := range o.messages {
		switch m.kind {
		case msgSymbolTable, msgLinkInfo, msgLink:
			return true
		}
	}
	return false
}

var errNoGroup = errors.New("not a group")

// readLinks reads the group's entries in whichever way they are stored.
func (o *object) readLinks() error {
	if o.links != nil {
		return nil
	}
	if !o.isGroup() {
		return errNoGroup
	}
	links := map[string]link{}
	add := func(name string, l link) error {
		if name == "" || strings.ContainsRune(name, '/') {
			return fmt.Errorf("an entry with the name %q", name)
		}
		if _, ok := links[name]; ok {
			return fmt.Errorf("two entries with the name %q", name)
		}
		links[name] = l
		return nil
	}
	table, err := o.find(msgSymbolTable)
	if err != nil {
		return err
	}
	if table != nil {
		c := cursor{b: table}
		tree, heap := c.u64(), c.u64()
		if c.err != nil {
			return fmt.Errorf("symbol table: %w", c.err)
		}
		if err := o.f.symbols(tree, heap, add); err != nil {
			return err
		}
	}
	for _, m := range o.messages {
		if m.kind == msgLink {
			if err := parseLink(m.data, add); err != nil {
				return err
			}
		}
	}
	info, err := o.find(msgLinkInfo)
	if err != nil {
		return err
	}
	if info != nil {
		c := cursor{b: info}
		c.version(0)
		if c.u8()&1 != 0 {
			c.skip(8)
		}
		heap, index := c.u64(), c.u64()
		if c.err != nil {
			return fmt.Errorf("link info: %w", c.err)
		}
		if heap != undefined {
			err := o.f.dense(heap, index, btreeLinkNames, func(data, _ []byte, _ uint8) error {
				return parseLink(data, add)
			})
			if err != nil {
				return err
			}
		}
	}
	o.links = links
	o.names = slices.Sorted(maps.Keys(links))
	return nil
}

// parseLink reads a link message.
func parseLink(b []byte, add func(string, link) error) error {
	c := cursor{b: b}
	c.version(1)
	flags := c.u8()
	kind := uint8(0)
	if flags&(1<<3) != 0 {
		kind = c.u8()
	}
	if flags&(1<<2) != 0 {
		c.skip(8)
	}
	if flags&(1<<4) != 0 {
		c.skip(1)
	}
	n := c.uint(1 << (flags & 3))
	if n > uint64(len(b)) {
		return fmt.Errorf("link: %w", errShort)
	}
	name := string(c.take(int(n)))
	l := link{}
	switch kind {
	case 0:
		l.addr = c.u64()
	case 1:
		l.err = errSoft
	default:
		l.err = errExternal
	}
	if c.err != nil {
		return fmt.Errorf("link %q: %w", name, c.err)
	}
	return add(name, l)
}

var (
	errSoft     = errors.New("soft links are not followed")
	errExternal = errors.New("links to other files are not followed")
)

// symbols reads a group of the old style: names in a local heap, entries in
// symbol nodes below a B-tree.
func (f *File) symbols(tree, heap uint64, add func(string, link) error) error {
	names, err := f.localHeap(heap)
	if err != nil {
		return fmt.Errorf("local heap: %w", err)
	}
	seen := map[uint64]bool{}
	return f.btreeV1(tree, btreeSymbols, 8, func(_ []byte, node uint64) error {
		if seen[node] {
			return fmt.Errorf("the symbol node at %d appears twice", node)
		}
		seen[node] = true
		b, err := f.bytes(node, 8)
		if err != nil {
			return fmt.Errorf("symbol node: %w", err)
		}
		c := cursor{b: b}
		c.is("SNOD")
		c.version(1)
		c.skip(1)
		n := uint64(c.u16())
		if c.err == nil {
			c.b, c.err = f.bytes(node+8, 40*n)
		}
		for range n {
			offset, addr, cached := c.u64(), c.u64(), c.u32()
			c.skip(4 + 16)
			if c.err != nil {
				break
			}
			if offset >= uint64(len(names)) {
				return fmt.Errorf("a name at %d of a heap of %d bytes", offset, len(names))
			}
			name, _, ok := strings.Cut(names[offset:], "\x00")
			if !ok {
				return errors.New("a name without an end")
			}
			l := link{addr: addr}
			if cached == 2 {
				l = link{err: errSoft}
			}
			if err := add(name, l); err != nil {
				return err
			}
		}
		if c.err != nil {
			return fmt.Errorf("symbol node at %d: %w", node, c.err)
		}
		return nil
	})
}

func (f *File) localHeap(addr uint64) (string, error) {
	b, err := f.bytes(addr, 32)
	if err != nil {
		return "", err
	}
	c := cursor{b: b}
	c.is("HEAP")
	c.version(0)
	c.skip(3)
	size := c.u64()
	c.skip(8)
	data := c.u64()
	if c.err != nil {
		return "", c.err
	}
	b, err = f.bytes(data, size)
	return string(b), err
}
