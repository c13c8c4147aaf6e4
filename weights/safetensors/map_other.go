//go:build !unix

package safetensors

import "os"

// mapped is a file; systems without memory maps of this kind read it.
type mapped struct {
	*os.File
}

func mapFile(f *os.File, _ int64) (*mapped, error) { return &mapped{f}, nil }

// view calls f with bytes of the file, which f must not keep.
func (m *mapped) view(off, n int64, f func(b []byte)) error {
	b := make([]byte, n)
	if n > 0 {
		if _, err := m.ReadAt(b, off); err != nil {
			return err
		}
	}
	f(b)
	return nil
}
