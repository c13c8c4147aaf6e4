// Package hdf5 reads and writes the part of the HDF5 file format ("HDF5 File
// Format Specification Version 3.0", The HDF Group) that Keras and h5py use for
// weights: groups, datasets of numbers and strings, attributes.
//
// Read: superblocks 0 to 3; object headers of versions 1 and 2; groups as
// symbol tables, as link messages and as dense links; attributes in the header
// and dense ones; compact, contiguous and chunked datasets with the filters
// deflate, shuffle and fletcher32; integers, IEEE floats of any kind up to 64
// bits, strings of fixed and of variable length. Refused with an error that names
// them: soft and external links, external storage, committed types, other
// filters, the indexes of chunks that only files of libver="latest" with more
// than 1,024 chunks or growing datasets have.
//
// Written: superblock 0, symbol tables, contiguous datasets, attributes: what
// every version of the HDF5 library reads.
//
// Files are untrusted bytes: every address is checked, cycles are found, and
// no file makes the reader hold more memory than a small multiple of its size,
// see [File].
package hdf5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrNotFound is wrapped by errors for a name that a group does not have.
var ErrNotFound = errors.New("not found")

// ErrFormat is wrapped by errors for bytes that are not HDF5 at all.
var ErrFormat = errors.New("not an HDF5 file")

var signature = []byte("\x89HDF\r\n\x1a\n")

// undefined is the address of nothing.
const undefined = math.MaxUint64

// Bounds on what a file of size n makes the reader hold over the life of the
// File: metadata (headers, names, attributes, indexes) of metaBase +
// metaTimes*n bytes, and values of dataBase + dataTimes*n bytes, where each
// element that is read counts at least minElement bytes, the most that it becomes.
// Only compressed data, chunks that are left out and pieces that overlap can
// come near them.
const (
	metaBase, metaTimes = 1 << 20, 8
	dataBase, dataTimes = 64 << 20, 64
	minElement          = 16 // a string's header
)

// File is an open HDF5 file. It keeps the structure that it has read, so that
// asking again costs nothing. It is not safe for concurrent use.
type File struct {
	r      io.ReaderAt
	size   uint64
	base   uint64 // of addresses
	root   *Group
	budget uint64 // metadata that may still be read
	values uint64 // bytes of datasets that may still be read

	objects map[uint64]*object
	heaps   map[uint64]globalHeap
	trust   bool // do not check checksums: for fuzzing
}

// NewReader reads an HDF5 file of size bytes from r.
func NewReader(r io.ReaderAt, size int64) (*File, error) { return newReader(r, size, false) }

func newReader(r io.ReaderAt, size int64, trust bool) (*File, error) {
	if size < 0 || size > math.MaxInt64/(2*dataTimes) {
		return nil, fmt.Errorf("a file of %d bytes is beyond what is read", size)
	}
	f := &File{
		r: r, size: uint64(size), budget: metaBase + metaTimes*uint64(size), values: dataBase + dataTimes*uint64(size), trust: trust,
		objects: map[uint64]*object{}, heaps: map[uint64]globalHeap{},
	}
	root, err := f.superblock()
	if err != nil {
		return nil, err
	}
	if f.root, err = f.groupAt("/", root); err != nil {
		return nil, err
	}
	return f, nil
}

// Root returns the group "/".
func (f *File) Root() *Group { return f.root }

// superblock finds and reads the superblock, which stands at 0 or after a
// user's block of 512, 1024, 2048, … bytes, and returns the address of the
// root group's header.
func (f *File) superblock() (root uint64, err error) {
	for at := uint64(0); at+16 <= f.size && at <= 1<<20; at = max(2*at, 512) {
		b, err := f.bytes(at, 16)
		if err != nil {
			return 0, err
		}
		if bytes.Equal(b[:8], signature) {
			return f.superblockAt(at)
		}
	}
	return 0, ErrFormat
}

