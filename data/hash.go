package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/resnet-go/resnet/data/imaging"
)

// Hash returns the SHA-256, in hex, of the parts: of the samples' names, labels
// and bytes in each. It does not depend on the order of the samples, the place of
// the folder or the decoders. workers is the number of goroutines; 0 means one per
// CPU.
func (s *Splits) Hash(ctx context.Context, workers int) (string, error) {
	whole, _, err := s.Hashes(ctx, workers)
	return whole, err
}

// Hashes returns [Splits.Hash] and the [Hash] of each part by its name (train,
// val, test), reading every sample once.
func (s *Splits) Hashes(ctx context.Context, workers int) (whole string, parts map[string]string, err error) {
	var all []PartReport
	parts = make(map[string]string)
	for _, p := range s.parts() {
		sum, err := Hash(ctx, p.ds, workers)
		if err != nil {
			return "", nil, err
		}
		all = append(all, PartReport{Name: p.name, Hash: sum})
		parts[p.name] = sum
	}
	return hashParts(all), parts, nil
}

func hashParts(parts []PartReport) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%s %s\n", p.Name, p.Hash)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Hash returns the SHA-256, in hex, of a dataset: of its classes and a sorted
// list of the samples' names, labels and the SHA-256 of their bytes (see
// [RawDataset]). The error names a sample that cannot be read.
func Hash(ctx context.Context, ds Dataset, workers int) (string, error) {
	lines := make([]string, ds.Len())
	err := forEach(ctx, ds.Len(), workers, func() func(int) error {
		var buf []byte
		return func(i int) error {
			b, err := content(ds, i, buf)
			if err != nil {
				return &SampleError{Index: i, Name: ds.Name(i), Err: err}
			}
			buf, lines[i] = b, hashLine(ds, i, b)
			return nil
		}
	})
	if err != nil {
		return "", err
	}
	return hashLines(ds, lines), nil
}

// hashLine returns the line by which a sample enters the hash of a dataset.
func hashLine(ds Dataset, i int, content []byte) string {
	return fmt.Sprintf("%q %v %x\n", ds.Name(i), ds.Labels(i), sha256.Sum256(content))
}

func hashLines(ds Dataset, lines []string) string {
	slices.Sort(lines)
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", ds.Classes())
	for _, l := range lines {
		_, _ = io.WriteString(h, l) // a hash never returns an error
	}
	return hex.EncodeToString(h.Sum(nil))
}

// contentDecoder is implemented by datasets whose samples are decoded from the
// bytes of Content, so that hashing and decoding need only one reading.
type contentDecoder interface {
	RawDataset
	decodeContent(content []byte, dst *imaging.Image) error
}

// readSample reads sample i once: it decodes it to dst and returns its bytes as
// [content] does. unread is the error if the bytes cannot be read, bad is the error
// of [Dataset.Decode].
func readSample(ds Dataset, i int, buf []byte, dst *imaging.Image) (b []byte, unread, bad error) {
	ds, i = origin(ds, i)
	if c, ok := ds.(contentDecoder); ok {
		if b, unread = c.Content(i, buf); unread != nil {
			return nil, unread, unread
		}
		return b, nil, c.decodeContent(b, dst)
	}
	bad = ds.Decode(i, dst)
	if c, ok := ds.(RawDataset); ok {
		b, unread = c.Content(i, buf)
		return b, unread, bad
	}
	if bad != nil {
		return nil, bad, bad
	}
	return appendPixels(buf[:0], dst), nil, nil
}

// content returns the bytes of a sample, or its size and pixels where the dataset
// is no [RawDataset].
func content(ds Dataset, i int, buf []byte) ([]byte, error) {
	if c, ok := ds.(RawDataset); ok {
		return c.Content(i, buf)
	}
	var m imaging.Image
	if err := ds.Decode(i, &m); err != nil {
		return nil, err
	}
	return appendPixels(buf[:0], &m), nil
}

func appendPixels(b []byte, m *imaging.Image) []byte {
	b = fmt.Appendf(b, "%d %d %d ", m.W, m.H, m.C)
	return append(b, m.Pix...)
}
