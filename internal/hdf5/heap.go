package hdf5

import (
	"errors"
	"fmt"
	"math/bits"
)

// globalHeap holds the objects of one collection by their index.
type globalHeap map[uint32]string

// heapString returns an object of the global heap.
func (f *File) heapString(addr uint64, index uint32) (string, error) {
	h, ok := f.heaps[addr]
	if !ok {
		var err error
		if h, err = f.globalHeap(addr); err != nil {
			return "", fmt.Errorf("global heap: %w", err)
		}
		f.heaps[addr] = h
	}
	s, ok := h[index]
	if !ok {
		return "", fmt.Errorf("global heap at %d has no object %d", addr, index)
	}
	return s, nil
}

func (f *File) globalHeap(addr uint64) (globalHeap, error) {
	const prefix = 16
	b, err := f.bytes(addr, prefix)
	if err != nil {
		return nil, err
	}
	c := cursor{b: b}
	c.is("GCOL")
	c.version(1)
	c.skip(3)
	size := c.u64()
	if c.err != nil {
		return nil, c.err
	}
	if size < prefix {
		return nil, fmt.Errorf("a collection of %d bytes", size)
	}
	if b, err = f.bytes(addr+prefix, size-prefix); err != nil {
		return nil, err
	}
	h := globalHeap{}
	c = cursor{b: b}
	for len(c.b) >= prefix {
		index := uint32(c.u16())
		c.skip(6)
		n := c.u64()
		if index == 0 { // free space up to the end
			break
		}
		if n > uint64(len(c.b)) {
			return nil, fmt.Errorf("object %d: %w", index, errShort)
		}
		h[index] = string(c.take(int(n)))
		c.skip(min(len(c.b), int(-n&7)))
	}
	return h, nil
}

// fractalHeap is a heap of objects in blocks of doubling size ("III.G. Disk
// Format: Level 1G - Fractal Heap").
type fractalHeap struct {
	f          *File
	idLen      int
	offsetLen  int // bytes of an offset in the heap
	lengthLen  int
	width      uint64
	start, max uint64 // block sizes
	root       uint64
	rows       int // of the root, 0 if it is a direct block
	given      uint64
}

func (f *File) fractalHeap(addr uint64) (*fractalHeap, error) {
	b, err := f.summed(addr, 146, "header")
	if err != nil {
		return nil, err
	}
	c := cursor{b: b}
	h := &fractalHeap{f: f}
	c.is("FRHP")
	c.version(0)
	h.idLen = int(c.u16())
	filters := c.u16()
	c.skip(1)
	largest := uint64(c.u32()) // managed object
	c.skip(12 * 8)
	h.width, h.start, h.max = uint64(c.u16()), c.u64(), c.u64()
	maxBits := int(c.u16())
	c.skip(2)
	h.root, h.rows = c.u64(), int(c.u16())
	if c.err != nil {
		return nil, c.err
	}
	if filters != 0 {
		return nil, errors.New("compressed heaps are not supported")
	}
	powers := bits.OnesCount64(h.start) == 1 && bits.OnesCount64(h.max) == 1 && bits.OnesCount64(h.width) == 1
	if !powers || h.start > h.max || h.max > 1<<32 || maxBits < 1 || maxBits > 64 || h.rows > 64 {
		return nil, fmt.Errorf("table of %d blocks of %d to %d bytes, %d rows, %d bits", h.width, h.start, h.max, h.rows, maxBits)
	}
	h.offsetLen = (maxBits + 7) / 8
	// The length has as many bytes as the largest block's offsets need or the
	// largest object needs, whichever are fewer.
	h.lengthLen = min((bits.Len64(h.max)-1+7)/8, (bits.Len64(largest)-1)/8+1)
	if largest == 0 || h.idLen < 1+h.offsetLen+h.lengthLen {
		return nil, fmt.Errorf("IDs of %d bytes for offsets of %d", h.idLen, h.offsetLen)
	}
	return h, nil
}

// object returns the object with the ID.
func (h *fractalHeap) object(id []byte) ([]byte, error) {
	c := cursor{b: id}
	head := c.u8()
	switch {
	case head>>6 != 0:
		return nil, fmt.Errorf("an ID of version %d", head>>6)
	case head>>4&3 == 0:
	case head>>4&3 == 2 && h.idLen <= 17: // tiny: in the ID itself
		b := c.take(int(head&15) + 1)
		return b, c.err
	default:
		return nil, errHuge
	}
	offset, n := c.uint(h.offsetLen), c.uint(h.lengthLen)
	if c.err != nil {
		return nil, c.err
	}
	if h.given += n; h.given > h.f.size {
		return nil, errors.New("the objects are larger than the file")
	}
	if h.rows == 0 {
		return h.inBlock(h.root, h.start, offset, n)
	}
	return h.inIndirect(h.root, h.rows, offset, n, 0)
}

// inBlock reads from a direct block. Offsets count its header too.
func (h *fractalHeap) inBlock(addr, size, offset, n uint64) ([]byte, error) {
	if addr == undefined {
		return nil, errors.New("an object in a block that does not exist")
	}
	if offset > size || n > size-offset {
		return nil, fmt.Errorf("an object of %d bytes at %d in a block of %d", n, offset, size)
	}
	sign, err := h.f.bytes(addr, 4)
	if err != nil {
		return nil, err
	}
	if string(sign) != "FHDB" {
		return nil, fmt.Errorf("no block at %d", addr)
	}
	return h.f.bytes(addr+offset, n)
}

// rowSize is the size of the blocks in a row: the first two rows have the
// same, each further row twice the size of the one before.
func (h *fractalHeap) rowSize(row int) uint64 {
	if row > 0 {
		row--
	}
	if bits.Len64(h.start)+row > 63 {
		return 1 << 63
	}
	return h.start << row
}

func (h *fractalHeap) inIndirect(addr uint64, rows int, offset, n uint64, depth int) ([]byte, error) {
	if addr == undefined || depth > 8 {
		return nil, errors.New("an object in a block that does not exist")
	}
	at := uint64(0) // of the row
	for row := range rows {
		size := h.rowSize(row)
		hi, span := bits.Mul64(size, h.width)
		if hi != 0 {
			break
		}
		if offset-at >= span {
			at += span
			continue
		}
		column := (offset - at) / size
		entry := addr + 5 + 8 + uint64(h.offsetLen) + 8*(uint64(row)*h.width+column)
		sign, err := h.f.bytes(addr, 4)
		if err != nil {
			return nil, err
		}
		if string(sign) != "FHIB" {
			return nil, fmt.Errorf("no table of blocks at %d", addr)
		}
		b, err := h.f.bytes(entry, 8)
		if err != nil {
			return nil, err
		}
		c := cursor{b: b}
		child, within := c.u64(), (offset-at)%size
		if size <= h.max {
			return h.inBlock(child, size, within, n)
		}
		// A child table has as many rows as fill a block of this size.
		childRows := bits.Len64(size) - bits.Len64(h.start*h.width) + 1
		return h.inIndirect(child, max(childRows, 1), within, n, depth+1)
	}
	return nil, fmt.Errorf("an object at %d, beyond the heap", offset)
}
