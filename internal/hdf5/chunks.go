package hdf5

import (
	"errors"
	"fmt"
)

// stored is a chunk in the file.
type stored struct {
	addr, size uint64
	mask       uint32 // filters that were left out
}

// readChunks fills raw with all elements.
func (d *Dataset) readChunks(raw []byte) error {
	f, chunk := d.o.f, d.layout.chunk
	bytes := uint64(d.Type.Size)
	for _, e := range chunk {
		if bytes *= uint64(e); bytes > dataBase+dataTimes*f.size {
			return errors.New("chunks larger than is credible for the file")
		}
	}
	grid := make([]int, len(chunk)) // chunks along each axis
	total := 1
	for i, e := range chunk {
		grid[i] = (d.Shape[i] + e - 1) / e
		total *= grid[i]
	}
	seen := map[int]bool{}
	put := func(at []int, c stored) error {
		n := 0
		for i, g := range grid {
			if at[i] < 0 || at[i] >= g {
				return fmt.Errorf("chunk %v of %v", at, grid)
			}
			n = n*g + at[i]
		}
		if seen[n] {
			return fmt.Errorf("chunk %v is there twice", at)
		}
		seen[n] = true
		if len(d.filters) == 0 && c.size != bytes {
			return fmt.Errorf("chunk %v has %d bytes, want %d", at, c.size, bytes)
		}
		if err := f.inside(c.addr, c.size); err != nil {
			return fmt.Errorf("chunk %v: %w", at, err)
		}
		b := make([]byte, c.size)
		if _, err := f.r.ReadAt(b, int64(f.base+c.addr)); err != nil {
			return fmt.Errorf("chunk %v: %w", at, err)
		}
		b, err := d.decodeChunk(b, c.mask, int(bytes))
		if err != nil {
			return fmt.Errorf("chunk %v: %w", at, err)
		}
		copyChunk(raw, b, d.Shape, chunk, at, d.Type.Size)
		return nil
	}
	if err := d.eachChunk(grid, total, bytes, put); err != nil {
		return err
	}
	if len(seen) != total {
		return fmt.Errorf("%d of %d chunks were never written", total-len(seen), total)
	}
	return nil
}

// eachChunk calls put with the place of each chunk in the grid.
func (d *Dataset) eachChunk(grid []int, total int, bytes uint64, put func(at []int, c stored) error) error {
	f, l := d.o.f, d.layout
	if l.addr == undefined {
		return nil
	}
	at := make([]int, len(grid))
	next := func() { // in the order of rows
		for i := len(at) - 1; i >= 0; i-- {
			if at[i]++; at[i] < grid[i] {
				return
			}
			at[i] = 0
		}
	}
	switch l.index {
	case indexSingle:
		if total != 1 {
			return fmt.Errorf("an index of one chunk for %d", total)
		}
		size := bytes
		if len(d.filters) > 0 {
			size = l.single.size
		}
		return put(at, stored{l.addr, size, l.single.mask})
	case indexImplicit:
		if err := f.inside(l.addr, uint64(total)*bytes); err != nil {
			return err
		}
		for i := range uint64(total) {
			if err := put(at, stored{l.addr + i*bytes, bytes, 0}); err != nil {
				return err
			}
			next()
		}
		return nil
	case indexFixed:
		elements, err := d.fixedArray(total)
		if err != nil {
			return fmt.Errorf("fixed array: %w", err)
		}
		for _, c := range elements {
			if c.size == 0 {
				c.size = bytes
			}
			if c.addr != undefined {
				if err := put(at, c); err != nil {
					return err
				}
			}
			next()
		}
		return nil
	}
	rank := len(grid)
	return f.btreeV1(l.addr, btreeChunks, 8+8*(rank+1), func(key []byte, child uint64) error {
		c := cursor{b: key}
		s := stored{size: uint64(c.u32()), mask: c.u32(), addr: child}
		for i := range rank {
			offset := c.u64()
			if offset%uint64(l.chunk[i]) != 0 || offset >= uint64(d.Shape[i]) {
				return fmt.Errorf("a chunk at %d of an axis of %d in steps of %d", offset, d.Shape[i], l.chunk[i])
			}
			at[i] = int(offset) / l.chunk[i]
		}
		return put(at, s)
	})
}

// fixedArray reads an index that is one array of chunks.
func (d *Dataset) fixedArray(total int) ([]stored, error) {
	f := d.o.f
	b, err := f.summed(d.layout.addr, 28, "header")
	if err != nil {
		return nil, err
	}
	c := cursor{b: b}
	c.is("FAHD")
	c.version(0)
	filtered := c.version(0, 1) == 1
	entry, pageBits := int(c.u8()), c.u8()
	n, data := c.u64(), c.u64()
	if c.err != nil {
		return nil, c.err
	}
	if n != uint64(total) || entry < 8 || filtered && (entry < 13 || entry > 20) || !filtered && entry != 8 {
		return nil, fmt.Errorf("%d entries of %d bytes for %d chunks", n, entry, total)
	}
	if pageBits > 63 || n > 1<<pageBits {
		return nil, errors.New("arrays of several pages are not supported: write the file again without libver=\"latest\"")
	}
	if n > f.size {
		return nil, errShort
	}
	const prefix = 14
	if b, err = f.summed(data, prefix+n*uint64(entry)+4, "block"); err != nil {
		return nil, err
	}
	c = cursor{b: b}
	c.is("FADB")
	c.skip(prefix - 4)
	out := make([]stored, n)
	for i := range out {
		out[i].addr = c.u64()
		if filtered {
			out[i].size, out[i].mask = c.uint(entry-12), c.u32()
		}
	}
	return out, c.err
}

// copyChunk copies what lies within the dataset from a chunk to its place.
func copyChunk(raw, b []byte, shape, chunk, at []int, size int) {
	rank := len(shape)
	if rank == 0 {
		copy(raw, b)
		return
	}
	row := make([]int, rank) // within the chunk; the last axis is copied whole
	last := rank - 1
	for {
		from, to, inside := 0, 0, true
		for i := range rank {
			g := at[i]*chunk[i] + row[i]
			inside = inside && g < shape[i]
			from, to = from*chunk[i]+row[i], to*shape[i]+g
		}
		if inside {
			n := min(chunk[last], shape[last]-at[last]*chunk[last]) * size
			copy(raw[to*size:to*size+n], b[from*size:])
		}
		i := last - 1
		for ; i >= 0; i-- {
			if row[i]++; row[i] < chunk[i] {
				break
			}
			row[i] = 0
		}
		if i < 0 {
			return
		}
	}
}
