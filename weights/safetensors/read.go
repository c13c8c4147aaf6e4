package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/resnet-go/resnet/internal/steadyfile"
	"github.com/resnet-go/resnet/tensor"
)

const (
	// maxHeader is the longest header that the reference implementation reads.
	maxHeader = 100_000_000
	// maxRank and maxExtent keep products of extents far from overflow; no real
	// tensor comes near.
	maxRank   = 16
	maxExtent = 1 << 40
)

// Reader reads the tensors of one file. It is safe for concurrent use if its
// io.ReaderAt is.
type Reader struct {
	r        io.ReaderAt
	close    func() error // of the file that Open opened, or nil
	data     int64        // where the tensors' bytes begin
	entries  []Entry
	index    map[string]int
	metadata map[string]string
	sums     map[string]string // of the tensors, by name; nil if the file has none
}

// Open opens a file. Close the reader when done, and not while a tensor is read;
// where tensors of [Reader.Deferred] outlive it, leave it open: the runtime closes
// the file of a reader that nothing refers to any more. An error names the file.
func Open(path string) (*Reader, error) {
	f, err := steadyfile.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f, f.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.close = f.Close
	return r, nil
}

// Close closes the file that Open opened.
func (r *Reader) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}

// NewReader reads and checks the header of a file of the given size. A file
// that breaks the format's rules is a *FormatError. If ra has a method
// Check() error, which reports that the file has changed since it was opened,
// deferred tensors call it. A file that [Write] wrote has checksums: the header's is
// compared here, a tensor's whenever it is read, and a mismatch is an error that wraps
// [ErrChecksum].
func NewReader(ra io.ReaderAt, size int64) (*Reader, error) {
	r, err := NewUncheckedReader(ra, size)
	if err != nil {
		return nil, err
	}
	return r, r.takeChecksums()
}

// NewUncheckedReader is [NewReader] without comparing checksums: for files that
// another program changed without renewing them, and to save what can be saved.
func NewUncheckedReader(ra io.ReaderAt, size int64) (*Reader, error) {
	if size < 8 {
		return nil, &FormatError{Problem: fmt.Sprintf("%d bytes are too few for a file of this format", size)}
	}
	var lead [8]byte
	if _, err := ra.ReadAt(lead[:], 0); err != nil {
		return nil, fmt.Errorf("safetensors: read the header's length: %w", err)
	}
	n := binary.LittleEndian.Uint64(lead[:])
	switch {
	case n > maxHeader:
		return nil, &FormatError{Problem: fmt.Sprintf("a header of %d bytes is over the limit of %d (or this is no safetensors file)", n, maxHeader)}
	case int64(n) > size-8:
		return nil, &FormatError{Problem: fmt.Sprintf("the header has %d bytes, the file only %d after its first 8: is it cut off?", n, size-8)}
	}
	header := make([]byte, n)
	if _, err := ra.ReadAt(header, 8); err != nil && (err != io.EOF || n > 0) {
		return nil, fmt.Errorf("safetensors: read the header: %w", err)
	}
	r := &Reader{r: ra, data: 8 + int64(n), index: map[string]int{}}
	if err := r.parse(header); err != nil {
		return nil, err
	}
	return r, r.place(size - r.data)
}

// Entries lists the tensors in the order of their bytes; the caller must not
// change it.
func (r *Reader) Entries() []Entry { return r.entries }

// Metadata returns the free texts of the header; the caller must not change it.
func (r *Reader) Metadata() map[string]string { return r.metadata }

// parse reads the header token by token, because the decoder of whole values
// accepts duplicate names.
func (r *Reader) parse(header []byte) error {
	if !utf8.Valid(header) {
		return &FormatError{Problem: "the header is not UTF-8"}
	}
	if len(header) == 0 || header[0] != '{' {
		return &FormatError{Problem: "the header does not begin with '{': not a safetensors file?"}
	}
	dec := json.NewDecoder(bytes.NewReader(header))
	dec.UseNumber()
	if _, err := dec.Token(); err != nil {
		return badJSON(err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return badJSON(err)
		}
		name, ok := key.(string)
		if !ok {
			return &FormatError{Problem: "the header is not a JSON object"}
		}
		if name == "__metadata__" {
			if r.metadata != nil {
				return &FormatError{Problem: "__metadata__ appears twice"}
			}
			if r.metadata, err = parseMetadata(dec); err != nil {
				return err
			}
			continue
		}
		if _, dup := r.index[name]; dup {
			return &FormatError{Tensor: name, Problem: "appears twice"}
		}
		e, err := parseEntry(dec, name)
		if err != nil {
			return err
		}
		r.index[name] = len(r.entries)
		r.entries = append(r.entries, e)
	}
	if _, err := dec.Token(); err != nil {
		return badJSON(err)
	}
	if rest := bytes.TrimRight(header[dec.InputOffset():], " "); len(rest) > 0 {
		return &FormatError{Problem: "there is something after the header's JSON"}
	}
	return nil
}