func (f *File) superblockAt(at uint64) (root uint64, err error) {
	n := min(f.size-at, 104) // of the longest version
	b, err := f.bytes(at, n)
	if err != nil {
		return 0, err
	}
	c := cursor{b: b[8:]}
	version := c.u8()
	var offsets, lengths uint8
	switch version {
	case 0, 1:
		c.skip(4)
		offsets, lengths = c.u8(), c.u8()
		c.skip(1 + 2 + 2 + 4)
		if version == 1 {
			c.skip(4)
		}
	case 2, 3:
		offsets, lengths = c.u8(), c.u8()
		c.skip(1)
	default:
		return 0, fmt.Errorf("HDF5 superblock of version %d, known are 0 to 3", version)
	}
	if offsets != 8 || lengths != 8 {
		return 0, fmt.Errorf("HDF5 file with addresses of %d and lengths of %d bytes, only 8 and 8 are read", offsets, lengths)
	}
	base := c.u64()
	c.skip(8) // free space, or the superblock's extension
	end := c.u64()
	if version <= 1 {
		c.skip(8 + 8) // driver information, the root's name
		root = c.u64()
	} else {
		root = c.u64()
		used := len(b) - len(c.b)
		if sum := c.u32(); c.err == nil && !f.trust && sum != lookup3(b[:used]) {
			return 0, errors.New("HDF5 superblock: wrong checksum, the file is damaged")
		}
	}
	if c.err != nil {
		return 0, fmt.Errorf("HDF5 superblock: %w", c.err)
	}
	if base != at && base != 0 {
		return 0, fmt.Errorf("the HDF5 superblock at %d has the base address %d, which should be the same", at, base)
	}
	f.base = base
	// Report a download that stopped early as such.
	if end != undefined && end > f.size {
		return 0, fmt.Errorf("the file has %d bytes of the %d that it should have: it is cut off", f.size, end)
	}
	return root, nil
}

// bytes reads n bytes of metadata at an address.
func (f *File) bytes(addr, n uint64) ([]byte, error) {
	if addr == undefined {
		return nil, errors.New("an address is undefined")
	}
	if err := f.inside(addr, n); err != nil {
		return nil, err
	}
	if n > f.budget {
		return nil, fmt.Errorf("the structure of the file is larger than the file (%d bytes): it is damaged", f.size)
	}
	f.budget -= n
	b := make([]byte, n)
	if _, err := f.r.ReadAt(b, int64(f.base+addr)); err != nil && !(errors.Is(err, io.EOF) && n == 0) {
		return nil, fmt.Errorf("reading %d bytes at %d: %w", n, addr, err)
	}
	return b, nil
}

func (f *File) inside(addr, n uint64) error {
	if room := f.size - f.base; addr > room || n > room-addr {
		return fmt.Errorf("%d bytes at %d are not within the file's %d", n, addr, f.size)
	}
	return nil
}

// summed reads n bytes whose last four are the checksum of the others. It
// returns the others.
func (f *File) summed(addr, n uint64, what string) ([]byte, error) {
	b, err := f.bytes(addr, n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	b, err = f.check(b)
	if err != nil {
		return nil, fmt.Errorf("%s at %d: %w", what, addr, err)
	}
	return b, nil
}

func (f *File) check(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, errShort
	}
	b, sum := b[:len(b)-4], b[len(b)-4:]
	if !f.trust && binary.LittleEndian.Uint32(sum) != lookup3(b) {
		return nil, errors.New("wrong checksum, the file is damaged")
	}
	return b, nil
}

var errShort = errors.New("a structure is cut off")

// cursor takes little-endian numbers from bytes. After the end it gives zeros
// and has an error.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) take(n int) []byte {
	if c.err != nil { // the first one is the cause
		return nil
	}
	if n < 0 || n > len(c.b) {
		c.err = errShort
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

// uint takes a number of n bytes, at most 8.
func (c *cursor) uint(n int) uint64 {
	var v uint64
	for i, b := range c.take(n) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

func (c *cursor) skip(n int)  { c.take(n) }
func (c *cursor) u8() uint8   { return uint8(c.uint(1)) }
func (c *cursor) u16() uint16 { return uint16(c.uint(2)) }
func (c *cursor) u32() uint32 { return uint32(c.uint(4)) }
func (c *cursor) u64() uint64 { return c.uint(8) }

// is takes a signature of four letters.
func (c *cursor) is(sign string) {
	if string(c.take(4)) != sign && c.err == nil {
		c.err = fmt.Errorf("the signature %s is missing", sign)
	}
}

// version takes a byte that must be one of the versions.
func (c *cursor) version(known ...uint8) uint8 {
	v := c.u8()
	if c.err == nil && !bytes.Contains(known, []byte{v}) {
		c.err = fmt.Errorf("version %d, known are %v", v, known)
	}
	return v
}
