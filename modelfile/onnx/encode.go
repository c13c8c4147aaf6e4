package onnx

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// chunks is an encoded message in pieces, so that the tensors in it are not
// copied as often as messages are nested.
type chunks struct {
	parts [][]byte
	size  int
}

func (c *chunks) bytes(b []byte) {
	c.parts = append(c.parts, b)
	c.size += len(b)
}

func (c *chunks) write(w io.Writer) error {
	for _, p := range c.parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// message appends a nested message.
func (c *chunks) message(num protowire.Number, m *chunks) {
	b := protowire.AppendTag(nil, num, protowire.BytesType)
	c.bytes(protowire.AppendVarint(b, uint64(m.size)))
	c.parts = append(c.parts, m.parts...)
	c.size += m.size
}

// data appends bytes that are not copied.
func (c *chunks) data(num protowire.Number, b []byte) {
	head := protowire.AppendTag(nil, num, protowire.BytesType)
	c.bytes(protowire.AppendVarint(head, uint64(len(b))))
	c.bytes(b)
}

func (c *chunks) str(num protowire.Number, s string) {
	if s != "" {
		c.data(num, []byte(s))
	}
}

func (c *chunks) int(num protowire.Number, v int64) {
	c.bytes(protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), uint64(v)))
}

func (c *chunks) ints(num protowire.Number, vs []int64) {
	for _, v := range vs {
		c.int(num, v)
	}
}

func (m *modelProto) encode() *chunks {
	c := &chunks{}
	c.int(1, m.irVersion)
	c.str(2, m.producer)
	c.str(3, m.version)
	c.message(7, m.graph.encode())
	for _, o := range m.opsets {
		s := &chunks{}
		s.data(1, []byte(o.domain))
		s.int(2, o.version)
		c.message(8, s)
	}
	for _, e := range m.metadata {
		c.message(14, e.encode())
	}
	return c
}

func (e entryProto) encode() *chunks {
	c := &chunks{}
	c.str(1, e.key)
	c.str(2, e.value)
	return c
}

func (g *graphProto) encode() *chunks {
	c := &chunks{}
	for _, n := range g.nodes {
		c.message(1, n.encode())
	}
	c.str(2, g.name)
	for _, t := range g.initializers {
		c.message(5, t.encode())
	}
	for _, v := range g.inputs {
		c.message(11, v.encode())
	}
	for _, v := range g.outputs {
		c.message(12, v.encode())
	}
	return c
}

func (n *nodeProto) encode() *chunks {
	c := &chunks{}
	for _, s := range n.in {
		c.data(1, []byte(s)) // an empty name is an input left out
	}
	for _, s := range n.out {
		c.data(2, []byte(s))
	}
	c.str(3, n.name)
	c.str(4, n.op)
	for _, a := range n.attrs {
		c.message(5, a.encode())
	}
	c.str(7, n.domain)
	return c
}

// encode writes the kinds of attributes that the exporter makes.
func (a *attrProto) encode() *chunks {
	c := &chunks{}
	c.str(1, a.name)
	switch a.kind {
	case attrFloat:
		c.bytes(protowire.AppendFixed32(protowire.AppendTag(nil, 2, protowire.Fixed32Type), math.Float32bits(a.f)))
	case attrInt:
		c.int(3, a.i)
	case attrString:
		c.data(4, a.s)
	case attrGraph:
		c.message(6, a.g.encode())
	case attrInts:
		c.ints(8, a.ints)
	}
	c.int(20, int64(a.kind))
	return c
}

func (v *valueProto) encode() *chunks {
	shape := &chunks{}
	for i, d := range v.dims {
		dim := &chunks{}
		if d >= 0 {
			dim.int(1, d)
		} else {
			dim.str(2, v.names[i])
		}
		shape.message(1, dim)
	}
	t := &chunks{}
	t.int(1, int64(v.elem))
	t.message(2, shape)
	typ := &chunks{}
	typ.message(1, t)
	c := &chunks{}
	c.str(1, v.name)
	c.message(2, typ)
	return c
}

func (t *tensorProto) encode() *chunks {
	c := &chunks{}
	c.ints(1, t.dims)
	c.int(2, int64(t.elem))
	c.str(8, t.name)
	if t.location == 1 {
		for _, e := range t.external {
			c.message(13, e.encode())
		}
		c.int(14, 1)
		return c
	}
	c.data(9, t.raw)
	return c
}

// detach moves the tensors of 1 KB and more out of the model, each to a page of
// its own so that the file can be mapped into memory. It returns the other file, and
// the checksums of its tensors.
func (m *modelProto) detach(file string) (out *chunks, sums map[string]string) {
	const page = 4096
	out, sums = &chunks{}, map[string]string{}
	for _, t := range m.graph.initializers {
		if len(t.raw) < 1024 {
			continue
		}
		if gap := out.size % page; gap != 0 {
			out.bytes(make([]byte, page-gap))
		}
		t.location = 1
		t.external = []entryProto{
			{"location", file}, {"offset", strconv.Itoa(out.size)}, {"length", strconv.Itoa(len(t.raw))},
		}
		out.bytes(t.raw)
		sums[t.name] = sumText(crc32.Checksum(t.raw, castagnoli))
		t.raw = nil
	}
	return out, sums
}

func rawFloats(x []float32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func rawInts(x []int64) []byte {
	b := make([]byte, 0, 8*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b
}
