package hdf5

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
)

// Dataset is an array in a file.
type Dataset struct {
	Path  string
	Shape []int // [] for a scalar
	Type  Type

	o       *object
	null    bool
	layout  layout
	filters []filter
}

// The ways in which a dataset is stored.
const (
	compact = iota
	contiguous
	chunked
)

type layout struct {
	class  uint8
	data   []byte // compact
	addr   uint64
	size   uint64
	chunk  []int // extents of a chunk
	index  uint8 // of chunks: 0 stands for a B-tree of version 1
	single struct {
		size uint64
		mask uint32
	}
	pageBits uint8
}

// The indexes of chunks in a layout of version 4.
const (
	indexBTree    = 0
	indexSingle   = 1
	indexImplicit = 2
	indexFixed    = 3
)

type filter struct {
	id     uint16
	values []uint32
}

// The filters.
const (
	filterDeflate    = 1
	filterShuffle    = 2
	filterFletcher32 = 3
)

var filterNames = map[uint16]string{4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf", 32001: "blosc", 32008: "bitshuffle", 32015: "zstd"}

func (o *object) readDataset() error {
	if o.dataset != nil {
		return nil
	}
	d := &Dataset{o: o}
	typ, err := o.find(msgDatatype)
	if err != nil {
		return err
	}
	space, err := o.find(msgDataspace)
	if err != nil {
		return err
	}
	lay, err := o.find(msgLayout)
	if err != nil {
		return err
	}
	if typ == nil || space == nil || lay == nil {
		return errors.New("not a dataset")
	}
	if external, err := o.find(msgExternal); err != nil || external != nil {
		return errors.Join(err, errors.New("data in other files are not read"))
	}
	if d.Type, err = parseType(typ); err != nil {
		return err
	}
	if d.Shape, d.null, err = parseSpace(space); err != nil {
		return err
	}
	pipeline, err := o.find(msgFilters)
	if err != nil {
		return err
	}
	if pipeline != nil {
		if d.filters, err = parseFilters(pipeline); err != nil {
			return fmt.Errorf("filters: %w", err)
		}
	}
	if err := d.parseLayout(lay); err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	o.dataset = d
	return nil
}

func parseFilters(b []byte) ([]filter, error) {
	c := cursor{b: b}
	version := c.version(1, 2)
	n := int(c.u8())
	if version == 1 {
		c.skip(6)
	}
	var fs []filter
	for range n {
		f := filter{id: c.u16()}
		name := 0
		if version == 1 || f.id >= 256 {
			name = int(c.u16())
		}
		c.skip(2)
		values := int(c.u16())
		c.skip(name)
		if version == 1 && name%8 != 0 {
			c.skip(8 - name%8)
		}
		for range values {
			if c.err == nil {
				f.values = append(f.values, c.u32())
			}
		}
		if version == 1 && values%2 == 1 {
			c.skip(4)
		}
		if c.err != nil {
			return nil, c.err
		}
		fs = append(fs, f)
	}
	return fs, c.err
}

func (d *Dataset) parseLayout(b []byte) error {
	c := cursor{b: b}
	version := c.version(1, 2, 3, 4, 5)
	l := &d.layout
	rank := 0
	if version <= 2 {
		rank = int(c.u8())
		l.class = c.u8()
		c.skip(5)
		if l.class != compact {
			l.addr = c.u64()
		}
	} else {
		l.class = c.u8()
	}
	switch {
	case c.err != nil:
	case l.class > chunked:
		return fmt.Errorf("class %d is not supported", l.class)
	case version <= 2 && l.class == contiguous:
		l.size = math.MaxUint64 // the shape decides
	case version <= 2 && l.class == compact:
		for range rank {
			c.skip(4)
		}
		l.data = c.take(int(c.u32()))
	case l.class == compact:
		l.data = c.take(int(c.u16()))
	case l.class == contiguous:
		l.addr, l.size = c.u64(), c.u64()
	case version <= 3:
		if version == 3 {
			rank = int(c.u8())
			l.addr = c.u64()
		}
		d.chunkExtents(&c, rank, 4)
	default:
		flags := c.u8()
		rank = int(c.u8())
		d.chunkExtents(&c, rank, int(c.u8()))
		l.index = c.u8()
		switch l.index {
		case indexSingle:
			if flags&2 != 0 {
				l.single.size, l.single.mask = c.u64(), c.u32()
			}
		case indexImplicit:
		case indexFixed:
			l.pageBits = c.u8()
		default:
			return fmt.Errorf("chunks are indexed in a way (%d) that only libver=\"latest\" writes for growing datasets: write the file again without it", l.index)
		}
		l.addr = c.u64()
	}
	return c.err
}

// chunkExtents reads the extents of a chunk. The last one is the size of an
// element.
func (d *Dataset) chunkExtents(c *cursor, rank, size int) {
	extents := make([]int, 0, maxRank)
	if c.err == nil && (size < 1 || size > 8 || rank > maxRank+1) {
		c.err = fmt.Errorf("chunks of rank %d", rank)
	}
	n := uint64(1)
	for i := range rank {
		v := c.uint(size)
		if c.err != nil {
			return
		}
		if v == 0 || v > math.MaxInt32 || n*v > math.MaxInt64/64 {
			c.err = errors.New("chunks with too many or no elements")
			return
		}
		if n *= v; i < rank-1 {
			extents = append(extents, int(v))
		} else if v != uint64(d.Type.Size) {
			c.err = fmt.Errorf("elements of %d bytes in chunks, of %d in the data type", v, d.Type.Size)
			return
		}
	}
	if c.err == nil && len(extents) != len(d.Shape) {
		c.err = fmt.Errorf("chunks of rank %d for a dataset of rank %d", len(extents), len(d.Shape))
	}
	d.layout.chunk = extents
}

// Len returns the number of elements.
func (d *Dataset) Len() int {
	if d.null {
		return 0
	}
	return numel(d.Shape)
}

// Attr returns an attribute of the dataset. An error wraps [ErrNotFound] if it
// has none of that name.
func (d *Dataset) Attr(name string) (*Attr, error) { return d.o.attr(d.Path, name) }

// Float32s reads the elements, row by row, as float32: the bits of 32-bit
// floats are kept, other numbers are converted.
func (d *Dataset) Float32s() ([]float32, error) {
	return read(d, d.Type.float32s)
}

// Int64s reads the elements, row by row; they must be integers.
func (d *Dataset) Int64s() ([]int64, error) {
	return read(d, d.Type.int64s)
}

// Strings reads the elements, row by row; they must be strings.
func (d *Dataset) Strings() ([]string, error) {
	raw, err := d.Bytes()
	if err != nil {
		return nil, err
	}
	s, err := d.o.f.strings(d.Type, d.Len(), raw)
	if err != nil {
		return nil, fmt.Errorf("HDF5 dataset %s: %w", d.Path, err)
	}
	return s, nil
}

// Bytes reads the elements as they are stored, after decompression.
func (d *Dataset) Bytes() ([]byte, error) {
	r, err := d.open()
	var b []byte
	if err == nil {
		b = make([]byte, d.Len()*d.Type.Size)
		_, err = io.ReadFull(r, b)
	}
	if err != nil {
		return nil, fmt.Errorf("HDF5 dataset %s: %w", d.Path, err)
	}
	return b, nil
}

// read decodes the elements piece by piece.
func read[T any](d *Dataset, decode func([]T, []byte) error) ([]T, error) {
	fail := func(err error) ([]T, error) { return nil, fmt.Errorf("HDF5 dataset %s: %w", d.Path, err) }
	if err := decode(nil, nil); err != nil {
		return fail(err)
	}
	r, err := d.open()
	if err != nil {
		return fail(err)
	}
	out := make([]T, d.Len())
	piece := make([]byte, min(max(1<<16/d.Type.Size, 1), max(len(out), 1))*d.Type.Size)
	for todo := out; len(todo) > 0; {
		n := min(len(todo), len(piece)/d.Type.Size)
		if _, err := io.ReadFull(r, piece[:n*d.Type.Size]); err != nil {
			return fail(err)
		}
		if err := decode(todo[:n], piece); err != nil {
			return fail(err)
		}
		todo = todo[n:]
	}
	return out, nil
}

// open returns a reader of the bytes of all Len elements.
func (d *Dataset) open() (io.Reader, error) {
	f := d.o.f
	want := uint64(d.Len()) * uint64(d.Type.Size)
	hi, cost := bits.Mul64(uint64(d.Len()), max(uint64(d.Type.Size), minElement))
	if hi > 0 || cost > f.values {
		return nil, fmt.Errorf("%d elements of %d bytes, after what was read before, are not credible in a file of %d bytes", d.Len(), d.Type.Size, f.size)
	}
	f.values -= cost
	if want == 0 {
		return bytes.NewReader(nil), nil
	}
	l := d.layout
	if l.class != chunked && len(d.filters) > 0 {
		return nil, errors.New("filters without chunks")
	}
	switch l.class {
	case compact:
		if uint64(len(l.data)) < want {
			return nil, fmt.Errorf("%d bytes of data, want %d", len(l.data), want)
		}
		return bytes.NewReader(l.data), nil
	case contiguous:
		if l.addr == undefined {
			return nil, errors.New("its data were never written")
		}
		if l.size < want {
			return nil, fmt.Errorf("%d bytes of data, want %d", l.size, want)
		}
		if err := f.inside(l.addr, want); err != nil {
			return nil, err
		}
		return io.NewSectionReader(f.r, int64(f.base+l.addr), int64(want)), nil
	}
	raw := make([]byte, want)
	if err := d.readChunks(raw); err != nil {
		return nil, err
	}
	return bytes.NewReader(raw), nil
}

// decodeChunk undoes the filters; n is the size of the result.
func (d *Dataset) decodeChunk(b []byte, mask uint32, n int) ([]byte, error) {
	for i, f := range slices.Backward(d.filters) {
		if mask&(1<<i) != 0 {
			continue
		}
		switch f.id {
		case filterDeflate:
			r, err := zlib.NewReader(bytes.NewReader(b))
			if err != nil {
				return nil, fmt.Errorf("deflate: %w", err)
			}
			room := n + 4*len(d.filters) // of checksums
			if b, err = io.ReadAll(io.LimitReader(r, int64(room)+1)); err != nil {
				return nil, fmt.Errorf("deflate: %w", err)
			}
			if len(b) > room {
				return nil, fmt.Errorf("a chunk becomes larger than its %d bytes", n)
			}
		case filterShuffle:
			size := d.Type.Size
			if len(f.values) > 0 {
				size = int(f.values[0])
			}
			if size < 1 || size > len(b) {
				return nil, fmt.Errorf("shuffle of elements of %d bytes", size)
			}
			b = unshuffle(b, size)
		case filterFletcher32:
			if len(b) < 4 {
				return nil, errShort
			}
			c := cursor{b: b[len(b)-4:]}
			if b = b[:len(b)-4]; !d.o.f.trust && c.u32() != fletcher32(b) {
				return nil, errors.New("wrong checksum, the file is damaged")
			}
		default:
			name, ok := filterNames[f.id]
			if !ok {
				name = fmt.Sprint(f.id)
			}
			return nil, fmt.Errorf("the filter %s is not supported (deflate, shuffle and fletcher32 are)", name)
		}
	}
	if len(b) != n {
		return nil, fmt.Errorf("a chunk of %d bytes, want %d", len(b), n)
	}
	return b, nil
}

func unshuffle(b []byte, size int) []byte {
	n := len(b) / size
	out := make([]byte, len(b))
	for k := range size {
		for i, v := range b[k*n : (k+1)*n] {
			out[i*size+k] = v
		}
	}
	copy(out[n*size:], b[n*size:])
	return out
}

// fletcher32 is HDF5's form of the checksum: of big-endian words of 16 bits.
func fletcher32(b []byte) uint32 {
	var s1, s2 uint32
	fold := func(s uint32) uint32 { return s&0xffff + s>>16 }
	for len(b) >= 2 {
		for k := 0; k < 360 && len(b) >= 2; k++ { // no sum overflows before 360 words
			s1 += uint32(b[0])<<8 | uint32(b[1])
			s2 += s1
			b = b[2:]
		}
		s1, s2 = fold(s1), fold(s2)
	}
	if len(b) == 1 {
		s1 += uint32(b[0]) << 8
		s2 += s1
		s1, s2 = fold(s1), fold(s2)
	}
	return fold(s2)<<16 | fold(s1)
}