func badJSON(err error) error {
	return &FormatError{Problem: "the header is not valid JSON: " + err.Error()}
}

func parseMetadata(dec *json.Decoder) (map[string]string, error) {
	m := map[string]string{}
	switch t, err := dec.Token(); {
	case err == nil && t == nil: // null, as the reference implementation reads it
		return m, nil
	case err != nil || t != json.Delim('{'):
		return nil, &FormatError{Problem: "__metadata__ is not a JSON object"}
	}
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return nil, badJSON(err)
		}
		v, err := dec.Token()
		if err != nil {
			return nil, badJSON(err)
		}
		key, _ := k.(string) // the decoder accepts no other keys
		value, ok := v.(string)
		if !ok {
			return nil, &FormatError{Problem: fmt.Sprintf("__metadata__ %q is not a text", key)}
		}
		if _, dup := m[key]; dup {
			return nil, &FormatError{Problem: fmt.Sprintf("__metadata__ %q appears twice", key)}
		}
		m[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, badJSON(err)
	}
	return m, nil
}

func parseEntry(dec *json.Decoder, name string) (Entry, error) {
	e := Entry{Name: name}
	var raw struct {
		DType   *DType        `json:"dtype"`
		Shape   []json.Number `json:"shape"`
		Offsets []json.Number `json:"data_offsets"`
	}
	if err := dec.Decode(&raw); err != nil {
		return e, &FormatError{Tensor: name, Problem: "its description is not the JSON it should be: " + err.Error()}
	}
	bad := func(format string, args ...any) (Entry, error) {
		return e, &FormatError{Tensor: name, Problem: fmt.Sprintf(format, args...)}
	}
	if raw.DType == nil || raw.Shape == nil || len(raw.Offsets) != 2 {
		return bad("want dtype, shape and two data_offsets")
	}
	e.DType = *raw.DType
	bytes, ok := size[e.DType]
	if !ok {
		return bad("unknown dtype %q", e.DType)
	}
	if len(raw.Shape) > maxRank {
		return bad("rank %d is over %d", len(raw.Shape), maxRank)
	}
	e.Shape = make(tensor.Shape, len(raw.Shape))
	for i, s := range raw.Shape {
		d, err := s.Int64()
		if err != nil || d < 0 || d > maxExtent {
			return bad("extent %s is not a whole number from 0 to %d", s, int64(maxExtent))
		}
		e.Shape[i] = int(d)
		if d > 0 && bytes > math.MaxInt64/d {
			return bad("shape %v is too large", e.Shape[:i+1])
		}
		bytes *= d
	}
	var err error
	if e.Begin, err = raw.Offsets[0].Int64(); err == nil {
		e.End, err = raw.Offsets[1].Int64()
	}
	if err != nil || e.Begin < 0 || e.End < e.Begin {
		return bad("data_offsets %v must be two whole numbers in rising order", raw.Offsets)
	}
	if e.End-e.Begin != bytes {
		return bad("%s%v needs %d bytes, data_offsets give %d", e.DType, e.Shape, bytes, e.End-e.Begin)
	}
	return e, nil
}

// place orders the tensors by their bytes and checks that these fill the data
// without holes or overlaps.
func (r *Reader) place(size int64) error {
	slices.SortStableFunc(r.entries, func(a, b Entry) int {
		if a.Begin != b.Begin {
			return cmp(a.Begin, b.Begin)
		}
		return cmp(a.End, b.End)
	})
	at := int64(0)
	for i, e := range r.entries {
		r.index[e.Name] = i
		switch {
		case e.Begin < at:
			return &FormatError{Tensor: e.Name, Problem: "its bytes overlap another tensor's"}
		case e.Begin > at:
			return &FormatError{Tensor: e.Name, Problem: fmt.Sprintf("there is a hole of %d bytes before it", e.Begin-at)}
		}
		at = e.End
	}
	switch {
	case at > size:
		return &FormatError{Problem: fmt.Sprintf("the tensors need %d bytes, the file has %d: is it cut off?", at, size)}
	case at < size:
		return &FormatError{Problem: fmt.Sprintf("%d bytes follow the last tensor", size-at)}
	}
	return nil
}

func cmp(a, b int64) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// Bytes returns the stored bytes of a tensor.
func (r *Reader) Bytes(name string) ([]byte, error) {
	i, ok := r.index[name]
	if !ok {
		return nil, fmt.Errorf("safetensors: no tensor %q", name)
	}
	e := r.entries[i]
	b := make([]byte, e.End-e.Begin)
	if len(b) == 0 {
		return b, nil
	}
	if _, err := r.r.ReadAt(b, r.data+e.Begin); err != nil {
		return nil, fmt.Errorf("safetensors: read tensor %q: %w", name, err)
	}
	if r.sums == nil {
		return b, nil
	}
	return b, r.check(name, crc32.Checksum(b, castagnoli))
}
