package keras

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resnet-go/resnet/internal/hdf5"
	"github.com/resnet-go/resnet/models"
	"github.com/resnet-go/resnet/nn"
	"github.com/resnet-go/resnet/tensor"
)

// A bit that changes anywhere in an HDF5 file of ours is found. Programs that know nothing
// of the checksum read the file, and it is gone in what they write.
func TestDamagedHDF5(t *testing.T) {
	net, err := models.New("resnet8-cifar")
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Init(net, 1); err != nil {
		t.Fatal(err)
	}
	m, err := FromModule(net, "small", tensor.Shape{3, 32, 32})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"m.h5", "m.hdf5", "m.weights.h5"} {
		path := filepath.Join(t.TempDir(), name)
		if err := Save(path, m); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		read := func(b []byte, skip bool) error {
			_, err := Read(bytes.NewReader(b), int64(len(b)), ReadOptions{SkipChecksums: skip})
			return err
		}
		if err := read(b, false); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		seal := len(sealMark) + 4
		for at := 0; at < len(b); at += 1 + len(b)/100 {
			damaged := bytes.Clone(b)
			damaged[at] ^= 1 << (at % 8)
			if err := read(damaged, false); err == nil || at > 8 && at < len(b)-seal && !strings.Contains(err.Error(), "--skip-checksums") {
				t.Errorf("%s: a bit of byte %d of %d changed: error %v", name, at, len(b), err)
			}
		}
		damaged := bytes.Clone(b)
		damaged[len(b)-1]++
		if read(damaged, false) == nil || read(damaged, true) != nil {
			t.Errorf("%s: with another checksum: %v, and %v without looking", name, read(damaged, false), read(damaged, true))
		}
		without := b[:len(b)-seal]
		if err := read(without, false); err != nil {
			t.Errorf("%s without a checksum: %v", name, err)
		}
		if _, err := hdf5.NewReader(bytes.NewReader(b), int64(len(b))); err != nil {
			t.Errorf("%s as HDF5: %v", name, err)
		}
	}
}
