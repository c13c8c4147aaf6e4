// Package limitread reads files of a limited size, so that a hostile or mistaken
// one does not fill the memory.
package limitread

import (
	"fmt"
	"io"
	"os"
	"slices"
)

// TooLarge is the error of a file above the limit.
type TooLarge struct{ Limit int64 } // in bytes

// Error names the limit.
func (e *TooLarge) Error() string {
	if mib := e.Limit >> 20; mib > 0 && mib<<20 == e.Limit {
		return fmt.Sprintf("the file is larger than the limit of %d MiB", mib)
	}
	return fmt.Sprintf("the file is larger than the limit of %d bytes", e.Limit)
}

// All reads to the end of r, into the memory of buf where it suffices. More than
// limit bytes are a *[TooLarge] error.
func All(r io.Reader, buf []byte, limit int64) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(4096, len(buf)))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, &TooLarge{limit}
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// File reads a file of at most limit bytes. The error names the file.
func File(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := All(f, nil, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}
