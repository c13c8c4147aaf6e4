package hdf5

import (
	"errors"
	"fmt"
)

// The types of header messages that are read.
const (
	msgDataspace    = 0x01
	msgLinkInfo     = 0x02
	msgDatatype     = 0x03
	msgLink         = 0x06
	msgExternal     = 0x07
	msgLayout       = 0x08
	msgFilters      = 0x0b
	msgAttribute    = 0x0c
	msgContinuation = 0x10
	msgSymbolTable  = 0x11
	msgAttrInfo     = 0x15
)

const (
	flagShared       = 1 << 1 // the message is elsewhere
	flagMustKnow     = 1 << 7 // fail if the type is unknown
	maxKnownMessage  = 0x17
	v1HeaderPrefix   = 16 // with the padding
	v1MessagePrefix  = 8
	continuationSize = 16
)

// message is one message of an object header.
type message struct {
	kind  uint8
	flags uint8
	data  []byte
}

// object is a group or a dataset: its header and what has been read of it.
type object struct {
	f        *File
	messages []message

	links   map[string]link
	names   []string
	attrs   []*Attr
	attrErr error
	dataset *Dataset
}

// object reads the header at an address.
func (f *File) object(addr uint64) (*object, error) {
	if o, ok := f.objects[addr]; ok {
		return o, nil
	}
	o := &object{f: f}
	b, err := f.bytes(addr, 4)
	if err != nil {
		return nil, fmt.Errorf("object header: %w", err)
	}
	if string(b) == "OHDR" {
		err = o.readV2(addr)
	} else {
		err = o.readV1(addr)
	}
	if err != nil {
		return nil, fmt.Errorf("object header at %d: %w", addr, err)
	}
	f.objects[addr] = o
	return o, nil
}

// block is a piece of a header in the file.
type block struct{ addr, size uint64 }

// blocks are the pieces still to be read; each address is read once.
type blocks struct {
	todo []block
	seen map[uint64]bool
}

func (q *blocks) add(b block) error {
	if q.seen == nil {
		q.seen = map[uint64]bool{}
	}
	if q.seen[b.addr] {
		return fmt.Errorf("the block at %d continues at its own address, which would never end", b.addr)
	}
	q.seen[b.addr] = true
	q.todo = append(q.todo, b)
	return nil
}

func (q *blocks) next() (block, bool) {
	if len(q.todo) == 0 {
		return block{}, false
	}
	b := q.todo[0]
	q.todo = q.todo[1:]
	return b, true
}

func (o *object) readV1(addr uint64) error {
	b, err := o.f.bytes(addr, v1HeaderPrefix)
	if err != nil {
		return err
	}
	c := cursor{b: b}
	c.version(1)
	c.skip(1)
	left := int(c.u16())
	c.skip(4)
	size := uint64(c.u32())
	if c.err != nil {
		return c.err
	}
	var q blocks
	if err := q.add(block{addr + v1HeaderPrefix, size}); err != nil {
		return err
	}
	for piece, ok := q.next(); ok; piece, ok = q.next() {
		b, err := o.f.bytes(piece.addr, piece.size)
		if err != nil {
			return err
		}
		c := cursor{b: b}
		for ; left > 0 && len(c.b) >= v1MessagePrefix; left-- {
			kind, size, flags := c.u16(), int(c.u16()), c.u8()
			c.skip(3)
			if err := o.message(&q, kind, flags, c.take(size)); err != nil {
				return err
			}
			if c.err != nil {
				return c.err
			}
		}
	}
	return nil
}

func (o *object) readV2(addr uint64) error {
	prefix, err := o.f.bytes(addr, min(34, o.f.size-o.f.base-addr)) // of the longest
	if err != nil {
		return err
	}
	c := cursor{b: prefix}
	c.is("OHDR")
	c.version(2)
	flags := c.u8()
	if flags&(1<<5) != 0 {
		c.skip(16) // times
	}
	if flags&(1<<4) != 0 {
		c.skip(4) // when attributes become dense
	}
	size := c.uint(1 << (flags & 3))
	used := uint64(len(prefix) - len(c.b))
	if c.err != nil {
		return c.err
	}
	if size > o.f.size {
		return fmt.Errorf("%d bytes of messages in a file of %d", size, o.f.size)
	}
	var q blocks
	if err := q.add(block{addr, used + size + 4}); err != nil {
		return err
	}
	for first := true; ; first = false {
		piece, ok := q.next()
		if !ok {
			return nil
		}
		b, err := o.f.summed(piece.addr, piece.size, "messages")
		if err != nil {
			return err
		}
		c := cursor{b: b}
		if first {
			c.skip(int(used))
		} else {
			c.is("OCHK")
		}
		prefix := 4
		if flags&(1<<2) != 0 {
			prefix += 2
		}
		for c.err == nil && len(c.b) >= prefix { // what is left over is a gap
			kind, size, mflags := c.u8(), int(c.u16()), c.u8()
			c.skip(prefix - 4)
			if err := o.message(&q, uint16(kind), mflags, c.take(size)); err != nil {
				return err
			}
		}
		if c.err != nil {
			return c.err
		}
	}
}

func (o *object) message(q *blocks, kind uint16, flags uint8, data []byte) error {
	if kind > maxKnownMessage {
		if flags&flagMustKnow != 0 {
			return fmt.Errorf("a message of the unknown type %d must be understood", kind)
		}
		return nil
	}
	if kind == msgContinuation {
		c := cursor{b: data}
		next := block{c.u64(), c.u64()}
		if c.err != nil {
			return c.err
		}
		return q.add(next)
	}
	o.messages = append(o.messages, message{uint8(kind), flags, data})
	return nil
}

// find returns the data of the first message of a type, nil if there is none.
func (o *object) find(kind uint8) ([]byte, error) {
	for _, m := range o.messages {
		if m.kind == kind {
			if m.flags&flagShared != 0 {
				return nil, errShared
			}
			return m.data, nil
		}
	}
	return nil, nil
}

var errShared = errors.New("a shared message (a committed data type) is not supported")
