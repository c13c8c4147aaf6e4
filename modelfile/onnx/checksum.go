package onnx

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// checksumKey is the entry of the metadata that holds the checksums. Other programs
// read it as one more text; [Model.Metadata] leaves it out.
const checksumKey = "resnet.crc32c"

// castagnoli is the polynomial that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrChecksum is wrapped by the error of a file of ours, or of a tensor outside of it,
// that does not match its checksum.
var ErrChecksum = errors.New("does not match its checksum: the file is damaged, or another program changed it and kept the metadata " + checksumKey +
	"; use another copy, or --skip-checksums to go on")

// checksums are those of one file, as hexadecimal numbers: the CRC-32C (Castagnoli)
// of its fields other than this entry, and of each tensor that is kept in another file.
//
// Programs that simplify, convert or quantize a model keep its metadata, and their files
// must not be taken for damaged ones. They have another size, which damaged bits do not
// change: the checksums are compared in a file of the size for which they were made.
type checksums struct {
	Size    int               `json:"size"` // bytes of the fields
	Model   string            `json:"model"`
	Outside map[string]string `json:"outside,omitempty"` // by tensor
}

func sumText(sum uint32) string { return fmt.Sprintf("%08x", sum) }

// sealed is encode with the checksums as the last field; outside are those of the
// tensors in another file.
func (m *modelProto) sealed(outside map[string]string) (*chunks, error) {
	c := m.encode()
	var sum uint32
	for _, p := range c.parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	text, err := json.Marshal(checksums{c.size, sumText(sum), outside})
	if err != nil {
		return nil, err
	}
	c.message(14, entryProto{checksumKey, string(text)}.encode())
	return c, nil
}

// checkFile compares the checksum of a file, if it has one, and returns those of the
// tensors outside of it.
func (m *modelProto) checkFile(data []byte) (outside map[string]string, err error) {
	var c checksums
	for _, e := range m.metadata {
		if e.key != checksumKey {
			continue
		}
		d := json.NewDecoder(strings.NewReader(e.value))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil || c.Size <= 0 {
			return nil, fmt.Errorf("%w: the checksums in the metadata %s cannot be read: use another copy, or --skip-checksums to go on", errDamaged, checksumKey)
		}
	}
	if c.Size == 0 {
		return nil, nil
	}
	var sum uint32
	size := 0
	for b := data; len(b) > 0; {
		num, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return nil, fmt.Errorf("%w: %w", errDamaged, protowire.ParseError(n))
		}
		if num != 14 || !isChecksum(b[:n]) {
			sum, size = crc32.Update(sum, castagnoli, b[:n]), size+n
		}
		b = b[n:]
	}
	switch {
	case size != c.Size:
		return nil, nil
	case sumText(sum) != c.Model:
		return nil, fmt.Errorf("the model %w", ErrChecksum)
	}
	return c.Outside, nil
}

// isChecksum reports whether a field of the metadata holds the checksums.
func isChecksum(b []byte) bool {
	_, _, n := protowire.ConsumeTag(b)
	b, n = protowire.ConsumeBytes(b[max(n, 0):])
	key := ""
	return n >= 0 && each(b, func(f field) error {
		if f.num == 1 {
			return f.str(&key)
		}
		return nil
	}) == nil && key == checksumKey
}
