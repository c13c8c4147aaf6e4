package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
)

// checksumKey is the entry of the metadata that holds the checksums. Other programs
// read it as one more text; [Reader.Metadata] leaves it out.
const checksumKey = "resnet.crc32c"

// castagnoli is the polynomial that processors have an instruction for. It finds all
// errors of up to 32 bits in a row, so also each single flipped bit.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrChecksum is wrapped by the error of a part of a file that does not match its
// checksum.
var ErrChecksum = errors.New("does not match its checksum: the file is damaged, or another program changed it and kept the metadata " + checksumKey +
	"; use another copy, or --skip-checksums to go on")

// checksums are those of one file, as hexadecimal numbers: the CRC-32C (Castagnoli)
// of each tensor's bytes, and of the header without the checksum of itself.
type checksums struct {
	Header  string            `json:"header"`
	Tensors map[string]string `json:"tensors"`
}

func sumText(sum uint32) string { return fmt.Sprintf("%08x", sum) }

// headerSum returns the checksum of all that the header holds, in whatever order: the
// metadata other than the checksums, and of each tensor the name, type, shape,
// place and checksum.
func headerSum(entries []Entry, metadata, tensors map[string]string) string {
	h := crc32.New(castagnoli)
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		if k != checksumKey {
			fmt.Fprintf(h, "%q=%q\n", k, metadata[k])
		}
	}
	sorted := slices.SortedFunc(slices.Values(entries), func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	for _, e := range sorted {
		fmt.Fprintf(h, "%q %s %v %d %d %s\n", e.Name, e.DType, e.Shape, e.Begin, e.End, tensors[e.Name])
	}
	return sumText(h.Sum32())
}

// takeChecksums moves the checksums from the metadata into r.sums, if the file has
// them, and checks the header.
func (r *Reader) takeChecksums() error {
	text, ok := r.metadata[checksumKey]
	if !ok {
		return nil
	}
	delete(r.metadata, checksumKey)
	var c checksums
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return &FormatError{Problem: fmt.Sprintf("the checksums in the metadata %s cannot be read (%v): the file is damaged; use another copy, or --skip-checksums to go on", checksumKey, err)}
	}
	if len(c.Tensors) != len(r.entries) || c.Header != headerSum(r.entries, r.metadata, c.Tensors) {
		return fmt.Errorf("safetensors: the header %w", ErrChecksum)
	}
	for _, e := range r.entries {
		if c.Tensors[e.Name] == "" {
			return fmt.Errorf("safetensors: the header %w", ErrChecksum)
		}
	}
	r.sums = c.Tensors
	return nil
}

// check compares the checksum of the bytes of a tensor, if the file has one.
func (r *Reader) check(name string, sum uint32) error {
	if want, ok := r.sums[name]; ok && want != sumText(sum) {
		return fmt.Errorf("safetensors: tensor %q %w", name, ErrChecksum)
	}
	return nil
}

// Checksums reports whether the file has checksums, which are then compared
// whenever a tensor is read.
func (r *Reader) Checksums() bool { return r.sums != nil }

// SkipChecksums makes the reader not compare the checksums of tensors. Call it
// before the first tensor is read.
func (r *Reader) SkipChecksums() { r.sums = nil }

// sum returns the checksum of the bytes that encode writes for a tensor.
func sum(t Tensor) (uint32, error) {
	h := crc32.New(castagnoli)
	err := encode(h, t)
	return h.Sum32(), err
}
