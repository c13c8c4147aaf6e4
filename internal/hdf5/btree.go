package hdf5

import (
	"errors"
	"fmt"
	"math/bits"
)

// The kinds of B-trees that are read.
const (
	btreeSymbols   = 0 // version 1
	btreeChunks    = 1
	btreeLinkNames = 5 // version 2
	btreeAttrNames = 8
)

// btreeV1 calls leaf for each entry of the lowest level, with its key and the
// address that it leads to.
func (f *File) btreeV1(root uint64, kind uint8, keySize int, leaf func(key []byte, child uint64) error) error {
	if root == undefined {
		return nil
	}
	seen := map[uint64]bool{}
	var visit func(addr uint64, level int) error
	visit = func(addr uint64, level int) error {
		if seen[addr] {
			return fmt.Errorf("the B-tree's node at %d appears twice", addr)
		}
		seen[addr] = true
		b, err := f.bytes(addr, 24)
		if err != nil {
			return fmt.Errorf("the B-tree: %w", err)
		}
		c := cursor{b: b}
		c.is("TREE")
		c.version(kind)
		own, used := int(c.u8()), uint64(c.u16())
		if c.err == nil && level >= 0 && own != level {
			c.err = fmt.Errorf("level %d below level %d", own, level+1)
		}
		if c.err == nil {
			c.b, c.err = f.bytes(addr+24, used*uint64(keySize+8)) // without the last key
		}
		for range used {
			key, child := c.take(keySize), c.u64()
			if c.err != nil {
				break
			}
			if own == 0 {
				err = leaf(key, child)
			} else {
				err = visit(child, own-1)
			}
			if err != nil {
				return err
			}
		}
		if c.err != nil {
			return fmt.Errorf("the B-tree at %d: %w", addr, c.err)
		}
		return nil
	}
	return visit(root, -1)
}

// dense calls each with the objects of a fractal heap in the order of a B-tree
// of version 2 that indexes them by name; record is the tree's entry, flags are
// the message's flags.
func (f *File) dense(heap, index uint64, kind uint8, each func(object, record []byte, flags uint8) error) error {
	h, err := f.fractalHeap(heap)
	if err != nil {
		return fmt.Errorf("fractal heap: %w", err)
	}
	return f.btreeV2(index, kind, func(record []byte) error {
		c := cursor{b: record}
		var flags uint8
		if kind == btreeLinkNames {
			c.skip(4) // the name's hash
		}
		id := c.take(h.idLen)
		if kind == btreeAttrNames {
			flags = c.u8()
		}
		if c.err != nil {
			return c.err
		}
		b, err := h.object(id)
		if err != nil {
			return fmt.Errorf("fractal heap: %w", err)
		}
		return each(b, record, flags)
	})
}

// btreeV2 calls each for all records of a B-tree of version 2, in order.
func (f *File) btreeV2(addr uint64, kind uint8, each func(record []byte) error) error {
	b, err := f.summed(addr, 38, "B-tree")
	if err != nil {
		return err
	}
	c := cursor{b: b}
	c.is("BTHD")
	c.version(0)
	c.version(kind)
	nodeSize, recordSize, depth := uint64(c.u32()), uint64(c.u16()), int(c.u16())
	c.skip(2)
	root, count := c.u64(), uint64(c.u16())
	if c.err != nil {
		return fmt.Errorf("the B-tree at %d: %w", addr, c.err)
	}
	if count == 0 {
		return nil
	}
	if recordSize == 0 || nodeSize < 10+recordSize || nodeSize > f.size || depth > 16 {
		return fmt.Errorf("the B-tree at %d: nodes of %d bytes, records of %d, depth %d", addr, nodeSize, recordSize, depth)
	}
	// The number of records in a node and below takes as many bytes as the
	// largest possible number needs.
	largest := make([]uint64, depth+1) // records in a node of each depth
	below := make([]uint64, depth+1)   // and in all below it
	size := make([]int, depth+1)       // bytes of below
	bytesFor := func(n uint64) int { return (bits.Len64(n) + 7) / 8 }
	largest[0] = (nodeSize - 10) / recordSize
	below[0] = largest[0]
	inNode := bytesFor(largest[0])
	for d := 1; d <= depth; d++ {
		pointer := uint64(8 + inNode)
		if d > 1 {
			pointer += uint64(size[d-1])
		}
		if nodeSize < 10+pointer {
			return fmt.Errorf("the B-tree at %d: its nodes are too small", addr)
		}
		largest[d] = (nodeSize - 10 - pointer) / (recordSize + pointer)
		hi, lo := bits.Mul64(largest[d]+1, below[d-1])
		if hi > 0 || lo > 1<<56 {
			return fmt.Errorf("the B-tree at %d: too large", addr)
		}
		below[d] = lo + largest[d]
		size[d] = bytesFor(below[d])
	}
	seen := map[uint64]bool{}
	var visit func(addr, count uint64, depth int) error
	visit = func(addr, count uint64, depth int) error {
		if seen[addr] {
			return fmt.Errorf("the B-tree's node at %d appears twice", addr)
		}
		seen[addr] = true
		if count > largest[depth] {
			return fmt.Errorf("the B-tree: %d records in a node for %d", count, largest[depth])
		}
		used := 6 + count*recordSize
		if depth > 0 {
			pointer := uint64(8 + inNode)
			if depth > 1 {
				pointer += uint64(size[depth-1])
			}
			used += (count + 1) * pointer
		}
		b, err := f.summed(addr, used+4, "B-tree's node")
		if err != nil {
			return err
		}
		c := cursor{b: b}
		if depth > 0 {
			c.is("BTIN")
		} else {
			c.is("BTLF")
		}
		c.version(0)
		c.version(kind)
		records := c.take(int(count * recordSize))
		for i := range count + 1 {
			if c.err != nil {
				return fmt.Errorf("the B-tree's node at %d: %w", addr, c.err)
			}
			if depth > 0 {
				child, n := c.u64(), c.uint(inNode)
				if depth > 1 {
					c.skip(size[depth-1])
				}
				if c.err != nil {
					return c.err
				}
				if err := visit(child, n, depth-1); err != nil {
					return err
				}
			}
			if i < count {
				if err := each(records[i*recordSize : (i+1)*recordSize]); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return visit(root, count, depth)
}

var errHuge = errors.New("objects outside the heap's blocks (attributes above 64 KiB) are not supported")
