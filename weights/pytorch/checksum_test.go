package pytorch

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A flipped bit in any record of PyTorch's archives is found, also where a tensor is a
// part of its storage only.
func TestFlippedBitOfEveryRecord(t *testing.T) {
	flipped := 0
	goldens(t, func(t *testing.T, path string, g golden) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil || g.Refused != nil || g.Tensors == nil {
			t.Skip("no archive with tensors")
		}
		used := func(b []byte, opt Options) error {
			r, err := NewReader(bytes.NewReader(b), int64(len(b)), opt)
			if err != nil {
				return err
			}
			for _, e := range r.Entries() {
				if _, err := r.Tensor(e.Name); err != nil {
					return err
				}
			}
			return nil
		}
		for _, f := range z.File {
			if !strings.HasPrefix(filepath.Base(filepath.Dir(f.Name)), "data") || f.CRC32 == 0 || f.UncompressedSize64 == 0 {
				continue
			}
			at, err := f.DataOffset()
			if err != nil {
				t.Fatal(err)
			}
			flipped++
			for _, i := range []int64{at, at + int64(f.UncompressedSize64) - 1} {
				damaged := slices.Clone(b)
				damaged[i] ^= 1
				if err := used(damaged, Options{}); err == nil || !strings.Contains(err.Error(), "checksum") {
					// A storage that belongs to no tensor of the chosen dictionary is not read.
					if err := used(cleared(b, at, int64(f.UncompressedSize64)), Options{}); err != nil {
						t.Errorf("byte %d of %s is flipped: error %v", i-at, f.Name, err)
					}
				}
				if err := used(damaged, Options{SkipChecksums: true}); err != nil {
					t.Errorf("without checksums: %v", err)
				}
			}
		}
	})
	if flipped < 10 {
		t.Errorf("only %d records", flipped)
	}
}

// cleared returns a copy of b with n bytes of ones at a place.
func cleared(b []byte, at, n int64) []byte {
	b = slices.Clone(b)
	for i := range n {
		b[at+i] ^= 0xff
	}
	return b
}
